//! The operations below the protocol, over batches of [`BATCH`] elements.

mod core;
mod dalek4;
mod voprf;

use self::{core::Core, dalek4::Dalek4, voprf::Voprf};
use super::{Stream, dalek5::on_dalek, inputs, slices};

/// Elements in a batch: the largest padding class.
pub const BATCH: usize = 1_024;

/// A named closure to time, over the whole batch.
pub struct Timed {
    /// The operation: `decode`, `encode` and so on.
    pub operation: &'static str,
    /// The implementation.
    pub name: &'static str,
    /// One call.
    pub run: Box<dyn Fn()>,
}

/// A group with its scalars, in batches. Nothing returned may be lazy.
trait Group {
    type Points;
    type Scalars;
    /// Multiples of the base point, where the implementation does not bring them.
    type Base;

    /// Uniform 64-byte strings to scalars.
    fn scalars(wide: &[[u8; 64]]) -> Self::Scalars;
    /// Canonical strings of 32 bytes each to points.
    fn decode(encodings: &[u8]) -> Self::Points;
    /// Points to strings, in the form that the implementation prefers: of the points, or of
    /// their doubles with one inversion for the batch.
    fn encode(points: &Self::Points) -> Vec<u8>;
    /// `HashToGroup` of the RFC.
    fn hash_to_group(inputs: &[&[u8]]) -> Self::Points;
    /// The table for `add_multiples`.
    fn base() -> Self::Base;
    /// The encoding of `P + s·G` for each point and scalar, not doubled: additive blinding.
    fn add_multiples(base: &Self::Base, scalars: &Self::Scalars, points: &Self::Points) -> Vec<u8>;
    /// The sum of the products of scalars and points, all of them public.
    fn linear_combination(scalars: &Self::Scalars, points: &Self::Points) -> impl Sized;
    /// The inverse of each scalar.
    fn invert(scalars: &Self::Scalars) -> Self::Scalars;
}

/// All primitives of all implementations.
pub fn all() -> Vec<Timed> {
    let mut all = primitives::<Core>("acquaint", |call| call());
    all.extend(primitives::<Voprf>("voprf", |call| call()));
    all.extend(primitives::<Dalek4>("dalek4", |call| call()));
    all.extend(on_dalek(|| primitives::<Core>("dalek5", |call| on_dalek(call))));
    all
}

/// The primitives of a group, each call made by `on`.
fn primitives<G: Group + 'static>(name: &'static str, on: fn(&dyn Fn())) -> Vec<Timed> {
    fn call<T: 'static, R>(work: impl Fn(&T) -> R + 'static, argument: T) -> Box<dyn Fn()> {
        Box::new(move || drop(std::hint::black_box(work(&argument))))
    }
    let inputs = || inputs(BATCH);
    let points = || G::hash_to_group(&slices(&inputs()));
    let scalars = || {
        let mut stream = Stream::new(3);
        G::scalars(&(0..BATCH).map(|_| stream.wide()).collect::<Vec<_>>())
    };
    let calls = [
        ("decode", call(|encodings: &Vec<u8>| G::decode(encodings), G::encode(&points()))),
        ("encode", call(G::encode, points())),
        ("hash_to_group", call(|inputs: &Vec<_>| G::hash_to_group(&slices(inputs)), inputs())),
        (
            "fixed_base",
            call(|(g, s, p)| G::add_multiples(g, s, p), (G::base(), scalars(), points())),
        ),
        (
            "linear_combination",
            call(|(s, p)| drop(G::linear_combination(s, p)), (scalars(), points())),
        ),
        ("scalar_inversion", call(G::invert, scalars())),
    ];
    let timed = |(operation, call): (&'static str, Box<dyn Fn()>)| Timed {
        operation,
        name,
        run: Box::new(move || on(&*call)),
    };
    calls.into_iter().map(timed).collect()
}
