//! What the benches share: implementations of one protocol, over one key and the same inputs.
//!
//! Each implementation takes and gives bytes, so that decoding and encoding are always part of
//! what is timed, and so that results can be compared.

pub mod acquaint;
pub mod dalek4;
pub mod dalek5;
pub mod host;
pub mod jobs;
pub mod primitives;
#[cfg(feature = "bench-libsodium")]
pub mod sodium;
pub mod stream;
pub mod table;
pub mod voprf;
pub mod xmd;

use stream::Stream;

/// `DeriveKeyPair` of the RFC gives every implementation its key from this seed and information.
pub const KEY_SEED: [u8; 32] = [0x5e; 32];
/// See [`KEY_SEED`].
pub const KEY_INFO: &[u8] = b"benches";

/// Batch sizes of the engine bench, in elements.
pub const BATCHES: [usize; 4] = [8, 64, 1_024, 16_384];

/// An implementation of the server's multiplication, ristretto255-SHA512 of RFC 9497.
pub trait Implementation {
    /// The name in criterion's ids.
    fn name(&self) -> &'static str;

    /// `k·B` for each 32-byte element: decode, multiply, encode; mode OPRF.
    fn evaluate(&self, blinded: &[u8]) -> Vec<u8>;

    /// The same implementation in mode VOPRF, if it has that mode.
    fn verifiable(&self) -> Option<&dyn Verifiable> {
        None
    }
}

/// Both sides of mode VOPRF. Randomness is an argument: equal streams give equal bytes.
pub trait Verifiable {
    /// `k·B` for each element, and one proof for all.
    fn evaluate_with_proof(&self, blinded: &[u8], rng: &mut Stream) -> Answer;

    /// Blinds inputs, without padding and in their order.
    fn blind(&self, inputs: &[&[u8]], rng: &mut Stream) -> Box<dyn Blinded>;
}

/// The client's state between request and answer.
pub trait Blinded {
    /// The request: 32 bytes an input.
    fn elements(&self) -> Vec<u8>;

    /// Verifies the proof, unblinds, and hashes to the 64-byte outputs of the RFC.
    fn finalize(&self, inputs: &[&[u8]], answer: &Answer) -> Vec<u8>;
}

/// What the server answers in mode VOPRF.
pub struct Answer {
    /// Evaluated elements, 32 bytes each.
    pub elements: Vec<u8>,
    /// Challenge and response.
    pub proof: [u8; 64],
}

/// All implementations, ours first.
pub fn implementations() -> Vec<Box<dyn Implementation>> {
    vec![
        Box::new(acquaint::Acquaint::new()),
        Box::new(voprf::Voprf::new()),
        Box::new(dalek4::Dalek4::new()),
        Box::new(dalek5::Dalek5::new()),
        #[cfg(feature = "bench-libsodium")]
        Box::new(sodium::Sodium::new()),
    ]
}

/// Fictional inputs: `+999` is nobody's country code.
pub fn inputs(n: usize) -> Vec<Vec<u8>> {
    (0..n).map(|i| format!("tel:+999{i:010}").into_bytes()).collect()
}

/// Inputs as the implementations take them.
pub fn slices(inputs: &[Vec<u8>]) -> Vec<&[u8]> {
    inputs.iter().map(Vec::as_slice).collect()
}
