//! The segment index: length and digest of every file of a snapshot.
//!
//! It is apart from the manifest because only whoever downloads a snapshot needs it: 72 bytes a
//! segment, a multiple of the manifest itself. The manifest holds its digest, so that it is as
//! trustworthy as what is signed. A client that compacts its overlay computes the index of the
//! new snapshot itself, and compares the digests.

use super::{DIGEST_BYTES, ManifestError, SnapshotInfo};
use crate::limits::{
    DIRECTORY_MEMBERS_MAX, SEALED_LABEL_BYTES, SEGMENT_BYTES_MAX, SEGMENT_INDEX_BYTES_MAX,
};

const MAGIC: [u8; 4] = *b"ACQI";
const FORMAT: [u8; 4] = [1, 0, 0, 0];
const ENTRY_BYTES: usize = 8 + 2 * DIGEST_BYTES;

/// The segments of a snapshot in order, `2^k` of its universe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentIndex(Vec<SegmentInfo>);

/// One segment of the set and of the label array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentInfo {
    /// Members in the segment.
    pub members: u32,
    /// Length of the coded set in bytes.
    pub set_bytes: u32,
    /// Digest of the coded set.
    pub set_digest: [u8; DIGEST_BYTES],
    /// Digest of the label array; its length is 32 bytes a member.
    pub labels_digest: [u8; DIGEST_BYTES],
}

impl SegmentInfo {
    /// The entry of a segment's files.
    ///
    /// # Errors
    /// [`ManifestError::Content`] if the coded set is longer than `limits::SEGMENT_BYTES_MAX`, or
    /// there are not 32 bytes of labels for each member.
    pub fn of(members: u32, set: &[u8], labels: &[u8]) -> Result<Self, ManifestError> {
        let set_bytes = u32::try_from(set.len()).map_err(|_| ManifestError::Content)?;
        if set.len() > SEGMENT_BYTES_MAX || labels.len() != members as usize * SEALED_LABEL_BYTES {
            return Err(ManifestError::Content);
        }
        let [set_digest, labels_digest] = [set, labels].map(|file| *blake3::hash(file).as_bytes());
        Ok(Self { members, set_bytes, set_digest, labels_digest })
    }

    /// Length of the label array in bytes.
    #[must_use]
    pub fn labels_bytes(&self) -> u64 {
        u64::from(self.members) * SEALED_LABEL_BYTES as u64
    }
}

impl SegmentIndex {
    /// The index of some segments.
    ///
    /// # Errors
    /// [`ManifestError::Content`] if a segment is above its limit, there are more members than a
    /// directory holds, or their number is not one that a universe cuts a set into.
    pub fn new(segments: Vec<SegmentInfo>) -> Result<Self, ManifestError> {
        let index = Self(segments);
        let fits = |info: &SegmentInfo| info.set_bytes as usize <= SEGMENT_BYTES_MAX;
        let consistent = index.0.len().is_power_of_two()
            && index.encoded_bytes() <= SEGMENT_INDEX_BYTES_MAX
            && index.0.iter().all(fits)
            && index.members() <= DIRECTORY_MEMBERS_MAX;
        if consistent { Ok(index) } else { Err(ManifestError::Content) }
    }

    /// The segments, in order.
    #[must_use]
    pub fn segments(&self) -> &[SegmentInfo] {
        &self.0
    }

    /// Members of all segments.
    #[must_use]
    pub fn members(&self) -> u64 {
        self.0.iter().map(|segment| u64::from(segment.members)).sum()
    }

    /// Length of all coded segments in bytes.
    #[must_use]
    pub fn set_bytes(&self) -> u64 {
        self.0.iter().map(|segment| u64::from(segment.set_bytes)).sum()
    }

    /// The bytes of the index; one layout, so equal indexes have equal bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.encoded_bytes());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT);
        for segment in &self.0 {
            bytes.extend_from_slice(&segment.members.to_le_bytes());
            bytes.extend_from_slice(&segment.set_bytes.to_le_bytes());
            bytes.extend_from_slice(&segment.set_digest);
            bytes.extend_from_slice(&segment.labels_digest);
        }
        bytes
    }

    /// The digest that a manifest states.
    #[must_use]
    pub fn digest(&self) -> [u8; DIGEST_BYTES] {
        *blake3::hash(&self.encode()).as_bytes()
    }

    /// Reads the index of a snapshot whose description comes from a verified manifest.
    ///
    /// # Errors
    /// [`ManifestError::Digest`] if it is another one, and nothing of it is read then;
    /// [`ManifestError::Format`] or [`ManifestError::Content`] if the operator signed nonsense.
    pub fn decode(bytes: &[u8], snapshot: &SnapshotInfo) -> Result<Self, ManifestError> {
        if bytes.len() > SEGMENT_INDEX_BYTES_MAX
            || *blake3::hash(bytes).as_bytes() != snapshot.index_digest
        {
            return Err(ManifestError::Digest);
        }
        let entries = bytes
            .strip_prefix(&MAGIC)
            .and_then(|rest| rest.strip_prefix(&FORMAT))
            .ok_or(ManifestError::Format)?;
        let (entries, rest) = entries.as_chunks::<ENTRY_BYTES>();
        if !rest.is_empty() {
            return Err(ManifestError::Format);
        }
        let index = Self::new(entries.iter().filter_map(decode_entry).collect())?;
        let consistent = index.0.len() == snapshot.universe.segment_count() as usize
            && index.members() == snapshot.members
            && index.set_bytes() == snapshot.set_bytes;
        if consistent { Ok(index) } else { Err(ManifestError::Content) }
    }

    fn encoded_bytes(&self) -> usize {
        MAGIC.len() + FORMAT.len() + self.0.len() * ENTRY_BYTES
    }
}

