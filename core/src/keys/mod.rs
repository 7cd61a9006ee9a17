//! The secrets of an operator, one type each: OPRF seed, storage key, manifest key, credential
//! key, pseudonym key.
//!
//! A key is 32 bytes, made from randomness that the caller provides, wiped on drop, redacted in
//! `Debug`, and compared in constant time. `expose_bytes` is for the file that keeps it.

mod storage;

use std::fmt;

use rand_core::CryptoRng;
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop};

pub use storage::{HANDLE_BYTES, Row, RowError, SEALED_ROW_BYTES, StorageKey, Vault};

use crate::oprf::{self, Mode, PublicKey, SecretKey};

/// Length of every key in bytes.
pub const KEY_BYTES: usize = 32;

macro_rules! secret_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; KEY_BYTES]);

        impl $name {
            /// A new key from the caller's randomness.
            #[must_use]
            pub fn generate(rng: &mut impl CryptoRng) -> Self {
                let mut bytes = [0; KEY_BYTES];
                rng.fill_bytes(&mut bytes);
                Self(bytes)
            }

            /// The key that was kept as these bytes.
            #[must_use]
            pub const fn from_bytes(bytes: [u8; KEY_BYTES]) -> Self {
                Self(bytes)
            }

            /// The bytes to keep.
            #[must_use]
            pub const fn expose_bytes(&self) -> &[u8; KEY_BYTES] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(REDACTED)"))
            }
        }

        impl ConstantTimeEq for $name {
            fn ct_eq(&self, other: &Self) -> Choice {
                self.0.ct_eq(&other.0)
            }
        }
    };
}
use secret_key;

secret_key! {
    /// The seed of the OPRF keys of a tenant; each epoch has its own key pair.
    OprfSeed
}

secret_key! {
    /// The key that authenticates bearer credentials, shared with the operator's back end.
    CredentialKey
}

secret_key! {
    /// The key from which the pseudonyms of accounts are derived. It is never rotated: another
    /// one gives everybody another pseudonym, and with it a full quota.
    PseudonymKey
}

secret_key! {
    /// The Ed25519 seed that signs manifests.
    ManifestKey
}

impl OprfSeed {
    /// The key pair of an epoch: `DeriveKeyPair` with the epoch as public information.
    ///
    /// # Errors
    /// [`oprf::KeyError::Derive`], with negligible probability.
    pub fn epoch_key(&self, epoch: u32) -> Result<(SecretKey, PublicKey), oprf::KeyError> {
        let info = [&b"acquaint v1 epoch "[..], &epoch.to_be_bytes()].concat();
        oprf::derive_key_pair(Mode::Voprf, &self.0, &info)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_have_unrelated_keys() {
        let seed = OprfSeed::from_bytes([1; KEY_BYTES]);
        let (_, first) = seed.epoch_key(1).unwrap();
        assert_eq!(seed.epoch_key(1).unwrap().1, first);
        assert_ne!(seed.epoch_key(2).unwrap().1, first);
    }

    #[test]
    fn debug_is_redacted() {
        let all = format!(
            "{:?} {:?} {:?} {:?}",
            OprfSeed::from_bytes([1; KEY_BYTES]),
            CredentialKey::from_bytes([1; KEY_BYTES]),
            PseudonymKey::from_bytes([1; KEY_BYTES]),
            ManifestKey::from_bytes([1; KEY_BYTES]),
        );
        let names = ["OprfSeed", "CredentialKey", "PseudonymKey", "ManifestKey"];
        assert_eq!(all, names.map(|name| format!("{name}(REDACTED)")).join(" "));
    }
}
