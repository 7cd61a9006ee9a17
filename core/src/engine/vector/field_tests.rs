//! The field layer against a big-integer crate, at extreme limbs, for any word type.

use super::constants::*;
use super::emulated::Emulated;
use super::field::Fe;
use super::power::{invert, sqrt_ratio};
use super::word::{LANES, Word};
use num_bigint::BigUint;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

fn big(value: u64) -> BigUint {
    BigUint::from(value)
}

fn p() -> BigUint {
    (big(1) << 255u32) - big(19)
}

fn value(limbs: [u64; 5]) -> BigUint {
    limbs.iter().rev().fold(big(0), |sum, limb| (sum << 51u32) + big(*limb))
}

fn power(base: &BigUint, exponent: &BigUint) -> BigUint {
    base.modpow(exponent, &p())
}

fn inverse(x: &BigUint) -> BigUint {
    power(x, &(p() - big(2)))
}

/// A limb of a carried element: often extreme, sometimes random.
fn limb(rng: &mut ChaCha20Rng) -> u64 {
    const EXTREME: [u64; 7] = [
        0,
        1,
        (1 << 51) - 19,
        (1 << 51) - 1,
        1 << 51,
        (1 << 51) + (1 << 16) - 2,
        (1 << 51) + (1 << 16) - 1,
    ];
    match rng.next_u32() % 10 {
        index @ 0..=6 => EXTREME[index as usize],
        _ => rng.next_u64() % ((1 << 51) + (1 << 16)),
    }
}

/// Eight elements, and the same as integers.
fn elements<W: Word>(rng: &mut ChaCha20Rng) -> (Fe<W>, [BigUint; LANES]) {
    let lanes: [[u64; 5]; LANES] = core::array::from_fn(|_| core::array::from_fn(|_| limb(rng)));
    let words = core::array::from_fn(|i| W::from_lanes(lanes.map(|lane| lane[i])));
    (Fe(words), lanes.map(value))
}

/// Fails unless `fe` is carried and congruent to `expected` in every lane.
#[track_caller]
fn check<W: Word>(fe: &Fe<W>, expected: impl Fn(usize) -> BigUint) {
    let limbs = fe.0.map(Word::to_lanes);
    for lane in 0..LANES {
        let limbs = limbs.map(|limb| limb[lane]);
        assert!(limbs.iter().all(|limb| *limb < (1 << 51) + (1 << 16)), "{limbs:?}");
        assert_eq!(value(limbs) % p(), expected(lane) % p(), "lane {lane}");
    }
}

#[track_caller]
fn check_mask<W: Word>(mask: W, expected: impl Fn(usize) -> bool) {
    for (lane, mask) in mask.to_lanes().into_iter().enumerate() {
        assert_eq!(mask, if expected(lane) { u64::MAX } else { 0 }, "lane {lane}");
    }
}

