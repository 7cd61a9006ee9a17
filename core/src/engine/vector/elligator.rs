//! The one-way map of RFC 9496 section 4.3.4: 64 uniform bytes to a group element.
//!
//! The input is secret on a client. Nothing here branches or takes an address from it.

use super::constants::{D, D_MINUS_ONE_SQ, ONE_MINUS_D_SQ, SQRT_AD_MINUS_ONE, SQRT_M1};
use super::decode::load_words;
use super::field::Fe;
use super::point::{Completed, Extended};
use super::power::sqrt_ratio;
use super::word::{LANES, Word};

/// The uniform strings of one group.
pub(crate) type UniformStrings = [[u8; 64]; LANES];

/// Maps each string of a group to the sum of the points of its two halves.
#[inline(always)]
pub(crate) fn map_to_group<W: Word>(uniform: &UniformStrings, out: &mut Extended<W>) {
    let mut halves = [[[0u8; 32]; LANES]; 2];
    for (lane, string) in uniform.iter().enumerate() {
        let (parts, _) = string.as_chunks::<32>();
        for (half, part) in halves.iter_mut().zip(parts) {
            half[lane] = *part;
        }
    }
    let [a, b] = map_each([&load_words(&halves[0]), &load_words(&halves[1])]);
    *out = a.add(&b.cached()).extended();
}

/// Elligator on two groups of field elements; bit 255 of each is ignored.
#[inline(always)]
fn map_each<W: Word>(words: [&[W; 4]; 2]) -> [Extended<W>; 2] {
    let one = Fe::one();
    let minus_one = one.neg();
    let d = Fe::splat(D);
    let mut r0 = [Fe::zero(); 2];
    let mut r = r0;
    let mut numerator = r0;
    let mut denominator = r0;
    for n in 0..2 {
        r0[n] = Fe::from_words(words[n]);
        r[n] = r0[n].square().mul(&Fe::splat(SQRT_M1));
        numerator[n] = r[n].add(&one).mul(&Fe::splat(ONE_MINUS_D_SQ));
        denominator[n] = minus_one.sub(&r[n].mul(&d)).mul(&r[n].add(&d));
    }
    let roots = sqrt_ratio(&numerator, &denominator);
    let mut out = [Extended::identity(); 2];
    for n in 0..2 {
        let (is_square, root) = &roots[n];
        // −|root·r0|.
        let other = root.mul(&r0[n]).abs().neg();
        let s = Fe::select(*is_square, root, &other);
        let c = Fe::select(*is_square, &minus_one, &r[n]);
        let n_t = c.mul(&r[n].sub(&one)).mul(&Fe::splat(D_MINUS_ONE_SQ)).sub(&denominator[n]);
        let ss = s.square();
        out[n] = Completed {
            e: s.add(&s).mul(&denominator[n]),
            f: one.add(&ss),
            g: n_t.mul(&Fe::splat(SQRT_AD_MINUS_ONE)),
            h: one.sub(&ss),
        }
        .extended();
    }
    out
}
