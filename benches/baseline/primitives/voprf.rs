//! Primitives as the `voprf` crate uses them: one element a call.

use std::hint::black_box;

use curve25519_dalek_4::{RistrettoPoint, Scalar, traits::Identity as _};
use voprf::{CipherSuite, Group as _, Ristretto255};

use super::{Group, dalek4::Dalek4};

/// The group of the `voprf` crate.
pub struct Voprf;

/// The tag of `HashToGroup`, in the two parts that the crate passes.
const TAG: [&[u8]; 2] = [b"HashToGroup-", b"OPRFV1-\x01-ristretto255-SHA512"];

impl Group for Voprf {
    type Points = Vec<RistrettoPoint>;
    type Scalars = Vec<Scalar>;
    type Base = ();

    fn scalars(wide: &[[u8; 64]]) -> Vec<Scalar> {
        Dalek4::scalars(wide)
    }

    fn decode(encodings: &[u8]) -> Vec<RistrettoPoint> {
        let decode = |bytes| Ristretto255::deserialize_elem(bytes).unwrap();
        encodings.chunks(32).map(decode).collect()
    }

    fn encode(points: &Vec<RistrettoPoint>) -> Vec<u8> {
        let encode = |point: &RistrettoPoint| Ristretto255::serialize_elem(*point);
        points.iter().map(encode).collect::<Vec<_>>().concat()
    }

    fn hash_to_group(inputs: &[&[u8]]) -> Vec<RistrettoPoint> {
        type Hash = <Ristretto255 as CipherSuite>::Hash;
        let hash = |input| Ristretto255::hash_to_curve::<Hash>(&[input], &TAG).unwrap();
        inputs.iter().copied().map(hash).collect()
    }

    fn base() {}

    fn add_multiples(_: &(), scalars: &Vec<Scalar>, points: &Vec<RistrettoPoint>) -> Vec<u8> {
        let sum =
            |(point, scalar): (&RistrettoPoint, _)| point + Ristretto255::base_elem() * scalar;
        Self::encode(&points.iter().zip(scalars).map(sum).collect())
    }

    fn linear_combination(scalars: &Vec<Scalar>, points: &Vec<RistrettoPoint>) -> impl Sized {
        let products = scalars.iter().zip(points).map(|(scalar, point)| point * scalar);
        black_box(products.fold(RistrettoPoint::identity(), |sum, product| sum + product))
    }

    fn invert(scalars: &Vec<Scalar>) -> Vec<Scalar> {
        scalars.iter().map(|scalar| Ristretto255::invert_scalar(*scalar)).collect()
    }
}
