//! The label array: hashed as it streams by, with the records of hits kept.

use std::collections::BTreeMap;

use acquaint_core::{
    limits::SEALED_LABEL_BYTES,
    manifest::{DIGEST_BYTES, ManifestError, VerifiedManifest},
    tag::SealedLabel,
};

use super::{chunks::Sink, matching::Hit};
use crate::error::{ClientError, Misbehavior};

/// Sealed labels by segment and rank. Memory: the records of hits, nothing else of the array.
pub(super) struct Labels {
    digests: Vec<[u8; DIGEST_BYTES]>,
    hasher: blake3::Hasher,
    segment: u32,
    /// Bytes of the current segment that are there.
    offset: usize,
    records: BTreeMap<(u32, u32), [u8; SEALED_LABEL_BYTES]>,
}

/// The length of each segment's label array in bytes.
///
/// # Errors
/// [`ManifestError::Content`] for more members than positions on the wire can count.
pub(super) fn lengths(manifest: &VerifiedManifest) -> Result<Vec<u32>, ClientError> {
    let record_bytes = u32::try_from(SEALED_LABEL_BYTES).expect("a record has 32 bytes");
    let length = |members: u32| members.checked_mul(record_bytes);
    let lengths: Option<_> = manifest.segments.iter().map(|s| length(s.members)).collect();
    lengths.ok_or(ClientError::UntrustedManifest(ManifestError::Content))
}

impl Labels {
    pub(super) fn new(manifest: &VerifiedManifest, hits: &[Hit]) -> Self {
        let digests = manifest.segments.iter().map(|segment| segment.labels_digest).collect();
        let ranks = hits.iter().flat_map(|hit| hit.ranks.clone().map(|rank| (hit.segment, rank)));
        Self {
            digests,
            hasher: blake3::Hasher::new(),
            segment: 0,
            offset: 0,
            records: ranks.map(|position| (position, [0; SEALED_LABEL_BYTES])).collect(),
        }
    }

    /// The sealed label at a rank of a segment, if it belongs to a hit.
    pub(super) fn get(&self, segment: u32, rank: u32) -> Option<SealedLabel> {
        self.records.get(&(segment, rank)).copied().map(SealedLabel)
    }

    /// Copies what of the wanted records lies in these bytes; a record may come in two chunks.
    fn pick(&mut self, data: &[u8]) {
        let range = self.offset..self.offset + data.len();
        let rank_of = |byte: usize| u32::try_from(byte / SEALED_LABEL_BYTES).unwrap_or(u32::MAX);
        let (first, last) = (rank_of(range.start), rank_of(range.end));
        let touched = self.records.range_mut((self.segment, first)..=(self.segment, last));
        for ((_, rank), record) in touched {
            let record_start = *rank as usize * SEALED_LABEL_BYTES;
            let start = record_start.max(range.start);
            let end = (record_start + SEALED_LABEL_BYTES).min(range.end);
            let from = data.get(start - range.start..end.saturating_sub(range.start));
            let to = record.get_mut(start - record_start..end.saturating_sub(record_start));
            if let (Some(from), Some(to)) = (from, to) {
                to.copy_from_slice(from);
            }
        }
    }
}

impl Sink for Labels {
    /// A chunk hashes in a tenth of a millisecond: it may stay on the async worker.
    fn append(&mut self, data: &[u8], _segment_bytes: u32) {
        self.hasher.update(data);
        self.pick(data);
        self.offset += data.len();
    }

    fn complete(&mut self, segment: u32) -> Result<(), Misbehavior> {
        let digest = self.hasher.finalize();
        self.discard();
        self.segment = segment + 1;
        let is_expected = self.digests.get(segment as usize) == Some(digest.as_bytes());
        if is_expected { Ok(()) } else { Err(Misbehavior::DigestMismatch) }
    }

    fn discard(&mut self) {
        self.hasher.reset();
        self.offset = 0;
    }
}
