//! Signed radix-16 digits of secret scalars, and the masks that a table scan takes from them.
//!
//! A scalar below 2^253 is Σ d_i·16^i over 64 digits with −8 ≤ d_i ≤ 7, the last one 0..=2. The
//! recoding has no branch and no address that depends on the scalar.
//!
//! A digit leaves this module only as masks about which the compiler knows nothing
//! (`black_box`). Were they comparisons it could see, it might turn the scan of the table into
//! masked loads, which need not touch the cache line of an entry that is masked off, and the
//! digit would show in the cache.

use super::word::{LANES, Word};
use core::hint::black_box;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Digits of a scalar.
pub(crate) const DIGITS: usize = 64;
/// The largest magnitude of a digit, and so the entries of a table.
pub(crate) const ENTRIES: usize = 8;

/// Where a ladder takes its digits from.
pub(crate) trait DigitSource<W> {
    /// The mask of the lanes whose digit at `position` has magnitude `entry`.
    fn entry_mask(&self, position: usize, entry: u64) -> W;
    /// The mask of the lanes whose digit at `position` is negative.
    fn sign_mask(&self, position: usize) -> W;
}

/// The digits of one scalar, the same in all lanes.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct SharedDigits {
    magnitude: [u64; DIGITS],
    /// 0 or all ones.
    negative: [u64; DIGITS],
}

impl SharedDigits {
    /// The digits of a scalar in little-endian bytes, below 2^253.
    pub(crate) fn new(scalar: &[u8; 32]) -> Self {
        let mut digits = Self { magnitude: [0; DIGITS], negative: [0; DIGITS] };
        let mut carry = 0u64;
        let (magnitudes, _) = digits.magnitude.as_chunks_mut::<2>();
        let (negatives, _) = digits.negative.as_chunks_mut::<2>();
        for ((byte, magnitudes), negatives) in scalar.iter().zip(magnitudes).zip(negatives) {
            let nibbles = [u64::from(byte & 15), u64::from(byte >> 4)];
            for ((nibble, magnitude), negative) in
                nibbles.into_iter().zip(magnitudes).zip(negatives)
            {
                let digit = nibble + carry;
                carry = (digit + 8) >> 4;
                *negative = black_box(carry).wrapping_neg();
                // digit − 16·carry, negated where the carry is set.
                *magnitude = (digit.wrapping_sub(carry << 4) ^ *negative).wrapping_sub(*negative);
            }
        }
        carry.zeroize();
        digits
    }
}

impl<W: Word> DigitSource<W> for SharedDigits {
    #[inline(always)]
    fn entry_mask(&self, position: usize, entry: u64) -> W {
        let difference = self.magnitude[position] ^ entry;
        let differs = (difference | difference.wrapping_neg()) >> 63;
        W::splat(black_box(differs.wrapping_sub(1)))
    }

    #[inline(always)]
    fn sign_mask(&self, position: usize) -> W {
        W::splat(black_box(self.negative[position]))
    }
}

/// The digits of one scalar per lane.
pub(crate) struct LaneDigits<W> {
    magnitude: [W; DIGITS],
    /// Masks.
    negative: [W; DIGITS],
}

impl<W: Word> Zeroize for LaneDigits<W> {
    fn zeroize(&mut self) {
        self.magnitude.zeroize();
        self.negative.zeroize();
    }
}

impl<W: Word> LaneDigits<W> {
    /// All digits zero.
    #[inline(always)]
    pub(crate) fn zero() -> Self {
        let zero = W::splat(0);
        Self { magnitude: [zero; DIGITS], negative: [zero; DIGITS] }
    }

    /// The magnitudes of a position, for public scalars only: they are about to be addresses.
    #[inline(always)]
    pub(crate) fn magnitudes(&self, position: usize) -> [usize; LANES] {
        #[allow(clippy::cast_possible_truncation, reason = "at most 8")]
        self.magnitude[position].to_lanes().map(|magnitude| magnitude as usize)
    }

