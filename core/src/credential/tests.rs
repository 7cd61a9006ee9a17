mod vectors;

use std::cell::Cell;

use super::{verifier::DECOY_KEY, *};
use crate::{
    keys::PseudonymKey,
    limits::{
        AUDIENCE_BYTES_MAX, CLOCK_SKEW_S, CREDENTIAL_BYTES_MAX, CREDENTIAL_TEXT_BYTES_MAX,
        PSEUDONYM_BYTES, TENANT_BYTES_MAX,
    },
    manifest::TenantName,
};

const NOW: u64 = 1_800_000_000;
const ALPHABET: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

thread_local! {
    static MACS: Cell<u32> = const { Cell::new(0) };
}

/// Called for each MAC that is computed.
pub(super) fn count_mac() {
    MACS.set(MACS.get() + 1);
}

fn claims() -> Claims {
    Claims {
        tenant: "demo".parse().unwrap(),
        audience: "acquaint".parse().unwrap(),
        pseudonym: Pseudonym([7; PSEUDONYM_BYTES]),
        scope: Scope::Discover,
        class: 0,
        issued_at: NOW - 1,
        expires_at: NOW + 1,
        account_since: 0,
        key_id: 1,
    }
}

fn key(byte: u8) -> CredentialKey {
    CredentialKey::from_bytes([byte; 32])
}

/// Tenant `demo` with the keys 1 and 2, tenant `other` with the key 1 of its own.
fn verifier() -> CredentialVerifier {
    let tenant = |name: &str| name.parse::<TenantName>().unwrap();
    CredentialVerifier::new(
        "acquaint".parse().unwrap(),
        [(tenant("demo"), vec![(1, key(1)), (2, key(2))]), (tenant("other"), vec![(1, key(11))])],
    )
}

fn verify_at(text: &str, now: u64) -> Result<Claims, CredentialError> {
    verifier().verify(text, now)
}

/// Refused with the one constant error, after exactly one MAC.
fn refused(text: &str) {
    MACS.set(0);
    assert_eq!(verify_at(text, NOW), Err(CredentialError::Invalid), "{text}");
    assert_eq!(MACS.get(), 1, "{text}");
}

fn refused_bytes(bytes: &[u8]) {
    refused(&BASE64URL_NOPAD.encode(bytes));
}

fn refused_claims(key: &CredentialKey, claims: &Claims) {
    refused(Credential::mint(key, claims).expose_text());
}

fn minted_bytes(claims: &Claims) -> Vec<u8> {
    let credential = Credential::mint(&key(1), claims);
    BASE64URL_NOPAD.decode(credential.expose_text().as_bytes()).unwrap()
}

#[test]
fn a_minted_credential_is_read_back() {
    for scope in [Scope::Discover, Scope::Register, Scope::Admin] {
        for (key_byte, tenant, key_id) in [(1, "demo", 1), (2, "demo", 2), (11, "other", 1)] {
            for (class, account_since) in [(0, 0), (1, NOW), (255, u64::MAX)] {
                let tenant = tenant.parse().unwrap();
                let claims = Claims { tenant, scope, class, account_since, key_id, ..claims() };
                let credential = Credential::mint(&key(key_byte), &claims);
                MACS.set(0);
                assert_eq!(verify_at(credential.expose_text(), NOW), Ok(claims));
                assert_eq!(MACS.get(), 1);
            }
        }
    }
}

#[test]
fn every_flipped_bit_and_every_other_length_is_refused() {
    let bytes = minted_bytes(&claims());
    for bit in 0..bytes.len() * 8 {
        let mut forged = bytes.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        refused_bytes(&forged);
    }
    for length in 0..bytes.len() {
        refused_bytes(&bytes[..length]);
    }
    refused_bytes(&[&bytes[..], &[0]].concat());
    refused_bytes(&[&[0], &bytes[..]].concat());
}

