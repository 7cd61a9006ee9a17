//! The client's side: blind, verify, unblind, in the only order that compiles.

use std::fmt;

use curve25519_dalek::Scalar;
use rand_core::CryptoRng;
use sha2::{Digest, Sha512};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{
    EvaluatedBatch, Mode, OprfElement, Proof, ProofError, PublicKey,
    element::{Batch, ElementError, IDENTITY},
    hash::ELEMENT_LENGTH,
    proof,
    trusted::{TrustedKey, generator_table},
};
use crate::{
    engine::{Engine, Points},
    limits::{BATCH_ELEMENTS_MAX, ELEMENT_BYTES},
};

/// To how many elements a batch is filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Padding {
    /// Random elements fill the batch to this many, and the real ones stand at random positions:
    /// the server learns the class, not the number of inputs or their order.
    Class(usize),
    /// The inputs alone, in their order. For a registrar, who has nothing to hide about its
    /// number of users.
    None,
}

/// A blinded batch on the client: what to send, and the secrets that unblind the answer.
///
/// The same bytes may be sent again after a lost answer. Wiped on drop.
pub struct Blinding {
    mode: Mode,
    form: Form,
    /// Position in the batch of each input.
    positions: Vec<usize>,
    /// Blind of each input.
    blinds: Blinds,
    encodings: Vec<[u8; ELEMENT_BYTES]>,
}

/// How inputs are hidden. The wire is the same.
enum Form {
    /// `B = r·H(x)`, `E = r⁻¹·Z`: the form of RFC 9497.
    Exponential,
    /// `B = H(x) + r·G`, `E = Z − r·pk`, under a key that is relied on; see [`super::trusted`].
    Additive(TrustedKey),
}

#[derive(Zeroize, ZeroizeOnDrop)]
struct Blinds(Vec<Scalar>);

/// An answer whose proof held: the only thing that can be unblinded.
#[derive(Debug)]
pub struct VerifiedBatch<'a> {
    blinding: &'a Blinding,
    evaluated: Batch,
}

/// `Blind` over a batch: `B_i = r_i·H(x_i)` with fresh random `r_i`, padded and shuffled.
///
/// The form of the RFC, for any public key. Constant time in the content of the inputs and in the
/// blinds.
///
/// # Errors
/// [`ElementError::BatchSize`] for no inputs, more inputs than the class, or a class above
/// [`BATCH_ELEMENTS_MAX`]; [`ElementError::InvalidElement`] if an input hashes to the identity,
/// which no one can find.
///
/// Source: RFC 9497, section 3.3.1; padding and shuffle are ours.
pub fn blind(
    mode: Mode,
    inputs: &[&[u8]],
    padding: Padding,
    rng: &mut impl CryptoRng,
) -> Result<Blinding, ElementError> {
    blind_as(Form::Exponential, mode, inputs, padding, rng)
}

/// As [`blind`] in mode VOPRF, for a key that is relied on: in whichever form is faster here.
///
/// Outputs are the same. With a vector back end the additive form takes a third of the time,
/// once its tables are made (some milliseconds for a key), so it serves batches of
/// [`ADDITIVE_ELEMENTS_MIN`] and more; elsewhere the form of the RFC serves all.
///
/// # Errors
/// As [`blind`].
pub fn blind_for(
    key: &TrustedKey,
    inputs: &[&[u8]],
    padding: Padding,
    rng: &mut impl CryptoRng,
) -> Result<Blinding, ElementError> {
    let tables_pay = inputs.len() >= ADDITIVE_ELEMENTS_MIN;
    let form = if tables_pay && Engine::current().backend().is_vectorized() {
        Form::Additive(key.clone())
    } else {
        Form::Exponential
    };
    blind_as(form, Mode::Voprf, inputs, padding, rng)
}

/// Inputs from which on additive blinding is worth its tables: 8 µs are saved for each with AVX-512
/// IFMA and 20 µs with AVX2, and two tables are made in one to two milliseconds each.
pub const ADDITIVE_ELEMENTS_MIN: usize = 256;

fn blind_as(
    form: Form,
    mode: Mode,
    inputs: &[&[u8]],
    padding: Padding,
    rng: &mut impl CryptoRng,
) -> Result<Blinding, ElementError> {
    let n_elements = match padding {
        Padding::Class(class) => class,
        Padding::None => inputs.len(),
    };
    if inputs.is_empty() || inputs.len() > n_elements || n_elements > BATCH_ELEMENTS_MAX {
        return Err(ElementError::BatchSize);
    }
    let hashed = mode.hash_to_group(inputs);
    let blinds = Blinds(inputs.iter().map(|_| nonzero_scalar(rng)).collect());
    let engine = Engine::current();
    let blinded = match &form {
        Form::Exponential => engine.multiply_each(&blinds.0, &hashed),
        Form::Additive(_) => engine.blind_additive(&hashed, &blinds.0, generator_table()),
    };
    // In a group of prime order `r·H(x)` is the identity only if `H(x)` is; a sum never should be.
    if blinded.contains(&IDENTITY) {
        return Err(ElementError::InvalidElement);
    }
    let (positions, encodings) = match padding {
        Padding::None => ((0..inputs.len()).collect(), blinded),
        Padding::Class(class) => scatter(&blinded, class, rng),
    };
    Ok(Blinding { mode, form, positions, blinds, encodings })
}