/// Compares every operation on `rounds` × 8 pairs of elements.
pub(crate) fn check_field<W: Word>(rounds: usize) {
    let mut rng = ChaCha20Rng::seed_from_u64(0x6669656c64);
    let root = value(SQRT_M1);
    for round in 0..rounds {
        let (a, x) = elements::<W>(&mut rng);
        let (b, y) = elements::<W>(&mut rng);
        let (c, z) = elements::<W>(&mut rng);

        check(&a.add(&b), |i| &x[i] + &y[i]);
        check(&a.sub(&b), |i| &x[i] + big(2) * p() - &y[i]);
        check(&a.neg(), |i| big(2) * p() - &x[i]);
        check(&a.mul(&b), |i| &x[i] * &y[i]);
        check(&a.square(), |i| &x[i] * &x[i]);
        check(&a.mul_cols::<9>(&b).sub(&c.square_cols::<0>()).carry(), |i| {
            &x[i] * &y[i] + (p() << 260u32) - &z[i] * &z[i]
        });
        check(&a.square_cols::<10>().sub(&b.mul_cols::<9>(&c)).carry(), |i| {
            &x[i] * &x[i] + (p() << 260u32) - &y[i] * &z[i]
        });
        check(&a.square_cols::<9>().double().sub(&b.square_cols::<0>()).carry(), |i| {
            big(2) * &x[i] * &x[i] + (p() << 260u32) - &y[i] * &y[i]
        });

        let frozen = a.freeze();
        for (lane, x) in x.iter().enumerate() {
            assert_eq!(value(frozen.0.map(|limb| limb.to_lanes()[lane])), x % p());
        }
        let words = a.to_words();
        check(&Fe::from_words(&words), |i| x[i].clone());
        check_mask(a.is_negative(), |i| (&x[i] % p()).bit(0));
        check_mask(a.is_zero(), |i| &x[i] % p() == big(0));
        check_mask(a.equals(&b), |i| &x[i] % p() == &y[i] % p());
        check_mask(a.equals(&a.sub(&b).add(&b)), |_| true);
        check(&a.abs(), |i| match (&x[i] % p()).bit(0) {
            true => big(2) * p() - &x[i],
            false => x[i].clone(),
        });

        // Powers are slow in the reference.
        if round % 16 == 0 {
            check(&invert(&a), |i| inverse(&x[i]));
            let [(is_square, r)] = sqrt_ratio(&[a], &[b]);
            let is_residue = |v: &BigUint| power(v, &((p() - big(1)) >> 1u32)) != p() - big(1);
            let ratio = |i: usize| &x[i] % p() * inverse(&y[i]) % p();
            check_mask(is_square, |i| {
                let zero_numerator = &x[i] % p() == big(0);
                zero_numerator || (&y[i] % p() != big(0) && is_residue(&ratio(i)))
            });
            check(&r.square(), |i| match is_residue(&ratio(i)) {
                true => ratio(i),
                false => ratio(i) * &root,
            });
            check_mask(r.is_negative(), |_| false);
        }
    }
}

#[test]
fn emulated_field_agrees_with_big_integers() {
    check_field::<Emulated<false>>(4_000);
    check_field::<Emulated<true>>(4_000);
}

#[test]
fn values_around_multiples_of_p_freeze() {
    for offset in 0..40u64 {
        // Unreduced forms of −20..20 mod p, the upper ones with every limb at its largest.
        let low = ((1 << 51) - 40 + offset, [(1 << 51) - 1; 4]);
        let limbs = [low.0, low.1[0], low.1[1], low.1[2], low.1[3]];
        let frozen = Fe::<Emulated<false>>::splat(limbs).freeze().0.map(|limb| limb.to_lanes()[0]);
        assert_eq!(value(frozen), value(limbs) % p());
    }
}

#[test]
fn constants_follow_from_the_integers_of_the_rfc() {
    let p = p();
    let d = (&p - big(121_665)) * inverse(&big(121_666)) % &p;
    let minus_one = &p - big(1);
    let a_minus_d = &minus_one + &p - &d;
    let ad_minus_one = &minus_one * &d + &minus_one;
    assert_eq!(value(D), d);
    assert_eq!(value(MINUS_D), &p - &d);
    assert_eq!(value(D2), big(2) * &d % &p);
    assert_eq!(value(ONE_MINUS_D_SQ), (big(1) + &p * &p - &d * &d) % &p);
    assert_eq!(value(D_MINUS_ONE_SQ), (&d - big(1)) * (&d - big(1)) % &p);
    assert_eq!(value(SQRT_M1) * value(SQRT_M1) % &p, minus_one);
    assert!(!value(SQRT_M1).bit(0));
    let inverse_root = value(INVSQRT_A_MINUS_D);
    assert_eq!(&inverse_root * &inverse_root * a_minus_d % &p, big(1));
    assert!(!inverse_root.bit(0));
    assert_eq!(value(SQRT_AD_MINUS_ONE) * value(SQRT_AD_MINUS_ONE) % &p, ad_minus_one % &p);
    let printed = "25063068953384623474111414158702152701244531502492656460079210482610430750235";
    assert_eq!(value(SQRT_AD_MINUS_ONE).to_string(), printed);
    for constant in [D, MINUS_D, D2, SQRT_M1, INVSQRT_A_MINUS_D, SQRT_AD_MINUS_ONE] {
        assert!(constant.iter().all(|limb| *limb < 1 << 51));
    }
}
