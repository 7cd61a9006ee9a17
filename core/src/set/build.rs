//! From records to encoded segments and label arrays.

use std::fmt;

use super::{SetError, Universe, encode_segment};
use crate::limits::SEALED_LABEL_BYTES;

/// A member of a set and its sealed label.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// The tag, as a number.
    pub tag: u64,
    /// The sealed label.
    pub sealed_label: [u8; SEALED_LABEL_BYTES],
}

/// Redacted: logs carry counts, never members.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Record(REDACTED)")
    }
}

/// An encoded segment with the labels of its members.
#[derive(Clone, PartialEq, Eq)]
pub struct EncodedSegment {
    /// The number of members.
    pub count: u32,
    /// The segment, as from [`encode_segment`].
    pub bytes: Vec<u8>,
    /// The sealed labels in rank order, `count · limits::SEALED_LABEL_BYTES` bytes.
    pub labels: Vec<u8>,
}

/// Sizes only.
impl fmt::Debug for EncodedSegment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncodedSegment")
            .field("count", &self.count)
            .field("bytes_len", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// Sorts the records into canonical order and encodes all segments, one at a time.
///
/// Canonical order is ascending by scaled value, then by sealed-label bytes; it does not depend
/// on the order given. Items: exactly [`Universe::segment_count`], by ascending index, empty ones
/// included. Memory: sorting is in place, and one segment is encoded when it is asked for (about
/// 70 kB of set and 790 kB of labels). A caller who cannot hold all records, 40 bytes each, uses
/// [`build_segment`] on one tag prefix after the other.
///
/// # Errors
/// Each item may be [`SetError::TooLarge`], if tags were ground to fall into one segment.
pub fn build<'a>(
    universe: &Universe,
    snapshot_number: u64,
    records: &'a mut [Record],
) -> EncodedSegments<'a> {
    sort(universe, records);
    encode_sorted(universe, snapshot_number, records)
}

/// As [`build`] for records that are in canonical order already; nothing is moved.
///
/// # Errors
/// Items are [`SetError::Order`] or [`SetError::ForeignRecord`] where the order is not canonical,
/// and as in [`build`].
pub fn encode_sorted<'a>(
    universe: &Universe,
    snapshot_number: u64,
    sorted: &'a [Record],
) -> EncodedSegments<'a> {
    EncodedSegments { universe: *universe, snapshot_number, next: 0, rest: sorted }
}

/// Sorts and encodes the records of one segment, the same bytes as the item of [`build`].
///
/// # Errors
/// [`SetError::Index`] if the universe has no such segment; [`SetError::ForeignRecord`] if a
/// record's tag lies elsewhere; [`SetError::TooLarge`] as in [`build`].
pub fn build_segment(
    universe: &Universe,
    snapshot_number: u64,
    index: u32,
    records: &mut [Record],
) -> Result<EncodedSegment, SetError> {
    sort(universe, records);
    encode_one(universe, snapshot_number, index, records)
}

/// The segments of a sorted slice, encoded as they are asked for; see [`build`].
#[derive(Clone, Debug)]
pub struct EncodedSegments<'a> {
    universe: Universe,
    snapshot_number: u64,
    next: u32,
    rest: &'a [Record],
}

impl Iterator for EncodedSegments<'_> {
    type Item = Result<EncodedSegment, SetError>;

    fn next(&mut self) -> Option<Self::Item> {
        let index = self.next;
        if index >= self.universe.segment_count() {
            return None;
        }
        self.next += 1;
        let end = self.rest.partition_point(|record| self.universe.segment_of(record.tag) <= index);
        let (records, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(encode_one(&self.universe, self.snapshot_number, index, records))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = (self.universe.segment_count() - self.next) as usize;
        (left, Some(left))
    }
}

impl ExactSizeIterator for EncodedSegments<'_> {}

/// By tag first: values never descend with tags, comparing tags is cheap, and ties are few.
fn sort(universe: &Universe, records: &mut [Record]) {
    records.sort_unstable_by_key(|record| record.tag);
    let tied = |a: &Record, b: &Record| universe.scaled(a.tag) == universe.scaled(b.tag);
    for ties in records.chunk_by_mut(tied).filter(|ties| ties.len() > 1) {
        // Unstable: records with one value and one label encode alike, whatever their tags.
        ties.sort_unstable_by_key(|record| record.sealed_label);
    }
}

fn encode_one(
    universe: &Universe,
    snapshot_number: u64,
    index: u32,
    records: &[Record],
) -> Result<EncodedSegment, SetError> {
    if records.iter().any(|record| universe.segment_of(record.tag) != index) {
        return Err(SetError::ForeignRecord);
    }
    if !records.is_sorted_by_key(|record| canonical_key(universe, record)) {
        return Err(SetError::Order);
    }
    let values: Vec<u64> = records.iter().map(|record| universe.value_of(record.tag)).collect();
    let bytes = encode_segment(universe, snapshot_number, index, &values)?;
    let count = u32::try_from(values.len()).map_err(|_| SetError::TooLarge)?;
    let labels = records.iter().flat_map(|record| record.sealed_label).collect();
    Ok(EncodedSegment { count, bytes, labels })
}

fn canonical_key<'a>(universe: &Universe, record: &'a Record) -> (u64, &'a [u8]) {
    (universe.scaled(record.tag), &record.sealed_label)
}
