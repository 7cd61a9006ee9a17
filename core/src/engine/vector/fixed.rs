//! Fixed-base multiplication by secret scalars: odd signed digits to the base 32.
//!
//! An odd k below 2^254 is Σ d_i·32^i over 51 digits: with v_i = bits 5i+1 to 5i+5 of k, d_i is
//! 2·v_i − 31, and the last one 2·v_i + 1. Every digit is odd and at most 31 in magnitude, so
//! each position has sixteen multiples and no digit is zero. An even k gets the group order
//! added, which changes the representative by an element of E[4] at most; encodings ignore it.
//!
//! Limb by limb, the sixteen multiples of a position fill two vectors, and a lane picks its own
//! with a permutation inside registers: *no address depends on a scalar*.

use super::constants::D2;
use super::decode::{Strings, load_words};
use super::field::Fe;
use super::point::{AffineCached, Extended};
use super::power::invert;
use super::word::{LANES, Word};
use core::hint::black_box;

/// Digits of a scalar.
pub(crate) const POSITIONS: usize = 51;
/// Multiples per position.
pub(crate) const MULTIPLES: usize = 16;
/// Limbs of an addend.
const LIMBS: usize = 15;

/// For each position i and each limb, that limb of 1·32^i·B, 3·32^i·B, ..., 31·32^i·B.
pub(crate) struct FixedTable<W>(Box<[[[W; 2]; LIMBS]]>);

impl<W: Word> FixedTable<W> {
    /// Arranges the multiples. Group g of `multiples` holds in lane l those of position 8g + l.
    pub(crate) fn new(multiples: &[[AffineCached<W>; MULTIPLES]]) -> Self {
        let mut table = Vec::with_capacity(POSITIONS);
        for group in multiples {
            for lane in 0..LANES.min(POSITIONS - table.len()) {
                let mut position = [[[0; LANES]; 2]; LIMBS];
                for (index, multiple) in group.iter().enumerate() {
                    let coordinates = [multiple.plus.0, multiple.minus.0, multiple.t2d.0];
                    for (limbs, word) in position.iter_mut().zip(coordinates.as_flattened()) {
                        limbs[index / LANES][index % LANES] = word.to_lanes()[lane];
                    }
                }
                table.push(position.map(|limbs| limbs.map(W::from_lanes)));
            }
        }
        Self(table.into_boxed_slice())
    }
}

/// An odd number below 2^254 that is congruent to `scalar` modulo the group order, in constant
/// time. `scalar` must be below the order.
pub(crate) fn make_odd(scalar: &[u8; 32]) -> [u8; 32] {
    // 2^252 + 27742317777372353535851937790883648493, least significant word first.
    const ORDER: [u64; 4] = [0x5812631a5cf5d3ed, 0x14def9dea2f79cd6, 0, 0x1000000000000000];
    let mut odd = *scalar;
    let even_mask = black_box(u64::from(scalar[0] & 1)).wrapping_sub(1);
    let mut carry = 0;
    let (words, _) = odd.as_chunks_mut::<8>();
    for (word, order) in words.iter_mut().zip(ORDER) {
        let (sum, carry_a) = u64::from_le_bytes(*word).overflowing_add(order & even_mask);
        let (sum, carry_b) = sum.overflowing_add(carry);
        carry = u64::from(carry_a | carry_b);
        *word = sum.to_le_bytes();
    }
    odd
}

/// The odd multiples P, 3P, ..., 31P of each lane's point, with Z = 1.
#[inline(always)]
pub(crate) fn odd_multiples<W: Word>(point: &Extended<W>, out: &mut [AffineCached<W>; MULTIPLES]) {
    let double = point.projective().double().extended().cached();
    let mut multiple = *point;
    for out in out {
        let z_inverse = invert(&multiple.z);
        let x = multiple.x.mul(&z_inverse);
        let y = multiple.y.mul(&z_inverse);
        let t2d = x.mul(&y).mul(&Fe::splat(D2));
        *out = AffineCached { plus: y.add(&x), minus: y.sub(&x), t2d };
        multiple = multiple.add(&double).extended();
    }
}

/// Adds to each lane of `sum` the product of its scalar with the table's base, or subtracts it.
/// The scalars must be odd and below 2^254.
#[inline(always)]
pub(crate) fn add_multiple<W: Word>(
    table: &FixedTable<W>,
    scalars: &Strings,
    subtract: bool,
    sum: &mut Extended<W>,
) {
    let [w0, w1, w2, w3] = load_words::<W>(scalars);
    // Drops bit 0, which is 1.
    let mut w0 = w0.shr::<1>().or(w1.shl::<63>());
    let mut w1 = w1.shr::<1>().or(w2.shl::<63>());
    let mut w2 = w2.shr::<1>().or(w3.shl::<63>());
    let mut w3 = w3.shr::<1>();

    let flip = W::splat(if subtract { u64::MAX } else { 0 });
    let mut q = *sum;
    for (position, limbs) in table.0.iter().enumerate() {
        let digit = w0.and(W::splat(31));
        w0 = w0.shr::<5>().or(w1.shl::<59>());
        w1 = w1.shr::<5>().or(w2.shl::<59>());
        w2 = w2.shr::<5>().or(w3.shl::<59>());
        w3 = w3.shr::<5>();
        // Below 16 a digit is negative and its index is the complement; the last is positive.
        let top = digit.shr::<4>();
        let negative = if position + 1 == POSITIONS { W::splat(0) } else { top.bit_mask().not() };
        let negative = negative.opaque();
        let index = digit.xor(negative).and(W::splat(15));
        let entry = lookup(limbs, index);
        q = q.add_or_subtract_affine(&entry, negative.xor(flip)).extended();
    }
    *sum = q;
}

/// Each lane's entry of a position.
#[inline(always)]
fn lookup<W: Word>(limbs: &[[W; 2]; LIMBS], index: W) -> AffineCached<W> {
    let mut words = [W::splat(0); LIMBS];
    for (word, limb) in words.iter_mut().zip(limbs) {
        *word = W::lookup(limb, index);
    }
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o] = words;
    AffineCached {
        plus: [a, b, c, d, e].into(),
        minus: [f, g, h, i, j].into(),
        t2d: [k, l, m, n, o].into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use curve25519_dalek::scalar::Scalar;

    #[test]
    fn odd_representatives_are_odd_short_and_congruent() {
        let small = (0..20u8).map(Scalar::from);
        for scalar in small.clone().chain(small.map(|scalar| -scalar)) {
            let odd = make_odd(scalar.as_bytes());
            assert!(odd[0] & 1 == 1 && odd[31] < 0x40);
            assert_eq!(Scalar::from_bytes_mod_order(odd), scalar);
        }
    }
}
