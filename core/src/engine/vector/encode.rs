//! Encoding to ristretto255 (RFC 9496 section 4.3.2), in two forms.
//!
//! * [`encode_double`]: the encodings of *twice* the points. No square root is needed, only one
//!   inversion, which Montgomery's trick shares over a block. A caller who wants k·P multiplies
//!   by k/2 first.
//! * [`encode`]: the encodings of the points themselves, one inverse square root per group.

use super::constants::{D, INVSQRT_A_MINUS_D, SQRT_M1};
use super::decode::{Strings, store_words};
use super::field::Fe;
use super::point::Extended;
use super::power::{inverse_sqrt, invert};
use super::word::Word;
use zeroize::Zeroize;

/// What [`encode_double`] keeps of a point P: twice P is (E·F : G·H : F·G : E·H), up to sign.
#[derive(Clone, Copy)]
pub(crate) struct Doubled<W> {
    e: Fe<W>,
    f: Fe<W>,
    g: Fe<W>,
    h: Fe<W>,
    eg: Fe<W>,
    fh: Fe<W>,
    /// EG·FH, or 1 where that is 0.
    product: Fe<W>,
    /// The product of `product` over all earlier groups of the block.
    before: Fe<W>,
}

impl<W: Word> Zeroize for Doubled<W> {
    fn zeroize(&mut self) {
        let Self { e, f, g, h, eg, fh, product, before } = self;
        for value in [e, f, g, h, eg, fh, product, before] {
            value.zeroize();
        }
    }
}

impl<W: Word> Doubled<W> {
    /// A place holder.
    #[inline(always)]
    pub(crate) fn zero() -> Self {
        let zero = Fe::zero();
        let (e, f, g, h, eg, fh) = (zero, zero, zero, zero, zero, zero);
        Self { e, f, g, h, eg, fh, product: zero, before: zero }
    }

    /// Starts the encoding of 2P.
    #[inline(always)]
    pub(crate) fn new(p: &Extended<W>) -> Self {
        let xx = p.x.square_cols::<0>();
        let yy = p.y.square_cols::<0>();
        let zz = p.z.square_cols::<9>();
        let dtt = p.t.square().mul_cols::<0>(&Fe::splat(D));
        let e = p.x.add(&p.x).mul(&p.y);
        let f = zz.add(&dtt).carry();
        let g = yy.add(&xx).carry();
        let h = zz.sub(&dtt).carry();
        let eg = e.mul(&g);
        let fh = f.mul(&h);
        let product = eg.mul(&fh);
        // The product is 0 exactly where 2P encodes to zero. There 1 takes its place, lest it
        // spoil the shared inversion, and FH = 0 makes 1/T and with it the encoding zero.
        let is_zero = product.is_zero();
        let fh = Fe::select(is_zero, &Fe::zero(), &fh);
        let product = Fe::select(is_zero, &Fe::one(), &product);
        Self { e, f, g, h, eg, fh, product, before: Fe::one() }
    }

    /// The encoding of 2P, given the inverse of `product`.
    #[inline(always)]
    fn finish(&self, inverse: &Fe<W>) -> Strings {
        let z_inverse = self.eg.mul(inverse);
        let t_inverse = self.fh.mul(inverse);
        let i = Fe::splat(SQRT_M1);
        let rotate = self.eg.mul(&z_inverse).is_negative();
        let e = Fe::select(rotate, &self.g, &self.e);
        let g = Fe::select(rotate, &self.e.neg(), &self.g);
        let h = Fe::select(rotate, &self.f.mul(&i), &self.h);
        let magic = Fe::select(rotate, &i, &Fe::splat(INVSQRT_A_MINUS_D));
        let g = g.negate_if(h.mul(&e).mul(&z_inverse).is_negative());
        let s = h.sub(&g).mul(&magic.mul(&g.mul(&t_inverse))).abs();
        store_words(s.to_words())
    }
}

/// The encodings of twice the points, group by group. `work` and `out` must be as long as
/// `points`.
#[inline(always)]
pub(crate) fn encode_double<W: Word>(
    points: &[Extended<W>],
    work: &mut [Doubled<W>],
    out: &mut [Strings],
) {
    let mut running = Fe::one();
    for (group, point) in work.iter_mut().zip(points) {
        *group = Doubled::new(point);
        group.before = running;
        running = running.mul(&group.product);
    }
    // From the last group to the first, `inverse` is that of the product of all groups up to
    // the current one.
    let mut inverse = invert(&running);
    for (group, out) in work.iter().zip(out).rev() {
        *out = group.finish(&inverse.mul(&group.before));
        inverse = inverse.mul(&group.product);
    }
}

/// The encodings of `N` groups of points.
#[inline(always)]
pub(crate) fn encode<W: Word, const N: usize>(points: [&Extended<W>; N], out: &mut [Strings; N]) {
    let i = Fe::splat(SQRT_M1);
    let mut u1 = [Fe::zero(); N];
    let mut u2 = u1;
    let mut w = u1;
    for n in 0..N {
        let p = points[n];
        u1[n] = p.z.add(&p.y).mul(&p.z.sub(&p.y));
        u2[n] = p.x.mul(&p.y);
        w[n] = u1[n].mul(&u2[n].square());
    }
    let roots = inverse_sqrt(&w);
    for n in 0..N {
        let (p, (_, root)) = (points[n], &roots[n]);
        let d1 = root.mul(&u1[n]);
        let d2 = root.mul(&u2[n]);
        let z_inverse = d1.mul(&d2).mul(&p.t);
        let rotate = p.t.mul(&z_inverse).is_negative();
        let x = Fe::select(rotate, &p.y.mul(&i), &p.x);
        let y = Fe::select(rotate, &p.x.mul(&i), &p.y);
        let denominator = Fe::select(rotate, &d1.mul(&Fe::splat(INVSQRT_A_MINUS_D)), &d2);
        let y = y.negate_if(x.mul(&z_inverse).is_negative());
        let s = p.z.sub(&y).mul(&denominator).abs();
        out[n] = store_words(s.to_words());
    }
}
