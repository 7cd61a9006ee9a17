//! The proof of the bounds that `field` documents: all the arithmetic over intervals.
//!
//! Every test feeds a piece of the generic code with *all* inputs the invariant allows. The
//! interval word fails on truncation, overflow, borrow, and on a result outside the invariant.

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
fn any() -> Fe<Interval> {
    Fe([Interval::LIMB; 5])
}

fn any_extended() -> Extended<Interval> {
    Extended { x: any(), y: any(), z: any(), t: any() }
}

fn any_cached() -> Cached<Interval> {
    Cached { plus: any(), minus: any(), z2: any(), t2d: any() }
}

fn any_affine() -> AffineCached<Interval> {
    AffineCached { plus: any(), minus: any(), t2d: any() }
}

fn any_mask() -> Interval {
    Interval { low: 0, high: u64::MAX }
}

#[test]
fn products_have_the_documented_columns() {
    for product in [|| any().mul(&any()), || any().square()] {
        take_seen();
        let _ = product();
        let columns = take_seen().columns;
        for (column, documented) in columns.into_iter().zip([124.5, 97.5, 70.5, 43.5, 16.5]) {
            assert!((column as f64 / UNIT - documented).abs() < 1e-4);
        }
    }
}

#[test]
fn field_operations_restore_the_invariant() {
    let (a, b) = (any(), any());
    take_seen();
    let _ = (a.add(&b), a.sub(&b), a.neg());
    assert!(take_seen().limb <= (1 << 51) + 56);
    let _ = (a.mul(&b), a.square(), a.freeze(), a.to_words(), a.is_zero(), a.equals(&b));
    let _ = (a.abs(), a.negate_if(any_mask()), Fe::select(any_mask(), &a, &b));
    let _ = Fe::from_words(&[any_mask(); 4]);
    let _ = (invert(&a), sqrt_ratio(&[a], &[b]));
}

#[test]
fn freezing_leaves_limbs_of_51_bits() {
    for limb in any().freeze().0 {
        assert!(limb.high < 1 << 51);
    }
}

#[test]
fn doubling_has_the_documented_maxima() {
    take_seen();
    let completed = Projective { x: any(), y: any(), z: any() }.double();
    let seen = take_seen();
    let column = seen.columns.into_iter().max().unwrap();
    assert!((column as f64 / UNIT - 629.5).abs() < 0.1, "{}", column as f64 / UNIT);
    assert_eq!(seen.limb, (1 << 51) + 11_608);
    let _ = (completed.projective(), completed.extended());
}

#[test]
fn additions_stay_within_bounds() {
    let p = any_extended();
    let _ = p.add(&any_cached()).extended();
    let _ = p.add_or_subtract(&any_cached(), any_mask()).projective();
    let _ = p.add_or_subtract_affine(&any_affine(), any_mask()).extended();
    let _ = Completed { e: any(), f: any(), g: any(), h: any() }.extended();
    let _ = (p.cached(), any_cached().projective());
}

#[test]
fn decoding_and_encoding_stay_within_bounds() {
    let mut points = [Extended::<Interval>::identity(); 2];
    decode::decode([&ANY_STRINGS; 2], &mut points);
    let mut strings = [[[0; 32]; LANES]; 2];
    encode::encode([&any_extended(); 2], &mut strings);
    let mut work = [Doubled::zero(); 2];
    encode::encode_double(&[any_extended(); 2], &mut work, &mut strings);
}

#[test]
fn ladders_stay_within_bounds_for_every_point_and_scalar() {
    let mut out = any_extended();
    let mut table = Table::identity();
    ladder_shared(&mut table, &SharedDigits::new(&[0; 32]), &any_extended(), &mut out);
    ladder_lanes(&mut LaneWork::new(), &ANY_STRINGS, &any_extended(), &mut out);
    let mut work = [PublicWork::new(), PublicWork::new()];
    straus::add_combination(&mut work, &[ANY_STRINGS; 2], &[any_extended(); 2], &mut out);
    straus::sum_lanes(&mut out);
}

#[test]
fn fixed_base_stays_within_bounds_for_every_point_and_scalar() {
    let mut multiples = [[any_affine(); MULTIPLES]; 7];
    fixed::odd_multiples(&any_extended(), &mut multiples[0]);
    multiples[0] = [any_affine(); MULTIPLES];
    let table = FixedTable::new(&multiples);
    for subtract in [false, true] {
        fixed::add_multiple(&table, &ANY_STRINGS, subtract, &mut any_extended());
    }
}

#[test]
fn hashing_to_the_group_stays_within_bounds() {
    let mut uniform = [[0; 64]; LANES];
    uniform[1] = [255; 64];
    elligator::map_to_group(&uniform, &mut any_extended());
}

#[test]
#[should_panic(expected = "truncated operand")]
fn the_proof_notices_an_uncarried_operand() {
    let wide = Fe([Interval { low: 0, high: 1 << 52 }; 5]);
    let _ = wide.mul(&any());
}

#[test]
#[should_panic(expected = "a lane borrows")]
fn the_proof_notices_a_missing_bias() {
    let _ = any().mul_cols::<0>(&any()).sub(&any().mul_cols::<0>(&any())).carry();
}

#[test]
#[should_panic(expected = "not a bit")]
fn the_proof_notices_a_wide_mask() {
    let _ = Interval { low: 0, high: 2 }.bit_mask();
}
