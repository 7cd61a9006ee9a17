//! `core/vectors/credential.json`, made by another implementation.

use data_encoding::HEXLOWER;
use serde_json::Value;

use super::*;

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../../vectors/credential.json")).unwrap()
}

fn bytes<const N: usize>(value: &Value) -> [u8; N] {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap().try_into().unwrap()
}

fn number<T: TryFrom<u64>>(value: &Value) -> T {
    T::try_from(value.as_u64().unwrap()).ok().unwrap()
}

fn list(value: &Value) -> &Vec<Value> {
    let list = value.as_array().unwrap();
    assert!(!list.is_empty());
    list
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn claims_of(vector: &Value) -> Claims {
    Claims {
        tenant: text(&vector["tenant"]).parse().unwrap(),
        audience: text(&vector["audience"]).parse().unwrap(),
        pseudonym: Pseudonym(bytes(&vector["pseudonym"])),
        scope: match text(&vector["scope"]) {
            "discover" => Scope::Discover,
            "register" => Scope::Register,
            "admin" => Scope::Admin,
            other => panic!("{other}"),
        },
        class: number(&vector["class"]),
        issued_at: number(&vector["issued_at"]),
        expires_at: number(&vector["expires_at"]),
        account_since: number(&vector["account_since"]),
        key_id: number(&vector["key_id"]),
    }
}

/// A verifier with all keys of the vectors.
fn verifier_of(vectors: &Value) -> CredentialVerifier {
    let mut tenants = std::collections::HashMap::<TenantName, Vec<_>>::new();
    for key in list(&vectors["keys"]) {
        let tenant = tenants.entry(text(&key["tenant"]).parse().unwrap()).or_default();
        tenant.push((number(&key["id"]), CredentialKey::from_bytes(bytes(&key["key"]))));
    }
    CredentialVerifier::new(text(&vectors["audience"]).parse().unwrap(), tenants)
}

#[test]
fn minted_vectors_are_reproduced_and_verified() {
    let vectors = vectors();
    let (verifier, now) = (verifier_of(&vectors), number(&vectors["now"]));
    for vector in list(&vectors["minted"]) {
        let (name, claims) = (text(&vector["name"]), claims_of(vector));
        let key = CredentialKey::from_bytes(bytes(&vector["key"]));
        let minted = Credential::mint(&key, &claims);
        assert_eq!(minted.expose_text(), text(&vector["text"]), "{name}");
        assert_eq!(verifier.verify(minted.expose_text(), now), Ok(claims), "{name}");
    }
}

#[test]
fn refused_vectors_are_refused_for_their_reason() {
    let vectors = vectors();
    let (verifier, now) = (verifier_of(&vectors), number(&vectors["now"]));
    for vector in list(&vectors["refused"]) {
        let reason = match text(&vector["reason"]) {
            "CREDENTIAL_INVALID" => CredentialError::Invalid,
            "CREDENTIAL_EXPIRED" => CredentialError::Expired,
            other => panic!("{other}"),
        };
        let refused = verifier.verify(text(&vector["text"]), now);
        assert_eq!(refused, Err(reason), "{}", vector["name"]);
    }
}

#[test]
fn pseudonym_vectors_are_reproduced() {
    let vectors = vectors();
    let key = PseudonymKey::from_bytes(bytes(&vectors["pseudonym_key"]));
    for vector in list(&vectors["pseudonyms"]) {
        let pseudonym = Pseudonym::of_account(&key, text(&vector["account"]).as_bytes());
        assert_eq!(pseudonym, Pseudonym(bytes(&vector["pseudonym"])));
    }
}
