//! What the client believes: the pinned key, and the newest manifest it has accepted.

use std::sync::{Mutex, PoisonError};

use crate::error::ClientError;
use acquaint_core::manifest::{ManifestHead, ManifestPin, SignedManifest, VerifiedManifest};

/// The root of a client's trust, shared by all its calls.
#[derive(Debug)]
pub(crate) struct Trust {
    pin: ManifestPin,
    head: Mutex<Option<ManifestHead>>,
}

impl Trust {
    pub(crate) fn new(pin: ManifestPin, head: Option<ManifestHead>) -> Self {
        Self { pin, head: Mutex::new(head) }
    }

    /// The newest manifest accepted so far.
    pub(crate) fn head(&self) -> Option<ManifestHead> {
        self.lock().clone()
    }

    /// The pinned key.
    pub(crate) fn pin(&self) -> &ManifestPin {
        &self.pin
    }

    /// Checks a manifest that was accepted earlier and kept, and remembers it unless a newer one
    /// is remembered. `None` if it is not by the pinned key, or contradicts what is remembered.
    pub(crate) fn recall(&self, kept: &SignedManifest) -> Option<VerifiedManifest> {
        let manifest = kept.verify(&self.pin).ok()?;
        let mut head = self.lock();
        match head.as_ref() {
            Some(newer) if newer.sequence > manifest.sequence => None,
            Some(known) => manifest.check_follows(known).is_ok().then_some(manifest),
            None => {
                *head = Some(manifest.head());
                Some(manifest)
            }
        }
    }

    /// Checks signature and history; nothing else of a manifest is ever used.
    ///
    /// Comparing and remembering is one step: of two calls that run at the same time and are told
    /// two histories, one is refused.
    pub(crate) fn accept(&self, signed: &SignedManifest) -> Result<VerifiedManifest, ClientError> {
        let manifest = signed.verify(&self.pin)?;
        let mut head = self.lock();
        if let Some(head) = head.as_ref() {
            manifest.check_follows(head)?;
        }
        *head = Some(manifest.head());
        Ok(manifest)
    }

    /// A head is replaced as a whole, so that a panic elsewhere cannot have left half of one.
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<ManifestHead>> {
        self.head.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
