//! Random damage with fixed seeds: an error or another canonical form, never a panic.

use super::malformed::{sample, sample_delta};
use super::*;

/// Flips, overwrites, cuts, inserts or repeats bytes, one to three times.
fn damage(whole: &[u8], rng: &mut ChaCha12Rng) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for _ in 0..=below(rng, 3) {
        if bytes.is_empty() {
            return bytes;
        }
        // Half of the damage falls into the headers and lists, which labels outweigh.
        let span = if below(rng, 2) == 0 { bytes.len() } else { bytes.len().min(200) };
        let at = below(rng, span);
        match below(rng, 6) {
            0 => bytes[at] ^= 1 << below(rng, 8),
            1 => bytes[at] = rng.next_u64() as u8,
            2 => bytes[at] = [0, 1, 0x7f, 0xff][below(rng, 4)],
            3 => bytes.truncate(at),
            4 => bytes.insert(at, rng.next_u64() as u8),
            _ => {
                let end = (at + below(rng, 40)).min(bytes.len());
                bytes.extend_from_within(at..end);
            }
        }
    }
    bytes
}

#[test]
fn damaged_overlays() {
    let mut rng = seeded_rng(50);
    let world = sample();
    let whole = world.overlay.encode();
    let mut read = 0;
    for _ in 0..100_000 {
        let bytes = damage(&whole, &mut rng);
        if let Ok(overlay) = Overlay::decode(world.overlay.snapshot(), &bytes) {
            assert!(overlay.encode() == bytes);
            assert_eq!(overlay == world.overlay, bytes == whole);
            read += 1;
            // Unsigned and perhaps not canonical over this snapshot: no panic, members add up.
            let compacted: Result<Vec<_>, _> =
                compact(&world.view(), &overlay, 2).unwrap().collect();
            let members: u64 = compacted.unwrap().iter().map(|part| u64::from(part.count)).sum();
            assert_eq!(members, overlay.members());
            let all = world.entries(&world.members);
            let _ = overlay.advance(&world.view(), &all, &[]);
        }
    }
    eprintln!("{read} of 100000 are other overlays");
    assert!(read > 1_000);
}

#[test]
fn damaged_deltas() {
    let mut rng = seeded_rng(51);
    let world = sample();
    let (from, delta) = sample_delta(&world);
    let whole = delta.encode();
    let (mut read, mut applied) = (0, 0);
    for _ in 0..100_000 {
        let bytes = damage(&whole, &mut rng);
        let Ok(other) = Delta::decode(from.snapshot(), VERSIONS, &bytes) else { continue };
        assert!(other.encode() == bytes);
        assert_eq!(other == delta, bytes == whole);
        read += 1;
        let Ok(to) = other.apply(&from) else { continue };
        applied += 1;
        assert_eq!(Delta::between(VERSIONS, &from, &to).unwrap(), other, "the canonical delta");
        let reread = Overlay::decode(to.snapshot(), &to.encode()).unwrap();
        assert_eq!(reread, to);
    }
    eprintln!("of 100000, {read} are other deltas, {applied} apply");
    assert!(read > applied && applied > 1_000);
}

#[test]
fn arbitrary_bytes_behind_the_right_header() {
    let mut rng = seeded_rng(52);
    let snapshot = identity(1_000, 500);
    let empty = Overlay::empty(snapshot);
    let header = Delta::between(VERSIONS, &empty, &empty).unwrap().encode();
    for _ in 0..50_000 {
        let mut bytes = header.clone();
        let mut length = 0;
        for list in 0..4 {
            let (count, section) = (below(&mut rng, 4), below(&mut rng, 6));
            let range = [500.0, 500.0, 9.0, 1_569_862_000.0][list];
            let p = if count == 0 {
                0.0
            } else {
                (std::f64::consts::LN_2 * range / count as f64).log2()
            };
            bytes[8 + list] = p.max(0.0) as u8;
            bytes[44 + 4 * list] = count as u8;
            bytes[60 + 4 * list] = section as u8;
            length += section + if list == 3 { 32 * count } else { 0 };
        }
        bytes[40] = 9;
        bytes.extend((0..length).map(|_| [0, 0xff, rng.next_u64() as u8][below(&mut rng, 3)]));
        if let Ok(delta) = Delta::decode(&snapshot, VERSIONS, &bytes) {
            assert!(delta.encode() == bytes);
        }
    }
}
