//! What does not belong together is refused, and nothing changes.

use super::malformed::{sample, sample_delta};
use super::*;

#[test]
fn an_entry_that_left_was_a_member() {
    let universe = Universe::with_capacity(1_000).unwrap();
    let (one, tied) = (record(1 << 63, 1), record(1 << 63, 2));
    let mut world = World::new(universe, 1, vec![one, one]);
    let advance = |world: &World, gone: &[Record], new: &[Record]| {
        let (gone, new) = (world.entries(gone), world.entries(new));
        world.overlay.advance(&world.view(), &gone, &new)
    };
    for gone in [&[record(0, 1)][..], &[tied], &[one; 3], &[one, tied]] {
        assert_eq!(advance(&world, gone, &[]), Err(OverlayError::NotAMember));
    }
    assert!(advance(&world, &[one; 3], &[one]).is_ok(), "three left, one came");

    world.change(&[one], &[tied]);
    assert_eq!(advance(&world, &[one; 2], &[]), Err(OverlayError::NotAMember));
    assert_eq!(advance(&world, &[tied; 2], &[]), Err(OverlayError::NotAMember));
    world.change(&[one, tied], &[]);
    assert_eq!(advance(&world, &[one], &[]), Err(OverlayError::NotAMember));
    assert_eq!(world.overlay.members(), 0);
}

#[test]
fn entries_outside_the_universe() {
    let world = sample();
    let outside = |value| [Entry { value, sealed_label: [1; 32] }];
    let width = world.universe.width();
    let advance = |gone: &[Entry], new: &[Entry]| world.overlay.advance(&world.view(), gone, new);
    assert!(advance(&[], &outside(width - 1)).is_ok());
    for value in [width, u64::MAX] {
        assert_eq!(advance(&[], &outside(value)), Err(OverlayError::ValueRange));
        assert_eq!(advance(&outside(value), &[]), Err(OverlayError::ValueRange));
    }
}

#[test]
fn another_snapshot() {
    let world = sample();
    let (from, delta) = sample_delta(&world);
    let right = *from.snapshot();
    let universe = Universe::with_capacity(401).unwrap();
    for other in [
        SnapshotIdentity { epoch: EPOCH + 1, ..right },
        SnapshotIdentity { number: 2, ..right },
        SnapshotIdentity { members: right.members + 1, ..right },
        SnapshotIdentity { universe, ..right },
    ] {
        let other = Overlay::empty(other);
        let error = OverlayError::OtherSnapshot;
        assert_eq!(Delta::between(VERSIONS, &from, &other), Err(error));
        assert_eq!(delta.apply(&other), Err(error));
        assert_eq!(other.advance(&world.view(), &[], &[]), Err(error));
        assert_eq!(compact(&world.view(), &other, 2).unwrap_err(), error);
    }
}

#[test]
fn versions_ascend() {
    let overlay = Overlay::empty(identity(1_000, 0));
    for (from, to, fits) in [(0, 1, true), (1, 1, false), (2, 1, false), (0, u64::MAX, true)] {
        let delta = Delta::between(DeltaVersions { from, to }, &overlay, &overlay);
        assert_eq!(delta.err(), (!fits).then_some(OverlayError::Versions));
    }
}

#[test]
fn a_delta_applied_twice_or_to_another_version() {
    let world = sample();
    let (from, delta) = sample_delta(&world);
    let to = delta.apply(&from).unwrap();
    assert!(delta.apply(&to).is_err());
    for other in world.history.iter().filter(|other| **other != from) {
        assert!(delta.apply(other).is_err());
    }
}

/// Two equal members, the higher of which a foreign overlay removed, or one of which is added
/// although another is removed.
#[test]
fn an_overlay_that_is_not_canonical_is_not_advanced() {
    let universe = Universe::with_capacity(1_000).unwrap();
    let (one, next) = (record(1 << 63, 1), record(u64::MAX, 1));
    let world = World::new(universe, 1, vec![one, one, next]);
    let leaves = world.entries(&[one]);
    let mut bytes = world.overlay.advance(&world.view(), &leaves, &[]).unwrap().encode();
    // Three members, one removed: parameter 1, so that rank 1 is the code `0`, `1`.
    assert_eq!((bytes[5], bytes[40]), (1, 0));
    bytes[40] = 0b10;
    let higher = Overlay::decode(world.overlay.snapshot(), &bytes).unwrap();
    assert_eq!(higher.removed(), [1]);
    let refused = Err(OverlayError::NotCanonical);
    assert_eq!(higher.advance(&world.view(), &leaves, &[]), refused);
    assert_eq!(higher.advance(&world.view(), &[], &leaves), refused);

    let added = world.overlay.advance(&world.view(), &[], &leaves).unwrap().encode();
    let mut both = added[..40].to_vec();
    (both[5], both[20], both[28]) = (1, 1, 1);
    both.push(0);
    both.extend(&added[40..]);
    let both = Overlay::decode(world.overlay.snapshot(), &both).unwrap();
    assert_eq!((both.removed().len(), both.added().len()), (1, 1));
    assert_eq!(both.advance(&world.view(), &leaves, &[]), refused);
}

#[test]
fn a_segment_that_grows_too_large_is_refused() {
    let universe = Universe::with_capacity(1_000).unwrap();
    let most = (crate::limits::SEGMENT_BYTES_MAX - 32) * 8 / 21;
    let world = World::new(universe, 1, vec![record(0, 1); most]);
    let view = world.view();
    let mut new = world.entries(&[record(0, 0)]);
    let grown = world.overlay.advance(&view, &[], &new).unwrap();
    let error = compact(&view, &grown, 2).unwrap().next().unwrap().unwrap_err();
    assert_eq!(error, OverlayError::Segment(SetError::TooLarge));
    let gone = world.entries(&[record(0, 1)]);
    let exchanged = world.overlay.advance(&view, &gone, &new).unwrap();
    let compacted = compact(&view, &exchanged, 2).unwrap().next().unwrap().unwrap();
    assert_eq!(compacted.count as usize, most);
    assert_eq!(compacted.labels[..64], [[0; 32], [1; 32]].concat());

    // Everyone has the same value: work stays in proportion, not in the square.
    new.extend((0..100_000u32).map(|i| {
        let mut sealed_label = [0; 32];
        sealed_label[..4].copy_from_slice(&i.to_be_bytes());
        Entry { value: 0, sealed_label }
    }));
    let tied = world.overlay.advance(&view, &vec![gone[0]; most], &new).unwrap();
    assert_eq!((tied.removed().len(), tied.added().len()), (most, 100_001));
    assert_eq!(compact(&view, &tied, 2).unwrap().next().unwrap().unwrap().count, 100_001);
}
