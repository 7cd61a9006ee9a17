//! Products on bare limbs by fused multiply-add in double precision.
//!
//! # One product of limbs
//!
//! A product ab of two limbs below 2^51 + 2^16 has up to 103 bits. [`Half::split`] returns it as
//! h·2^51 + l with two instructions of full rate. With C = 2^103 and M = 3·2^51:
//!
//! * `high = fma(a, b, C)` lies in \[2^103, 2^104), where doubles are 2^51 apart: it is C + h·2^51
//!   for a whole h, and |ab − h·2^51| ≤ 2^51, however the instruction rounds;
//! * `rest = (C + M) − high` = (3 − h)·2^51 is exact: both operands and the result are multiples of
//!   2^51 below 2^53 times it;
//! * `low = fma(a, b, rest)` = M + (ab − h·2^51) = M + l is an integer from 2^52 to 2^53: exact.
//!
//! In these ranges the bit pattern of a double grows by one from one value to the next. So the
//! patterns of `high` and `low`, read as integers, are those of C and M plus h and l, and can be
//! summed as integers; [`start`] takes the patterns of all C and M away again.
//! The trick is from Emmart, Zheng and Weems, "Faster modular exponentiation using double precision
//! floating point arithmetic on the GPU" (2018), which splits at 2^52; at 2^51, the size of a limb,
//! the high half has the weight of the next column and needs no doubling.
//!
//! # Exactness, time
//!
//! Nothing above depends on the rounding mode. Every value is an integer, 0 or at least 1 in
//! magnitude, so none is subnormal and no mode that flushes subnormals matters; none is infinite.
//! That the instructions take the same time for all such operands, 0 included, is an assumption
//! about processors, as it is for integer multiplication; they do on all that are known to us.
//!
//! # Signs
//!
//! l may be negative, and so may a sum of products. Every product therefore holds [`SHIFT`]·p,
//! the smallest multiple that makes all folded columns positive.

use super::limbs::{LOW_51, P0};
use super::word::Word;

/// C: products are split at a multiple of its unit in the last place.
pub(crate) const SPLITTER: f64 = (1u128 << 103) as f64;
/// M: makes the lower half positive, with a fixed exponent.
pub(crate) const CENTER: f64 = (3u64 << 51) as f64;
/// 2^52, whose bit pattern or'ed with an integer below it is a double.
const INTEGER: f64 = (1u64 << 52) as f64;
/// What a product holds of p in any case. Folded, column 0 has one lower half, and 19 times four:
/// 77·2^51 at most below zero.
const SHIFT: u64 = 78;

/// Doubles, a few lanes of them.
pub(crate) trait Float: Copy {
    /// `value` in every lane.
    fn splat(value: f64) -> Self;
    /// `self · factor + addend`, rounded once.
    fn fma(self, factor: Self, addend: Self) -> Self;
    /// `self − other`.
    fn sub(self, other: Self) -> Self;
}

/// Half of a word: the lanes of one product, so that it finds room in sixteen registers.
pub(crate) trait Half: Copy {
    /// As many doubles.
    type Float: Copy;
    /// `value` in every lane.
    fn splat(value: u64) -> Self;
    /// `self + other`, modulo 2^64.
    fn add(self, other: Self) -> Self;
    /// `self << N`.
    fn shl<const N: u32>(self) -> Self;
    /// As doubles. Every lane must be below 2^52.
    fn to_float(self) -> Self::Float;
    /// The bit patterns of `high` and `low`; see the top of the file.
    fn split(a: Self::Float, b: Self::Float, splitter: Self::Float) -> (Self, Self);
    /// [`SPLITTER`] in every lane.
    fn splitter() -> Self::Float;
    /// The same values, which the compiler takes for new ones that depend on all three: what is
    /// made with `splitter` next comes after what `low` and `high` are made from.
    ///
    /// Left alone, the compiler makes all products of limbs first and sums them afterwards, with
    /// every one of them in memory.
    #[inline(always)]
    fn in_order(low: Self, high: Self, splitter: Self::Float) -> (Self, Self, Self::Float) {
        (low, high, splitter)
    }
}

