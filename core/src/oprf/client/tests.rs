//! Oblivious equals unoblivious; lying servers are refused (K3); nonces and blinds do not repeat
//! (K4, K7).

use std::collections::HashSet;

use curve25519_dalek::RistrettoPoint;
use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::engine::{Backend, scoped};
use crate::oprf::{BlindedBatch, Evaluation, SecretKey, blind_evaluate, derive_key_pair};

const MODE: Mode = Mode::Voprf;

fn key(seed: u8) -> SecretKey {
    derive_key_pair(MODE, &[seed; 32], b"test").unwrap().0
}

fn inputs(n: usize) -> Vec<Vec<u8>> {
    (0..n).map(|i| format!("tel:+999{i:09}").into_bytes()).collect()
}

fn slices(inputs: &[Vec<u8>]) -> Vec<&[u8]> {
    inputs.iter().map(Vec::as_slice).collect()
}

/// `k·H(x)` without any blinding.
fn unoblivious(key: &SecretKey, inputs: &[&[u8]]) -> Vec<[u8; 32]> {
    Engine::current().evaluate(&key.0, &MODE.hash_to_group(inputs))
}

fn answer(key: &SecretKey, blinding: &Blinding, rng: &mut ChaCha20Rng) -> (Vec<u8>, Vec<u8>) {
    let batch = BlindedBatch::try_from(&blinding.to_bytes()[..]).unwrap();
    let Evaluation { elements, proof } = blind_evaluate(MODE, key, &batch, rng);
    (elements.concat(), proof.unwrap().to_bytes().to_vec())
}

fn exchange(padding: Padding, n: usize, seed: u64) -> (Blinding, Vec<u8>, Vec<u8>) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let blinding = blind(MODE, &slices(&inputs(n)), padding, &mut rng).unwrap();
    let (evaluated, proof) = answer(&key(1), &blinding, &mut rng);
    (blinding, evaluated, proof)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn oblivious_equals_unoblivious(n in 1usize..40, extra in 0usize..40, padded: bool, seed: u64) {
        let inputs = inputs(n);
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let padding = if padded { Padding::Class(n + extra) } else { Padding::None };
        let blinding = blind(MODE, &slices(&inputs), padding, &mut rng).unwrap();
        prop_assert_eq!(blinding.len(), if padded { n + extra } else { n });
        prop_assert_eq!(blinding.n_inputs(), n);
        let key = key(9);
        let (evaluated, proof) = answer(&key, &blinding, &mut rng);
        let verified = blinding.verify(&key.public_key(), &evaluated, &proof).unwrap();
        let elements: Vec<_> = verified.unblind().iter().map(|e| *e.expose_bytes()).collect();
        prop_assert_eq!(elements, unoblivious(&key, &slices(&inputs)));
    }
}

/// Both forms of blinding give `k·H(x)`, on every back end, and refuse another key.
#[test]
fn either_blinding_gives_the_same_output() {
    let inputs = inputs(ADDITIVE_ELEMENTS_MIN + 3);
    let key = key(9);
    let expected = unoblivious(&key, &slices(&inputs));
    for backend in Backend::ALL {
        let ran = scoped(backend, || {
            for additive in [true, false] {
                let mut rng = ChaCha20Rng::seed_from_u64(1);
                let form = match additive {
                    true => Form::Additive(key.trusted_key()),
                    false => Form::Exponential,
                };
                let padding = Padding::Class(512);
                let blinding = blind_as(form, MODE, &slices(&inputs), padding, &mut rng).unwrap();
                let (evaluated, proof) = answer(&key, &blinding, &mut rng);
                let verified = blinding.verify(&key.public_key(), &evaluated, &proof).unwrap();
                let elements: Vec<_> =
                    verified.unblind().iter().map(|e| *e.expose_bytes()).collect();
                assert_eq!(elements, expected, "{backend} additive: {additive}");

                let (evaluated, proof) = answer(&self::key(2), &blinding, &mut rng);
                let other = self::key(2).public_key();
                // Exponential blinding works under any key whose proof holds; additive blinding
                // under the one it was made for only.
                assert_eq!(blinding.verify(&other, &evaluated, &proof).is_err(), additive);
                assert!(blinding.verify(&key.public_key(), &evaluated, &proof).is_err());
            }
        });
        assert!(ran.is_some() || backend.is_vectorized());
    }
}

