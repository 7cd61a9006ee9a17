//! The lane operations the vector code is written in.
//!
//! A [`Word`] is eight unsigned 64-bit lanes, one lane for each point of a group. All arithmetic
//! of this module's parent is generic over it and runs in four instances:
//!
//! * the AVX-512 register of `engine::ifma` and the two AVX2 registers of `engine::avx2`, which
//!   production code uses;
//! * `Emulated`, eight `u64` with the exact semantics of the instructions, so that every test
//!   runs on every machine;
//! * `Interval`, which computes with bounds instead of values and fails when a bound is passed.
//!   Running the same code over it *is* the proof that no limb is truncated and no column
//!   overflows.

use super::field::{Cols, Fe};
use super::limbs;
use super::point::{self, Completed};
use zeroize::Zeroize;

/// Points per vector.
pub(crate) const LANES: usize = 8;

/// Eight lanes of 64 bits.
///
/// Additions and subtractions wrap per lane; that they never do in the field layer is what
/// the interval instance proves. A *mask* is a word whose lanes are all zeros or all ones.
pub(crate) trait Word: Copy + Zeroize {
    /// `value` in every lane.
    fn splat(value: u64) -> Self;
    /// One value for each lane.
    fn from_lanes(lanes: [u64; LANES]) -> Self;
    /// The value of each lane.
    fn to_lanes(self) -> [u64; LANES];

    /// `self + other`.
    fn add(self, other: Self) -> Self;
    /// `self - other`.
    fn sub(self, other: Self) -> Self;
    /// `self + 19·other`, where `other` must be below 2^32: the factor of a carry out of the top.
    fn add_19_times(self, other: Self) -> Self;
    /// `self << N`.
    fn shl<const N: u32>(self) -> Self;
    /// `self >> N`, logical.
    fn shr<const N: u32>(self) -> Self;
    /// Bitwise and.
    fn and(self, other: Self) -> Self;
    /// Bitwise or.
    fn or(self, other: Self) -> Self;
    /// Bitwise exclusive or.
    fn xor(self, other: Self) -> Self;

    /// The mask of the lanes in which `self` equals `other`.
    fn equal_mask(self, other: Self) -> Self;
    /// One bit for each lane of the mask `self`, lane 0 lowest.
    fn lane_bits(self) -> u8;
    /// The mask of a bit: all ones for 1, zero for 0. No other input is allowed.
    fn bit_mask(self) -> Self;
    /// `one` in the lanes of the mask `self`, `zero` in the others.
    fn select(self, one: Self, zero: Self) -> Self;
    /// `self | (value & mask)`, one step of a table scan: over a whole scan exactly one mask is
    /// set in each lane.
    fn scan(self, value: Self, mask: Self) -> Self;
    /// In each lane, entry `index` (0..16) of the sixteen values that the two words hold.
    fn lookup(table: &[Self; 2], index: Self) -> Self;

    /// The transpose of eight rows of eight lanes.
    fn transpose(rows: [Self; LANES]) -> [Self; LANES];

    /// The same value, about which the compiler knows nothing.
    fn opaque(self) -> Self {
        core::hint::black_box(self)
    }

    /// Marks the limb of a carried field element. Nothing but the interval instance looks at it:
    /// it asserts the invariant of `Fe`.
    #[inline(always)]
    fn carried_limb(self) -> Self {
        self
    }

    /// Marks a column that is about to be carried: the interval instance asserts its bound.
    #[inline(always)]
    fn column(self) -> Self {
        self
    }

    /// The complement of a mask.
    #[inline(always)]
    fn not(self) -> Self {
        self.xor(Self::splat(u64::MAX))
    }

    /// The product of two carried elements as columns, plus 2^`BIAS`·p if `BIAS` is not 0.
    ///
    /// How it is made depends on the instructions: see `madd52` and `fma`, which adds another
    /// multiple of p. This and the methods below are inlined where there are registers enough; the
    /// test instances do not inline them, for the compiler's sake.
    fn product<const BIAS: u32>(a: &[Self; 5], b: &[Self; 5]) -> [Self; 5];
    /// The square, likewise.
    fn square<const BIAS: u32>(a: &[Self; 5]) -> [Self; 5];
    /// The carried product.
    #[inline(always)]
    fn product_carried(a: &Fe<Self>, b: &Fe<Self>) -> Fe<Self> {
        Fe(Self::carry(&Self::product::<0>(&a.0, &b.0)))
    }
    /// The carried square.
    #[inline(always)]
    fn square_carried(a: &Fe<Self>) -> Fe<Self> {
        Fe(Self::carry(&Self::square::<0>(&a.0)))
    }
    /// The carried square, in place.
    #[inline(always)]
    fn square_assign(a: &mut Fe<Self>) {
        *a = Self::square_carried(a);
    }
    /// [`limbs::carry`].
    #[inline(always)]
    fn carry(columns: &[Self; 5]) -> [Self; 5] {
        limbs::carry(columns)
    }
    /// [`limbs::freeze`].
    #[inline(always)]
    fn freeze(limbs: &[Self; 5]) -> [Self; 5] {
        limbs::freeze(limbs)
    }

    /// [`point::complete_double`].
    #[inline(always)]
    fn complete_double(
        xx: &Cols<Self>,
        yy: &Cols<Self>,
        zz: &Cols<Self>,
        sum_squared: &Cols<Self>,
    ) -> Completed<Self> {
        point::complete_double(xx, yy, zz, sum_squared)
    }
    /// [`point::complete_add`].
    #[inline(always)]
    fn complete_add(
        p_and_q: [&Cols<Self>; 2],
        c: &Cols<Self>,
        d: [&Cols<Self>; 2],
        negative: Option<Self>,
    ) -> Completed<Self> {
        point::complete_add(p_and_q, c, d, negative)
    }
}
