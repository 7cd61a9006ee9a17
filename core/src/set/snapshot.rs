//! The published bytes of one snapshot, joined: ranks of values and labels of ranks.

use std::fmt;
use std::ops::Range;

use super::header;
use super::segment::for_each_value;
use super::{EncodedSegment, Entry, Expected, OverlayError, SetError, Universe};
use crate::limits::{DIRECTORY_MEMBERS_MAX, SEALED_LABEL_BYTES};

/// Which snapshot ranks refer to, and what bounds them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SnapshotIdentity {
    /// How tags are scaled and split into segments.
    pub universe: Universe,
    /// The epoch of the OPRF key.
    pub epoch: u32,
    /// The number of the snapshot.
    pub number: u64,
    /// The number of its members, ties counted each; ranks are below.
    pub members: u32,
}

/// One segment of a snapshot as it was published.
///
/// `B` is what holds the bytes: slices, vectors, reference-counted or mapped memory.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SnapshotSegment<B> {
    /// The number of members.
    pub count: u32,
    /// The segment of the set, as from [`encode_segment`](super::encode_segment).
    pub bytes: B,
    /// The sealed labels in rank order, `count · limits::SEALED_LABEL_BYTES` bytes.
    pub labels: B,
}

impl<'a> From<&'a EncodedSegment> for SnapshotSegment<&'a [u8]> {
    fn from(segment: &'a EncodedSegment) -> Self {
        Self { count: segment.count, bytes: &segment.bytes, labels: &segment.labels }
    }
}

/// The count only.
impl<B> fmt::Debug for SnapshotSegment<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotSegment").field("count", &self.count).finish_non_exhaustive()
    }
}

/// A snapshot as it was published: still coded, nothing decoded ahead.
///
/// Guarantee: the segments are complete and in order, their headers are right, and the labels are
/// as many as the members. The bodies are checked when they are decoded. That the bytes are those
/// that were signed is for the caller to know, by their digests.
///
/// Memory: what `B` holds, and four bytes per segment. A look-up decodes a segment (about 0.1 ms
/// on one Zen 4 core); for many, [`SnapshotView::ranks_of_sorted`] decodes each segment once.
#[derive(Clone)]
pub struct SnapshotView<B> {
    identity: SnapshotIdentity,
    segments: Vec<SnapshotSegment<B>>,
    /// The rank of the first member of each segment.
    first_ranks: Vec<u32>,
}

impl<B: AsRef<[u8]>> SnapshotView<B> {
    /// Joins the segments of a snapshot: all of them, by ascending index, empty ones included.
    ///
    /// # Errors
    /// [`OverlayError::Segment`] if a header is wrong for its place or a segment is missing or
    /// surplus; [`OverlayError::LabelBytes`]; [`OverlayError::Capacity`] above
    /// `limits::DIRECTORY_MEMBERS_MAX` members.
    pub fn new(
        universe: &Universe,
        epoch: u32,
        snapshot_number: u64,
        segments: Vec<SnapshotSegment<B>>,
    ) -> Result<Self, OverlayError> {
        if segments.len() as u64 != u64::from(universe.segment_count()) {
            return Err(SetError::SegmentSequence.into());
        }
        let (first_ranks, members) = first_ranks(segments.iter().map(|segment| segment.count))?;
        for (index, segment) in (0..).zip(&segments) {
            let expected = Expected { snapshot_number, index, count: segment.count };
            header::split(universe, expected, segment.bytes.as_ref())?;
            let labels_bytes = segment.labels.as_ref().len() as u64;
            if labels_bytes != u64::from(segment.count) * SEALED_LABEL_BYTES as u64 {
                return Err(OverlayError::LabelBytes);
            }
        }
        let identity =
            SnapshotIdentity { universe: *universe, epoch, number: snapshot_number, members };
        Ok(Self { identity, segments, first_ranks })
    }

    /// Universe, epoch, number and members.
    #[must_use]
    pub fn identity(&self) -> &SnapshotIdentity {
        &self.identity
    }

    /// The segments by ascending index.
    #[must_use]
    pub fn segments(&self) -> &[SnapshotSegment<B>] {
        &self.segments
    }

    /// The ranks, over all segments, of the members with this scaled value; empty if none.
    ///
    /// # Errors
    /// [`OverlayError::Segment`] if the segment is malformed.
    pub fn ranks_of(&self, value: u64) -> Result<Range<u32>, OverlayError> {
        let ranks = self.ranks_of_sorted(&[value])?;
        Ok(ranks.into_iter().next().unwrap_or(0..0))
    }

    /// As [`SnapshotView::ranks_of`] for many values, decoding each segment that any lies in once.
    ///
    /// Shape: `values` ascend, equal ones allowed; as many ranges come back, in the same order.
    ///
    /// # Errors
    /// [`OverlayError::Order`] if values descend; [`OverlayError::Segment`] if a segment that had
    /// to be decoded is malformed.
    pub fn ranks_of_sorted(&self, values: &[u64]) -> Result<Vec<Range<u32>>, OverlayError> {
        if !values.is_sorted() {
            return Err(OverlayError::Order);
        }
        let width = self.identity.universe.segment_width();
        let mut ranges = Vec::with_capacity(values.len());
        for wanted in values.chunk_by(|a, b| a / width == b / width) {
            let index = wanted.first().map_or(0, |value| value / width);
            self.ranks_in_segment(index, wanted, &mut ranges)?;
        }
        Ok(ranges)
    }