/// A word whose halves can multiply.
pub(crate) trait Halves: Word {
    /// A half.
    type Half: Half;
    /// Both halves.
    fn halves(self) -> [Self::Half; 2];
    /// The word of two halves.
    fn from_halves(halves: [Self::Half; 2]) -> Self;
}

/// `high` and `low`; see the top of the file.
#[inline(always)]
pub(crate) fn split<F: Float>(a: F, b: F, splitter: F) -> (F, F) {
    let high = a.fma(b, splitter);
    let rest = F::splat(SPLITTER + CENTER).sub(high);
    (high, a.fma(b, rest))
}

/// The double that [`Half::to_float`] makes of an integer below 2^52 whose bits are or'ed to those
/// of the splatted [`INTEGER`] in `tagged`.
#[inline(always)]
pub(crate) fn untag<F: Float>(tagged: F) -> F {
    tagged.sub(F::splat(INTEGER))
}

/// The bits to tag an integer with.
pub(crate) const TAG: u64 = INTEGER.to_bits();

/// The product as columns, plus ([`SHIFT`] + 2^`BIAS`)·p, or [`SHIFT`]·p if `BIAS` is 0.
#[inline(always)]
pub(crate) fn product<W: Halves, const BIAS: u32>(a: &[W; 5], b: &[W; 5]) -> [W; 5] {
    let [low_a, high_a] = halves(a);
    let [low_b, high_b] = halves(b);
    join([half_product::<_, BIAS>(low_a, low_b), half_product::<_, BIAS>(high_a, high_b)])
}

/// The square as columns, with the same multiple of p.
#[inline(always)]
pub(crate) fn square<W: Halves, const BIAS: u32>(a: &[W; 5]) -> [W; 5] {
    let [low, high] = halves(a);
    join([half_square::<_, BIAS>(low), half_square::<_, BIAS>(high)])
}

// Written out, here and below: a closure that is not inlined could not use the instructions.

#[inline(always)]
fn halves<W: Halves>(words: &[W; 5]) -> [[W::Half; 5]; 2] {
    let [a, b, c, d, e] = *words;
    let [a, b, c, d, e] = [a.halves(), b.halves(), c.halves(), d.halves(), e.halves()];
    [[a[0], b[0], c[0], d[0], e[0]], [a[1], b[1], c[1], d[1], e[1]]]
}

#[inline(always)]
fn join<W: Halves>(halves: [[W::Half; 5]; 2]) -> [W; 5] {
    let [[a, b, c, d, e], [f, g, h, i, j]] = halves;
    [
        W::from_halves([a, f]),
        W::from_halves([b, g]),
        W::from_halves([c, h]),
        W::from_halves([d, i]),
        W::from_halves([e, j]),
    ]
}

#[inline(always)]
fn to_floats<H: Half>(limbs: [H; 5]) -> [H::Float; 5] {
    let [a, b, c, d, e] = limbs;
    [a.to_float(), b.to_float(), c.to_float(), d.to_float(), e.to_float()]
}

/// Pairs of limbs with the index sum `sum`.
const fn pairs(sum: u64) -> u64 {
    if sum < 5 { sum + 1 } else { 9u64.saturating_sub(sum) }
}

/// The patterns of C and M that column `n` receives.
const fn patterns(n: u64) -> u64 {
    let low = pairs(n).wrapping_mul(CENTER.to_bits());
    let high = if n == 0 { 0 } else { pairs(n - 1).wrapping_mul(SPLITTER.to_bits()) };
    low.wrapping_add(high)
}

