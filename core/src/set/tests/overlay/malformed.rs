//! Malformed overlays and deltas, beyond the cases of the independent script.

use super::*;

/// A directory with everything in it: ties, removals, additions, two of them equal.
pub(super) fn sample() -> World {
    let mut rng = seeded_rng(40);
    let universe = Universe::with_capacity(400).unwrap();
    let mut world = World::new(universe, 1, random_records(&mut rng, 400));
    let gone = world.members[..20].to_vec();
    let mut new = random_records(&mut rng, 20);
    new.extend([new[3], record(new[3].tag, 171)]);
    world.change(&gone, &new);
    world.change(&new[..9], &gone[..9]);
    world.change(&[], &random_records(&mut rng, 4));
    world.change(&[new[3]], &[]);
    world.check();
    world
}

/// A delta with all four lists, and the overlay it starts from.
pub(super) fn sample_delta(world: &World) -> (Overlay, Delta) {
    let from = world.history[1].clone();
    let mut to = world.overlay.clone();
    let gone = world.members[10..13].to_vec();
    to = to.advance(&world.view(), &world.entries(&gone), &[]).unwrap();
    let delta = Delta::between(VERSIONS, &from, &to).unwrap();
    let bytes = delta.encode();
    let counts = bytes[44..60].chunks_exact(4).map(|count| count[0]).collect::<Vec<_>>();
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
    (from, delta)
}

#[test]
fn truncation_at_every_byte() {
    let world = sample();
    let bytes = world.overlay.encode();
    for length in 0..bytes.len() {
        let error = Overlay::decode(world.overlay.snapshot(), &bytes[..length]).unwrap_err();
        assert_eq!(error, OverlayError::Truncated, "{length} bytes");
    }
    let (from, delta) = sample_delta(&world);
    let bytes = delta.encode();
    for length in 0..bytes.len() {
        let error = Delta::decode(from.snapshot(), VERSIONS, &bytes[..length]).unwrap_err();
        assert_eq!(error, OverlayError::Truncated, "{length} bytes");
    }
}

#[test]
fn sections_cut_with_their_lengths_adjusted() {
    let world = sample();
    let whole = world.overlay.encode();
    for (field, start) in [(28, 40), (32, 40 + usize::from(whole[28]))] {
        for length in 0..whole[field] {
            let cut = start + usize::from(length)..start + usize::from(whole[field]);
            let mut bytes = whole.clone();
            bytes.drain(cut);
            bytes[field] = length;
            let error = Overlay::decode(world.overlay.snapshot(), &bytes).unwrap_err();
            assert!(
                matches!(error, OverlayError::Truncated | OverlayError::CountTooHigh),
                "{length} bytes: {error:?}"
            );
        }
    }
}

/// A bit of the header makes another overlay at most, never a second form of the same.
#[test]
fn every_header_bit_counts() {
    let world = sample();
    let whole = world.overlay.encode();
    for bit in 0..40 * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = Overlay::decode(world.overlay.snapshot(), &bytes) {
            assert!((20..28).contains(&(bit / 8)), "bit {bit}");
            assert!(other != world.overlay && other.encode() == bytes, "bit {bit}");
        }
    }
    let (from, delta) = sample_delta(&world);
    let whole = delta.encode();
    for bit in 0..80 * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if let Ok(other) = Delta::decode(from.snapshot(), VERSIONS, &bytes) {
            assert!((40..60).contains(&(bit / 8)), "bit {bit}");
            assert!(other != delta && other.encode() == bytes, "bit {bit}");
            // The number of additions before is checked against the overlay.
            if bit / 8 < 44 {
                assert_eq!(other.apply(&from), Err(OverlayError::OtherOverlay));
            }
        }
    }
}

