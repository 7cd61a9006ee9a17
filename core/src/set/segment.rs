//! One segment of the set: encoding, decoding, and ranks of a value.

use std::fmt;
use std::ops::Range;

use super::header::{self, HEADER_BYTES};
use super::rice::{RiceReader, RiceWriter};
use super::{MEAN_GAP, RICE_PARAMETER, SetError, Universe};
use crate::limits::{SEGMENT_BYTES_MAX, SEGMENT_MEMBERS_TARGET};

/// What a segment must be: the header must repeat it, and a signed manifest vouches for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The number of the snapshot.
    pub snapshot_number: u64,
    /// The index of the segment, below [`Universe::segment_count`].
    pub index: u32,
    /// The number of members, ties counted each.
    pub count: u32,
}

/// Encodes the values of one segment: a 32-byte header and the Rice-coded gaps.
///
/// Shape: `values` as from [`Universe::value_of`], ascending, equal ones allowed, below the
/// segment's width. The result has 32 bytes and, at capacity, 22.05 bits per member; the same
/// values give the same bytes. Cost: about 4 ns per member (one Zen 4 core).
///
/// # Errors
/// [`SetError::Index`] if the universe has no such segment; [`SetError::Order`] if values
/// descend; [`SetError::ValueRange`] if one is too large; [`SetError::TooLarge`] if the result
/// exceeds `limits::SEGMENT_BYTES_MAX`.
pub fn encode_segment(
    universe: &Universe,
    snapshot_number: u64,
    index: u32,
    values: &[u64],
) -> Result<Vec<u8>, SetError> {
    if index >= universe.segment_count() {
        return Err(SetError::Index);
    }
    if !values.is_sorted() {
        return Err(SetError::Order);
    }
    let last = values.last().copied().unwrap_or(0);
    if last >= universe.segment_width() {
        return Err(SetError::ValueRange);
    }
    let bits = body_bits_max(values.len() as u64, last);
    let count = u32::try_from(values.len()).map_err(|_| SetError::TooLarge)?;
    let capacity = usize::try_from(bits / 8 + 1).map_err(|_| SetError::TooLarge)?;

    let mut bytes = Vec::with_capacity(HEADER_BYTES + capacity.min(SEGMENT_BYTES_MAX));
    bytes.resize(HEADER_BYTES, 0);
    let mut writer = RiceWriter::append_to(bytes);
    let mut previous = 0;
    for &value in values {
        writer.write(value - previous, P);
        previous = value;
    }
    let mut bytes = writer.finish();
    if bytes.len() > SEGMENT_BYTES_MAX {
        return Err(SetError::TooLarge);
    }
    let (head, body) = bytes.split_at_mut(HEADER_BYTES);
    let body_bytes = u32::try_from(body.len()).map_err(|_| SetError::TooLarge)?;
    let content = Expected { snapshot_number, index, count };
    head.copy_from_slice(&header::encode(universe, content, body_bytes));
    Ok(bytes)
}

/// A decoded segment: its values in ascending order, four bytes each.
///
/// A value has up to 36 bits. Only the low 32 are stored per member; the high part changes at
/// most eight times in a segment, so the places of the changes are kept instead. That halves the
/// memory of plain 64-bit values (40 against 80 MB at 10^7 members), and a look-up searches a
/// ninth of the segment in one contiguous array. Delta coding would save another 1.2 bytes and
/// cost a decoding per look-up; for that [`find_in_segment`] keeps nothing at all.
#[derive(Clone, PartialEq, Eq)]
pub struct Segment {
    universe: Universe,
    snapshot_number: u64,
    index: u32,
    lows: Vec<u32>,
    /// Where the values with high part `h` begin, for each `h`; then the number of members.
    starts: Vec<u32>,
}

impl Segment {
    /// Decodes a segment, accepting exactly what [`encode_segment`] writes.
    ///
    /// Allocates less than two bytes per byte of input, after the header has been checked.
    /// Cost: about 4 ns per member (one Zen 4 core).
    ///
    /// # Errors
    /// [`SetError::TooLarge`] above `limits::SEGMENT_BYTES_MAX`. In the header:
    /// [`SetError::Magic`], [`SetError::Version`], [`SetError::RiceParameter`],
    /// [`SetError::SegmentBits`], [`SetError::Reserved`], [`SetError::SnapshotNumber`],
    /// [`SetError::Index`], [`SetError::Count`], [`SetError::CountTooHigh`]. In the body:
    /// [`SetError::Truncated`], [`SetError::TrailingBytes`], [`SetError::ValueRange`],
    /// [`SetError::Padding`].
    pub fn decode(universe: &Universe, expected: Expected, bytes: &[u8]) -> Result<Self, SetError> {
        let body = header::split(universe, expected, bytes)?;
        let mut lows = Vec::with_capacity(expected.count as usize);
        let mut starts = Vec::with_capacity(HIGH_PARTS_MAX + 1);
        for_each_value(universe, expected.count, body, |rank, value| {
            while starts.len() as u64 <= value >> 32 {
                starts.push(rank);
            }
            lows.push(low_part(value));
        })?;
        let high_parts = ((universe.segment_width() - 1) >> 32) + 1;
        while starts.len() as u64 <= high_parts {
            starts.push(expected.count);
        }
        let Expected { snapshot_number, index, .. } = expected;
        Ok(Self { universe: *universe, snapshot_number, index, lows, starts })
    }

