//! The protocol of Acquaint as mathematics: private set intersection over a verifiable OPRF.
//!
//! A server multiplies blinded points and proves that it used its published key; a client compares
//! the results with a published set of tags on its own device. This crate has no I/O, no clock, no
//! async runtime and no global randomness: bytes, time and randomness are arguments.
//!
//! **Guarantees.** Bytes become points, manifests, tags and credentials in one place each, which
//! rejects everything that is not canonical. No output of the OPRF exists before the batch's proof
//! has held against a public key, and the product takes that key from a verified manifest only.
//! Secrets are types: wiped on drop, compared in constant time, redacted in `Debug`.
//!
//! **Does not guarantee.** Wiping does not reach registers, stack spills or swapped pages. Hashing
//! inputs is constant time in their content, not their length. Lengths of batches are public.
//! ristretto255 is not post-quantum. `docs/PROTOCOL.md` states what the protocol as a whole does
//! and does not promise.
//!
//! # Example
//!
//! One lookup, both sides in one process:
//!
//! ```
//! use acquaint_core::{identifier::Identifier, keys::OprfSeed, oprf};
//! use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng};
//!
//! // An example may have a fixed seed; everything else uses the system's randomness.
//! let mut rng = ChaCha20Rng::seed_from_u64(1);
//! let (secret, public) = OprfSeed::generate(&mut rng).epoch_key(1)?;
//!
//! // Client: blind one identifier among fifteen random elements.
//! let alice = Identifier::tel("+99912345")?;
//! let padding = oprf::Padding::Class(16);
//! let blinding = oprf::blind(oprf::Mode::Voprf, &[alice.as_bytes()], padding, &mut rng)?;
//!
//! // Server: sees sixteen uniform points.
//! let batch = oprf::BlindedBatch::try_from(&blinding.to_bytes()[..])?;
//! let answer = oprf::blind_evaluate(oprf::Mode::Voprf, &secret, &batch, &mut rng);
//!
//! // Client: proof first, then output.
//! let proof = answer.proof.ok_or("mode VOPRF proves")?.to_bytes();
//! let verified = blinding.verify(&public, &answer.elements.concat(), &proof)?;
//! let element = verified.unblind().remove(0);
//! let (tag, label_key) = (element.tag(), element.label_key());
//! # let _ = (tag, label_key);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod credential;
pub mod engine;
pub mod identifier;
pub mod keys;
pub mod limits;
pub mod manifest;
pub mod oprf;
pub mod publication;
pub mod set;
pub mod tag;
