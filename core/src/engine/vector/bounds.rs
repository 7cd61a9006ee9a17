//! The proof of the bounds that `field` documents: all the arithmetic over intervals.
//!
//! Every test feeds a piece of the generic code with *all* inputs the invariant allows. The
//! interval word fails on truncation, overflow, borrow, and on a result outside the invariant.
//! Each runs with the products of `madd52` and with those of `fma`.

use super::decode;
use super::digits::SharedDigits;
use super::elligator;
use super::encode::{self, Doubled};
use super::field::Fe;
use super::fixed::{self, FixedTable, MULTIPLES};
use super::interval::{Interval, take_seen};
use super::ladder::{LaneWork, Table, ladder_lanes, ladder_shared};
use super::point::{AffineCached, Cached, Completed, Extended, Projective};
use super::power::{invert, sqrt_ratio};
use super::straus::{self, PublicWork};
use super::word::{LANES, Word};

/// 2^52, the unit of the documented bounds.
const UNIT: f64 = (1u64 << 52) as f64;
/// Half of the strings of a group are all zeros, half all ones: as intervals, any string.
const ANY_STRINGS: [[u8; 32]; LANES] =
    [[0; 32], [255; 32], [0; 32], [255; 32], [0; 32], [255; 32], [0; 32], [255; 32]];

/// Any carried field element.
fn any<const FMA: bool>() -> Fe<Interval<FMA>> {
    Fe([Interval::LIMB; 5])
}

fn any_extended<const FMA: bool>() -> Extended<Interval<FMA>> {
    Extended { x: any(), y: any(), z: any(), t: any() }
}

fn any_cached<const FMA: bool>() -> Cached<Interval<FMA>> {
    Cached { plus: any(), minus: any(), z2: any(), t2d: any() }
}

fn any_affine<const FMA: bool>() -> AffineCached<Interval<FMA>> {
    AffineCached { plus: any(), minus: any(), t2d: any() }
}

fn any_mask<const FMA: bool>() -> Interval<FMA> {
    Interval { low: 0, high: u64::MAX }
}

