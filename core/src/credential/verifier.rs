//! Checking credentials, without telling by time what is wrong with one.

use std::collections::HashMap;

use data_encoding::BASE64URL_NOPAD;
use subtle::{Choice, ConstantTimeEq};

use super::{Audience, Claims, CredentialError, codec, mac};
use crate::{
    keys::{CredentialKey, KEY_BYTES},
    limits::{CLOCK_SKEW_S, CREDENTIAL_BYTES_MAX, CREDENTIAL_MAC_BYTES, CREDENTIAL_TEXT_BYTES_MAX},
    manifest::TenantName,
};

/// Stands in for a key that does not exist, so that a MAC is computed all the same. Everybody
/// knows it, so a MAC under it proves nothing: [`CredentialVerifier::verify`] refuses it.
pub(super) const DECOY_KEY: [u8; KEY_BYTES] = [0; KEY_BYTES];

/// Stands in for what a malformed text does not hold.
const DECOY_BODY: [u8; CREDENTIAL_BYTES_MAX] = [0; CREDENTIAL_BYTES_MAX];
const DECOY_MAC: [u8; CREDENTIAL_MAC_BYTES] = [0; CREDENTIAL_MAC_BYTES];

/// The keys that a deployment accepts, by tenant and id: several for a tenant, so that a key can
/// be replaced without refusing credentials minted under the old one.
#[derive(Debug)]
pub struct CredentialVerifier {
    audience: Audience,
    keys: HashMap<TenantName, Vec<(u32, CredentialKey)>>,
}

/// A text that has the form of a credential.
struct Parsed<'a> {
    claims: Claims,
    body: &'a [u8],
    mac: &'a [u8; CREDENTIAL_MAC_BYTES],
}

impl CredentialVerifier {
    /// A verifier for all tenants of a deployment, each with its keys by id. Names and ids are
    /// expected to be distinct: of two equal tenants the last one counts, of two equal ids the
    /// first one.
    #[must_use]
    pub fn new(
        audience: Audience,
        tenants: impl IntoIterator<Item = (TenantName, Vec<(u32, CredentialKey)>)>,
    ) -> Self {
        Self { audience, keys: tenants.into_iter().collect() }
    }

    /// Checks a credential at a time in seconds since 1970.
    ///
    /// Exactly one MAC is computed for every text of up to 256 bytes, whatever is wrong with it,
    /// and compared in constant time: tenants and key ids cannot be told from unknown ones by the
    /// time of a refusal. A longer text is refused at once; its length is the sender's own.
    /// Nothing that the MAC covers is believed before it holds.
    ///
    /// # Errors
    /// [`CredentialError::Invalid`] for everything but an authentic credential of this audience
    /// that was issued before now (and [`CLOCK_SKEW_S`] seconds) and before its own expiry;
    /// [`CredentialError::Expired`] for such a one past its expiry.
    pub fn verify(&self, text: &str, now: u64) -> Result<Claims, CredentialError> {
        let claims = self.authenticate(text).ok_or(CredentialError::Invalid)?;
        if claims.audience != self.audience
            || claims.issued_at >= claims.expires_at
            || claims.issued_at > now.saturating_add(CLOCK_SKEW_S)
        {
            return Err(CredentialError::Invalid);
        }
        if now >= claims.expires_at {
            return Err(CredentialError::Expired);
        }
        Ok(claims)
    }

    /// What a text says, if its MAC is by a key of the tenant that it names.
    fn authenticate(&self, text: &str) -> Option<Claims> {
        if text.len() > CREDENTIAL_TEXT_BYTES_MAX {
            return None;
        }
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).unwrap_or_default();
        let parsed = Parsed::from_bytes(&bytes);
        let key = parsed.as_ref().and_then(|parsed| self.key(&parsed.claims));
        let (body, sent) =
            parsed.as_ref().map_or((decoy_body(text), &DECOY_MAC), |p| (p.body, p.mac));
        let expected = mac(key.map_or(&DECOY_KEY, CredentialKey::expose_bytes), &[body]);
        let authentic = expected.ct_eq(sent) & Choice::from(u8::from(key.is_some()));
        parsed.filter(|_| authentic.into()).map(|parsed| parsed.claims)
    }

    fn key(&self, claims: &Claims) -> Option<&CredentialKey> {
        let keys = self.keys.get(&claims.tenant)?;
        keys.iter().find(|(id, _)| *id == claims.key_id).map(|(_, key)| key)
    }
}

impl<'a> Parsed<'a> {
    fn from_bytes(bytes: &'a [u8]) -> Option<Self> {
        let (body, mac) = bytes.split_last_chunk()?;
        Some(Self { claims: codec::decode(body)?, body, mac })
    }
}

/// As many bytes as a well-formed text of this length has under its MAC.
fn decoy_body(text: &str) -> &'static [u8] {
    let length = (text.len() * 3 / 4).saturating_sub(CREDENTIAL_MAC_BYTES);
    DECOY_BODY.get(..length).unwrap_or(&DECOY_BODY)
}