/// Authentic bytes that are no credential: a back end with a mistake in it.
#[test]
fn malformed_bodies_are_refused_under_the_right_key() {
    let bytes = minted_bytes(&claims());
    let body = &bytes[..bytes.len() - CREDENTIAL_MAC_BYTES];
    let authentic = |body: &[u8]| {
        let mac = mac(&[1; KEY_BYTES], &[body]);
        BASE64URL_NOPAD.encode(&[body, &mac].concat())
    };
    assert!(verify_at(&authentic(body), NOW).is_ok(), "the control");
    let wrong: [(usize, &[u8]); 6] = [
        // Version and scope.
        (0, &[0, 1, 3]),
        (5, &[0, 4, 255]),
        // The length of the tenant name, and its first byte; the same of the audience.
        (47, &[0, 3, 5, 33, 255]),
        (48, &[b'D', b'.', 0, 0xff]),
        (52, &[0, 7, 9, 255]),
        (53, &[b'A', b'_', 0, 0xff]),
    ];
    for (position, bytes) in wrong {
        for byte in bytes {
            let mut changed = body.to_vec();
            changed[position] = *byte;
            refused(&authentic(&changed));
        }
    }
    refused(&authentic(&body[..body.len() - 1]));
    refused(&authentic(&[body, b"a"].concat()));
    refused(&authentic(&[]));
}

#[test]
fn texts_have_one_form() {
    let text = Credential::mint(&key(1), &claims()).expose_text().to_owned();
    for other in [String::new(), "not base64!".to_owned(), format!("{text}="), format!(" {text}")] {
        refused(&other);
    }
    // With a tenant name one byte longer, the last character has bits that mean nothing.
    let longer = Claims { tenant: "demo2".parse().unwrap(), ..claims() };
    let verifier = CredentialVerifier::new(
        "acquaint".parse().unwrap(),
        [(longer.tenant.clone(), vec![(1, key(1))])],
    );
    let text = Credential::mint(&key(1), &longer).expose_text().to_owned();
    assert!(verifier.verify(&text, NOW).is_ok());
    let last = text.chars().last().unwrap();
    let last = ALPHABET.chars().skip_while(|&character| character != last).nth(1).unwrap();
    let twin = format!("{}{}", &text[..text.len() - 1], last);
    assert_eq!(verifier.verify(&twin, NOW), Err(CredentialError::Invalid));
}

#[test]
fn the_longest_text_costs_one_mac_and_a_longer_one_none() {
    refused(&"A".repeat(CREDENTIAL_TEXT_BYTES_MAX));
    refused_bytes(&[2; CREDENTIAL_BYTES_MAX]);
    for text in ["A".repeat(CREDENTIAL_TEXT_BYTES_MAX + 1), "A".repeat(1 << 20)] {
        MACS.set(0);
        assert_eq!(verify_at(&text, NOW), Err(CredentialError::Invalid));
        assert_eq!(MACS.get(), 0);
    }
}

#[test]
fn names_at_their_limits_are_carried_and_longer_ones_do_not_exist() {
    let audience = "a".repeat(AUDIENCE_BYTES_MAX);
    let tenant = "t".repeat(TENANT_BYTES_MAX);
    let claims =
        Claims { tenant: tenant.parse().unwrap(), audience: audience.parse().unwrap(), ..claims() };
    let keys = vec![(1, key(1))];
    let verifier =
        CredentialVerifier::new(claims.audience.clone(), [(claims.tenant.clone(), keys)]);
    let credential = Credential::mint(&key(1), &claims);
    assert!(credential.expose_text().len() <= CREDENTIAL_TEXT_BYTES_MAX);
    assert_eq!(verifier.verify(credential.expose_text(), NOW), Ok(claims));

    for text in ["a", "acquaint", "eu-1.example.org", "0", &audience] {
        assert_eq!(text.parse::<Audience>().unwrap().as_str(), text);
    }
    for text in ["", "A", "a_b", "a b", "a/b", "ä", &format!("{audience}a")] {
        assert_eq!(text.parse::<Audience>(), Err(AudienceError), "{text}");
    }
}

#[test]
fn expiry_is_exact() {
    let credential = Credential::mint(&key(1), &claims());
    let at = |now| verify_at(credential.expose_text(), now).map(|_| ());
    assert_eq!(at(NOW), Ok(()));
    assert_eq!(at(NOW + 1), Err(CredentialError::Expired));
    assert_eq!(at(u64::MAX), Err(CredentialError::Expired));
}