/// What is added to column `n`, modulo 2^64: its multiple of p, less the patterns that it receives
/// itself and with column `n + 5`, when that is folded into it.
const fn start(n: u64, bias: u32) -> u64 {
    let p = if n == 0 { P0 } else { LOW_51 };
    let multiple = SHIFT + if bias == 0 { 0 } else { 1 << bias };
    let received = patterns(n).wrapping_add(patterns(n + 5).wrapping_mul(19));
    (multiple * p).wrapping_sub(received)
}

/// Adds products of limbs to columns, one after the other.
struct Adder<H: Half> {
    splitter: H::Float,
}

impl<H: Half> Adder<H> {
    #[inline(always)]
    fn new() -> Self {
        Self { splitter: H::splitter() }
    }

    /// Adds ab to two columns.
    #[inline(always)]
    fn add(&mut self, a: H::Float, b: H::Float, low: &mut H, high: &mut H) {
        let (high_bits, low_bits) = H::split(a, b, self.splitter);
        (*low, *high, self.splitter) =
            H::in_order(low.add(low_bits), high.add(high_bits), self.splitter);
    }

    /// Adds the products of a limb with all of `b` to the columns from that of the limb on.
    #[inline(always)]
    fn add_row(&mut self, a: H, b: [H::Float; 5], columns: [H; 6]) -> [H; 6] {
        let a = a.to_float();
        let [b0, b1, b2, b3, b4] = b;
        let [mut c0, mut c1, mut c2, mut c3, mut c4, mut c5] = columns;
        self.add(a, b0, &mut c0, &mut c1);
        self.add(a, b1, &mut c1, &mut c2);
        self.add(a, b2, &mut c2, &mut c3);
        self.add(a, b3, &mut c3, &mut c4);
        self.add(a, b4, &mut c4, &mut c5);
        [c0, c1, c2, c3, c4, c5]
    }
}

/// A product of [`product`]: row by row, so that one operand, the six columns of a row and the
/// constants stay in sixteen registers.
#[inline(always)]
fn half_product<H: Half, const BIAS: u32>(a: [H; 5], b: [H; 5]) -> [H; 5] {
    let [a0, a1, a2, a3, a4] = a;
    let b = to_floats(b);
    let mut sum = Adder::<H>::new();
    let zero = H::splat(0);
    let [c0, c1, c2, c3, c4, c5] = sum.add_row(a0, b, [zero; 6]);
    let [c1, c2, c3, c4, c5, c6] = sum.add_row(a1, b, [c1, c2, c3, c4, c5, zero]);
    let [c2, c3, c4, c5, c6, c7] = sum.add_row(a2, b, [c2, c3, c4, c5, c6, zero]);
    let [c3, c4, c5, c6, c7, c8] = sum.add_row(a3, b, [c3, c4, c5, c6, c7, zero]);
    let [c4, c5, c6, c7, c8, c9] = sum.add_row(a4, b, [c4, c5, c6, c7, c8, zero]);
    fold::<H, BIAS>([c0, c1, c2, c3, c4], [c5, c6, c7, c8, c9])
}