/// Always `Some`: an entry has room for its fields.
fn decode_entry(bytes: &[u8; ENTRY_BYTES]) -> Option<SegmentInfo> {
    let (members, rest) = bytes.split_first_chunk()?;
    let (set_bytes, rest) = rest.split_first_chunk()?;
    let (set_digest, rest) = rest.split_first_chunk()?;
    Some(SegmentInfo {
        members: u32::from_le_bytes(*members),
        set_bytes: u32::from_le_bytes(*set_bytes),
        set_digest: *set_digest,
        labels_digest: *rest.first_chunk()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::set::Universe;

    fn index(n: usize) -> SegmentIndex {
        let segment = SegmentInfo {
            members: 7,
            set_bytes: 99,
            set_digest: [1; DIGEST_BYTES],
            labels_digest: [2; DIGEST_BYTES],
        };
        SegmentIndex(vec![segment; n])
    }

    fn info(index: &SegmentIndex) -> SnapshotInfo {
        SnapshotInfo {
            number: 1,
            version: 1,
            universe: Universe::for_members(100_000).unwrap(),
            members: index.members(),
            set_bytes: index.set_bytes(),
            index_digest: index.digest(),
        }
    }

    #[test]
    fn an_index_reads_as_it_was_written() {
        let eight = index(8);
        assert_eq!(SegmentIndex::decode(&eight.encode(), &info(&eight)).unwrap(), eight);
        assert_eq!(eight.encode().len(), 8 + 8 * 72);
    }

    #[test]
    fn every_changed_byte_is_refused() {
        let eight = index(8);
        let bytes = eight.encode();
        for at in 0..bytes.len() {
            let mut forged = bytes.clone();
            forged[at] ^= 1;
            let read = SegmentIndex::decode(&forged, &info(&eight));
            assert_eq!(read, Err(ManifestError::Digest), "byte {at}");
        }
    }

    #[test]
    fn signed_nonsense_is_refused() {
        let eight = index(8);
        let bytes = eight.encode();
        let signed = |bytes: &[u8], change: fn(&mut SnapshotInfo)| {
            let mut snapshot = info(&index(8));
            snapshot.index_digest = *blake3::hash(bytes).as_bytes();
            change(&mut snapshot);
            SegmentIndex::decode(bytes, &snapshot)
        };
        for length in 0..bytes.len() {
            assert!(signed(&bytes[..length], |_| {}).is_err(), "length {length}");
        }
        assert_eq!(signed(&[&bytes[..], &[0]].concat(), |_| {}), Err(ManifestError::Format));
        for n in [0, 4, 7, 16] {
            assert_eq!(signed(&index(n).encode(), |_| {}), Err(ManifestError::Content), "{n}");
        }
        assert_eq!(signed(&bytes, |info| info.members += 1), Err(ManifestError::Content));
        assert_eq!(signed(&bytes, |info| info.set_bytes += 1), Err(ManifestError::Content));
        let mut large = index(8);
        large.0[3].set_bytes = u32::try_from(SEGMENT_BYTES_MAX).unwrap();
        assert!(signed(&large.encode(), |info| info.set_bytes += (1 << 20) - 99).is_ok());
        large.0[3].set_bytes += 1;
        let refused = signed(&large.encode(), |info| info.set_bytes += (1 << 20) - 98);
        assert_eq!(refused, Err(ManifestError::Content));
    }

    #[test]
    fn entries_are_made_from_the_files_themselves() {
        let info = SegmentInfo::of(2, b"set", &[5; 64]).unwrap();
        assert_eq!((info.members, info.set_bytes, info.labels_bytes()), (2, 3, 64));
        assert_eq!(info.labels_digest, *blake3::hash(&[5; 64]).as_bytes());
        assert_eq!(SegmentInfo::of(2, b"set", &[5; 63]), Err(ManifestError::Content));
        let most = vec![0; SEGMENT_BYTES_MAX];
        assert!(SegmentInfo::of(0, &most, &[]).is_ok());
        assert!(SegmentInfo::of(0, &[&most[..], &[0]].concat(), &[]).is_err());
    }
}
