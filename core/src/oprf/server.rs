//! The server's side: multiply a batch by the key of an epoch and prove it.

use rand_core::CryptoRng;

use super::{BlindedBatch, Mode, Proof, SecretKey, proof};
use crate::{engine::Engine, limits::ELEMENT_BYTES};

/// What the server answers for a batch.
#[derive(Clone)]
pub struct Evaluation {
    /// `k·B_i` in the order of the batch, encoded.
    pub elements: Vec<[u8; ELEMENT_BYTES]>,
    /// The proof for the whole batch; `None` in mode [`Mode::Oprf`].
    pub proof: Option<Proof>,
}

/// `BlindEvaluate` over a batch: `Z_i = k·B_i`, in order, and in mode VOPRF one proof for all.
///
/// Constant time in `k`; the elements are public. Errors cannot occur: a [`BlindedBatch`] is
/// already valid. Cost: `cargo bench --bench engine`, group `evaluate_with_proof`.
///
/// Source: RFC 9497, sections 3.3.1 and 3.3.2.
#[must_use]
pub fn blind_evaluate(
    mode: Mode,
    key: &SecretKey,
    batch: &BlindedBatch,
    rng: &mut impl CryptoRng,
) -> Evaluation {
    let elements = Engine::current().evaluate(&key.0, &batch.0.points);
    let proof = match mode {
        Mode::Oprf => None,
        Mode::Voprf => Some(proof::prove(mode, key, &batch.0, &elements, rng)),
    };
    Evaluation { elements, proof }
}

impl std::fmt::Debug for Evaluation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Evaluation({} REDACTED)", self.elements.len())
    }
}
