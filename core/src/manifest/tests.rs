//! Signatures, layout and chain of manifests (V2 as far as one manifest goes).

use proptest::prelude::*;

use super::*;
use crate::keys::OprfSeed;

fn epoch(number: u32) -> EpochInfo {
    EpochInfo {
        epoch: number,
        public_key: OprfSeed::from_bytes([3; 32]).epoch_key(number).unwrap().1,
        version: 12,
        snapshot: SnapshotInfo {
            number: 4,
            version: 10,
            universe: Universe::for_members(100_000).unwrap(),
            members: 56,
            set_bytes: 99 * 8,
            index_digest: [1; DIGEST_BYTES],
        },
        overlay: OverlayInfo { bytes: 70, removed: 1, added: 2, digest: [2; DIGEST_BYTES] },
    }
}

fn manifest(sequence: u64) -> Manifest {
    Manifest {
        tenant: "demo".parse().unwrap(),
        sequence,
        changed_at: 1_800_000_000,
        previous: [4; DIGEST_BYTES],
        policy: Policy {
            padding_classes: vec![16, 1_024],
            quota_elements: 20_480,
            quota_refill_per_day: 2_048,
            repeat_retention_seconds: 600,
            delta_retention_seconds: 604_800,
        },
        epochs: vec![epoch(1)],
    }
}

fn key() -> ManifestKey {
    ManifestKey::from_bytes([9; 32])
}

#[test]
fn what_was_signed_is_what_is_read() {
    let signed = manifest(1).sign(&key()).unwrap();
    let verified = signed.verify(&key().pin()).unwrap();
    assert_eq!(*verified, manifest(1));
    assert_eq!(verified.current().members(), 57);
    assert_eq!(verified.current().snapshot.labels_bytes(), 56 * 32);
    assert!(signed.content.len() < 350, "small, whatever is published");
    assert_eq!(signed, manifest(1).sign(&key()).unwrap(), "signing is deterministic");
}

