//! From a snapshot and its overlay to the next snapshot.

use std::fmt;
use std::ops::Range;

use super::fields::check;
use super::{Overlay, OverlayError, equal_range};
use crate::limits::SEALED_LABEL_BYTES;
use crate::set::{EncodedSegment, Entry, SnapshotView, encode_segment};

/// Computes the next snapshot, in the same universe: the members now, with their ranks anew.
///
/// Guarantee: the segments are those that [`build`](crate::set::build) gives for the members now
/// and `snapshot_number`, byte for byte. Server and client do the same and need not exchange it.
///
/// Items: all segments by ascending index, each when it is asked for. Memory: one segment. Cost:
/// 37 to 48 ns per member at 10^7 and 10^6, with 1 % of the members exchanged (one Zen 4 core,
/// other builds running).
///
/// # Errors
/// [`OverlayError::OtherSnapshot`] if the overlay is not one of the view. Items may be
/// [`OverlayError::Segment`] if the snapshot is malformed or a segment grows too large.
pub fn compact<'a, B: AsRef<[u8]>>(
    view: &'a SnapshotView<B>,
    overlay: &'a Overlay,
    snapshot_number: u64,
) -> Result<Compaction<'a, B>, OverlayError> {
    check(*view.identity() == overlay.snapshot, OverlayError::OtherSnapshot)?;
    let Overlay { removed, added, .. } = overlay;
    Ok(Compaction { view, snapshot_number, next: 0, removed, added })
}

/// The segments of the next snapshot, computed as they are asked for; see [`compact`].
#[derive(Clone)]
pub struct Compaction<'a, B> {
    view: &'a SnapshotView<B>,
    snapshot_number: u64,
    next: u32,
    /// The removed ranks from the next segment on.
    removed: &'a [u32],
    /// The added entries from the next segment on.
    added: &'a [Entry],
}

impl<B: AsRef<[u8]>> Iterator for Compaction<'_, B> {
    type Item = Result<EncodedSegment, OverlayError>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.next;
        let universe = self.view.identity().universe;
        if index >= universe.segment_count() {
            return None;
        }
        self.next += 1;
        let ranks = self.view.ranks(index);
        let removed = split_below(&mut self.removed, |rank| *rank < ranks.end);
        let end = u64::from(self.next) * universe.segment_width();
        let added = split_below(&mut self.added, |entry| entry.value < end);
        Some(self.segment(index, ranks.start, removed, added))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.view.identity().universe.segment_count() - self.next) as usize;
        (left, Some(left))
    }
}

impl<B: AsRef<[u8]>> ExactSizeIterator for Compaction<'_, B> {}

/// Identity and progress only.
impl<B> fmt::Debug for Compaction<'_, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Compaction")
            .field("view", &self.view)
            .field("snapshot_number", &self.snapshot_number)
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

impl<B: AsRef<[u8]>> Compaction<'_, B> {
    /// One segment, from its part of the overlay.
    fn segment(
        &self,
        index: u32,
        first_rank: u32,
        removed: &[u32],
        added: &[Entry],
    ) -> Result<EncodedSegment, OverlayError> {
        let universe = self.view.identity().universe;
        let first_value = u64::from(index) * universe.segment_width();
        let values = self.view.values(index)?;
        let labels = self.view.labels(index as usize);
        let mut merged = Merge::new(&values, labels, first_rank, removed, added.len());
        for entry in added {
            merged.insert(entry.value - first_value, entry.sealed_label);
        }
        let (values, labels) = merged.finish();
        let bytes = encode_segment(&universe, self.snapshot_number, index, &values)?;
        let count = u32::try_from(values.len()).map_err(|_| OverlayError::Capacity)?;
        Ok(EncodedSegment { count, bytes, labels })
    }
}

/// Members of a segment before, without the removed ones, and added ones in their places.
///
/// Survivors are copied in runs, so that a segment with few changes costs little more than one
/// without.
struct Merge<'a> {
    values: &'a [u64],
    labels: &'a [[u8; SEALED_LABEL_BYTES]],
    /// The first member that is not yet copied.
    next: usize,
    first_rank: u32,
    removed: &'a [u32],
    merged_values: Vec<u64>,
    merged_labels: Vec<u8>,
}

impl<'a> Merge<'a> {
    fn new(
        values: &'a [u64],
        labels: &'a [[u8; SEALED_LABEL_BYTES]],
        first_rank: u32,
        removed: &'a [u32],
        added: usize,
    ) -> Self {
        let count = (values.len() + added).saturating_sub(removed.len());
        let merged_values = Vec::with_capacity(count);
        let merged_labels = Vec::with_capacity(count * SEALED_LABEL_BYTES);
        Self { values, labels, next: 0, first_rank, removed, merged_values, merged_labels }
    }

    /// Adds a member; entries come in canonical order.
    fn insert(&mut self, value: u64, label: [u8; SEALED_LABEL_BYTES]) {
        let rest = self.values.get(self.next..).unwrap_or_default();
        let tied = equal_range(rest, |member| member.cmp(&value));
        let tied = self.next + tied.start..self.next + tied.end;
        let labels = self.labels.get(tied.clone()).unwrap_or_default();
        let end = tied.start + labels.partition_point(|member| *member < label);
        self.copy_survivors(end);
        self.merged_values.push(value);
        self.merged_labels.extend(label);
    }

    fn finish(mut self) -> (Vec<u64>, Vec<u8>) {
        self.copy_survivors(self.values.len());
        (self.merged_values, self.merged_labels)
    }

    /// Copies the members up to `end` that are not removed.
    fn copy_survivors(&mut self, end: usize) {
        while let Some((rank, rest)) = self.removed.split_first() {
            let member = (rank - self.first_rank) as usize;
            if member >= end {
                break;
            }
            self.copy(self.next..member);
            self.next = member + 1;
            self.removed = rest;
        }
        self.copy(self.next..end);
        self.next = end;
    }

    fn copy(&mut self, members: Range<usize>) {
        let values = self.values.get(members.clone()).unwrap_or_default();
        let labels = self.labels.get(members).unwrap_or_default();
        self.merged_values.extend_from_slice(values);
        self.merged_labels.extend_from_slice(labels.as_flattened());
    }
}

/// Takes the front of a slice for which the condition holds.
fn split_below<'a, T>(rest: &mut &'a [T], below: impl Fn(&T) -> bool) -> &'a [T] {
    let (front, back) = rest.split_at(rest.partition_point(below));
    *rest = back;
    front
}