    /// Recodes one scalar per lane, given as little-endian words, each below 2^253.
    #[inline(always)]
    pub(crate) fn recode(&mut self, words: &[W; 4]) {
        let mut carry = W::splat(0);
        let (magnitudes, _) = self.magnitude.as_chunks_mut::<16>();
        let (negatives, _) = self.negative.as_chunks_mut::<16>();
        for ((word, magnitudes), negatives) in words.iter().zip(magnitudes).zip(negatives) {
            let mut word = *word;
            for (magnitude, negative) in magnitudes.iter_mut().zip(negatives) {
                let digit = word.and(W::splat(15)).add(carry);
                word = word.shr::<4>();
                carry = digit.add(W::splat(8)).shr::<4>();
                *negative = carry.bit_mask().opaque();
                *magnitude = negative.select(W::splat(16).sub(digit), digit);
            }
        }
    }
}

impl<W: Word> DigitSource<W> for LaneDigits<W> {
    #[inline(always)]
    fn entry_mask(&self, position: usize, entry: u64) -> W {
        self.magnitude[position].equal_mask(W::splat(entry)).opaque()
    }

    #[inline(always)]
    fn sign_mask(&self, position: usize) -> W {
        self.negative[position].opaque()
    }
}

#[cfg(test)]
mod tests {
    use super::super::emulated::Emulated;
    use super::*;
    use curve25519_dalek::scalar::Scalar;

    /// Scalars whose digits are extreme: carries everywhere, nowhere, and in between.
    fn scalars() -> Vec<Scalar> {
        let mut scalars: Vec<_> = (0..40u64).map(Scalar::from).collect();
        for byte in [0x88, 0x77, 0xff, 0x78, 0x87, 0x80, 0x08, 0x7f, 0xf8] {
            let mut bytes = [byte; 32];
            bytes[31] = 0x0f;
            scalars.extend(Option::<Scalar>::from(Scalar::from_canonical_bytes(bytes)));
        }
        let negatives: Vec<_> = scalars.iter().map(|scalar| -scalar).collect();
        scalars.extend(negatives);
        scalars
    }

    /// Σ d_i·16^i, from magnitudes and masks.
    fn recompose(digits: impl DoubleEndedIterator<Item = (u64, u64)>) -> Scalar {
        digits.rev().fold(Scalar::ZERO, |sum, (magnitude, negative)| {
            assert!(magnitude <= 8 && (negative == 0 || negative == u64::MAX));
            let digit = Scalar::from(magnitude);
            sum * Scalar::from(16u8) + if negative == 0 { digit } else { -digit }
        })
    }

    #[test]
    fn digits_make_up_the_scalar() {
        for scalar in scalars() {
            let digits = SharedDigits::new(scalar.as_bytes());
            let pairs = digits.magnitude.into_iter().zip(digits.negative);
            assert_eq!(recompose(pairs), scalar);
            assert!(digits.magnitude[DIGITS - 1] <= 2 && digits.negative[DIGITS - 1] == 0);
        }
    }

    #[test]
    fn digits_of_lanes_are_those_of_their_scalars() {
        for scalars in scalars().chunks(LANES) {
            let mut words = [[0; LANES]; 4];
            for (lane, scalar) in scalars.iter().enumerate() {
                for (word, chunk) in words.iter_mut().zip(scalar.as_bytes().as_chunks().0) {
                    word[lane] = u64::from_le_bytes(*chunk);
                }
            }
            let mut digits = LaneDigits::<Emulated<false>>::zero();
            digits.recode(&words.map(Word::from_lanes));
            for (lane, scalar) in scalars.iter().enumerate() {
                let magnitudes = digits.magnitude.iter().map(|word| word.to_lanes()[lane]);
                let negatives = digits.negative.iter().map(|word| word.to_lanes()[lane]);
                let pairs: Vec<_> = magnitudes.zip(negatives).collect();
                assert_eq!(recompose(pairs.into_iter()), *scalar);
            }
        }
    }

    #[test]
    fn entry_masks_single_out_the_magnitude() {
        let digits = SharedDigits::new(&[0x5d; 32]);
        for (position, magnitude) in digits.magnitude.into_iter().enumerate() {
            for entry in 0..=8 {
                let mask: Emulated<false> = digits.entry_mask(position, entry);
                assert_eq!(mask, Word::splat(if entry == magnitude { u64::MAX } else { 0 }));
            }
        }
    }
}