#[test]
fn the_form_is_additive_only_where_it_pays() {
    let many = inputs(ADDITIVE_ELEMENTS_MIN);
    let is_additive = |backend, n| {
        scoped(backend, || {
            let mut rng = ChaCha20Rng::seed_from_u64(1);
            let trusted = key(1).trusted_key();
            let blinding =
                blind_for(&trusted, &slices(&many[..n]), Padding::None, &mut rng).unwrap();
            matches!(blinding.form, Form::Additive(_))
        })
    };
    assert_eq!(is_additive(Backend::Dalek, ADDITIVE_ELEMENTS_MIN), Some(false));
    for backend in Backend::ALL.into_iter().filter(|backend| backend.is_vectorized()) {
        assert_ne!(is_additive(backend, ADDITIVE_ELEMENTS_MIN - 1), Some(true));
        assert_ne!(is_additive(backend, ADDITIVE_ELEMENTS_MIN), Some(false));
    }
}

#[test]
fn class_limits() {
    let mut rng = ChaCha20Rng::seed_from_u64(0);
    let many = inputs(BATCH_ELEMENTS_MAX + 1);
    let mut size = |n, padding| blind(MODE, &slices(&many[..n]), padding, &mut rng).map(|_| ());
    assert_eq!(size(0, Padding::Class(16)), Err(ElementError::BatchSize));
    assert_eq!(size(0, Padding::None), Err(ElementError::BatchSize));
    assert_eq!(size(17, Padding::Class(16)), Err(ElementError::BatchSize));
    assert_eq!(size(16, Padding::Class(16)), Ok(()));
    assert_eq!(size(1, Padding::Class(BATCH_ELEMENTS_MAX)), Ok(()));
    assert_eq!(size(1, Padding::Class(BATCH_ELEMENTS_MAX + 1)), Err(ElementError::BatchSize));
    assert_eq!(size(BATCH_ELEMENTS_MAX + 1, Padding::None), Err(ElementError::BatchSize));
}

#[test]
fn every_flipped_bit_of_a_proof_is_refused() {
    let (blinding, evaluated, proof) = exchange(Padding::Class(16), 5, 1);
    let public = key(1).public_key();
    assert!(blinding.verify(&public, &evaluated, &proof).is_ok());
    for bit in 0..512 {
        let mut forged = proof.clone();
        forged[bit / 8] ^= 1 << (bit % 8);
        assert!(blinding.verify(&public, &evaluated, &forged).is_err(), "bit {bit}");
    }
    let swapped = [&proof[32..], &proof[..32]].concat();
    assert_eq!(blinding.verify(&public, &evaluated, &swapped).unwrap_err(), ProofError::Refuted);
}

