//! `acquaint_core::oprf` with the dalek back end: curve25519-dalek 5 in its batch form.

use acquaint_core::engine::{Backend, scoped};

use super::{Answer, Blinded, Implementation, Stream, Verifiable, acquaint::Acquaint};

/// Runs `f` with core's dalek back end.
pub fn on_dalek<R>(f: impl FnOnce() -> R) -> R {
    scoped(Backend::Dalek, f).expect("dalek runs everywhere")
}

/// Core without its own vector code.
pub struct Dalek5(Acquaint);

impl Dalek5 {
    /// With the key of all baselines.
    pub fn new() -> Self {
        Self(on_dalek(Acquaint::new))
    }
}

impl Implementation for Dalek5 {
    fn name(&self) -> &'static str {
        "dalek5"
    }

    fn evaluate(&self, blinded: &[u8]) -> Vec<u8> {
        on_dalek(|| self.0.evaluate(blinded))
    }

    fn verifiable(&self) -> Option<&dyn Verifiable> {
        Some(self)
    }
}

impl Verifiable for Dalek5 {
    fn evaluate_with_proof(&self, blinded: &[u8], rng: &mut Stream) -> Answer {
        on_dalek(|| self.0.evaluate_with_proof(blinded, rng))
    }

    fn blind(&self, inputs: &[&[u8]], rng: &mut Stream) -> Box<dyn Blinded> {
        Box::new(Dalek5Blinded(on_dalek(|| self.0.blind(inputs, rng))))
    }
}

struct Dalek5Blinded(Box<dyn Blinded>);

impl Blinded for Dalek5Blinded {
    fn elements(&self) -> Vec<u8> {
        self.0.elements()
    }

    fn finalize(&self, inputs: &[&[u8]], answer: &Answer) -> Vec<u8> {
        on_dalek(|| self.0.finalize(inputs, answer))
    }
}
