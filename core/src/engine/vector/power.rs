//! Powers: inversion and inverse square roots, by the usual addition chain for 2^250 − 1.
//!
//! A chain of squarings is bound by latency, so each function works on `N` groups at a time and
//! leaves the interleaving to the processor: two groups fill its multiplier, more only spill.

use super::constants::SQRT_M1;
use super::field::Fe;
use super::word::Word;

/// `x^(2^count)`.
#[inline(always)]
fn square_times<W: Word, const N: usize>(mut x: [Fe<W>; N], count: u32) -> [Fe<W>; N] {
    for _ in 0..count {
        for x in &mut x {
            W::square_assign(x);
        }
    }
    x
}

/// The products of two arrays.
#[inline(always)]
pub(crate) fn mul_each<W: Word, const N: usize>(a: &[Fe<W>; N], b: &[Fe<W>; N]) -> [Fe<W>; N] {
    let mut out = *a;
    for (x, y) in out.iter_mut().zip(b) {
        *x = x.mul(y);
    }
    out
}

/// (x^(2^250 − 1), x^11).
#[inline(always)]
fn power_250<W: Word, const N: usize>(x: &[Fe<W>; N]) -> ([Fe<W>; N], [Fe<W>; N]) {
    let x2 = square_times(*x, 1);
    let x9 = mul_each(&square_times(x2, 2), x);
    let x11 = mul_each(&x9, &x2);
    let e5 = mul_each(&square_times(x11, 1), &x9);
    let e10 = mul_each(&square_times(e5, 5), &e5);
    let e20 = mul_each(&square_times(e10, 10), &e10);
    let e40 = mul_each(&square_times(e20, 20), &e20);
    let e50 = mul_each(&square_times(e40, 10), &e10);
    let e100 = mul_each(&square_times(e50, 50), &e50);
    let e200 = mul_each(&square_times(e100, 100), &e100);
    let e250 = mul_each(&square_times(e200, 50), &e50);
    (e250, x11)
}

/// 1/x = x^(p − 2), and 0 for 0.
#[inline(always)]
pub(crate) fn invert<W: Word>(x: &Fe<W>) -> Fe<W> {
    let (e250, x11) = power_250(&[*x]);
    let [inverse] = mul_each(&square_times(e250, 5), &x11);
    inverse
}

/// x^((p − 5)/8) = x^(2^252 − 3).
#[inline(always)]
fn power_p58<W: Word, const N: usize>(x: &[Fe<W>; N]) -> [Fe<W>; N] {
    let (e250, _) = power_250(x);
    mul_each(&square_times(e250, 2), x)
}

/// The nonnegative √(u/v), as `sqrt_ratio_i` in RFC 9496 section 4.2: the mask of the lanes in
/// which u/v is a square, and the root of u/v there, of √−1·u/v in the other lanes. For u = 0 the
/// result is (set, 0), for v = 0 and u ≠ 0 it is (clear, 0).
#[inline(always)]
pub(crate) fn sqrt_ratio<W: Word, const N: usize>(
    u: &[Fe<W>; N],
    v: &[Fe<W>; N],
) -> [(W, Fe<W>); N] {
    let mut v3 = *v;
    let mut uv7 = *u;
    for ((v3, uv7), v) in v3.iter_mut().zip(&mut uv7).zip(v) {
        *v3 = v.square().mul(v);
        *uv7 = v3.square().mul(v).mul(uv7);
    }
    let mut root = power_p58(&uv7);
    let i = Fe::splat(SQRT_M1);
    let mut out = [(W::splat(0), Fe::zero()); N];
    for n in 0..N {
        let (u, v) = (&u[n], &v[n]);
        root[n] = root[n].mul(&u.mul(&v3[n]));
        let check = root[n].square().mul(v);
        let minus_u = u.neg();
        let correct = check.equals(u);
        let flipped = check.equals(&minus_u);
        let flipped_i = check.equals(&minus_u.mul(&i));
        let rotated = root[n].mul(&i);
        let chosen = Fe::select(flipped.or(flipped_i), &rotated, &root[n]);
        out[n] = (correct.or(flipped), chosen.abs());
    }
    out
}

/// The nonnegative 1/√w, or 1/√(w/√−1) where w is not a square; (clear, 0) for w = 0.
#[inline(always)]
pub(crate) fn inverse_sqrt<W: Word, const N: usize>(w: &[Fe<W>; N]) -> [(W, Fe<W>); N] {
    sqrt_ratio(&[Fe::one(); N], w)
}