/// Runs each of the functions for both multipliers.
macro_rules! with_either_multiplier {
    ($($name:ident),* $(,)?) => {
        mod madd52 {
            $(#[test] fn $name() { super::$name::<false>(); })*
        }
        mod fma {
            $(#[test] fn $name() { super::$name::<true>(); })*
        }
    };
}

with_either_multiplier!(
    field_operations_restore_the_invariant,
    freezing_leaves_limbs_of_51_bits,
    additions_stay_within_bounds,
    decoding_and_encoding_stay_within_bounds,
    ladders_stay_within_bounds_for_every_point_and_scalar,
    fixed_base_stays_within_bounds_for_every_point_and_scalar,
    hashing_to_the_group_stays_within_bounds,
);

/// Fails unless products and squares have columns up to these, in units of 2^52.
#[track_caller]
fn check_columns<const FMA: bool>(documented: [f64; 5]) {
    for product in [|| any::<FMA>().mul(&any()), || any::<FMA>().square()] {
        take_seen();
        let _ = product();
        let columns = take_seen().columns;
        for (column, documented) in columns.into_iter().zip(documented) {
            assert!((column as f64 / UNIT - documented).abs() < 1e-4, "{}", column as f64 / UNIT);
        }
    }
}

#[test]
fn products_have_the_documented_columns() {
    check_columns::<false>([124.5, 97.5, 70.5, 43.5, 16.5]);
    check_columns::<true>([125.0, 107.0, 89.0, 71.0, 53.0]);
}

fn field_operations_restore_the_invariant<const FMA: bool>() {
    let (a, b) = (any::<FMA>(), any());
    take_seen();
    let _ = (a.add(&b), a.sub(&b), a.neg());
    assert!(take_seen().limb <= (1 << 51) + 56);
    let _ = (a.mul(&b), a.square(), a.freeze(), a.to_words(), a.is_zero(), a.equals(&b));
    let _ = (a.abs(), a.negate_if(any_mask()), Fe::select(any_mask(), &a, &b));
    let _ = Fe::from_words(&[any_mask::<FMA>(); 4]);
    let _ = (invert(&a), sqrt_ratio(&[a], &[b]));
}

fn freezing_leaves_limbs_of_51_bits<const FMA: bool>() {
    for limb in any::<FMA>().freeze().0 {
        assert!(limb.high < 1 << 51);
    }
}

/// Fails unless a doubling has these maxima: a column, in units of 2^52, and a limb.
#[track_caller]
fn check_doubling<const FMA: bool>(column_units: f64, limb: u64) {
    take_seen();
    let doubled = Projective { x: any::<FMA>(), y: any(), z: any() }.double();
    let seen = take_seen();
    let column = seen.columns.into_iter().max().unwrap() as f64 / UNIT;
    assert!((column - column_units).abs() < 0.1, "{column}");
    assert_eq!(seen.limb, limb);
    let _ = (doubled.projective(), doubled.extended());
}

#[test]
fn doubling_has_the_documented_maxima() {
    check_doubling::<false>(629.5, (1 << 51) + 11_608);
    check_doubling::<true>(630.5, (1 << 51) + 14_382);
}

fn additions_stay_within_bounds<const FMA: bool>() {
    let p = any_extended::<FMA>();
    let _ = p.add(&any_cached()).extended();
    let _ = p.add_or_subtract(&any_cached(), any_mask()).projective();
    let _ = p.add_or_subtract_affine(&any_affine(), any_mask()).extended();
    let _ = Completed { e: any::<FMA>(), f: any(), g: any(), h: any() }.extended();
    let _ = (p.cached(), any_cached::<FMA>().projective());
}

fn decoding_and_encoding_stay_within_bounds<const FMA: bool>() {
    let mut points = [Extended::<Interval<FMA>>::identity(); 2];
    decode::decode([&ANY_STRINGS; 2], &mut points);
    let mut strings = [[[0; 32]; LANES]; 2];
    encode::encode([&any_extended::<FMA>(); 2], &mut strings);
    let mut work = [Doubled::zero(); 2];
    encode::encode_double(&[any_extended::<FMA>(); 2], &mut work, &mut strings);
}

fn ladders_stay_within_bounds_for_every_point_and_scalar<const FMA: bool>() {
    let mut out = any_extended::<FMA>();
    let mut table = Table::identity();
    ladder_shared(&mut table, &SharedDigits::new(&[0; 32]), &any_extended(), &mut out);
    ladder_lanes(&mut LaneWork::new(), &ANY_STRINGS, &any_extended(), &mut out);
    let mut work = [PublicWork::new(), PublicWork::new()];
    straus::add_combination(&mut work, &[ANY_STRINGS; 2], &[any_extended(); 2], &mut out);
    straus::sum_lanes(&mut out);
}

fn fixed_base_stays_within_bounds_for_every_point_and_scalar<const FMA: bool>() {
    let mut multiples = [[any_affine::<FMA>(); MULTIPLES]; 7];
    fixed::odd_multiples(&any_extended(), &mut multiples[0]);
    multiples[0] = [any_affine(); MULTIPLES];
    let table = FixedTable::new(&multiples);
    for subtract in [false, true] {
        fixed::add_multiple(&table, &ANY_STRINGS, subtract, &mut any_extended());
    }
}

fn hashing_to_the_group_stays_within_bounds<const FMA: bool>() {
    let mut uniform = [[0; 64]; LANES];
    uniform[1] = [255; 64];
    elligator::map_to_group(&uniform, &mut any_extended::<FMA>());
}

fn multiply_uncarried<const FMA: bool>() {
    let wide = Fe([Interval::<FMA> { low: 0, high: 1 << 52 }; 5]);
    let _ = wide.mul(&any());
}

#[test]
#[should_panic(expected = "truncated operand")]
fn the_proof_notices_an_uncarried_operand() {
    multiply_uncarried::<false>();
}

#[test]
#[should_panic(expected = "truncated operand")]
fn the_proof_notices_an_uncarried_operand_of_fma() {
    multiply_uncarried::<true>();
}

#[test]
#[should_panic(expected = "has another exponent")]
fn the_proof_notices_a_product_that_is_not_split() {
    // Below 2^52, so that it is converted exactly.
    let wide = Fe([Interval::<true> { low: 0, high: (1 << 52) - 1 }; 5]);
    let _ = wide.mul(&any());
}

fn subtract_without_bias<const FMA: bool>() {
    let product = || any::<FMA>().mul_cols::<0>(&any());
    let _ = product().sub(&product()).carry();
}

#[test]
#[should_panic(expected = "a lane borrows")]
fn the_proof_notices_a_missing_bias() {
    subtract_without_bias::<false>();
}

#[test]
#[should_panic(expected = "a lane borrows")]
fn the_proof_notices_a_missing_bias_of_fma() {
    subtract_without_bias::<true>();
}

#[test]
#[should_panic(expected = "not a bit")]
fn the_proof_notices_a_wide_mask() {
    let _ = Interval::<false> { low: 0, high: 2 }.bit_mask();
}
