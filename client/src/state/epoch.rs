//! What is kept of a live epoch: evaluations, and which snapshot with which overlay.

use std::fmt;

use acquaint_core::oprf::PublicKey;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{SnapshotId, StateError};

/// What is kept of a live epoch.
#[derive(Clone)]
pub struct EpochState {
    pub(super) epoch: u32,
    pub(super) public_key: PublicKey,
    pub(super) held: Option<HeldSnapshot>,
    /// Ascending by contact.
    pub(super) evaluations: Zeroizing<Vec<SavedEvaluation>>,
}

/// A snapshot that is kept, and the overlay of the deltas since.
#[derive(Clone, PartialEq, Eq)]
pub struct HeldSnapshot {
    /// The part that holds the snapshot.
    pub id: SnapshotId,
    /// Position in the change log that the snapshot includes.
    pub snapshot_version: u64,
    /// Position in the change log that snapshot and overlay include together.
    pub version: u64,
    /// The overlay, encoded; empty if there is none.
    pub overlay: Vec<u8>,
}

/// Stands for a contact: `BLAKE3-keyed(key of the state, canonical identifier)`.
///
/// Comparing is not constant time: keys are compared with the device's own only. Wiped on drop,
/// redacted in `Debug`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Zeroize, ZeroizeOnDrop)]
pub struct LocalKey(pub(super) [u8; 32]);

/// What a contact was evaluated to in an epoch. Wiped on drop, redacted in `Debug`, never sent.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SavedEvaluation {
    pub(super) contact: LocalKey,
    pub(super) tag: [u8; 8],
    pub(super) label_key: [u8; 32],
}

impl EpochState {
    pub(super) fn new(epoch: u32, public_key: PublicKey) -> Self {
        Self { epoch, public_key, held: None, evaluations: Zeroizing::default() }
    }

    /// The epoch.
    #[must_use]
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The public key under which the evaluations were proven.
    #[must_use]
    pub const fn public_key(&self) -> &PublicKey {
        &self.public_key
    }

    /// The snapshot that is kept, if any.
    #[must_use]
    pub const fn held(&self) -> Option<&HeldSnapshot> {
        self.held.as_ref()
    }

    /// Names the snapshot to keep, with its overlay; the one before is removed with the next save.
    ///
    /// # Errors
    /// [`StateError::UnknownSnapshot`] if the snapshot is of another epoch; nothing changes.
    pub fn hold(&mut self, held: HeldSnapshot) -> Result<(), StateError> {
        if held.id.epoch() != self.epoch {
            return Err(StateError::UnknownSnapshot);
        }
        self.held = Some(held);
        Ok(())
    }

    /// Keeps no snapshot any more.
    pub fn release(&mut self) {
        self.held = None;
    }

    /// Number of contacts that have been evaluated.
    #[must_use]
    pub fn evaluated(&self) -> usize {
        self.evaluations.len()
    }

    /// What a contact was evaluated to.
    #[must_use]
    pub fn evaluation(&self, contact: &LocalKey) -> Option<&SavedEvaluation> {
        let i = self.evaluations.binary_search_by(|known| known.contact.cmp(contact)).ok()?;
        self.evaluations.get(i)
    }

    /// Adds evaluations. A contact that has one already keeps one: contact and key determine it.
    pub fn add_evaluations(&mut self, added: Vec<SavedEvaluation>) {
        let mut added = Zeroizing::new(added);
        // Full capacity at once, because growing would leave copies of keys behind; the buffers
        // that are left are wiped whole.
        let mut all = Zeroizing::new(Vec::with_capacity(self.evaluations.len() + added.len()));
        all.append(&mut self.evaluations);
        all.append(&mut added);
        all.sort_unstable_by(|a, b| a.contact.cmp(&b.contact));
        all.dedup_by(|a, b| a.contact == b.contact);
        self.evaluations = all;
    }
}

impl SavedEvaluation {
    /// What a contact was evaluated to: its tag, big endian, and its label key.
    #[must_use]
    pub const fn new(contact: LocalKey, tag: [u8; 8], label_key: [u8; 32]) -> Self {
        Self { contact, tag, label_key }
    }

    /// The tag, big endian.
    #[must_use]
    pub const fn expose_tag(&self) -> &[u8; 8] {
        &self.tag
    }

    /// The key that opens the contact's label.
    #[must_use]
    pub const fn expose_label_key(&self) -> &[u8; 32] {
        &self.label_key
    }
}

impl fmt::Debug for EpochState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EpochState")
            .field("epoch", &self.epoch)
            .field("public_key", &self.public_key)
            .field("held", &self.held)
            .field("n_evaluations", &self.evaluations.len())
            .finish()
    }
}

impl fmt::Debug for HeldSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HeldSnapshot")
            .field("id", &self.id)
            .field("snapshot_version", &self.snapshot_version)
            .field("version", &self.version)
            .field("overlay_bytes", &self.overlay.len())
            .finish()
    }
}

impl fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalKey(REDACTED)")
    }
}

impl fmt::Debug for SavedEvaluation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SavedEvaluation(REDACTED)")
    }
}
