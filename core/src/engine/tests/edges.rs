//! Decoding of edge encodings: whatever dalek accepts, and nothing else.

use super::support::*;
use crate::engine::{Engine, InvalidEncoding};
use curve25519_dalek::scalar::Scalar;
use rand_core::Rng;

/// p = 2^255 − 19 in little-endian bytes.
fn prime() -> [u8; 32] {
    let mut bytes = [255; 32];
    bytes[0] = 0xed;
    bytes[31] = 0x7f;
    bytes
}

/// `a` + `b` modulo 2^256.
fn add(a: [u8; 32], b: u64) -> [u8; 32] {
    let mut carry = u128::from(b);
    a.map(|byte| {
        carry += u128::from(byte);
        let low = carry as u8;
        carry >>= 8;
        low
    })
}

/// p − a, for 0 < a < p.
fn negative(a: [u8; 32]) -> [u8; 32] {
    let mut borrow = 0i16;
    let mut bytes = prime();
    for (byte, a) in bytes.iter_mut().zip(a) {
        let difference = i16::from(*byte) - i16::from(a) + borrow;
        *byte = difference.rem_euclid(256) as u8;
        borrow = difference.div_euclid(256);
    }
    bytes
}

/// About a hundred thousand strings around every reason to reject, shuffled together.
fn edge_strings() -> Vec<[u8; 32]> {
    let rng = &mut rng(10);
    let mut strings = super::vectors::bad_encodings();
    for offset in 0..64 {
        // Zero and up, p and up, 2^255 and up, p and down, 2^256 and down.
        strings.push(add([0; 32], offset));
        strings.push(add(prime(), offset));
        let mut high = add([0; 32], offset);
        high[31] |= 0x80;
        strings.push(high);
        let (mut below_prime, mut below_limit) = (prime(), [255; 32]);
        below_prime[0] -= offset as u8;
        below_limit[0] -= offset as u8;
        strings.extend([below_prime, below_limit]);
    }
    let (_, valid) = points(rng, 6_000);
    for encoding in &valid {
        strings.push(*encoding);
        strings.push(negative(*encoding));
        let mut high = *encoding;
        high[31] |= 0x80;
        strings.push(high);
        // Even and below p, but a square only half of the time.
        strings.push(add(*encoding, 2));
        let mut flipped = *encoding;
        flipped[rng.next_u32() as usize % 32] ^= 1 << (rng.next_u32() % 8);
        strings.push(flipped);
    }
    while strings.len() < 100_000 {
        let mut random = [0; 32];
        rng.fill_bytes(&mut random);
        random[0] &= 0xfe;
        random[31] &= 0x7f;
        strings.push(random);
        rng.fill_bytes(&mut random);
        strings.push(random);
        strings.push([0; 32]);
    }
    for index in (1..strings.len()).rev() {
        strings.swap(index, rng.next_u64() as usize % (index + 1));
    }
    strings
}

/// Which strings of a batch the engine accepts, found by taking out one bad one at a time.
fn accepted(engine: &Engine, strings: &[[u8; 32]]) -> Vec<bool> {
    let mut accepted = vec![true; strings.len()];
    let mut batch = strings.to_vec();
    while let Err(InvalidEncoding { index }) = engine.decode(&batch) {
        assert!(accepted[index], "reported twice");
        accepted[index] = false;
        batch[index] = [0; 32];
    }
    accepted
}

#[test]
fn edge_encodings_are_accepted_exactly_when_dalek_accepts_them() {
    let strings = edge_strings();
    let points: Vec<_> = strings.iter().map(decompress).collect();
    let valid = points.iter().flatten().count();
    assert!(valid > 10_000 && strings.len() - valid > 50_000, "{valid} of {}", strings.len());
    let k = Scalar::random(&mut rng(11));
    for engine in engines() {
        // Mixed batches of two groups: every accepted lane stands beside rejected ones.
        for (strings, points) in strings.chunks(16).zip(points.chunks(16)) {
            let expected: Vec<_> = points.iter().map(Option::is_some).collect();
            assert_eq!(accepted(&engine, strings), expected);
        }
    }
    // The valid ones decode to the right points.
    let (encodings, points): (Vec<_>, Vec<_>) = strings
        .iter()
        .zip(&points)
        .filter_map(|(string, point)| point.map(|point| (*string, point)))
        .unzip();
    let expected: Vec<_> = points.iter().map(|point| point * k).collect();
    let expected = compress_all(&expected);
    for engine in engines() {
        assert!(engine.evaluate(&k, &engine.decode(&encodings).unwrap()) == expected);
    }
}

#[test]
fn the_first_invalid_encoding_is_reported() {
    let (_, valid) = points(&mut rng(12), 37);
    for engine in engines() {
        for first in 0..valid.len() {
            let mut strings = valid.clone();
            for index in (first..valid.len()).step_by(3) {
                strings[index] = [255; 32];
            }
            assert_eq!(engine.decode(&strings).unwrap_err().index, first);
        }
    }
}

#[test]
fn uniform_strings_of_every_extreme_map_as_dalek_maps_them() {
    let mut halves = vec![[0; 32], [255; 32], prime(), negative([1; 32])];
    halves.extend((0..20).map(|offset| add(prime(), offset)));
    halves.extend((0..20).map(|offset| add([0; 32], offset)));
    let mut strings = Vec::new();
    for a in &halves {
        for b in &halves {
            let mut string = [0; 64];
            string[..32].copy_from_slice(a);
            string[32..].copy_from_slice(b);
            strings.push(string);
        }
    }
    let expected: Vec<_> = strings
        .iter()
        .map(|string| curve25519_dalek::RistrettoPoint::from_uniform_bytes(string).compress().0)
        .collect();
    for engine in engines() {
        assert_eq!(engine.encode(&engine.map_to_group(&strings)), expected);
    }
}
