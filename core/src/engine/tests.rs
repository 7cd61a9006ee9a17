//! The engine against single operations of curve25519-dalek, and against the bad encodings of
//! RFC 9496.

use curve25519_dalek::{RistrettoPoint, Scalar};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;

fn random_points(n: usize, seed: u64) -> (Vec<RistrettoPoint>, Vec<[u8; 32]>, ChaCha20Rng) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let points: Vec<_> = (0..n).map(|_| RistrettoPoint::random(&mut rng)).collect();
    let encodings = points.iter().map(|p| p.compress().to_bytes()).collect();
    (points, encodings, rng)
}

#[test]
fn evaluate_equals_single_multiplications() {
    for n in [0, 1, 2, 7, 64, 257] {
        let (points, encodings, mut rng) = random_points(n, 1);
        let decoded = decode(&encodings).unwrap();
        for k in [Scalar::ONE, -Scalar::ONE, Scalar::from(2u8), Scalar::random(&mut rng)] {
            let expected: Vec<_> = points.iter().map(|p| (p * k).compress().to_bytes()).collect();
            assert_eq!(evaluate(&k, &decoded), expected);
        }
    }
}

#[test]
fn multiplying_by_zero_gives_the_identity() {
    let (_, encodings, _) = random_points(3, 2);
    assert_eq!(evaluate(&Scalar::ZERO, &decode(&encodings).unwrap()), vec![[0; 32]; 3]);
}

#[test]
fn multiply_each_and_combination_equal_single_operations() {
    let (points, encodings, mut rng) = random_points(33, 3);
    let scalars: Vec<_> = points.iter().map(|_| Scalar::random(&mut rng)).collect();
    let products: Vec<_> = points.iter().zip(&scalars).map(|(p, s)| p * s).collect();
    let decoded = decode(&encodings).unwrap();
    let expected: Vec<_> = products.iter().map(|p| p.compress().to_bytes()).collect();
    assert_eq!(multiply_each(&scalars, &decoded), expected);
    assert_eq!(linear_combination(&scalars, &decoded), products.iter().sum());
}

#[test]
fn the_map_is_the_one_way_map_of_rfc_9496() {
    // RFC 9496, appendix A.3: SHA-512 outputs and the elements that they map to; the first pair.
    let uniform = hex_literal::hex!(
        "5d1be09e3d0c82fc538112490e35701979d99e06ca3e2b5b54bffe8b4dc772c1"
        "4d98b696a1bbfb5ca32c436cc61c16563790306c79eaca7705668b47dffe5bb6"
    );
    let element =
        hex_literal::hex!("3066f82a1a747d45120d1740f14358531a8f04bbffe6a819f86dfe50f44a0a46");
    let twice = Scalar::from(2u8);
    let point = CompressedRistretto(element).decompress().unwrap();
    let mapped = map_to_group(&[uniform]);
    assert_eq!(mapped.encode_doubled(), vec![(point * twice).compress().to_bytes()]);
}

#[test]
fn bad_encodings_are_refused_and_the_first_is_named() {
    let (_, good, _) = random_points(3, 4);
    for bad in bad_encodings() {
        for position in 0..4 {
            let mut batch = good.clone();
            batch.insert(position, bad);
            batch.push(bad);
            assert_eq!(decode(&batch).unwrap_err(), InvalidEncoding { index: position });
        }
    }
    assert_eq!(decode(&good).unwrap().len(), 3);
}

/// The 29 bad encodings of RFC 9496, appendix A.2, and the identity.
fn bad_encodings() -> Vec<[u8; 32]> {
    include_str!("../../vectors/rfc9496-bad-encodings.txt")
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let bytes = data_encoding::HEXLOWER.decode(line.as_bytes()).unwrap();
            bytes.try_into().unwrap()
        })
        .collect()
}

#[test]
fn the_list_of_bad_encodings_is_complete() {
    assert_eq!(bad_encodings().len(), 30);
}

#[test]
fn debug_shows_a_count_only() {
    let (_, encodings, _) = random_points(2, 5);
    assert_eq!(format!("{:?}", decode(&encodings).unwrap()), "Points(2 REDACTED)");
}
