//! Primitives of `acquaint_core::engine`, in the back end of the caller's choice.

use std::hint::black_box;

use acquaint_core::engine::{Engine, FixedBase, Points};
use curve25519_dalek::{Scalar, constants::RISTRETTO_BASEPOINT_COMPRESSED};

use super::{super::xmd::Expander, Group};

/// The engine.
pub struct Core;

impl Group for Core {
    type Points = Points;
    type Scalars = Vec<Scalar>;
    type Base = FixedBase;

    fn scalars(wide: &[[u8; 64]]) -> Vec<Scalar> {
        wide.iter().map(Scalar::from_bytes_mod_order_wide).collect()
    }

    fn decode(encodings: &[u8]) -> Points {
        Engine::current().decode(encodings.as_chunks().0).unwrap()
    }

    fn encode(points: &Points) -> Vec<u8> {
        Engine::current().encode_doubled(points).concat()
    }

    /// SHA-512 is the bench's own; the map is the engine's.
    fn hash_to_group(inputs: &[&[u8]]) -> Points {
        let expander = Expander::new("HashToGroup-");
        let uniform: Vec<_> = inputs.iter().map(|input| expander.expand(&[input])).collect();
        Engine::current().map_to_group(&uniform)
    }

    fn base() -> FixedBase {
        Engine::current().fixed_base(RISTRETTO_BASEPOINT_COMPRESSED.as_bytes()).unwrap()
    }

    fn add_multiples(base: &FixedBase, scalars: &Vec<Scalar>, points: &Points) -> Vec<u8> {
        Engine::current().blind_additive(points, scalars, base).concat()
    }

    fn linear_combination(scalars: &Vec<Scalar>, points: &Points) -> impl Sized {
        black_box(Engine::current().linear_combination(scalars, points))
    }

    fn invert(scalars: &Vec<Scalar>) -> Vec<Scalar> {
        let mut inverses = scalars.clone();
        Scalar::invert_batch_alloc(&mut inverses);
        inverses
    }
}
