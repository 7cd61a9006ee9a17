//! Bearer credentials: HMAC-SHA256 over who may ask, what, and until when.
//!
//! The operator's back end mints them with a key that it shares with the server; the server keeps
//! nothing per credential. Text form: base64url without padding over
//!
//! | bytes | field |
//! |---|---|
//! | 1 | version, 1 |
//! | 4 | key id, big endian |
//! | 1 | scope: 1 discover, 2 register |
//! | 8 | expiry, seconds since 1970, big endian |
//! | 16 | account pseudonym |
//! | 1 | length of the tenant name |
//! | n | tenant name |
//! | 32 | HMAC-SHA256 of all of the above |

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::{
    keys::CredentialKey,
    limits::{CREDENTIAL_BYTES_MAX, PSEUDONYM_BYTES},
    manifest::TenantName,
};

const VERSION: u8 = 1;
const MAC_BYTES: usize = 32;

/// What a credential says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The tenant for whose directory it is valid.
    pub tenant: TenantName,
    /// Whose quota is charged.
    pub pseudonym: Pseudonym,
    /// What it allows.
    pub scope: Scope,
    /// First second, since 1970, at which it is no longer valid.
    pub expires_at: u64,
    /// Which key authenticates it.
    pub key_id: u32,
}

/// What a credential allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scope {
    /// Look up, within the quota.
    Discover,
    /// Register and remove accounts.
    Register,
}

/// The tenant's name for an account: 16 bytes that only the operator can map back. Redacted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pseudonym(pub [u8; PSEUDONYM_BYTES]);

/// A credential in its text form: a secret. Redacted in `Debug`, wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Credential(String);

/// Why a credential was refused. Deliberately coarse: a forger learns nothing from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// Not a credential of this server and tenant.
    #[error("the credential is not valid here")]
    Invalid,
    /// Authentic, and past its expiry.
    #[error("the credential has expired: ask the operator's back end for a new one")]
    Expired,
}

impl Pseudonym {
    /// The pseudonym of an account: HMAC-SHA256 of its id under the credential key, shortened.
    ///
    /// A keyed function: without the key nobody can test which account a pseudonym belongs to.
    /// An operator may choose any other 16 bytes.
    #[must_use]
    pub fn of_account(key: &CredentialKey, account: &[u8]) -> Self {
        let mac = mac(key, &[b"acquaint v1 pseudonym", account]);
        let mut pseudonym = [0; PSEUDONYM_BYTES];
        pseudonym.copy_from_slice(&mac[..PSEUDONYM_BYTES]);
        Self(pseudonym)
    }
}

impl fmt::Debug for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pseudonym(REDACTED)")
    }
}