    /// The ranks inside this segment of the members with this value, an empty range if none.
    ///
    /// Several members may share a value. Cost: 12 comparisons at the planned size.
    #[must_use]
    pub fn ranks_of(&self, value: u64) -> Range<u32> {
        let part = usize::try_from(value >> 32)
            .ok()
            .and_then(|high| self.starts.get(high..)?.first_chunk())
            .and_then(|[start, end]| {
                Some((*start, self.lows.get(*start as usize..*end as usize)?))
            });
        let Some((start, lows)) = part else {
            return 0..0;
        };
        let low = low_part(value);
        let first = lows.partition_point(|member| *member < low);
        let equal = lows.iter().skip(first).take_while(|member| **member == low).count();
        let rank =
            |offset: usize| start + u32::try_from(offset).expect("a segment's ranks have 32 bits");
        rank(first)..rank(first + equal)
    }

    /// The ranks inside this segment of the members with this tag's value.
    ///
    /// Empty for a tag of another segment.
    #[must_use]
    pub fn ranks_of_tag(&self, tag: u64) -> Range<u32> {
        if self.universe.segment_of(tag) == self.index {
            self.ranks_of(self.universe.value_of(tag))
        } else {
            0..0
        }
    }

    /// The values in rank order, ready for [`encode_segment`].
    pub fn values(&self) -> impl Iterator<Item = u64> + '_ {
        let parts = self.starts.iter().zip(self.starts.iter().skip(1));
        (0u64..).zip(parts).flat_map(|(high, (start, end))| {
            let lows = self.lows.get(*start as usize..*end as usize).unwrap_or_default();
            lows.iter().map(move |low| (high << 32) | u64::from(*low))
        })
    }

    /// The universe, snapshot number, index and number of members, as they were expected.
    #[must_use]
    pub fn identity(&self) -> (Universe, Expected) {
        let Self { universe, snapshot_number, index, .. } = *self;
        (universe, Expected { snapshot_number, index, count: self.count() })
    }

    /// The number of members, ties counted each.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.starts.last().copied().unwrap_or(0)
    }
}

/// Identity only: the values would be tens of thousands of numbers.
impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (universe, expected) = self.identity();
        f.debug_tuple("Segment").field(&universe).field(&expected).finish()
    }
}

/// A tag found in a segment and the ranks *inside the segment* of the members with its value.
#[derive(Clone, PartialEq, Eq)]
pub struct SegmentHit {
    /// The tag that was looked for.
    pub tag: u64,
    /// Its ranks, at least one.
    pub ranks: Range<u32>,
}

/// Redacted: it says who is in somebody's address book.
impl fmt::Debug for SegmentHit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SegmentHit(REDACTED)")
    }
}

/// Looks tags up in an encoded segment while checking it, and keeps only the hits.
///
/// For devices that cannot hold the whole set: memory is in proportion to the tags, not to the
/// segment. Shape: `tags` in any order, of any segment (those of others never hit), repeated
/// ones allowed; hits come in ascending order of the tag. Nothing is returned before the whole
/// segment proved well-formed. Cost: that of [`Segment::decode`], and sorting the tags.
///
/// # Errors
/// Those of [`Segment::decode`].
pub fn find_in_segment(
    universe: &Universe,
    expected: Expected,
    bytes: &[u8],
    tags: &[u64],
) -> Result<Vec<SegmentHit>, SetError> {
    let body = header::split(universe, expected, bytes)?;
    let mut wanted: Vec<_> = tags
        .iter()
        .filter(|tag| universe.segment_of(**tag) == expected.index)
        .map(|tag| (universe.value_of(*tag), SegmentHit { tag: *tag, ranks: 0..0 }))
        .collect();
    wanted.sort_unstable_by_key(|(_, hit)| hit.tag);
    let mut passed = 0;
    for_each_value(universe, expected.count, body, |rank, value| {
        while wanted.get(passed).is_some_and(|(wanted, _)| *wanted < value) {
            passed += 1;
        }
        let ahead = wanted.iter_mut().skip(passed);
        for (_, hit) in ahead.take_while(|(wanted, _)| *wanted == value) {
            let first = if hit.ranks.is_empty() { rank } else { hit.ranks.start };
            hit.ranks = first..rank + 1;
        }
    })?;
    Ok(wanted.into_iter().map(|(_, hit)| hit).filter(|hit| !hit.ranks.is_empty()).collect())
}

/// Most different high parts of a value: the widest segment has just under `9 · 2^32` values.
const HIGH_PARTS_MAX: usize = 9;

/// The Rice parameter in the type of a bit count.
const P: u32 = RICE_PARAMETER as u32;

/// Decodes a body of `count` members and hands rank and value of each to `visit`, in order.
///
/// What was visited is void if the result is an error.
#[inline]
pub(super) fn for_each_value(
    universe: &Universe,
    count: u32,
    body: &[u8],
    mut visit: impl FnMut(u32, u64),
) -> Result<(), SetError> {
    let mut reader = RiceReader::new(body);
    let mut value = 0u64;
    for rank in 0..count {
        // Cannot overflow: a gap has under 2^44, since a body has at most 2^23 bits.
        value += reader.read(P)?;
        if value >= universe.segment_width() {
            return Err(SetError::ValueRange);
        }
        visit(rank, value);
    }
    reader.finish()
}

/// Most bits that `count` ascending values up to `last` take: the quotients of the gaps add up
/// to at most the quotient of their sum.
fn body_bits_max(count: u64, last: u64) -> u64 {
    count * u64::from(P + 1) + (last >> P)
}

fn low_part(value: u64) -> u32 {
    (value & 0xffff_ffff) as u32
}

const _: () = {
    assert!((SEGMENT_MEMBERS_TARGET * MEAN_GAP) >> 32 < HIGH_PARTS_MAX as u64);
    assert!(SEGMENT_BYTES_MAX as u64 * 8 <= 1 << 23, "a gap has under 44 bits");
};
