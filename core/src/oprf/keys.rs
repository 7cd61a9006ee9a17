//! OPRF key pairs: derivation (RFC 9497, section 3.2.1) and the public key of an epoch.

use std::fmt;

use curve25519_dalek::{
    RistrettoPoint, Scalar, ristretto::CompressedRistretto, traits::IsIdentity,
};
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

use super::hash::{Expander, Mode};
use crate::limits::ELEMENT_BYTES;

/// The secret scalar `k` of an epoch. Never zero, wiped on drop, redacted in `Debug`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct SecretKey(
    pub(super) Scalar,
    /// Kept: every proof needs it, and making it costs as much as evaluating three elements.
    #[zeroize(skip)]
    PublicKey,
);

/// The public key `k·G` of an epoch, never the identity.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey {
    encoding: [u8; ELEMENT_BYTES],
    pub(super) point: RistrettoPoint,
}

/// Why a key could not be derived or read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// All 256 derivation attempts gave zero; never happens with a random seed.
    #[error("no key can be derived from this seed: make a new one")]
    Derive,
    /// The bytes are not the canonical encoding of an element other than the identity.
    #[error("not a public key")]
    PublicKey,
}

/// `DeriveKeyPair`: a key pair from a 32-byte seed and public information.
///
/// # Errors
/// [`KeyError::Derive`], with negligible probability.
///
/// # Panics
/// If `info` is longer than 65,535 bytes.
pub fn derive_key_pair(
    mode: Mode,
    seed: &[u8; 32],
    info: &[u8],
) -> Result<(SecretKey, PublicKey), KeyError> {
    let expander = Expander::new(b"DeriveKeyPair", mode);
    let length = u16::try_from(info.len()).expect("info is a short constant of the caller");
    for counter in 0..=u8::MAX {
        let scalar = expander.scalar(&[seed, &length.to_be_bytes(), info, &[counter]]);
        if scalar != Scalar::ZERO {
            let point = RistrettoPoint::mul_base(&scalar);
            let public = PublicKey { encoding: point.compress().to_bytes(), point };
            return Ok((SecretKey(scalar, public), public));
        }
    }
    Err(KeyError::Derive)
}

impl SecretKey {
    /// The public key `k·G`.
    #[must_use]
    pub const fn public_key(&self) -> PublicKey {
        self.1
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(REDACTED)")
    }
}

impl ConstantTimeEq for SecretKey {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl PublicKey {
    /// The canonical encoding.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; ELEMENT_BYTES] {
        &self.encoding
    }
}

impl TryFrom<&[u8; ELEMENT_BYTES]> for PublicKey {
    type Error = KeyError;

    /// Reads a public key.
    ///
    /// # Errors
    /// [`KeyError::PublicKey`] for a string that does not decode, and for the identity.
    fn try_from(encoding: &[u8; ELEMENT_BYTES]) -> Result<Self, KeyError> {
        CompressedRistretto(*encoding)
            .decompress()
            .filter(|point| !point.is_identity())
            .map(|point| Self { encoding: *encoding, point })
            .ok_or(KeyError::PublicKey)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", data_encoding::HEXLOWER.encode(&self.encoding))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_keys_are_canonical_and_not_the_identity() {
        let (_, public) = derive_key_pair(Mode::Voprf, &[7; 32], b"test").unwrap();
        assert_eq!(PublicKey::try_from(public.as_bytes()).unwrap(), public);
        assert_eq!(PublicKey::try_from(&[0; 32]).unwrap_err(), KeyError::PublicKey);
        assert_eq!(PublicKey::try_from(&[0xff; 32]).unwrap_err(), KeyError::PublicKey);
    }

    #[test]
    fn secret_keys_are_redacted() {
        let (secret, _) = derive_key_pair(Mode::Voprf, &[7; 32], b"test").unwrap();
        assert_eq!(format!("{secret:?}"), "SecretKey(REDACTED)");
    }
}