impl Credential {
    /// Mints a credential. Deterministic.
    #[must_use]
    pub fn mint(key: &CredentialKey, claims: &Claims) -> Self {
        let mut bytes = encode(claims);
        let mac = mac(key, &[&bytes]);
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

/// The keys that a server accepts, by id: several, so that a key can be replaced without refusing
/// credentials minted under the old one.
#[derive(Debug)]
pub struct CredentialVerifier {
    tenant: TenantName,
    keys: Vec<(u32, CredentialKey)>,
}

impl CredentialVerifier {
    /// A verifier for a tenant.
    #[must_use]
    pub fn new(tenant: TenantName, keys: Vec<(u32, CredentialKey)>) -> Self {
        Self { tenant, keys }
    }

    /// Checks a credential at a time in seconds since 1970.
    ///
    /// The MAC is compared in constant time, and before anything that it covers is believed.
    ///
    /// # Errors
    /// [`CredentialError::Invalid`] for everything but an authentic credential of this tenant;
    /// [`CredentialError::Expired`] for an authentic one past its expiry.
    pub fn verify(&self, text: &str, now: u64) -> Result<Claims, CredentialError> {
        let bytes = self.authenticate(text).ok_or(CredentialError::Invalid)?;
        let claims = decode(&bytes).ok_or(CredentialError::Invalid)?;
        if claims.tenant != self.tenant {
            return Err(CredentialError::Invalid);
        }
        if now >= claims.expires_at {
            return Err(CredentialError::Expired);
        }
        Ok(claims)
    }

    /// The bytes under the MAC, if it holds.
    fn authenticate(&self, text: &str) -> Option<Vec<u8>> {
        if text.len() > BASE64URL_NOPAD.encode_len(CREDENTIAL_BYTES_MAX) {
            return None;
        }
        let mut bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        let sent = bytes.split_off(bytes.len().checked_sub(MAC_BYTES)?);
        let key_id = bytes.get(1..5)?.try_into().map(u32::from_be_bytes).ok()?;
        let (_, key) = self.keys.iter().find(|(id, _)| *id == key_id)?;
        let expected = mac(key, &[&bytes]);
        bool::from(expected.ct_eq(&sent)).then_some(bytes)
    }
}

fn encode(claims: &Claims) -> Vec<u8> {
    let tenant = claims.tenant.as_str().as_bytes();
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&claims.key_id.to_be_bytes());
    bytes.push(claims.scope.code());
    bytes.extend_from_slice(&claims.expires_at.to_be_bytes());
    bytes.extend_from_slice(&claims.pseudonym.0);
    bytes.push(u8::try_from(tenant.len()).expect("a tenant name has at most 32 bytes"));
    bytes.extend_from_slice(tenant);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Claims> {
    let (version, rest) = bytes.split_first()?;
    let (key_id, rest) = rest.split_first_chunk()?;
    let (scope, rest) = rest.split_first()?;
    let (expires_at, rest) = rest.split_first_chunk()?;
    let (pseudonym, rest) = rest.split_first_chunk()?;
    let (tenant_length, tenant) = rest.split_first()?;
    if *version != VERSION || usize::from(*tenant_length) != tenant.len() {
        return None;
    }
    Some(Claims {
        tenant: std::str::from_utf8(tenant).ok()?.parse().ok()?,
        pseudonym: Pseudonym(*pseudonym),
        scope: Scope::from_code(*scope)?,
        expires_at: u64::from_be_bytes(*expires_at),
        key_id: u32::from_be_bytes(*key_id),
    })
}

fn mac(key: &CredentialKey, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
    let mut mac =
        Hmac::<Sha256>::new_from_slice(key.expose_bytes()).expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

impl Scope {
    const fn code(self) -> u8 {
        match self {
            Self::Discover => 1,
            Self::Register => 2,
        }
    }

    const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Discover),
            2 => Some(Self::Register),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000;

    fn claims() -> Claims {
        Claims {
            tenant: "demo".parse().unwrap(),
            pseudonym: Pseudonym([7; PSEUDONYM_BYTES]),
            scope: Scope::Discover,
            expires_at: NOW + 1,
            key_id: 1,
        }
    }

    fn key(byte: u8) -> CredentialKey {
        CredentialKey::from_bytes([byte; 32])
    }

    fn verifier() -> CredentialVerifier {
        CredentialVerifier::new("demo".parse().unwrap(), vec![(1, key(1)), (2, key(2))])
    }

    #[test]
    fn a_minted_credential_is_read_back() {
        for scope in [Scope::Discover, Scope::Register] {
            for key_id in [1, 2] {
                let claims = Claims { scope, key_id, ..claims() };
                let credential = Credential::mint(&key(u8::try_from(key_id).unwrap()), &claims);
                assert_eq!(verifier().verify(credential.expose_text(), NOW), Ok(claims));
            }
        }
    }

    #[test]
    fn expiry_is_exact() {
        let credential = Credential::mint(&key(1), &claims());
        let at = |now| verifier().verify(credential.expose_text(), now).map(|_| ());
        assert_eq!(at(NOW), Ok(()));
        assert_eq!(at(NOW + 1), Err(CredentialError::Expired));
        assert_eq!(at(u64::MAX), Err(CredentialError::Expired));
    }

    #[test]
    fn every_flipped_bit_and_every_truncation_is_refused() {
        let text = Credential::mint(&key(1), &claims());
        let bytes = BASE64URL_NOPAD.decode(text.expose_text().as_bytes()).unwrap();
        let invalid = |bytes: &[u8]| {
            let text = BASE64URL_NOPAD.encode(bytes);
            assert_eq!(verifier().verify(&text, NOW), Err(CredentialError::Invalid));
        };
        for bit in 0..bytes.len() * 8 {
            let mut forged = bytes.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            invalid(&forged);
        }
        for length in 0..bytes.len() {
            invalid(&bytes[..length]);
        }
        invalid(&[&bytes[..], &[0]].concat());
        invalid(&[1; CREDENTIAL_BYTES_MAX]);
        invalid(&[1; CREDENTIAL_BYTES_MAX + 1]);
        assert_eq!(verifier().verify("not base64!", NOW), Err(CredentialError::Invalid));
    }

    #[test]
    fn other_keys_and_tenants_are_refused() {
        let invalid = |key_byte, claims: &Claims| {
            let credential = Credential::mint(&key(key_byte), claims);
            assert_eq!(
                verifier().verify(credential.expose_text(), NOW),
                Err(CredentialError::Invalid)
            );
        };
        invalid(3, &claims());
        invalid(2, &claims());
        invalid(1, &Claims { key_id: 3, ..claims() });
        invalid(1, &Claims { tenant: "other".parse().unwrap(), ..claims() });
    }

    #[test]
    fn debug_is_redacted() {
        let credential = Credential::mint(&key(1), &claims());
        assert_eq!(format!("{credential:?}"), "Credential(REDACTED)");
        let printed = format!("{:?} {:?}", claims(), verifier());
        assert!(printed.contains("Pseudonym(REDACTED)"));
        assert!(printed.contains("CredentialKey(REDACTED)"));
        assert!(!printed.contains("7, 7"));
    }

    #[test]
    fn pseudonyms_differ_by_account_and_key() {
        let a = Pseudonym::of_account(&key(1), b"a");
        assert_eq!(a, Pseudonym::of_account(&key(1), b"a"));
        assert_ne!(a, Pseudonym::of_account(&key(1), b"b"));
        assert_ne!(a, Pseudonym::of_account(&key(2), b"a"));
    }
}
