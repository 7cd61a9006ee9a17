//! Eight elements of GF(p), p = 2^255 − 19, one in each lane.
//!
//! # Representation
//!
//! Radix 2^51, five limbs, limb i of all eight elements in one word. There are two types, because
//! the multiply instructions silently ignore, or garble, bits 52 and up of their inputs:
//!
//! * [`Fe`], *carried*: every limb below 2^51 + 2^16. Only an `Fe` may enter a multiplication.
//! * [`Cols`], *uncarried* 64-bit columns: products, and sums and differences of products.
//!   [`Cols::carry`] makes them an `Fe`.
//!
//! # Bounds
//!
//! In units of U = 2^52, for inputs within the invariant, to within 10^−4 U:
//!
//! | columns | c0 | c1 | c2 | c3 | c4 |
//! |---|---|---|---|---|---|
//! | low half / high half, unfolded | 1 / 6.5 | 2.5 / 5 | 4 / 3.5 | 5.5 / 2 | 7 / 0.5 |
//! | product or square, folded, by `madd52` | 124.5 | 97.5 | 70.5 | 43.5 | 16.5 |
//! | the same by `fma`, with its multiple of p | 125 | 107 | 89 | 71 | 53 |
//!
//! 1. Every `Fe` limb is below 2^51 + 2^16 < 2^52, so its value is below 2^255 + 2^220 < 2p.
//! 2. A difference starts from a multiple 2^s·p as the initial accumulator, which costs nothing.
//!    A subtrahend never exceeds its bias: one product is at most 125 U < 2^9·p (256 U), and
//!    the sums in the point formulas are at most 506 U, where the minuend holds 2^10·p (512 U).
//! 3. Every column stays below 2^63; the largest is 630.5 U = 2^61.3 (F of a doubling).
//! 4. After a carry, limb 0 is at most 2^51 − 1 + 19·(c4 >> 51) and limb i at most
//!    2^51 − 1 + (c_(i−1) >> 51): at worst 2^51 + 14,382 (F of a doubling), a factor 4 below the
//!    invariant.
//!
//! The tests in `bounds` run this code, the point formulas and the ladders over intervals and
//! fail if any of the four is violated: that is the proof, the table above only quotes it.

use super::limbs::{LOW_51, P0};
use super::word::Word;
use zeroize::Zeroize;

/// Carried field elements: every limb below 2^51 + 2^16.
#[derive(Clone, Copy)]
pub(crate) struct Fe<W>(pub(crate) [W; 5]);

/// Uncarried columns, each below 2^63.
#[derive(Clone, Copy)]
pub(crate) struct Cols<W>([W; 5]);

impl<W: Word> Zeroize for Fe<W> {
    fn zeroize(&mut self) {
        self.0.zeroize();
    }
}

impl<W: Word> From<[W; 5]> for Fe<W> {
    /// The limbs must be carried.
    #[inline(always)]
    fn from(limbs: [W; 5]) -> Self {
        let [a, b, c, d, e] = limbs;
        Fe([
            a.carried_limb(),
            b.carried_limb(),
            c.carried_limb(),
            d.carried_limb(),
            e.carried_limb(),
        ])
    }
}

impl<W: Word> Fe<W> {
    /// The same element in every lane; the limbs must be carried.
    #[inline(always)]
    pub(crate) fn splat(limbs: [u64; 5]) -> Self {
        let [a, b, c, d, e] = limbs;
        Fe([W::splat(a), W::splat(b), W::splat(c), W::splat(d), W::splat(e)])
    }

    /// Zero.
    #[inline(always)]
    pub(crate) fn zero() -> Self {
        Self::splat([0; 5])
    }

    /// One.
    #[inline(always)]
    pub(crate) fn one() -> Self {
        Self::splat([1, 0, 0, 0, 0])
    }

    /// Four little-endian 64-bit words in each lane, bit 255 ignored.
    #[inline(always)]
    pub(crate) fn from_words(words: &[W; 4]) -> Self {
        let [w0, w1, w2, w3] = *words;
        let mask = W::splat(LOW_51);
        Fe([
            w0.and(mask).carried_limb(),
            w0.shr::<51>().or(w1.shl::<13>()).and(mask).carried_limb(),
            w1.shr::<38>().or(w2.shl::<26>()).and(mask).carried_limb(),
            w2.shr::<25>().or(w3.shl::<39>()).and(mask).carried_limb(),
            w3.shr::<12>().and(mask).carried_limb(),
        ])
    }

    /// The canonical value as four little-endian 64-bit words in each lane.
    #[inline(always)]
    pub(crate) fn to_words(self) -> [W; 4] {
        let [l0, l1, l2, l3, l4] = self.freeze().0;
        [
            l0.or(l1.shl::<51>()),
            l1.shr::<13>().or(l2.shl::<38>()),
            l2.shr::<26>().or(l3.shl::<25>()),
            l3.shr::<39>().or(l4.shl::<12>()),
        ]
    }

