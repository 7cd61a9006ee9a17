//! Primitives of curve25519-dalek 4.1.3 in its best batch form.

use std::hint::black_box;

use curve25519_dalek_4::{RistrettoPoint, Scalar, traits::VartimeMultiscalarMul as _};

use super::{super::dalek4, Group};

/// The crate that `voprf` is built on.
pub struct Dalek4;

impl Group for Dalek4 {
    type Points = Vec<RistrettoPoint>;
    type Scalars = Vec<Scalar>;
    type Base = ();

    fn scalars(wide: &[[u8; 64]]) -> Vec<Scalar> {
        wide.iter().map(Scalar::from_bytes_mod_order_wide).collect()
    }

    fn decode(encodings: &[u8]) -> Vec<RistrettoPoint> {
        dalek4::decode(encodings)
    }

    fn encode(points: &Vec<RistrettoPoint>) -> Vec<u8> {
        dalek4::encode_doubled(points)
    }

    fn hash_to_group(inputs: &[&[u8]]) -> Vec<RistrettoPoint> {
        dalek4::hash_to_group(inputs)
    }

    fn base() {}

    fn add_multiples(_: &(), scalars: &Vec<Scalar>, points: &Vec<RistrettoPoint>) -> Vec<u8> {
        let sum = |(point, scalar): (&RistrettoPoint, _)| point + RistrettoPoint::mul_base(scalar);
        let sums = points.iter().zip(scalars).map(sum);
        sums.map(|sum| sum.compress().to_bytes()).collect::<Vec<_>>().concat()
    }

    fn linear_combination(scalars: &Vec<Scalar>, points: &Vec<RistrettoPoint>) -> impl Sized {
        black_box(RistrettoPoint::vartime_multiscalar_mul(scalars, points))
    }

    fn invert(scalars: &Vec<Scalar>) -> Vec<Scalar> {
        let mut inverses = scalars.clone();
        Scalar::batch_invert(&mut inverses);
        inverses
    }
}
