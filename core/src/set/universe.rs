//! The scaling constants of a set: how a tag becomes a segment and a value inside it.

use super::{MEAN_GAP, SetError};
use crate::limits::{DIRECTORY_MEMBERS_MAX, SEGMENT_MEMBERS_TARGET};

/// Smallest capacity that [`Universe::for_members`] chooses.
///
/// Below it a directory would change its universe, and every client would download everything,
/// with each handful of members; at it, a set with one member still has under 250 bytes.
const CAPACITY_MIN: u64 = 1_000;

/// The scaling constants of a set, fixed while the membership stays near `capacity`.
///
/// Guarantee: `1 <= capacity <= limits::DIRECTORY_MEMBERS_MAX`; `segment_bits` (k) is the smallest
/// number with `capacity / 2^k <= limits::SEGMENT_MEMBERS_TARGET`, so at most 13; `segment_width`
/// (u) is `floor(capacity · MEAN_GAP / 2^k)`, so below `2^36`. Two universes are equal exactly if
/// their capacities are.
///
/// A tag `t` of 64 bits scales to `v = floor(t · U / 2^64)` with `U = u · 2^k`. The segment is
/// `s = v / u` and the value inside it is `w = v mod u`; `s` is also the first k bits of `t`, so
/// cutting by tag prefix and cutting by scaled value are one thing. `v` never descends with `t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Universe {
    capacity: u64,
    segment_bits: u8,
    segment_width: u64,
}

impl Universe {
    /// Chooses the universe for a directory of `members`, a function of that number alone.
    ///
    /// The capacity is `members` cut down to two significant decimal digits (1,234,567 becomes
    /// 1,200,000), at least 1,000. Why a ladder: replicas that count a few members more or less
    /// choose the same. Why down: with `r = members / capacity`, a member costs
    /// `(21 + 1 / (exp(0.66794 · r) − 1)) / 8` bytes, 2.757 at `r = 1` and less above; a step of
    /// the ladder is at most a tenth, so a fresh universe has `1 <= r < 1.1`, costs 2.740 to
    /// 2.757 bytes (from 1,000 members) and admits at most a tenth more false positives.
    /// It then lasts until the membership grew by 36 % or more, or fell by half or more.
    ///
    /// # Errors
    /// [`SetError::Capacity`] above `limits::DIRECTORY_MEMBERS_MAX` members.
    pub fn for_members(members: u64) -> Result<Self, SetError> {
        if members > DIRECTORY_MEMBERS_MAX {
            return Err(SetError::Capacity);
        }
        let mut unit = 1;
        while members / unit >= 100 {
            unit *= 10;
        }
        Self::with_capacity((members / unit * unit).max(CAPACITY_MIN))
    }

    /// The universe of a given capacity, on the ladder of [`Universe::for_members`] or not.
    ///
    /// # Errors
    /// [`SetError::Capacity`] for zero and above `limits::DIRECTORY_MEMBERS_MAX`.
    pub fn with_capacity(capacity: u64) -> Result<Self, SetError> {
        if !(1..=DIRECTORY_MEMBERS_MAX).contains(&capacity) {
            return Err(SetError::Capacity);
        }
        let mut segment_bits = 0;
        while capacity > SEGMENT_MEMBERS_TARGET << segment_bits {
            segment_bits += 1;
        }
        Ok(Self { capacity, segment_bits, segment_width: (capacity * MEAN_GAP) >> segment_bits })
    }

    /// The universe a manifest states: capacity, segment bits (k) and segment width (u).
    ///
    /// # Errors
    /// [`SetError::Capacity`] as in [`Universe::with_capacity`]; [`SetError::Parameters`] unless
    /// both other numbers are the ones that follow from the capacity.
    pub fn from_parts(
        capacity: u64,
        segment_bits: u8,
        segment_width: u64,
    ) -> Result<Self, SetError> {
        let universe = Self::with_capacity(capacity)?;
        if universe.segment_bits != segment_bits || universe.segment_width != segment_width {
            return Err(SetError::Parameters);
        }
        Ok(universe)
    }

    /// Whether a directory that grew or shrank to `members` keeps this universe.
    ///
    /// True from half to one and a half times the capacity, ends included. Then a member costs
    /// 2.94 to 2.70 bytes (2.80 or less from 0.82 times the capacity), and a look-up of a
    /// non-member hits once in `MEAN_GAP · capacity / members`. The smallest capacity has no
    /// lower end. Otherwise the next snapshot needs a new universe: a full download for all.
    #[must_use]
    pub fn still_fits(&self, members: u64) -> bool {
        let enough = self.capacity <= CAPACITY_MIN || members >= self.capacity.div_ceil(2);
        enough && members <= (self.capacity + self.capacity / 2).min(DIRECTORY_MEMBERS_MAX)
    }

    /// The number of members for which the spacing is optimal.
    #[must_use]
    pub fn capacity(&self) -> u64 {
        self.capacity
    }

    /// The number k of leading tag bits that select a segment, at most 13.
    #[must_use]
    pub fn segment_bits(&self) -> u8 {
        self.segment_bits
    }

    /// The number u of different values in a segment.
    #[must_use]
    pub fn segment_width(&self) -> u64 {
        self.segment_width
    }

    /// The number of segments, `2^k`.
    #[must_use]
    pub fn segment_count(&self) -> u32 {
        1 << self.segment_bits
    }

    /// The number `U = u · 2^k` of different scaled values, below `2^49`.
    #[must_use]
    pub fn width(&self) -> u64 {
        self.segment_width << self.segment_bits
    }

    /// The segment of a tag, its first k bits.
    #[must_use]
    pub fn segment_of(&self, tag: u64) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the result has k <= 13 bits")]
        let segment = ((u128::from(tag) << self.segment_bits) >> 64) as u32;
        segment
    }

    /// The value `w` of a tag inside its segment, below [`Universe::segment_width`].
    #[must_use]
    pub fn value_of(&self, tag: u64) -> u64 {
        // The shift drops the segment's bits; what is left is a fraction of the segment.
        scale(tag << self.segment_bits, self.segment_width)
    }

    /// The value `v` of a tag in the whole universe: `segment · width + value`.
    ///
    /// One multiplication, since `floor(t · u · 2^k / 2^64)` is the same number.
    #[must_use]
    pub fn scaled(&self, tag: u64) -> u64 {
        scale(tag, self.width())
    }
}

/// `floor(fraction · width / 2^64)`, exactly.
fn scale(fraction: u64, width: u64) -> u64 {
    ((u128::from(fraction) * u128::from(width)) >> 64) as u64
}

const _: () = {
    assert!(DIRECTORY_MEMBERS_MAX <= SEGMENT_MEMBERS_TARGET << 13, "k is at most 13");
    assert!(DIRECTORY_MEMBERS_MAX < u64::MAX / MEAN_GAP, "scaled values fit 64 bits");
};
