//! The bytes under the MAC. One encoding for all claims, and one set of claims for an encoding.

use super::{Claims, Pseudonym, Scope};

const VERSION: u8 = 2;

pub(super) fn encode(claims: &Claims) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bytes.extend_from_slice(&claims.key_id.to_be_bytes());
    bytes.extend_from_slice(&[claims.scope.code(), claims.class]);
    for seconds in [claims.issued_at, claims.expires_at, claims.account_since] {
        bytes.extend_from_slice(&seconds.to_be_bytes());
    }
    bytes.extend_from_slice(&claims.pseudonym.0);
    for name in [claims.tenant.as_str(), claims.audience.as_str()] {
        bytes.push(u8::try_from(name.len()).expect("names have at most 64 bytes"));
        bytes.extend_from_slice(name.as_bytes());
    }
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Option<Claims> {
    let (version, rest) = bytes.split_first()?;
    let (key_id, rest) = rest.split_first_chunk()?;
    let ([scope, class], rest) = rest.split_first_chunk()?;
    let (issued_at, rest) = rest.split_first_chunk()?;
    let (expires_at, rest) = rest.split_first_chunk()?;
    let (account_since, rest) = rest.split_first_chunk()?;
    let (pseudonym, rest) = rest.split_first_chunk()?;
    let (tenant, rest) = split_name(rest)?;
    let (audience, rest) = split_name(rest)?;
    if *version != VERSION || !rest.is_empty() {
        return None;
    }
    Some(Claims {
        tenant: tenant.parse().ok()?,
        audience: audience.parse().ok()?,
        pseudonym: Pseudonym(*pseudonym),
        scope: Scope::from_code(*scope)?,
        class: *class,
        issued_at: u64::from_be_bytes(*issued_at),
        expires_at: u64::from_be_bytes(*expires_at),
        account_since: u64::from_be_bytes(*account_since),
        key_id: u32::from_be_bytes(*key_id),
    })
}

/// A name after its length, and what follows.
fn split_name(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(name).ok()?, rest))
}
