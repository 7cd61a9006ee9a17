//! What the client believes: the pinned key, and the newest manifest it has accepted.

use std::sync::{Mutex, PoisonError};

use acquaint_core::manifest::{ManifestHead, ManifestPin, SignedManifest, VerifiedManifest};
use acquaint_proto::v1;

use crate::{connection::required, error::ClientError};

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

    /// Checks signature and history; nothing else of a manifest is ever used.
    ///
    /// Comparing and remembering is one step: of two calls that run at the same time and are told
    /// two histories, one is refused.
    pub(crate) fn accept(
        &self,
        received: Option<v1::SignedManifest>,
    ) -> Result<VerifiedManifest, ClientError> {
        let manifest = SignedManifest::try_from(required(received)?)?.verify(&self.pin)?;
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
