//! The portable back end: curve25519-dalek in its best batch forms.
//!
//! Encoding many points shares one inversion if the points are doubled on the way, so a product
//! k·P is computed as (k/2)·P and encoded with `double_and_compress_batch`.

#![allow(clippy::op_ref, reason = "a copy of a secret operand would not be wiped")]

use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoBasepointTable, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use curve25519_dalek::traits::{Identity, VartimeMultiscalarMul};
use zeroize::Zeroizing;

/// Decodes a batch, or returns the index of the first invalid encoding.
pub(crate) fn decode(encodings: &[[u8; 32]]) -> Result<Vec<RistrettoPoint>, usize> {
    encodings
        .iter()
        .enumerate()
        .map(|(index, bytes)| CompressedRistretto(*bytes).decompress().ok_or(index))
        .collect()
}

/// The points of uniform strings.
pub(crate) fn map_to_group(uniform: &[[u8; 64]]) -> Vec<RistrettoPoint> {
    uniform.iter().map(RistrettoPoint::from_uniform_bytes).collect()
}

/// The encodings of the points.
pub(crate) fn encode(points: &[RistrettoPoint]) -> Vec<[u8; 32]> {
    points.iter().map(|point| point.compress().0).collect()
}

/// The encodings of the points times k.
pub(crate) fn evaluate(k: &Scalar, points: &[RistrettoPoint]) -> Vec<[u8; 32]> {
    let half = Zeroizing::new(k.div_by_2());
    encode_doubles(points.iter().map(|point| point * &*half).collect())
}

/// The encodings of each point times its own scalar.
pub(crate) fn multiply_each(scalars: &[Scalar], points: &[RistrettoPoint]) -> Vec<[u8; 32]> {
    let multiply = |(scalar, point): (&Scalar, &RistrettoPoint)| {
        let half = Zeroizing::new(scalar.div_by_2());
        point * &*half
    };
    encode_doubles(scalars.iter().zip(points).map(multiply).collect())
}

/// The points at some positions.
pub(crate) fn select(points: &[RistrettoPoint], positions: &[usize]) -> Vec<RistrettoPoint> {
    let at = |&position: &usize| *points.get(position).expect("the caller names its own points");
    positions.iter().map(at).collect()
}

/// The encodings of twice the points, which are wiped.
fn encode_doubles(points: Vec<RistrettoPoint>) -> Vec<[u8; 32]> {
    encode_doubled(&Zeroizing::new(points))
}

/// The encodings of twice the points.
pub(crate) fn encode_doubled(points: &[RistrettoPoint]) -> Vec<[u8; 32]> {
    let doubled = RistrettoPoint::double_and_compress_batch(points.iter());
    doubled.into_iter().map(|encoding| encoding.0).collect()
}

/// The encodings of P_i + s_i·B, or of P_i − s_i·B.
pub(crate) fn add_fixed(
    points: &[RistrettoPoint],
    scalars: &[Scalar],
    table: &RistrettoBasepointTable,
    subtract: bool,
) -> Vec<[u8; 32]> {
    let add = |(point, scalar): (&RistrettoPoint, &Scalar)| {
        let multiple = Zeroizing::new(scalar * table);
        let sum = if subtract { point - &*multiple } else { point + &*multiple };
        sum.compress().0
    };
    points.iter().zip(scalars).map(add).collect()
}

/// Σ s_i·P_i, in variable time.
pub(crate) fn linear_combination(scalars: &[Scalar], points: &[RistrettoPoint]) -> RistrettoPoint {
    if points.is_empty() {
        return RistrettoPoint::identity();
    }
    RistrettoPoint::vartime_multiscalar_mul(scalars, points)
}
