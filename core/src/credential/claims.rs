//! What a credential says.

use std::{fmt, str::FromStr};

use super::mac;
use crate::{
    keys::PseudonymKey,
    limits::{AUDIENCE_BYTES_MAX, PSEUDONYM_BYTES},
    manifest::TenantName,
};

/// What a credential says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// The tenant for whose directory it is valid.
    pub tenant: TenantName,
    /// The deployment for which it is valid.
    pub audience: Audience,
    /// Whose quota is charged.
    pub pseudonym: Pseudonym,
    /// What it allows.
    pub scope: Scope,
    /// Which of the tenant's quota policies applies: 0 for ordinary accounts.
    pub class: u8,
    /// Second, since 1970, at which it was minted.
    pub issued_at: u64,
    /// First second, since 1970, at which it is no longer valid.
    pub expires_at: u64,
    /// Second, since 1970, at which the account was made, so that a quota may grow with the age
    /// of the account; 0 for long ago.
    pub account_since: u64,
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
    /// Operate the tenant's directory.
    Admin,
}

/// The tenant's name for an account: 16 bytes that only the operator can map back. Redacted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pseudonym(pub [u8; PSEUDONYM_BYTES]);

/// The name of a deployment, so that a credential of one, such as a test system, is no good in
/// another that happens to have the same keys: 1 to 64 bytes of `a-z`, `0-9`, `.` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Audience(String);

/// The text is not an audience.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an audience has 1 to 64 characters of a-z, 0-9, . and -")]
pub struct AudienceError;

impl Pseudonym {
    /// The pseudonym of an account: HMAC-SHA256 of its id under the pseudonym key, shortened.
    ///
    /// A keyed function: without the key nobody can test which account a pseudonym belongs to. It
    /// does not depend on the credential keys, so quotas outlive their rotation. An operator may
    /// choose any other 16 bytes that stay the same for an account.
    #[must_use]
    pub fn of_account(key: &PseudonymKey, account: &[u8]) -> Self {
        let mac = mac(key.expose_bytes(), &[b"acquaint v1 pseudonym", account]);
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

impl Scope {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Discover => 1,
            Self::Register => 2,
            Self::Admin => 3,
        }
    }

    pub(super) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::Discover),
            2 => Some(Self::Register),
            3 => Some(Self::Admin),
            _ => None,
        }
    }
}

impl Audience {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Audience {
    type Err = AudienceError;

    /// Reads a name.
    ///
    /// # Errors
    /// [`AudienceError`].
    fn from_str(text: &str) -> Result<Self, AudienceError> {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b);
        let well_formed =
            (1..=AUDIENCE_BYTES_MAX).contains(&text.len()) && text.bytes().all(allowed);
        if well_formed { Ok(Self(text.to_owned())) } else { Err(AudienceError) }
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