#[test]
fn the_clock_of_the_back_end_may_be_ahead_by_the_skew_and_no_more() {
    let ahead = |seconds| Claims { issued_at: NOW + seconds, expires_at: NOW + 3_600, ..claims() };
    let at_skew = Credential::mint(&key(1), &ahead(CLOCK_SKEW_S));
    assert!(verify_at(at_skew.expose_text(), NOW).is_ok());
    refused_claims(&key(1), &ahead(CLOCK_SKEW_S + 1));
    assert!(
        verify_at(at_skew.expose_text(), u64::MAX).is_err_and(|e| e == CredentialError::Expired)
    );
}

/// Such a credential was never valid: it is wrong, not expired.
#[test]
fn a_credential_that_expires_before_it_was_issued_is_invalid() {
    for (issued_at, expires_at) in [(NOW, NOW), (NOW, NOW - 1), (NOW - 9, NOW - 9), (0, 0)] {
        refused_claims(&key(1), &Claims { issued_at, expires_at, ..claims() });
    }
    let short = Claims { issued_at: NOW, expires_at: NOW + 1, ..claims() };
    assert!(verify_at(Credential::mint(&key(1), &short).expose_text(), NOW).is_ok());
}

#[test]
fn other_keys_tenants_and_audiences_are_refused() {
    let other = Claims { tenant: "other".parse().unwrap(), ..claims() };
    // Nobody's key; the key of another id; another tenant's key, under either name.
    refused_claims(&key(3), &claims());
    refused_claims(&key(2), &claims());
    refused_claims(&key(11), &claims());
    refused_claims(&key(1), &other);
    refused_claims(&key(2), &Claims { key_id: 2, ..other });
    for key_id in [0, 3, u32::MAX] {
        refused_claims(&key(1), &Claims { key_id, ..claims() });
    }
    refused_claims(&key(1), &Claims { tenant: "unknown".parse().unwrap(), ..claims() });
    for audience in ["staging", "acquain", "acquaint2"] {
        refused_claims(&key(1), &Claims { audience: audience.parse().unwrap(), ..claims() });
    }
    // Wrong in two ways: what is said of an expired one is for authentic ones only.
    refused_claims(&key(3), &Claims { issued_at: NOW - 9, expires_at: NOW - 1, ..claims() });
    let elsewhere = Claims { audience: "staging".parse().unwrap(), ..claims() };
    refused_claims(&key(1), &Claims { issued_at: NOW - 9, expires_at: NOW - 1, ..elsewhere });
}

/// The decoy key is in the source: whoever forges under it gets no further than anybody else.
#[test]
fn the_decoy_key_opens_nothing() {
    let decoy = CredentialKey::from_bytes(DECOY_KEY);
    refused_claims(&decoy, &claims());
    refused_claims(&decoy, &Claims { key_id: 9, ..claims() });
    refused_claims(&decoy, &Claims { tenant: "unknown".parse().unwrap(), ..claims() });
    for length in 0..CREDENTIAL_BYTES_MAX - CREDENTIAL_MAC_BYTES {
        let body = vec![0; length];
        refused_bytes(&[&body[..], &mac(&DECOY_KEY, &[&body])].concat());
    }
}

#[test]
fn debug_is_redacted() {
    let credential = Credential::mint(&key(1), &claims());
    assert_eq!(format!("{credential:?}"), "Credential(REDACTED)");
    let printed = format!("{:?} {:?}", claims(), verifier());
    assert!(printed.contains("Pseudonym(REDACTED)"));
    assert!(printed.contains("CredentialKey(REDACTED)"));
    assert!(!printed.contains("7, 7") && !printed.contains("1, 1, 1"));
}

#[test]
fn pseudonyms_differ_by_account_and_key() {
    let key = |byte| PseudonymKey::from_bytes([byte; 32]);
    let a = Pseudonym::of_account(&key(1), b"a");
    assert_eq!(a, Pseudonym::of_account(&key(1), b"a"));
    assert_ne!(a, Pseudonym::of_account(&key(1), b"b"));
    assert_ne!(a, Pseudonym::of_account(&key(2), b"a"));
}
