//! The vector word as an interval of values: computing with it proves bounds.
//!
//! An operation fails if any value within its operands could overflow a lane, borrow from it, or
//! be truncated by the multiply instruction. A mask may be anything, so a selection is the hull
//! of its alternatives, and the result does not depend on scalars: one run covers all of them.
//!
//! Its operations are not inlined, for the compiler's sake (see `emulated`).

use super::fma::{self, Half, Halves};
use super::limbs;
use super::madd52::{self, WideMultiply};
use super::word::{LANES, Word};
use core::cell::RefCell;
use zeroize::Zeroize;

/// All values from `low` to `high`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval<const FMA: bool> {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

/// What the hooks of [`Word`] have seen on this thread.
#[derive(Default)]
pub(crate) struct Seen {
    /// The upper bounds of columns before their carry, in order.
    pub(crate) columns: Vec<u64>,
    /// The largest upper bound of a carried limb.
    pub(crate) limb: u64,
}

thread_local! {
    static SEEN: RefCell<Seen> = RefCell::default();
}

/// Forgets what was seen and returns it.
pub(crate) fn take_seen() -> Seen {
    SEEN.take()
}

impl<const FMA: bool> Interval<FMA> {
    /// The interval of a carried limb: the invariant of `Fe`.
    pub(crate) const LIMB: Self = Self { low: 0, high: (1 << 51) + (1 << 16) - 1 };

    fn exact(value: u64) -> Self {
        Self { low: value, high: value }
    }

    /// From 0 to the largest value with as many bits as `high`.
    fn bits(high: u64) -> Self {
        let high = if high == 0 { 0 } else { u64::MAX >> high.leading_zeros() };
        Self { low: 0, high }
    }

    fn any() -> Self {
        Self { low: 0, high: u64::MAX }
    }

    fn hull(self, other: Self) -> Self {
        Self { low: self.low.min(other.low), high: self.high.max(other.high) }
    }

    /// Products of the two bounds; fails if the multiply instruction would truncate an operand.
    fn product_52(a: Self, b: Self) -> (u128, u128) {
        assert!(a.high < 1 << 52 && b.high < 1 << 52, "truncated operand: {a:?} · {b:?}");
        (u128::from(a.low) * u128::from(b.low), u128::from(a.high) * u128::from(b.high))
    }
}

impl<const FMA: bool> Zeroize for Interval<FMA> {
    fn zeroize(&mut self) {
        *self = Self::exact(0);
    }
}

impl<const FMA: bool> Word for Interval<FMA> {
    #[inline(never)]
    fn splat(value: u64) -> Self {
        Self::exact(value)
    }
    #[inline(never)]
    fn from_lanes(lanes: [u64; LANES]) -> Self {
        lanes.into_iter().map(Self::exact).reduce(Self::hull).unwrap()
    }
    #[inline(never)]
    fn to_lanes(self) -> [u64; LANES] {
        core::array::from_fn(|lane| if lane % 2 == 0 { self.low } else { self.high })
    }
    #[inline(never)]
    fn add(self, other: Self) -> Self {
        let high = self.high.checked_add(other.high).expect("a lane overflows");
        Self { low: self.low + other.low, high }
    }
    #[inline(never)]
    fn sub(self, other: Self) -> Self {
        let low = self.low.checked_sub(other.high).expect("a lane borrows");
        Self { low, high: self.high - other.low }
    }
    #[inline(never)]
    fn add_19_times(self, other: Self) -> Self {
        assert!(other.high < 1 << 32, "carry too large: {other:?}");
        self.add(Self { low: 19 * other.low, high: 19 * other.high })
    }
    #[inline(never)]
    fn shl<const N: u32>(self) -> Self {
        // A shift may drop bits on purpose, where words are cut into limbs.
        if self.high.leading_zeros() < N {
            return Self { low: 0, high: u64::MAX << N };
        }
        Self { low: self.low << N, high: self.high << N }
    }
    #[inline(never)]
    fn shr<const N: u32>(self) -> Self {
        Self { low: self.low >> N, high: self.high >> N }
    }
    #[inline(never)]
    fn and(self, other: Self) -> Self {
        Self { low: 0, high: self.high.min(other.high) }
    }
    #[inline(never)]
    fn or(self, other: Self) -> Self {
        Self::bits(self.high | other.high)
    }
    #[inline(never)]
    fn xor(self, other: Self) -> Self {
        Self::bits(self.high | other.high)
    }
    #[inline(never)]
    fn equal_mask(self, _: Self) -> Self {
        Self::any()
    }
    #[inline(never)]
    fn lane_bits(self) -> u8 {
        0
    }
    #[inline(never)]
    fn bit_mask(self) -> Self {
        assert!(self.high <= 1, "not a bit: {self:?}");
        Self::any()
    }
    #[inline(never)]
    fn select(self, one: Self, zero: Self) -> Self {
        one.hull(zero)
    }
    #[inline(never)]
    fn scan(self, value: Self, _: Self) -> Self {
        // Exactly one mask of a scan is set, so before it the accumulator is 0.
        self.hull(value)
    }
    #[inline(never)]
    fn lookup(table: &[Self; 2], index: Self) -> Self {
        assert!(index.high < 16, "no such entry: {index:?}");
        table[0].hull(table[1])
    }
    #[inline(never)]
    fn transpose(rows: [Self; LANES]) -> [Self; LANES] {
        // Every column has a lane from each row.
        [rows.into_iter().reduce(Self::hull).unwrap(); LANES]
    }
    #[inline(never)]
    fn carried_limb(self) -> Self {
        assert!(self.high <= Self::LIMB.high, "not carried: {self:?}");
        SEEN.with_borrow_mut(|seen| seen.limb = seen.limb.max(self.high));
        self
    }
    #[inline(never)]
    fn column(self) -> Self {
        assert!(self.high < 1 << 63, "column too large: {self:?}");
        SEEN.with_borrow_mut(|seen| seen.columns.push(self.high));
        self
    }
    #[inline(never)]
    fn product<const BIAS: u32>(a: &[Self; 5], b: &[Self; 5]) -> [Self; 5] {
        if FMA { fma::product::<_, BIAS>(a, b) } else { madd52::product::<_, BIAS>(a, b) }
    }
    #[inline(never)]
    fn square<const BIAS: u32>(a: &[Self; 5]) -> [Self; 5] {
        if FMA { fma::square::<_, BIAS>(a) } else { madd52::square::<_, BIAS>(a) }
    }
    #[inline(never)]
    fn carry(columns: &[Self; 5]) -> [Self; 5] {
        limbs::carry(columns)
    }
    #[inline(never)]
    fn freeze(limbs: &[Self; 5]) -> [Self; 5] {
        limbs::freeze(limbs)
    }
}