#[test]
fn huge_counts_are_refused_before_allocation() {
    let world = sample();
    let whole = world.overlay.encode();
    for offset in [20, 24] {
        for count in [4_000_001, u32::MAX] {
            let mut bytes = whole.clone();
            bytes[offset..offset + 4].copy_from_slice(&count.to_le_bytes());
            let error = Overlay::decode(world.overlay.snapshot(), &bytes).unwrap_err();
            assert_eq!(error, OverlayError::TooLarge);
        }
    }
    // Within the limit, but more than the section has bits for.
    let snapshot = identity(1_000, 4_000_000);
    let mut bytes = Overlay::empty(snapshot).encode();
    bytes[20..24].copy_from_slice(&4_000_000u32.to_le_bytes());
    bytes[28] = 200;
    bytes.extend([0; 200]);
    assert_eq!(Overlay::decode(&snapshot, &bytes), Err(OverlayError::CountTooHigh));
}

#[test]
fn section_lengths_past_the_end() {
    let world = sample();
    let whole = world.overlay.encode();
    for offset in [28, 32] {
        let mut bytes = whole.clone();
        bytes[offset..offset + 4].copy_from_slice(&u32::MAX.to_le_bytes());
        let error = Overlay::decode(world.overlay.snapshot(), &bytes).unwrap_err();
        assert_eq!(error, OverlayError::Truncated);
    }
}

#[test]
fn another_snapshot_number_or_epoch() {
    let world = sample();
    let (from, delta) = sample_delta(&world);
    let (overlay, delta) = (from.encode(), delta.encode());
    let right = *from.snapshot();
    for (wrong, error) in [
        (SnapshotIdentity { epoch: EPOCH + 1, ..right }, OverlayError::Epoch),
        (SnapshotIdentity { number: 2, ..right }, OverlayError::SnapshotNumber),
    ] {
        assert_eq!(Overlay::decode(&wrong, &overlay), Err(error));
        assert_eq!(Delta::decode(&wrong, VERSIONS, &delta), Err(error));
    }
    for (from, to) in [(5, 8), (4, 9), (9, 5), (0, 0)] {
        let error = Delta::decode(&right, DeltaVersions { from, to }, &delta).unwrap_err();
        assert_eq!(error, OverlayError::Versions);
    }
    // Versions that do not ascend are refused even where they are expected.
    let mut same = delta;
    same[32] = 5;
    let versions = DeltaVersions { from: 5, to: 5 };
    assert_eq!(Delta::decode(&right, versions, &same), Err(OverlayError::Versions));
}

#[test]
fn a_snapshot_with_fewer_members_has_no_such_rank() {
    let snapshot = identity(1_000, 100);
    let universe = snapshot.universe;
    let members: Vec<Record> = (0..100).map(|i| record(i << 57, 1)).collect();
    let mut world = World::new(universe, 1, members.clone());
    world.change(&members[99..], &[]);
    let bytes = world.overlay.encode();
    assert_eq!(Overlay::decode(&snapshot, &bytes).unwrap().removed(), [99]);
    let fewer = identity(1_000, 99);
    assert_eq!(Overlay::decode(&fewer, &bytes), Err(OverlayError::RankRange));
}

#[test]
fn debug_shows_sizes_only() {
    let world = sample();
    let (_, delta) = sample_delta(&world);
    let entry = world.overlay.added()[0];
    let hit = world.overlay.lookup(0, 3..4);
    assert_eq!(format!("{entry:?} {hit:?}"), "Entry(REDACTED) OverlayHit(REDACTED)");
    let view = world.view();
    let segment = view.segments()[0];
    let compaction = compact(&view, &world.overlay, 2).unwrap();
    let text = format!("{:?} {delta:?} {view:?} {segment:?} {compaction:?}", world.overlay);
    assert!(!text.contains(&entry.value.to_string()), "{text}");
    for secret in [format!("{:?}", &world.overlay.removed()[..2]), "171, 171".to_owned()] {
        assert!(!text.contains(secret.trim_matches(['[', ']'])), "{text}");
    }
}