#[test]
fn every_flipped_bit_is_refused() {
    let signed = manifest(1).sign(&key()).unwrap();
    let pin = key().pin();
    for bit in 0..signed.content.len() * 8 {
        let mut forged = signed.clone();
        forged.content[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(forged.verify(&pin), Err(ManifestError::Signature), "content bit {bit}");
    }
    for bit in 0..SIGNATURE_BYTES * 8 {
        let mut forged = signed.clone();
        forged.signature[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(forged.verify(&pin), Err(ManifestError::Signature), "signature bit {bit}");
    }
    let other = ManifestKey::from_bytes([8; 32]).pin();
    assert_eq!(signed.verify(&other), Err(ManifestError::Signature));
}

/// Signs any bytes, as an operator with faulty software would.
fn sign_raw(content: Vec<u8>) -> SignedManifest {
    let signature = SigningKey::from_bytes(key().expose_bytes()).sign(&content).to_bytes();
    SignedManifest { content, signature }
}

#[test]
fn signed_nonsense_is_refused() {
    let good = manifest(1).sign(&key()).unwrap().content;
    let pin = key().pin();
    for length in 0..good.len() {
        assert!(sign_raw(good[..length].to_vec()).verify(&pin).is_err(), "length {length}");
    }
    let longer = [&good[..], &[0]].concat();
    assert_eq!(sign_raw(longer).verify(&pin), Err(ManifestError::Format));
    for (at, byte) in [(0, b'B'), (4, 1), (5, 2)] {
        let mut bad = good.clone();
        bad[at] = byte;
        assert_eq!(sign_raw(bad).verify(&pin), Err(ManifestError::Format), "byte {at}");
    }
    let huge = vec![0; limits::MANIFEST_BYTES_MAX + 1];
    assert_eq!(sign_raw(huge).verify(&pin), Err(ManifestError::Content));
}

#[test]
fn contradictions_are_refused_on_both_sides() {
    let broken: [fn(&mut Manifest); 13] = [
        |m| m.policy.padding_classes.clear(),
        |m| m.policy.padding_classes = vec![16, 16],
        |m| m.policy.padding_classes = vec![BATCH_PLUS_ONE],
        |m| m.policy.padding_classes = vec![0],
        |m| m.epochs.clear(),
        |m| m.epochs = vec![epoch(1), epoch(2), epoch(3)],
        |m| m.epochs = vec![epoch(1), epoch(1)],
        |m| m.epochs = vec![epoch(2), epoch(1)],
        |m| m.epochs = vec![epoch(1), epoch(3)],
        |m| m.epochs[0].snapshot.version = 13,
        |m| m.epochs[0].overlay.removed = 57,
        |m| m.epochs[0].snapshot.members = limits::DIRECTORY_MEMBERS_MAX + 1,
        |m| m.epochs[0].overlay.added = limits::DIRECTORY_MEMBERS_MAX - 54,
    ];
    for (i, breakage) in broken.iter().enumerate() {
        let mut bad = manifest(1);
        breakage(&mut bad);
        assert_eq!(bad.sign(&key()), Err(ManifestError::Content), "case {i}");
    }
    assert_eq!(BATCH_PLUS_ONE as usize, limits::BATCH_ELEMENTS_MAX + 1);
    let mut at_limit = manifest(1);
    at_limit.policy.padding_classes = vec![BATCH_PLUS_ONE - 1];
    at_limit.epochs = vec![epoch(1), epoch(2)];
    at_limit.epochs[0].overlay.removed = 56;
    at_limit.epochs[1].overlay.added = limits::DIRECTORY_MEMBERS_MAX - 55;
    assert!(at_limit.sign(&key()).unwrap().verify(&key().pin()).is_ok());
}

const BATCH_PLUS_ONE: u32 = 4_097;

#[test]
fn forks_and_rollbacks_are_refused() {
    let open = |m: &Manifest| m.sign(&key()).unwrap().verify(&key().pin()).unwrap();
    let first = open(&manifest(5));
    let head = first.head();
    assert_eq!(first.check_follows(&head), Ok(()));
    assert_eq!(open(&manifest(4)).check_follows(&head), Err(ChainError::Rollback));

    let mut twin = manifest(5);
    twin.epochs[0].version += 1;
    assert_eq!(open(&twin).check_follows(&head), Err(ChainError::Fork));

    let mut next = manifest(6);
    assert_eq!(open(&next).check_follows(&head), Err(ChainError::Fork));
    next.previous = head.digest;
    assert_eq!(open(&next).check_follows(&head), Ok(()));
    assert_eq!(open(&manifest(7)).check_follows(&head), Ok(()), "a gap cannot be checked");

    let mut older_epoch = manifest(7);
    older_epoch.epochs = vec![epoch(0)];
    assert_eq!(open(&older_epoch).check_follows(&head), Err(ChainError::Rollback));
    let mut older_version = manifest(7);
    older_version.epochs[0].version -= 1;
    assert_eq!(open(&older_version).check_follows(&head), Err(ChainError::Rollback));
    let mut rotating = next.clone();
    rotating.epochs = vec![epoch(1), epoch(2)];
    assert_eq!(open(&rotating).check_follows(&head), Ok(()));
    let mut skipping = next.clone();
    skipping.epochs = vec![epoch(3)];
    assert_eq!(open(&skipping).check_follows(&head), Err(ChainError::Fork));
    skipping.sequence = 7;
    assert_eq!(open(&skipping).check_follows(&head), Ok(()), "a long absence");
    let mut foreign = manifest(6);
    foreign.tenant = "other".parse().unwrap();
    assert_eq!(open(&foreign).check_follows(&head), Err(ChainError::Tenant));
}

#[test]
fn pins_and_names_are_parsed() {
    let pin = key().pin();
    assert_eq!(pin.to_string().parse::<ManifestPin>().unwrap(), pin);
    assert_eq!(pin.to_string().to_uppercase().parse::<ManifestPin>().unwrap(), pin);
    for bad in ["", "00", &"0".repeat(64), &"g".repeat(64), &pin.to_string()[1..]] {
        assert_eq!(bad.parse::<ManifestPin>().unwrap_err(), NameError::Pin, "{bad}");
    }
    assert!("a".repeat(limits::TENANT_BYTES_MAX).parse::<TenantName>().is_ok());
    for bad in ["", "A", "a b", "ä", &"a".repeat(limits::TENANT_BYTES_MAX + 1)] {
        assert_eq!(bad.parse::<TenantName>().unwrap_err(), NameError::Tenant, "{bad}");
    }
}

proptest! {
    #[test]
    fn arbitrary_signed_bytes_never_panic(content: Vec<u8>) {
        prop_assert!(sign_raw(content).verify(&key().pin()).is_err());
    }

    #[test]
    fn a_changed_byte_that_is_signed_reads_as_itself_or_not_at_all(at in 0usize..400, byte: u8) {
        let mut content = manifest(1).sign(&key()).unwrap().content;
        let at = at % content.len();
        content[at] = byte;
        if let Ok(read) = sign_raw(content.clone()).verify(&key().pin()) {
            prop_assert_eq!(read.sign(&key()).unwrap().content, content, "canonical");
        }
    }
}
