//! The oblivious pseudorandom function of RFC 9497, suite ristretto255-SHA512, over batches.
//!
//! A client [`blind`]s inputs and sends the elements; the server answers [`blind_evaluate`] with
//! one proof for the whole batch; the client [verifies](Blinding::verify) the proof against the
//! key of a verified manifest, and only a [`VerifiedBatch`] can be unblinded. The types make the
//! order the only one that compiles: *proof first, then output*.
//!
//! What leaves unblinding is an [`OprfElement`], `E = k·H(x)`, from which tag and label key are
//! derived (see [`crate::tag`]). [`finalize`] is the output of the RFC and is here for its
//! vectors; `docs/PROTOCOL.md` argues why the product does not use it.
//!
//! Randomness is an argument everywhere. Modes OPRF (0x00) and VOPRF (0x01) are implemented.

mod client;
mod element;
mod hash;
mod keys;
mod proof;
mod rotation;
mod server;
mod slices;
pub mod trusted;
#[cfg(test)]
mod vectors;

pub use client::{
    ADDITIVE_ELEMENTS_MIN, Blinding, Padding, VerifiedBatch, blind, blind_for, finalize,
};
pub use element::{BlindedBatch, ElementError, EvaluatedBatch, OprfElement};
pub use hash::Mode;
pub use keys::{KeyError, PublicKey, SecretKey, derive_key_pair};
pub use proof::{Proof, ProofError};
pub use rotation::RotationFactor;
pub use server::{Evaluation, blind_evaluate};
pub use slices::{BlindedSlice, EvaluatedSlice, slices};
pub use trusted::TrustedKey;
