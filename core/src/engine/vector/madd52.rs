//! Products on bare limbs by a multiplier of 52-bit integers, such as that of AVX-512 IFMA.
//!
//! lo(a_i·b_j) has the weight of column i+j. hi(a_i·b_j) has weight 2^(51(i+j)+52), which is two
//! times that of column i+j+1. So each column sums the high halves first, doubles its accumulator
//! once, then adds the low halves. Columns 5..10 fold into 0..5 with the factor 19.

use super::limbs::{LOW_51, P0};
use super::word::Word;

/// A word that can multiply 52-bit integers. Operands must be below 2^52: the instruction ignores
/// their upper bits.
pub(crate) trait WideMultiply: Word {
    /// The low 64 bits of `self * other`.
    fn mul(self, other: Self) -> Self;
    /// `self + (a * b mod 2^52)`.
    fn madd_lo(self, a: Self, b: Self) -> Self;
    /// `self + (a * b >> 52)`.
    fn madd_hi(self, a: Self, b: Self) -> Self;
}

/// The product as columns, plus 2^`BIAS`·p if `BIAS` is not 0.
#[inline(always)]
pub(crate) fn product<W: WideMultiply, const BIAS: u32>(a: &[W; 5], b: &[W; 5]) -> [W; 5] {
    let [a0, a1, a2, a3, a4] = *a;
    let [b0, b1, b2, b3, b4] = *b;
    let zero = W::splat(0);
    // Column 0 is not doubled; the one doubling of columns 1..5 completes their half.
    let (bias, half) = match BIAS {
        0 => (zero, zero),
        s => (W::splat(P0 << s), W::splat(LOW_51 << (s - 1))),
    };

    let c0 = bias.madd_lo(a0, b0);

    let c1 = half.madd_hi(a0, b0);
    let c1 = c1.add(c1).madd_lo(a0, b1).madd_lo(a1, b0);

    let c2 = half.madd_hi(a0, b1).madd_hi(a1, b0);
    let c2 = c2.add(c2).madd_lo(a0, b2).madd_lo(a1, b1).madd_lo(a2, b0);

    let c3 = half.madd_hi(a0, b2).madd_hi(a1, b1).madd_hi(a2, b0);
    let c3 = c3.add(c3).madd_lo(a0, b3).madd_lo(a1, b2).madd_lo(a2, b1).madd_lo(a3, b0);

    let c4 = half.madd_hi(a0, b3).madd_hi(a1, b2).madd_hi(a2, b1).madd_hi(a3, b0);
    let c4 = c4.add(c4).madd_lo(a0, b4).madd_lo(a1, b3).madd_lo(a2, b2);
    let c4 = c4.madd_lo(a3, b1).madd_lo(a4, b0);

    let c5 = zero.madd_hi(a0, b4).madd_hi(a1, b3).madd_hi(a2, b2);
    let c5 = c5.madd_hi(a3, b1).madd_hi(a4, b0);
    let c5 = c5.add(c5).madd_lo(a1, b4).madd_lo(a2, b3).madd_lo(a3, b2).madd_lo(a4, b1);

    let c6 = zero.madd_hi(a1, b4).madd_hi(a2, b3).madd_hi(a3, b2).madd_hi(a4, b1);
    let c6 = c6.add(c6).madd_lo(a2, b4).madd_lo(a3, b3).madd_lo(a4, b2);

    let c7 = zero.madd_hi(a2, b4).madd_hi(a3, b3).madd_hi(a4, b2);
    let c7 = c7.add(c7).madd_lo(a3, b4).madd_lo(a4, b3);

    let c8 = zero.madd_hi(a3, b4).madd_hi(a4, b3);
    let c8 = c8.add(c8).madd_lo(a4, b4);

    let c9 = zero.madd_hi(a4, b4);
    let c9 = c9.add(c9);

    fold([c0, c1, c2, c3, c4], [c5, c6, c7, c8, c9])
}

/// The square as columns, plus 2^`BIAS`·p if `BIAS` is not 0.
///
/// Weights: high halves off the diagonal 4, low off the diagonal 2, high on it 2, low on it 1.
#[inline(always)]
pub(crate) fn square<W: WideMultiply, const BIAS: u32>(a: &[W; 5]) -> [W; 5] {
    let [a0, a1, a2, a3, a4] = *a;
    let zero = W::splat(0);
    // Column 1 is doubled once, columns 2..5 twice.
    let (bias, half, quarter) = match BIAS {
        0 => (zero, zero, zero),
        s => (W::splat(P0 << s), W::splat(LOW_51 << (s - 1)), W::splat(LOW_51 << (s - 2))),
    };

    let c0 = bias.madd_lo(a0, a0);

    let c1 = half.madd_hi(a0, a0).madd_lo(a0, a1);
    let c1 = c1.add(c1);

    let c2 = quarter.madd_hi(a0, a1);
    let c2 = c2.add(c2).madd_lo(a0, a2);
    let c2 = c2.add(c2).madd_lo(a1, a1);

    let c3 = quarter.madd_hi(a0, a2);
    let c3 = c3.add(c3).madd_hi(a1, a1).madd_lo(a0, a3).madd_lo(a1, a2);
    let c3 = c3.add(c3);

    let c4 = quarter.madd_hi(a0, a3).madd_hi(a1, a2);
    let c4 = c4.add(c4).madd_lo(a0, a4).madd_lo(a1, a3);
    let c4 = c4.add(c4).madd_lo(a2, a2);

    let c5 = zero.madd_hi(a0, a4).madd_hi(a1, a3);
    let c5 = c5.add(c5).madd_hi(a2, a2).madd_lo(a1, a4).madd_lo(a2, a3);
    let c5 = c5.add(c5);

    let c6 = zero.madd_hi(a1, a4).madd_hi(a2, a3);
    let c6 = c6.add(c6).madd_lo(a2, a4);
    let c6 = c6.add(c6).madd_lo(a3, a3);

    let c7 = zero.madd_hi(a2, a4);
    let c7 = c7.add(c7).madd_hi(a3, a3).madd_lo(a3, a4);
    let c7 = c7.add(c7);

    let c8 = zero.madd_hi(a3, a4);
    let c8 = c8.add(c8);
    let c8 = c8.add(c8).madd_lo(a4, a4);

    let c9 = zero.madd_hi(a4, a4);
    let c9 = c9.add(c9);

    fold([c0, c1, c2, c3, c4], [c5, c6, c7, c8, c9])
}

/// Ten columns to five: 2^255 = 19.
#[inline(always)]
fn fold<W: WideMultiply>(low: [W; 5], high: [W; 5]) -> [W; 5] {
    let [c0, c1, c2, c3, c4] = low;
    let [c5, c6, c7, c8, c9] = high;
    let nineteen = W::splat(19);
    [
        c0.add(c5.mul(nineteen)),
        c1.add(c6.mul(nineteen)),
        c2.add(c7.mul(nineteen)),
        c3.add(c8.mul(nineteen)),
        c4.add(c9.mul(nineteen)),
    ]
}