    /// The product as columns, plus 2^`BIAS`·p if `BIAS` is not 0.
    #[inline(always)]
    pub(crate) fn mul_cols<const BIAS: u32>(&self, other: &Self) -> Cols<W> {
        Cols(W::product::<BIAS>(&self.0, &other.0))
    }

    /// The square as columns, plus 2^`BIAS`·p if `BIAS` is not 0.
    #[inline(always)]
    pub(crate) fn square_cols<const BIAS: u32>(&self) -> Cols<W> {
        Cols(W::square::<BIAS>(&self.0))
    }

    /// The product.
    #[inline(always)]
    pub(crate) fn mul(&self, other: &Self) -> Self {
        W::product_carried(self, other)
    }

    /// The square.
    #[inline(always)]
    pub(crate) fn square(&self) -> Self {
        W::square_carried(self)
    }

    /// The sum.
    #[inline(always)]
    pub(crate) fn add(&self, other: &Self) -> Self {
        self.cols().add(&other.cols()).carry()
    }

    /// The difference.
    #[inline(always)]
    pub(crate) fn sub(&self, other: &Self) -> Self {
        Cols::multiple_of_p::<1>().add(&self.cols()).sub(&other.cols()).carry()
    }

    /// The negative.
    #[inline(always)]
    pub(crate) fn neg(&self) -> Self {
        Cols::multiple_of_p::<1>().sub(&self.cols()).carry()
    }

    /// The limbs as columns.
    #[inline(always)]
    pub(crate) fn cols(&self) -> Cols<W> {
        Cols(self.0)
    }

    /// `one` in the lanes of `mask`, `zero` in the others.
    #[inline(always)]
    pub(crate) fn select(mask: W, one: &Self, zero: &Self) -> Self {
        let [o0, o1, o2, o3, o4] = one.0;
        let [z0, z1, z2, z3, z4] = zero.0;
        Fe([
            mask.select(o0, z0),
            mask.select(o1, z1),
            mask.select(o2, z2),
            mask.select(o3, z3),
            mask.select(o4, z4),
        ])
    }

    /// The negative in the lanes of `mask`.
    #[inline(always)]
    pub(crate) fn negate_if(&self, mask: W) -> Self {
        Self::select(mask, &self.neg(), self)
    }

    /// The nonnegative one of ±self: the one whose canonical value is even.
    #[inline(always)]
    pub(crate) fn abs(&self) -> Self {
        self.negate_if(self.is_negative())
    }

    /// The canonical value, below p.
    #[inline(always)]
    pub(crate) fn freeze(&self) -> Self {
        Fe(W::freeze(&self.0))
    }

    /// The mask of the lanes whose canonical value is odd.
    #[inline(always)]
    pub(crate) fn is_negative(&self) -> W {
        self.freeze().0[0].and(W::splat(1)).bit_mask()
    }

    /// The mask of the lanes that are zero.
    #[inline(always)]
    pub(crate) fn is_zero(&self) -> W {
        let [l0, l1, l2, l3, l4] = self.freeze().0;
        l0.or(l1).or(l2).or(l3).or(l4).equal_mask(W::splat(0))
    }

    /// The mask of the lanes in which `self` equals `other`.
    #[inline(always)]
    pub(crate) fn equals(&self, other: &Self) -> W {
        self.sub(other).is_zero()
    }
}

impl<W: Word> Cols<W> {
    /// 2^`S`·p, column by column.
    #[inline(always)]
    pub(crate) fn multiple_of_p<const S: u32>() -> Self {
        let other = W::splat(LOW_51 << S);
        Cols([W::splat(P0 << S), other, other, other, other])
    }

    /// The sum, uncarried.
    #[inline(always)]
    pub(crate) fn add(&self, other: &Self) -> Self {
        let [a0, a1, a2, a3, a4] = self.0;
        let [b0, b1, b2, b3, b4] = other.0;
        Cols([a0.add(b0), a1.add(b1), a2.add(b2), a3.add(b3), a4.add(b4)])
    }

    /// The difference, uncarried: each column of `self` must hold a bias above that of `other`.
    #[inline(always)]
    pub(crate) fn sub(&self, other: &Self) -> Self {
        let [a0, a1, a2, a3, a4] = self.0;
        let [b0, b1, b2, b3, b4] = other.0;
        Cols([a0.sub(b0), a1.sub(b1), a2.sub(b2), a3.sub(b3), a4.sub(b4)])
    }

    /// Twice the value, uncarried.
    #[inline(always)]
    pub(crate) fn double(&self) -> Self {
        self.add(self)
    }

    /// One parallel carry pass, which restores the invariant of [`Fe`].
    #[inline(always)]
    pub(crate) fn carry(self) -> Fe<W> {
        Fe(W::carry(&self.0))
    }
}
