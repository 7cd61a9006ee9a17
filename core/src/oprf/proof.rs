//! The batched DLEQ proof (RFC 9497, section 2.2): one proof that every element of a batch was
//! multiplied by the key behind a public key.

use curve25519_dalek::{RistrettoPoint, Scalar, constants::RISTRETTO_BASEPOINT_POINT};
use rand_core::CryptoRng;
use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::{
    element::Batch,
    hash::{ELEMENT_LENGTH, Expander, Mode},
    keys::{PublicKey, SecretKey},
};
use crate::{
    engine::{Engine, Points},
    limits::{ELEMENT_BYTES, PROOF_BYTES},
};

/// A proof: challenge `c` and response `s`, both canonical scalars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof {
    challenge: Scalar,
    response: Scalar,
}

/// Why an evaluation was not accepted. Nothing was unblinded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// Not 64 bytes, or a scalar that is not canonical.
    #[error("not a proof: two canonical scalars of 32 bytes are expected")]
    Malformed,
    /// The answer has another number of elements than the request.
    #[error("the answer has another number of elements than the request")]
    Count,
    /// An evaluated element is not canonical, or is the identity.
    #[error("an evaluated element is not a canonical encoding, or is the identity")]
    InvalidElement,
    /// The elements were not all multiplied by the key behind the public key.
    #[error("the proof does not hold: the server used another key or other elements")]
    Refuted,
}

impl Proof {
    /// The wire form: challenge, then response.
    #[must_use]
    pub fn to_bytes(&self) -> [u8; PROOF_BYTES] {
        let mut bytes = [0; PROOF_BYTES];
        bytes[..ELEMENT_BYTES].copy_from_slice(self.challenge.as_bytes());
        bytes[ELEMENT_BYTES..].copy_from_slice(self.response.as_bytes());
        bytes
    }
}

impl TryFrom<&[u8]> for Proof {
    type Error = ProofError;

    /// Reads the wire form.
    ///
    /// # Errors
    /// [`ProofError::Malformed`] for another length or a scalar not below the group order.
    fn try_from(bytes: &[u8]) -> Result<Self, ProofError> {
        let ([challenge, response], []) = bytes.as_chunks::<ELEMENT_BYTES>() else {
            return Err(ProofError::Malformed);
        };
        let scalar = |bytes: &[u8; ELEMENT_BYTES]| {
            Scalar::from_canonical_bytes(*bytes).into_option().ok_or(ProofError::Malformed)
        };
        Ok(Self { challenge: scalar(challenge)?, response: scalar(response)? })
    }
}

/// `GenerateProof` for `D_i = k·C_i`, with `k` known: `Z = k·M` replaces the second combination.
///
/// Constant time in `k` and the nonce; the elements are public.
pub(super) fn prove(
    mode: Mode,
    key: &SecretKey,
    blinded: &Batch,
    evaluated: &[[u8; ELEMENT_BYTES]],
    rng: &mut impl CryptoRng,
) -> Proof {
    let m = composite(mode, &key.public_key(), 0, blinded, evaluated);
    prove_composite(mode, key, &m, rng)
}

/// The share of a slice in `M = Σ d_i·C_i`: `first` is the position of its first element in the
/// batch. Public data only.
pub(super) fn composite(
    mode: Mode,
    public: &PublicKey,
    first: usize,
    blinded: &Batch,
    evaluated: &[[u8; ELEMENT_BYTES]],
) -> RistrettoPoint {
    let weights = weights(mode, public, first, &blinded.encodings, evaluated);
    Engine::current().linear_combination(&weights, &blinded.points)
}

/// What is left of `GenerateProof` once `M` is known.
///
/// Constant time in `k` and the nonce.
pub(super) fn prove_composite(
    mode: Mode,
    key: &SecretKey,
    m: &RistrettoPoint,
    rng: &mut impl CryptoRng,
) -> Proof {
    let (public, m) = (key.public_key(), *m);
    let z = key.0 * m;

    let mut nonce = Scalar::random(rng);
    let commitments = [RistrettoPoint::mul_base(&nonce), nonce * m];
    let challenge = challenge(mode, &public, [m, z, commitments[0], commitments[1]]);
    let response = nonce - challenge * key.0;
    nonce.zeroize();
    Proof { challenge, response }
}

/// `VerifyProof`: one multiscalar multiplication for each side. Variable time, public data only.
///
/// # Errors
/// [`ProofError::Refuted`].
pub(super) fn verify(
    mode: Mode,
    public: &PublicKey,
    blinded: (&[[u8; ELEMENT_BYTES]], &Points),
    evaluated: &Batch,
    proof: &Proof,
) -> Result<(), ProofError> {
    let weights = weights(mode, public, 0, blinded.0, &evaluated.encodings);
    let engine = Engine::current();
    let m = engine.linear_combination(&weights, blinded.1);
    let z = engine.linear_combination(&weights, &evaluated.points);
    let (s, c) = (proof.response, proof.challenge);
    let commitments = [s * RISTRETTO_BASEPOINT_POINT + c * public.point, s * m + c * z];
    let expected = challenge(mode, public, [m, z, commitments[0], commitments[1]]);
    if bool::from(expected.ct_eq(&proof.challenge)) { Ok(()) } else { Err(ProofError::Refuted) }
}

/// The weights `d_i` of `ComputeComposites` from a position on: each depends on the public key, on
/// its position and on its pair.
fn weights(
    mode: Mode,
    public: &PublicKey,
    first: usize,
    blinded: &[[u8; ELEMENT_BYTES]],
    evaluated: &[[u8; ELEMENT_BYTES]],
) -> Vec<Scalar> {
    let seed_dst = [b"Seed-", mode.context()].concat();
    let seed = Sha512::new()
        .chain_update(ELEMENT_LENGTH)
        .chain_update(public.as_bytes())
        .chain_update(u16_be(seed_dst.len()))
        .chain_update(&seed_dst)
        .finalize();
    let seed_length = u16_be(seed.len());
    let expander = Expander::new(b"HashToScalar-", mode);
    let weight = |(index, (c, d)): (usize, (&[u8; ELEMENT_BYTES], &[u8; ELEMENT_BYTES]))| {
        let index = u16_be(first + index);
        expander.scalar(&[
            &seed_length,
            &seed,
            &index,
            &ELEMENT_LENGTH,
            c,
            &ELEMENT_LENGTH,
            d,
            b"Composite",
        ])
    };
    blinded.iter().zip(evaluated).enumerate().map(weight).collect()
}

/// The challenge over public key, composites and commitments.
fn challenge(mode: Mode, public: &PublicKey, points: [RistrettoPoint; 4]) -> Scalar {
    let [m, z, t2, t3] = points.map(|point| point.compress().to_bytes());
    let length: &[u8] = &ELEMENT_LENGTH;
    Expander::new(b"HashToScalar-", mode).scalar(&[
        length,
        public.as_bytes(),
        length,
        &m,
        length,
        &z,
        length,
        &t2,
        length,
        &t3,
        b"Challenge",
    ])
}

/// `I2OSP(n, 2)`.
fn u16_be(n: usize) -> [u8; 2] {
    u16::try_from(n).expect("batches and tags are shorter than 65,536, see limits").to_be_bytes()
}
