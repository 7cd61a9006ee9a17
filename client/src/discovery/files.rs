//! The segments of a download, as they come in and are checked.

use acquaint_core::manifest::DIGEST_BYTES;
use bytes::Bytes;

use super::chunks::Sink;
use crate::error::Misbehavior;

/// Room that is made for a segment before its bytes are there: what an honest one needs.
const RESERVED_BYTES_MAX: usize = 2 << 20;

/// One file for each segment, set or labels. Every complete one has the digest that the index
/// states.
pub(super) struct Files {
    digests: Vec<[u8; DIGEST_BYTES]>,
    complete: Vec<Bytes>,
    current: Vec<u8>,
}

impl Files {
    pub(super) fn new(digests: Vec<[u8; DIGEST_BYTES]>) -> Self {
        Self { digests, complete: Vec::new(), current: Vec::new() }
    }

    /// The files, in order.
    pub(super) fn complete(self) -> Vec<Bytes> {
        self.complete
    }
}

impl Sink for Files {
    fn append(&mut self, data: &[u8], segment_bytes: u32) {
        if self.current.is_empty() {
            self.current.reserve_exact((segment_bytes as usize).min(RESERVED_BYTES_MAX));
        }
        self.current.extend_from_slice(data);
    }

    /// Hashing a segment takes a tenth of a millisecond: it may stay on the async worker.
    fn complete(&mut self, segment: u32) -> Result<(), Misbehavior> {
        let bytes = std::mem::take(&mut self.current);
        let digest = blake3::hash(&bytes);
        if self.digests.get(segment as usize) != Some(digest.as_bytes()) {
            return Err(Misbehavior::DigestMismatch);
        }
        self.complete.push(bytes.into());
        Ok(())
    }
}