/// Fills the batch with random elements and puts the blinded ones at random positions.
fn scatter(
    blinded: &[[u8; ELEMENT_BYTES]],
    class: usize,
    rng: &mut impl CryptoRng,
) -> (Vec<usize>, Vec<[u8; ELEMENT_BYTES]>) {
    let mut uniform = Zeroizing::new(vec![[0; 64]; class - blinded.len()]);
    uniform.iter_mut().for_each(|bytes| rng.fill_bytes(bytes));
    // Twice a uniform element is a uniform element, and its batch encoding is the cheap one.
    let engine = Engine::current();
    let dummies = engine.encode_doubled(&engine.map_to_group(&uniform));

    let order = random_permutation(class, rng);
    let mut encodings = vec![[0; ELEMENT_BYTES]; class];
    for (encoding, &position) in blinded.iter().chain(&dummies).zip(&order) {
        if let Some(slot) = encodings.get_mut(position) {
            *slot = *encoding;
        }
    }
    (order.into_iter().take(blinded.len()).collect(), encodings)
}

/// Fisher–Yates, with positions drawn without bias.
fn random_permutation(n: usize, rng: &mut impl CryptoRng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, random_below(last + 1, rng));
    }
    order
}

/// A uniform number below `n`, by rejection.
fn random_below(n: usize, rng: &mut impl CryptoRng) -> usize {
    let n = n as u64;
    let zone = u64::MAX - u64::MAX % n;
    loop {
        let x = rng.next_u64();
        if x < zone {
            return usize::try_from(x % n).expect("below n, which is a usize");
        }
    }
}

fn nonzero_scalar(rng: &mut impl CryptoRng) -> Scalar {
    loop {
        let scalar = Scalar::random(rng);
        if scalar != Scalar::ZERO {
            return scalar;
        }
    }
}

impl Blinding {
    /// The blinded elements as they go over the wire, 32 bytes each.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encodings.concat()
    }

    /// Elements in the batch, padding included: what the quota is charged.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a batch is never empty")]
    pub fn len(&self) -> usize {
        self.encodings.len()
    }

    /// Inputs in the batch, padding excluded.
    #[must_use]
    pub fn n_inputs(&self) -> usize {
        self.positions.len()
    }

    /// Checks an answer: right number of elements, each canonical, and one proof that all of them
    /// were multiplied by the key behind `public`.
    ///
    /// `public` must come from a manifest whose signature was verified. Nothing is unblinded
    /// here. Variable time, public data only.
    ///
    /// # Errors
    /// [`ProofError`]; the caller should treat each as a lying or broken server.
    pub fn verify(
        &self,
        public: &PublicKey,
        evaluated: &[u8],
        proof: &[u8],
    ) -> Result<VerifiedBatch<'_>, ProofError> {
        if let Form::Additive(key) = &self.form
            && key.public() != public
        {
            // Not the key that the inputs were blinded for: nothing could be unblinded.
            return Err(ProofError::Refuted);
        }
        let proof = Proof::try_from(proof)?;
        if evaluated.len() != self.encodings.len() * ELEMENT_BYTES {
            return Err(ProofError::Count);
        }
        let EvaluatedBatch(evaluated) =
            EvaluatedBatch::try_from(evaluated).map_err(|_| ProofError::InvalidElement)?;
        let points = self.decoded()?;
        proof::verify(self.mode, public, (&self.encodings, &points), &evaluated, &proof)?;
        Ok(VerifiedBatch { blinding: self, evaluated })
    }

    /// The blinded elements as points again. They are not kept: a point takes five times the
    /// memory of its encoding, and a phone may hold many batches.
    fn decoded(&self) -> Result<Points, ProofError> {
        Engine::current().decode(&self.encodings).map_err(|_| ProofError::InvalidElement)
    }

    /// Takes an answer as verified without a proof: for the vectors of mode OPRF.
    #[cfg(test)]
    pub(super) fn skip_proof_for_vectors(&self, evaluated: &[u8]) -> VerifiedBatch<'_> {
        let EvaluatedBatch(evaluated) = EvaluatedBatch::try_from(evaluated).unwrap();
        VerifiedBatch { blinding: self, evaluated }
    }
}

impl VerifiedBatch<'_> {
    /// Unblinds: `E_i = k·H(x_i)` for each input, in the order of the inputs; padding is dropped.
    ///
    /// Constant time in the blinds.
    #[must_use]
    pub fn unblind(&self) -> Vec<OprfElement> {
        let Blinding { form, positions, blinds, .. } = self.blinding;
        let points = self.evaluated.points.select(positions);
        let engine = Engine::current();
        let elements = match form {
            Form::Exponential => {
                let mut inverses = Zeroizing::new(blinds.0.clone());
                Scalar::invert_batch_alloc(&mut inverses);
                engine.multiply_each(&inverses, &points)
            }
            Form::Additive(key) => engine.unblind_additive(&points, &blinds.0, key.table()),
        };
        elements.into_iter().map(OprfElement).collect()
    }
}

/// `Finalize` of the RFC for one input: SHA-512 over input and unblinded element.
///
/// # Panics
/// If the input is longer than 65,535 bytes.
///
/// Source: RFC 9497, section 3.3.1.
#[must_use]
pub fn finalize(input: &[u8], element: &OprfElement) -> [u8; 64] {
    let length = u16::try_from(input.len()).expect("an OPRF input is at most 65,535 bytes");
    Sha512::new()
        .chain_update(length.to_be_bytes())
        .chain_update(input)
        .chain_update(ELEMENT_LENGTH)
        .chain_update(element.expose_bytes())
        .chain_update(b"Finalize")
        .finalize()
        .into()
}

impl fmt::Debug for Blinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blinding({} REDACTED)", self.encodings.len())
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Batch({} REDACTED)", self.encodings.len())
    }
}

#[cfg(test)]
mod tests;