/// A square of [`square`]: products of different limbs count twice.
#[inline(always)]
fn half_square<H: Half, const BIAS: u32>(a: [H; 5]) -> [H; 5] {
    let [a0, a1, a2, a3, a4] = to_floats(a);
    let mut sum = Adder::<H>::new();
    let zero = H::splat(0);
    // Columns of products of different limbs, finished two at a time: doubled then, and joined by
    // the square of a limb.
    let [mut c0, mut c1, mut c2, mut c3, mut c4] = [zero; 5];
    let [mut c5, mut c6, mut c7, mut c8, mut c9] = [zero; 5];

    sum.add(a0, a1, &mut c1, &mut c2);
    sum.add(a0, a2, &mut c2, &mut c3);
    c1 = c1.add(c1);
    sum.add(a0, a0, &mut c0, &mut c1);
    sum.add(a0, a3, &mut c3, &mut c4);
    sum.add(a0, a4, &mut c4, &mut c5);
    sum.add(a1, a2, &mut c3, &mut c4);
    [c2, c3] = [c2.add(c2), c3.add(c3)];
    sum.add(a1, a1, &mut c2, &mut c3);
    sum.add(a1, a3, &mut c4, &mut c5);
    sum.add(a1, a4, &mut c5, &mut c6);
    sum.add(a2, a3, &mut c5, &mut c6);
    [c4, c5] = [c4.add(c4), c5.add(c5)];
    sum.add(a2, a2, &mut c4, &mut c5);
    sum.add(a2, a4, &mut c6, &mut c7);
    sum.add(a3, a4, &mut c7, &mut c8);
    [c6, c7] = [c6.add(c6), c7.add(c7)];
    sum.add(a3, a3, &mut c6, &mut c7);
    c8 = c8.add(c8);
    sum.add(a4, a4, &mut c8, &mut c9);
    fold::<H, BIAS>([c0, c1, c2, c3, c4], [c5, c6, c7, c8, c9])
}

/// Ten columns to five, which also get what they start from.
#[inline(always)]
fn fold<H: Half, const BIAS: u32>(low: [H; 5], high: [H; 5]) -> [H; 5] {
    let [c0, c1, c2, c3, c4] = low;
    let [c5, c6, c7, c8, c9] = high;
    [
        c0.add(H::splat(const { start(0, BIAS) })).add(times_19(c5)),
        c1.add(H::splat(const { start(1, BIAS) })).add(times_19(c6)),
        c2.add(H::splat(const { start(2, BIAS) })).add(times_19(c7)),
        c3.add(H::splat(const { start(3, BIAS) })).add(times_19(c8)),
        c4.add(H::splat(const { start(4, BIAS) })).add(times_19(c9)),
    ]
}

/// 19 times the value.
#[inline(always)]
fn times_19<H: Half>(column: H) -> H {
    column.add(column.add(column)).add(column.shl::<4>())
}

#[cfg(test)]
mod tests {
    use super::super::emulated::EmulatedHalf;
    use super::super::interval::Span;
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_core::{Rng, SeedableRng};

    /// The largest limb of a carried element.
    const LARGEST: u64 = (1 << 51) + (1 << 16) - 1;

    /// Extreme limbs, and random ones.
    fn limbs() -> Vec<u64> {
        let mut limbs = vec![0, 1, 2, 1 << 25, 1 << 26, (1 << 51) - 1, 1 << 51, LARGEST];
        let mut rng = ChaCha20Rng::seed_from_u64(0x73706c6974);
        limbs.extend((0..200).map(|_| rng.next_u64() % (LARGEST + 1)));
        limbs
    }

    #[test]
    fn products_of_limbs_are_split_exactly_and_within_the_proven_bounds() {
        let float = |limb| EmulatedHalf::splat(limb).to_float();
        let any = (0, LARGEST);
        let (high_bounds, low_bounds) = Span::split(any, any, Span::splitter());
        for a in limbs() {
            for b in limbs() {
                let (high, low) = EmulatedHalf::split(float(a), float(b), EmulatedHalf::splitter());
                for (high, low) in high.lanes().into_iter().zip(low.lanes()) {
                    assert!(high_bounds.contains(high) && low_bounds.contains(low));
                    let high = i128::from(high - SPLITTER.to_bits());
                    let low = i128::from(low) - i128::from(CENTER.to_bits());
                    assert_eq!(high * (1 << 51) + low, i128::from(a) * i128::from(b), "{a} · {b}");
                }
            }
        }
    }

    #[test]
    fn every_product_is_taken_away_again() {
        // Ten columns receive 25 lower and 25 upper halves.
        let received = (0..10).fold(0u64, |sum, n| sum.wrapping_add(patterns(n)));
        let all = CENTER.to_bits().wrapping_add(SPLITTER.to_bits()).wrapping_mul(25);
        assert_eq!(received, all);
    }
}
