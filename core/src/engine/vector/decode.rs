//! Decoding of ristretto255 encodings (RFC 9496 section 4.3.1).
//!
//! Encodings are public. The code is branch-free all the same, because lanes cannot branch: an
//! invalid lane becomes the identity and clears its bit.

use super::constants::MINUS_D;
use super::field::Fe;
use super::point::Extended;
use super::power::inverse_sqrt;
use super::word::{LANES, Word};

/// The encodings of one group, one for each lane.
pub(crate) type Strings = [[u8; 32]; LANES];

/// The encodings as four little-endian words in each lane.
#[inline(always)]
pub(crate) fn load_words<W: Word>(strings: &Strings) -> [W; 4] {
    let mut words = [[0u64; LANES]; 4];
    for (lane, string) in strings.iter().enumerate() {
        let (chunks, _) = string.as_chunks::<8>();
        for (word, chunk) in words.iter_mut().zip(chunks) {
            word[lane] = u64::from_le_bytes(*chunk);
        }
    }
    words.map(W::from_lanes)
}

/// The opposite of [`load_words`].
#[inline(always)]
pub(crate) fn store_words<W: Word>(words: [W; 4]) -> Strings {
    let mut strings = [[0u8; 32]; LANES];
    for (index, word) in words.into_iter().enumerate() {
        for (string, value) in strings.iter_mut().zip(word.to_lanes()) {
            let (chunks, _) = string.as_chunks_mut::<8>();
            chunks[index] = value.to_le_bytes();
        }
    }
    strings
}

/// Decodes `N` groups. The results have a bit for each lane that holds a valid encoding.
#[inline(always)]
pub(crate) fn decode<W: Word, const N: usize>(
    strings: [&Strings; N],
    out: &mut [Extended<W>; N],
) -> [u8; N] {
    let one = Fe::one();
    let zero = W::splat(0);
    let mut canonical = [zero; N];
    let mut s = [Fe::zero(); N];
    let mut u1 = s;
    let mut u2 = s;
    let mut v = s;
    let mut w = s;
    for n in 0..N {
        let words = load_words::<W>(strings[n]);
        s[n] = Fe::from_words(&words);
        // Canonical (bit 255 included, which `to_words` never sets) and nonnegative.
        let [c0, c1, c2, c3] = s[n].to_words();
        let [w0, w1, w2, w3] = words;
        let difference = c0.xor(w0).or(c1.xor(w1)).or(c2.xor(w2)).or(c3.xor(w3));
        canonical[n] = difference.or(w0.and(W::splat(1))).equal_mask(zero);

        let ss = s[n].square();
        u1[n] = one.sub(&ss);
        u2[n] = one.add(&ss);
        let u2_squared = u2[n].square();
        v[n] = u1[n].square().mul(&Fe::splat(MINUS_D)).sub(&u2_squared);
        w[n] = v[n].mul(&u2_squared);
    }
    let roots = inverse_sqrt(&w);
    let mut bits = [0; N];
    for n in 0..N {
        let (is_square, root) = roots[n];
        let dx = root.mul(&u2[n]);
        let dy = root.mul(&dx).mul(&v[n]);
        let x = s[n].add(&s[n]).mul(&dx).abs();
        let y = u1[n].mul(&dy);
        let t = x.mul(&y);
        let bad = t.is_negative().or(y.is_zero());
        let valid = canonical[n].and(is_square).and(bad.not());
        let identity = Extended::identity();
        out[n] = Extended {
            x: Fe::select(valid, &x, &identity.x),
            y: Fe::select(valid, &y, &identity.y),
            z: one,
            t: Fe::select(valid, &t, &identity.t),
        };
        bits[n] = valid.lane_bits();
    }
    bits
}
