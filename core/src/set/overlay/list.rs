//! Ascending lists of numbers as Rice-coded gaps, with a parameter that follows from the list.

use super::OverlayError;
use super::fields::check;
use crate::set::rice::{RiceReader, RiceWriter};
use crate::set::{SetError, SnapshotIdentity};

/// `floor(ln 2 · 2^32)`.
const LN_2: u128 = 0xb172_17f7;

/// What reader and writer of a list agree on beforehand.
#[derive(Clone, Copy)]
pub(super) struct ListCode {
    range: u64,
    count: u32,
    /// The least difference of neighbors: 1 for places, 0 for values, which may be equal.
    step: u64,
    outside: OverlayError,
}

impl ListCode {
    /// `count` different ranks of a snapshot.
    pub(super) fn ranks(snapshot: &SnapshotIdentity, count: u32) -> Self {
        let range = snapshot.members.into();
        Self { range, count, step: 1, outside: OverlayError::RankRange }
    }

    /// `count` different places in a list of `additions`.
    pub(super) fn ordinals(additions: u32, count: u32) -> Self {
        Self { range: additions.into(), count, step: 1, outside: OverlayError::OrdinalRange }
    }

    /// `count` values of the universe, equal ones allowed.
    pub(super) fn values(snapshot: &SnapshotIdentity, count: u32) -> Self {
        let range = snapshot.universe.width();
        Self { range, count, step: 0, outside: OverlayError::ValueRange }
    }

    /// The Rice parameter: `floor(log2(ln 2 · range / count))`, at least 0; 0 for an empty list.
    ///
    /// Exactly: `ilog2(max(1, floor(range · LN_2 / (count · 2^32))))`, so that every
    /// implementation computes the same. At most 47, since a universe is narrower than `2^49`.
    /// Random lists of this density cost at most 0.6 % more than with their best parameter.
    pub(super) fn parameter(&self) -> u8 {
        let scaled_count = u128::from(self.count) << 32;
        let median_gap = (u128::from(self.range) * LN_2).checked_div(scaled_count).unwrap_or(0);
        #[expect(clippy::cast_possible_truncation, reason = "a logarithm of 128 bits is below 128")]
        let parameter = median_gap.max(1).ilog2() as u8;
        parameter
    }

    /// Appends the codes of `items`, `count` of them, ascending and below the range.
    ///
    /// The length is at most `(parameter + 4) · count` bits, rounded up: the quotients of the
    /// gaps add up to at most `range / 2^parameter < 2 / ln 2 · count`.
    pub(super) fn encode(&self, items: impl Iterator<Item = u64>, onto: Vec<u8>) -> Vec<u8> {
        let p = self.parameter().into();
        let mut writer = RiceWriter::append_to(onto);
        let mut least = 0;
        for item in items {
            writer.write(item - least, p);
            least = item + self.step;
        }
        writer.finish()
    }

    /// Reads back what [`ListCode::encode`] wrote, and nothing else; `convert` gets each item.
    ///
    /// Allocates for `count` items only after the bytes proved long enough for them.
    ///
    /// # Errors
    /// [`OverlayError::RiceParameter`] unless `parameter` is the right one;
    /// [`OverlayError::CountTooHigh`], [`OverlayError::Truncated`],
    /// [`OverlayError::TrailingBytes`], [`OverlayError::Padding`]; the list's own range error.
    pub(super) fn decode<T>(
        &self,
        parameter: u8,
        bytes: &[u8],
        convert: impl Fn(u64) -> T,
    ) -> Result<Vec<T>, OverlayError> {
        check(parameter == self.parameter(), OverlayError::RiceParameter)?;
        let bits_min = u64::from(self.count) * (u64::from(parameter) + 1);
        check(bits_min <= bytes.len() as u64 * 8, OverlayError::CountTooHigh)?;
        let mut items = Vec::with_capacity(self.count as usize);
        let mut reader = RiceReader::new(bytes);
        let mut least = 0u64;
        for _ in 0..self.count {
            let gap = reader.read(parameter.into()).map_err(|error| self.refusal(error))?;
            let item = least.checked_add(gap).filter(|item| *item < self.range);
            let item = item.ok_or(self.outside)?;
            items.push(convert(item));
            least = item + self.step;
        }
        reader.finish().map_err(|error| self.refusal(error))?;
        Ok(items)
    }

    /// What the bit reader found, as an error of this list.
    fn refusal(&self, error: SetError) -> OverlayError {
        match error {
            SetError::Truncated => OverlayError::Truncated,
            SetError::TrailingBytes => OverlayError::TrailingBytes,
            SetError::Padding => OverlayError::Padding,
            SetError::ValueRange => self.outside,
            other => OverlayError::Segment(other),
        }
    }
}

/// The number of items of a list that a limit keeps below `2^32`.
pub(super) fn count_of<T>(items: &[T]) -> u32 {
    u32::try_from(items.len()).expect("lists are limited by OVERLAY_ENTRIES_MAX")
}

/// A rank or ordinal that was read below a range of 32 bits.
#[expect(clippy::cast_possible_truncation, reason = "the range has 32 bits")]
pub(super) fn narrow(item: u64) -> u32 {
    item as u32
}

/// Positions in a list, as ordinals.
pub(super) fn narrow_range(positions: std::ops::Range<usize>) -> std::ops::Range<u32> {
    narrow(positions.start as u64)..narrow(positions.end as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    const VECTORS: &str = include_str!("../../../vectors/set/overlays.json");

    fn code(range: u64, count: u32) -> ListCode {
        ListCode { range, count, step: 0, outside: OverlayError::ValueRange }
    }

    #[test]
    fn parameters_are_those_of_the_independent_script() {
        let vectors: Value = serde_json::from_str(VECTORS).unwrap();
        let cases = vectors["parameters"].as_array().unwrap();
        assert_eq!(cases.len(), 54);
        for case in cases {
            let number = |field: &str| case[field].as_u64().unwrap();
            let count = u32::try_from(number("count")).unwrap();
            let parameter = code(number("width"), count).parameter();
            assert_eq!(u64::from(parameter), number("parameter"), "{case}");
        }
    }

    /// The worst list has all its distance in one gap; `limits::OVERLAY_BYTES_MAX` rests on it.
    #[test]
    fn no_list_takes_more_bits_than_stated() {
        let universe = 200_000_000 * crate::set::MEAN_GAP;
        for range in [1, 2, 3, 100, 65_536, 200_000_000, universe] {
            for count in (0..14).map(|i| 3u32.pow(i)) {
                let code = code(range, count);
                let last = std::iter::once(range - 1);
                let items = std::iter::repeat_n(0, count as usize - 1).chain(last);
                let bytes = code.encode(items, Vec::new());
                let bits_max = u64::from(count) * (u64::from(code.parameter()) + 4);
                assert!(bytes.len() as u64 <= bits_max.div_ceil(8), "{count} below {range}");
            }
        }
    }
}