    /// Appends the ranks of `wanted`, ascending values of the segment with this index.
    fn ranks_in_segment(
        &self,
        index: u64,
        wanted: &[u64],
        ranges: &mut Vec<Range<u32>>,
    ) -> Result<(), OverlayError> {
        let start = ranges.len();
        ranges.resize(start + wanted.len(), 0..0);
        let Some(index) = u32::try_from(index).ok().filter(|index| self.has_segment(*index)) else {
            return Ok(());
        };
        let found = ranges.get_mut(start..).unwrap_or_default();
        let first_value = u64::from(index) * self.identity.universe.segment_width();
        let mut passed = 0;
        self.for_each_member(index, |rank, local| {
            let value = first_value + local;
            while wanted.get(passed).is_some_and(|wanted| *wanted < value) {
                passed += 1;
            }
            // Only the first of equal wanted values here: ties times repetitions would be a square.
            if wanted.get(passed) == Some(&value)
                && let Some(range) = found.get_mut(passed)
            {
                let first = if range.start == range.end { rank } else { range.start };
                *range = first..rank + 1;
            }
        })?;
        let mut earlier: Option<(u64, Range<u32>)> = None;
        for (value, range) in wanted.iter().zip(found) {
            match &earlier {
                Some((same, ranks)) if same == value => *range = ranks.clone(),
                _ => earlier = Some((*value, range.clone())),
            }
        }
        Ok(())
    }

    /// Of members with one value, whose ranks are `ranks`, those whose label is the entry's too.
    pub(super) fn ranks_of_entry(&self, entry: &Entry, ranks: Range<u32>) -> Range<u32> {
        let bound = |before: &dyn Fn(&[u8; SEALED_LABEL_BYTES]) -> bool| {
            let (mut low, mut high) = (ranks.start, ranks.end);
            while low < high {
                let middle = low + (high - low) / 2;
                if self.label(middle).is_some_and(before) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            low
        };
        bound(&|label| *label < entry.sealed_label)..bound(&|label| *label <= entry.sealed_label)
    }

    /// The sealed label of the member with this rank; `None` at or past the number of members.
    #[must_use]
    pub fn label(&self, rank: u32) -> Option<&[u8; SEALED_LABEL_BYTES]> {
        // The last segment that begins at or before the rank; empty ones begin where the next does.
        let index = self.first_ranks.partition_point(|first| *first <= rank).checked_sub(1)?;
        let offset = rank - self.first_ranks.get(index)?;
        self.labels(index).get(offset as usize)
    }

    /// The labels of one segment.
    pub(super) fn labels(&self, index: usize) -> &[[u8; SEALED_LABEL_BYTES]] {
        let labels = self.segments.get(index).map_or(&[][..], |segment| segment.labels.as_ref());
        labels.as_chunks().0
    }

    /// The values of one segment that exists, inside it and in order.
    pub(super) fn values(&self, index: u32) -> Result<Vec<u64>, OverlayError> {
        let count = self.segments.get(index as usize).map_or(0, |segment| segment.count);
        let mut values = Vec::with_capacity(count as usize);
        self.for_each_member(index, |_, value| values.push(value))?;
        Ok(values)
    }

    /// The ranks of the members of one segment.
    pub(super) fn ranks(&self, index: u32) -> Range<u32> {
        let place = |index: usize| self.first_ranks.get(index).copied();
        let end = place(index as usize + 1).unwrap_or(self.identity.members);
        place(index as usize).unwrap_or(end)..end
    }

    /// Decodes a segment: rank over all segments and value inside this one of each member.
    ///
    /// What was visited is void if the result is an error.
    fn for_each_member(
        &self,
        index: u32,
        mut visit: impl FnMut(u32, u64),
    ) -> Result<(), OverlayError> {
        let SnapshotIdentity { universe, number: snapshot_number, .. } = self.identity;
        let segment = self.segments.get(index as usize).ok_or(SetError::Index)?;
        let expected = Expected { snapshot_number, index, count: segment.count };
        let body = header::split(&universe, expected, segment.bytes.as_ref())?;
        let first = self.ranks(index).start;
        for_each_value(&universe, segment.count, body, |rank, value| visit(first + rank, value))?;
        Ok(())
    }

    fn has_segment(&self, index: u32) -> bool {
        index < self.identity.universe.segment_count()
    }
}

/// Identity only.
impl<B> fmt::Debug for SnapshotView<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SnapshotView").field(&self.identity).finish()
    }
}

/// The rank of the first member of each segment, and the number of all members.
///
/// # Errors
/// [`OverlayError::Capacity`] above `limits::DIRECTORY_MEMBERS_MAX`.
pub(super) fn first_ranks(
    counts: impl Iterator<Item = u32>,
) -> Result<(Vec<u32>, u32), OverlayError> {
    let mut first_ranks = Vec::new();
    let mut members = 0u32;
    for count in counts {
        first_ranks.push(members);
        members = members
            .checked_add(count)
            .filter(|members| u64::from(*members) <= DIRECTORY_MEMBERS_MAX)
            .ok_or(OverlayError::Capacity)?;
    }
    Ok((first_ranks, members))
}
