//! The hash chain: what a client that has seen a manifest accepts next.

use super::{DIGEST_BYTES, TenantName, VerifiedManifest};

/// What a client remembers of the newest manifest it accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestHead {
    /// The tenant.
    pub tenant: TenantName,
    /// The number of the manifest.
    pub sequence: u64,
    /// The newest epoch.
    pub epoch: u32,
    /// The version of that epoch's directory.
    pub version: u64,
    /// Digest of the manifest's content.
    pub digest: [u8; DIGEST_BYTES],
}

/// Why a signed manifest does not follow the one seen before. A server that hands it out is
/// restored from an old backup, or lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainError {
    /// Another tenant's manifest.
    #[error("the manifest belongs to another tenant")]
    Tenant,
    /// Older than what was seen.
    #[error("the manifest is older than one seen before: the server went back in time")]
    Rollback,
    /// As new as, or right after, what was seen, but not of the same chain.
    #[error("the manifest contradicts one seen before: the server keeps two histories")]
    Fork,
}

impl VerifiedManifest {
    /// Checks that this manifest may follow `head`: the same one, its successor in the chain, or
    /// a later one of the same tenant.
    ///
    /// Across a gap of manifests that the client did not see, only numbers can be compared; the
    /// chain itself can be checked by whoever fetched each of them.
    ///
    /// # Errors
    /// [`ChainError`]; the caller keeps the old head.
    pub fn check_follows(&self, head: &ManifestHead) -> Result<(), ChainError> {
        if self.tenant != head.tenant {
            return Err(ChainError::Tenant);
        }
        let newest = self.current();
        let known = self.epoch(head.epoch);
        if self.sequence < head.sequence
            || newest.epoch < head.epoch
            || known.is_some_and(|known| known.version < head.version)
        {
            return Err(ChainError::Rollback);
        }
        let same = self.sequence == head.sequence && self.digest != head.digest;
        // An epoch begins beside the one before it, so that no manifest can pass one over.
        let next = head.sequence.checked_add(1) == Some(self.sequence)
            && (self.previous != head.digest || newest.epoch - head.epoch > 1);
        if same || next { Err(ChainError::Fork) } else { Ok(()) }
    }
}
