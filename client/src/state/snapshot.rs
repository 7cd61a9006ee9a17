//! A kept snapshot: the coded set by segment, and the sealed labels if the app keeps them.

use std::{fmt, ops::Range};

use super::{
    Binding, PartBytes, State, StateError,
    wire::{self, Body, DIGEST_BYTES, Kind, Output, Reader, within},
};
use crate::limits::{STATE_SEGMENTS_MAX, STATE_SNAPSHOT_BYTES_MAX};

/// What a snapshot part is: epoch, number, digest and length of its bytes.
///
/// Whoever has one has saved or loaded a snapshot, or a core that names it. `Display` prints
/// `<epoch>-<number>-<half the digest>`; all of it is public.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId {
    epoch: u32,
    number: u64,
    digest: [u8; DIGEST_BYTES],
    bytes: u64,
}

/// A snapshot as it is saved: one buffer, not copied again.
///
/// What the segments hold is for the set codec to judge, their digests for the manifest; this
/// type vouches only that they are what was saved. Everything in it is public.
#[derive(Clone)]
pub struct Snapshot {
    id: SnapshotId,
    bytes: PartBytes,
    segments: Vec<Ranges>,
}

/// Where a segment lies in the buffer.
#[derive(Clone)]
struct Ranges {
    set: Range<usize>,
    labels: Option<Range<usize>>,
}

/// The parts of a snapshot before they are one.
struct Content<'a, B> {
    epoch: u32,
    number: u64,
    set: &'a [B],
    labels: Option<&'a [B]>,
}

impl SnapshotId {
    /// The epoch.
    #[must_use]
    pub const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The number of the snapshot.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.number
    }

    /// Length of the part in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// What a core says of it; the epoch stands there already.
    pub(super) fn write_reference(&self, out: &mut impl Output) {
        out.u64(self.number);
        out.bytes(&self.digest);
        out.u64(self.bytes);
    }

    pub(super) fn read_reference(epoch: u32, input: &mut Reader<'_>) -> Result<Self, StateError> {
        let (number, digest, bytes) = (input.u64()?, input.array()?, input.u64()?);
        Ok(Self { epoch, number, digest, bytes })
    }
}

impl Snapshot {
    /// Encodes the segments of a snapshot, in order; with labels, as many of them.
    ///
    /// Cost: one copy and two hashes of everything, the second to check what was written.
    ///
    /// # Errors
    /// [`StateError::TooLarge`] past a limit of [`crate::limits`]; [`StateError::Corrupt`] if
    /// there are not as many labels as segments.
    pub fn encode<B: AsRef<[u8]>>(
        owner: &State,
        epoch: u32,
        number: u64,
        set: &[B],
        labels: Option<&[B]>,
    ) -> Result<Self, StateError> {
        if labels.is_some_and(|labels| labels.len() != set.len()) {
            return Err(StateError::Corrupt);
        }
        within(set.len() as u64, STATE_SEGMENTS_MAX as u64)?;
        let content = Content { epoch, number, set, labels };
        let bytes = wire::seal(&owner.tenant, &owner.pin, &content)?;
        Self::decode(bytes, &owner.binding())
    }

    /// Reads the part that [`Snapshot::encode`] made, without copying it.
    ///
    /// # Errors
    /// As for [`State::decode`].
    pub fn decode(bytes: PartBytes, binding: &Binding) -> Result<Self, StateError> {
        let wire::Opened { digest, mut body, .. } = wire::open(&bytes, Kind::Snapshot, binding)?;
        let (epoch, number, has_labels) = (body.u32()?, body.u64()?, body.flag()?);
        let n_segments = body.count(if has_labels { 8 } else { 4 })?;
        within(n_segments as u64, STATE_SEGMENTS_MAX as u64).map_err(|_| StateError::Corrupt)?;
        let mut segments = Vec::with_capacity(n_segments);
        for _ in 0..n_segments {
            let set = body.counted_range()?;
            let labels = if has_labels { Some(body.counted_range()?) } else { None };
            segments.push(Ranges { set, labels });
        }
        body.finish()?;
        let id = SnapshotId { epoch, number, digest, bytes: bytes.len() as u64 };
        Ok(Self { id, bytes, segments })
    }

    /// What the core of a state calls it.
    #[must_use]
    pub const fn id(&self) -> SnapshotId {
        self.id
    }

    /// Number of segments.
    #[must_use]
    pub const fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// The coded set of a segment.
    #[must_use]
    pub fn set(&self, segment: usize) -> Option<&[u8]> {
        self.bytes.get(self.segments.get(segment)?.set.clone())
    }

    /// The sealed labels of a segment; nothing if labels are not kept.
    #[must_use]
    pub fn labels(&self, segment: usize) -> Option<&[u8]> {
        self.bytes.get(self.segments.get(segment)?.labels.clone()?)
    }

    /// The part to save.
    #[must_use]
    pub const fn part(&self) -> &PartBytes {
        &self.bytes
    }
}

impl<B: AsRef<[u8]>> Body for Content<'_, B> {
    const KIND: Kind = Kind::Snapshot;
    const BYTES_MAX: u64 = STATE_SNAPSHOT_BYTES_MAX;

    fn write(&self, out: &mut impl Output) -> Result<(), StateError> {
        out.u32(self.epoch);
        out.u64(self.number);
        out.flag(self.labels.is_some());
        out.count(self.set.len())?;
        for (i, set) in self.set.iter().enumerate() {
            out.counted(set.as_ref())?;
            if let Some(labels) = self.labels.and_then(|labels| labels.get(i)) {
                out.counted(labels.as_ref())?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (half, _) = self.digest.split_at(DIGEST_BYTES / 2);
        write!(f, "{}-{}-", self.epoch, self.number)?;
        half.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("id", &self.id)
            .field("n_segments", &self.segments.len())
            .field("bytes", &self.bytes.len())
            .finish()
    }
}
