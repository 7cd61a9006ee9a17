//! A manifest as it was published.

use std::fmt;

/// A signed manifest, as it was published.
#[derive(Clone, PartialEq, Eq)]
pub struct Publication {
    /// Number of the manifest; the first is 1.
    pub sequence: u64,
    /// Position of the change log that it publishes.
    pub version: u64,
    /// The exact bytes of the manifest.
    pub manifest: Vec<u8>,
    /// The Ed25519 signature over them.
    pub signature: [u8; 64],
}

impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publication")
            .field("sequence", &self.sequence)
            .field("version", &self.version)
            .field("manifest_bytes", &self.manifest.len())
            .finish_non_exhaustive()
    }
}