impl<const FMA: bool> WideMultiply for Interval<FMA> {
    #[inline(never)]
    fn mul(self, other: Self) -> Self {
        let high = self.high.checked_mul(other.high).expect("a lane overflows");
        Self { low: self.low * other.low, high }
    }
    #[inline(never)]
    fn madd_lo(self, a: Self, b: Self) -> Self {
        let (_, high) = Self::product_52(a, b);
        let high = u64::try_from(high.min((1 << 52) - 1)).unwrap();
        self.add(Self { low: 0, high })
    }
    #[inline(never)]
    fn madd_hi(self, a: Self, b: Self) -> Self {
        let (low, high) = Self::product_52(a, b);
        self.add(Self { low: (low >> 52) as u64, high: (high >> 52) as u64 })
    }
}

/// All values from `first` on, `more` steps up, modulo 2^64: what halves of words hold while they
/// are summed from numbers that wrap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Span {
    first: u64,
    more: u64,
}

impl Span {
    /// Whether `value` is one of them.
    pub(crate) fn contains(self, value: u64) -> bool {
        value.wrapping_sub(self.first) <= self.more
    }
}

impl Half for Span {
    /// Bounds of whole numbers.
    type Float = (u64, u64);

    #[inline(never)]
    fn splat(value: u64) -> Self {
        Self { first: value, more: 0 }
    }
    #[inline(never)]
    fn add(self, other: Self) -> Self {
        let more = self.more.checked_add(other.more).expect("nothing is known any more");
        Self { first: self.first.wrapping_add(other.first), more }
    }
    #[inline(never)]
    fn shl<const N: u32>(self) -> Self {
        let more = self.more.checked_mul(1 << N).expect("nothing is known any more");
        Self { first: self.first << N, more }
    }
    #[inline(never)]
    fn to_float(self) -> (u64, u64) {
        let high = self.first.checked_add(self.more).expect("no lane is negative");
        assert!(high < 1 << 52, "truncated operand: {self:?}");
        (self.first, high)
    }
    #[inline(never)]
    fn splitter() -> (u64, u64) {
        // Not a number to compute with: `split` knows it.
        (0, 0)
    }
    /// Whatever the rounding: a whole number of units next to the product on either side, and the
    /// difference.
    #[inline(never)]
    fn split(a: (u64, u64), b: (u64, u64), _: (u64, u64)) -> (Self, Self) {
        let unit = 1u128 << 51;
        let least = u128::from(a.0) * u128::from(b.0);
        let most = u128::from(a.1) * u128::from(b.1);
        assert!(most < 1 << 103, "the product has another exponent: {a:?} · {b:?}");
        let (least, most) = ((least / unit) as u64, most.div_ceil(unit) as u64);
        let high = Self { first: fma::SPLITTER.to_bits() + least, more: most - least };
        let low = Self { first: fma::CENTER.to_bits() - (1 << 51), more: 2 << 51 };
        (high, low)
    }
}

impl<const FMA: bool> Halves for Interval<FMA> {
    type Half = Span;

    #[inline(never)]
    fn halves(self) -> [Span; 2] {
        [Span { first: self.low, more: self.high - self.low }; 2]
    }
    #[inline(never)]
    fn from_halves(halves: [Span; 2]) -> Self {
        let interval = |span: Span| {
            let high = span.first.checked_add(span.more).expect("a lane borrows");
            Self { low: span.first, high }
        };
        interval(halves[0]).hull(interval(halves[1]))
    }
}
