//! What the tests of the engine share.

use crate::engine::{Backend, Engine};
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

pub(super) fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

/// An engine for each back end of this machine.
pub(super) fn engines() -> Vec<Engine> {
    Backend::ALL.into_iter().filter_map(Engine::with_backend).collect()
}

pub(super) fn decompress(encoding: &[u8; 32]) -> Option<RistrettoPoint> {
    CompressedRistretto(*encoding).decompress()
}

pub(super) fn scalars(rng: &mut ChaCha20Rng, count: usize) -> Vec<Scalar> {
    (0..count).map(|_| Scalar::random(rng)).collect()
}

pub(super) fn uniform_strings(rng: &mut ChaCha20Rng, count: usize) -> Vec<[u8; 64]> {
    let mut strings = vec![[0; 64]; count];
    strings.iter_mut().for_each(|string| rng.fill_bytes(string));
    strings
}

/// Random points and their encodings, cheaply: random multiples would cost more than the tests.
pub(super) fn points(rng: &mut ChaCha20Rng, count: usize) -> (Vec<RistrettoPoint>, Vec<[u8; 32]>) {
    let points: Vec<_> = (0..count).map(|_| RistrettoPoint::random(rng)).collect();
    let encodings = compress_all(&points);
    (points, encodings)
}

/// The encodings of many points, through dalek's batch form.
pub(super) fn compress_all(points: &[RistrettoPoint]) -> Vec<[u8; 32]> {
    let half = Scalar::from(2u8).invert();
    let halves: Vec<_> = points.iter().map(|point| point * half).collect();
    let doubled = RistrettoPoint::double_and_compress_batch(&halves);
    doubled.into_iter().map(|encoding| encoding.0).collect()
}

/// Scalars that stress the recoding: tiny, huge, and extreme digit patterns.
pub(super) fn extreme_scalars() -> Vec<Scalar> {
    let mut scalars: Vec<Scalar> = [0u8, 1, 2, 3, 8, 16, 31, 32].map(Scalar::from).to_vec();
    let negatives: Vec<Scalar> = scalars.iter().map(|scalar| -scalar).collect();
    scalars.extend(negatives);
    for byte in [0x88, 0x77, 0xff, 0x78, 0x87, 0x80, 0x08, 0xf0, 0x0f, 0x11, 0x55, 0xaa, 0x10] {
        for top in 0..=0x10 {
            let mut bytes = [byte; 32];
            bytes[31] = top;
            let scalar = Option::<Scalar>::from(Scalar::from_canonical_bytes(bytes));
            // The half is what the ladder recodes, so the pattern is tried there too.
            scalars.extend(scalar.into_iter().flat_map(|scalar| [scalar, scalar + scalar]));
        }
    }
    scalars
}
