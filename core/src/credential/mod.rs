//! Bearer credentials: HMAC-SHA256 over who may ask, what, where, and until when.
//!
//! The operator's back end mints them with a key that it shares with the server; the server keeps
//! nothing per credential. Text form: base64url without padding over
//!
//! | bytes | field |
//! |---|---|
//! | 1 | version, 2 |
//! | 4 | key id |
//! | 1 | scope: 1 discover, 2 register, 3 admin |
//! | 1 | class of the account, 0 for ordinary ones |
//! | 8 | issued at, seconds since 1970 |
//! | 8 | expires at, seconds since 1970 |
//! | 8 | account since, seconds since 1970; 0 for long ago |
//! | 16 | account pseudonym |
//! | 1, n | length of the tenant name, tenant name |
//! | 1, m | length of the audience, audience |
//! | 32 | HMAC-SHA256 of all of the above |
//!
//! Integers are big endian.
//!
//! **Guarantees.** Nothing of a credential is believed before its MAC holds, which is compared in
//! constant time; every refused text of acceptable length costs one MAC, whatever is wrong with
//! it. **Does not guarantee.** A credential that was copied is as good as the original until it
//! expires, and single ones cannot be revoked.

mod claims;
mod codec;
mod verifier;

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop};

pub use claims::{Audience, AudienceError, Claims, Pseudonym, Scope};
pub use verifier::CredentialVerifier;

use crate::{
    keys::{CredentialKey, KEY_BYTES},
    limits::CREDENTIAL_MAC_BYTES,
};

/// A credential in its text form: a secret. Redacted in `Debug`, wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Credential(String);

/// Why a credential was refused. Deliberately coarse: a forger learns nothing from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// Not a credential of this deployment.
    #[error("the credential is not valid here")]
    Invalid,
    /// Authentic, and past its expiry.
    #[error("the credential has expired: ask the operator's back end for a new one")]
    Expired,
}

impl Credential {
    /// Mints a credential. Deterministic.
    #[must_use]
    pub fn mint(key: &CredentialKey, claims: &Claims) -> Self {
        let mut bytes = codec::encode(claims);
        let mac = mac(key.expose_bytes(), &[&bytes]);
        bytes.extend_from_slice(&mac);
        Self(BASE64URL_NOPAD.encode(&bytes))
    }

    /// Takes a text as a credential; whether it is one, the server says.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    /// The text to send as `authorization: Bearer <text>`.
    #[must_use]
    pub fn expose_text(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential(REDACTED)")
    }
}

/// HMAC-SHA256 over the parts, one after the other.
fn mac(key: &[u8; KEY_BYTES], parts: &[&[u8]]) -> [u8; CREDENTIAL_MAC_BYTES] {
    #[cfg(test)]
    tests::count_mac();
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests;
