//! The segments of the coded set, as they come in and are checked.

use acquaint_core::manifest::{DIGEST_BYTES, VerifiedManifest};

use super::chunks::Sink;
use crate::error::Misbehavior;

/// The coded set. Every segment in it has the digest that the manifest states.
pub(super) struct Segments {
    digests: Vec<[u8; DIGEST_BYTES]>,
    complete: Vec<Vec<u8>>,
    current: Vec<u8>,
}

impl Segments {
    pub(super) fn new(manifest: &VerifiedManifest) -> Self {
        let digests = manifest.segments.iter().map(|segment| segment.set_digest).collect();
        Self { digests, complete: Vec::new(), current: Vec::new() }
    }

    pub(super) fn get(&self, segment: u32) -> Option<&[u8]> {
        self.complete.get(segment as usize).map(Vec::as_slice)
    }
}

impl Sink for Segments {
    fn append(&mut self, data: &[u8], segment_bytes: u32) {
        if self.current.is_empty() {
            // A verified manifest keeps it below `limits::SEGMENT_BYTES_MAX`.
            self.current.reserve_exact(segment_bytes as usize);
        }
        self.current.extend_from_slice(data);
    }

    /// Hashing a segment takes well under a millisecond: it may stay on the async worker.
    fn complete(&mut self, segment: u32) -> Result<(), Misbehavior> {
        let bytes = std::mem::take(&mut self.current);
        let digest = blake3::hash(&bytes);
        if self.digests.get(segment as usize) != Some(digest.as_bytes()) {
            return Err(Misbehavior::DigestMismatch);
        }
        self.complete.push(bytes);
        Ok(())
    }

    fn discard(&mut self) {
        self.current.clear();
    }
}