#[test]
fn malformed_proofs_are_refused() {
    let (blinding, evaluated, proof) = exchange(Padding::Class(16), 5, 1);
    let public = key(1).public_key();
    let refused = |proof: &[u8]| blinding.verify(&public, &evaluated, proof).unwrap_err();
    for length in [0, 31, 32, 33, 63] {
        assert_eq!(refused(&proof[..length]), ProofError::Malformed);
    }
    assert_eq!(refused(&[&proof[..], &[0]].concat()), ProofError::Malformed);
    // ℓ, ℓ + 1 and 2^255 − 1 are not canonical scalars; zero is one, and wrong.
    let order =
        hex_literal::hex!("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
    let mut above = order;
    above[0] += 1;
    let mut top = [0xff; 32];
    top[31] = 0x7f;
    for bad in [order, above, top] {
        assert_eq!(refused(&[&bad, &proof[32..]].concat()), ProofError::Malformed);
        assert_eq!(refused(&[&proof[..32], &bad[..]].concat()), ProofError::Malformed);
    }
    assert_eq!(refused(&[0; 64]), ProofError::Refuted);
}

#[test]
fn lying_servers_are_refused() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let (blinding, evaluated, proof) = exchange(Padding::Class(16), 5, 1);
    let public = key(1).public_key();
    let refused = |public, evaluated: &[u8], proof: &[u8]| {
        blinding.verify(public, evaluated, proof).unwrap_err()
    };

    // Another epoch's key, honestly proved for that key.
    let (other_evaluated, other_proof) = answer(&key(2), &blinding, &mut rng);
    assert_eq!(refused(&public, &other_evaluated, &other_proof), ProofError::Refuted);
    let other = key(2).public_key();
    assert_eq!(refused(&other, &evaluated, &proof), ProofError::Refuted);
    // The proof of another batch.
    let (_, _, foreign_proof) = exchange(Padding::Class(16), 5, 3);
    assert_eq!(refused(&public, &evaluated, &foreign_proof), ProofError::Refuted);
    // A permuted batch.
    let mut permuted = evaluated.clone();
    permuted[..64].rotate_left(32);
    assert_eq!(refused(&public, &permuted, &proof), ProofError::Refuted);
    // One element replaced by a valid one.
    let mut replaced = evaluated.clone();
    replaced[32..64].copy_from_slice(&other_evaluated[32..64]);
    assert_eq!(refused(&public, &replaced, &proof), ProofError::Refuted);
    // Elements that are none.
    for bad in [[0; 32], [0xff; 32]] {
        let mut broken = evaluated.clone();
        broken[32..64].copy_from_slice(&bad);
        assert_eq!(refused(&public, &broken, &proof), ProofError::InvalidElement);
    }
    // Too few, too many.
    assert_eq!(refused(&public, &evaluated[32..], &proof), ProofError::Count);
    let longer = [&evaluated[..], &evaluated[..32]].concat();
    assert_eq!(refused(&public, &longer, &proof), ProofError::Count);
}

#[test]
fn proof_nonces_do_not_repeat() {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let (blinding, _, _) = exchange(Padding::None, 1, 1);
    let proofs: HashSet<Vec<u8>> =
        (0..10_000).map(|_| answer(&key(1), &blinding, &mut rng).1).collect();
    assert_eq!(proofs.len(), 10_000);
}

#[test]
fn blinded_elements_of_one_input_look_random() {
    // 20,000 blindings of one input: no repetition, and byte values as uniform as those of
    // random elements (chi-square with 255 degrees of freedom; 330.5 is the 99.9 % point).
    const N: usize = 20_000;
    let mut rng = ChaCha20Rng::seed_from_u64(6);
    let input: &[u8] = b"tel:+9991";
    let mut seen = HashSet::new();
    let mut histogram = [0_u32; 256];
    for _ in 0..N / 1_000 {
        let blinding = blind(MODE, &[input; 1_000], Padding::None, &mut rng).unwrap();
        for element in blinding.encodings {
            assert!(seen.insert(element));
            // Byte 0 is even (encodings are not negative) and byte 31 below 128: leave them out.
            element[1..31].iter().for_each(|byte| histogram[usize::from(*byte)] += 1);
        }
    }
    let expected = (N * 30) as f64 / 256.0;
    let chi_square: f64 =
        histogram.iter().map(|n| (f64::from(*n) - expected).powi(2) / expected).sum();
    assert!(chi_square < 330.5, "chi-square {chi_square}");
}

#[test]
fn padding_hides_position_and_number() {
    // The one real element of a class of 16 stands at each position about equally often.
    let mut counts = [0_u32; 16];
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    for _ in 0..3_200 {
        let blinding = blind(MODE, &[b"tel:+9991"], Padding::Class(16), &mut rng).unwrap();
        counts[blinding.positions[0]] += 1;
    }
    let chi_square: f64 = counts.iter().map(|n| (f64::from(*n) - 200.0).powi(2) / 200.0).sum();
    assert!(chi_square < 37.7, "chi-square {chi_square}, 15 degrees of freedom, 99.9 %");
}

#[test]
fn finalize_of_the_identity_is_never_reached() {
    // Unblinding needs a verified batch, and a batch never holds the identity.
    let identity = RistrettoPoint::default().compress().to_bytes();
    assert_eq!(EvaluatedBatch::try_from(&identity[..]).unwrap_err(), ElementError::InvalidElement);
}

#[test]
fn debug_is_redacted() {
    let (blinding, _, _) = exchange(Padding::Class(16), 5, 1);
    assert_eq!(format!("{blinding:?}"), "Blinding(16 REDACTED)");
}
