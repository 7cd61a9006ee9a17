//! Every limit at its value and one past it.

use super::*;
use crate::limits::{
    DELTA_BYTES_MAX, DIRECTORY_MEMBERS_MAX, OVERLAY_BYTES_MAX, OVERLAY_ENTRIES_MAX,
};

/// The bytes of an overlay with no additions that removes every second of so many ranks.
///
/// At twice as many members the parameter is 0: the first code is `0`, the others are `10`.
fn every_second(count: usize) -> Vec<u8> {
    let mut bytes = Overlay::empty(identity(100, 0)).encode();
    bytes[20..24].copy_from_slice(&(count as u32).to_le_bytes());
    let bits = 2 * count - 1;
    let body_bytes = bits.div_ceil(8);
    bytes[28..32].copy_from_slice(&(body_bytes as u32).to_le_bytes());
    let mut body = vec![0b1010_1010; body_bytes];
    *body.last_mut().unwrap() &= (1 << (bits % 8)) - 1;
    bytes.extend(body);
    bytes
}

#[test]
fn overlay_entries() {
    let most = OVERLAY_ENTRIES_MAX;
    let snapshot = identity(DIRECTORY_MEMBERS_MAX, 2 * most as u32 + 2);
    let full = Overlay::decode(&snapshot, &every_second(most)).unwrap();
    assert_eq!(full.removed().len(), most);
    assert_eq!(full.removed()[most - 1] as usize, 2 * (most - 1));
    assert!(full.encode() == every_second(most));
    assert_eq!(Overlay::decode(&snapshot, &every_second(most + 1)), Err(OverlayError::TooLarge));

    // The same for what a delta leads to: one more removal than fits, and then one less.
    let before = Overlay::decode(&snapshot, &every_second(most - 1)).unwrap();
    let delta = Delta::between(VERSIONS, &before, &full).unwrap();
    assert_eq!(delta.entries(), 1);
    assert_eq!(delta.apply(&before).unwrap(), full);
    let empty = Overlay::empty(snapshot);
    let one = Overlay::decode(&snapshot, &one_removal(&snapshot, 2 * most as u32 + 1)).unwrap();
    let one_more = Delta::between(VERSIONS, &empty, &one).unwrap();
    assert_eq!(one_more.apply(&before).unwrap().removed().len(), most);
    assert_eq!(one_more.apply(&full), Err(OverlayError::TooLarge));

    // A delta with as many changes as two overlays can have.
    let back = Delta::between(VERSIONS, &full, &empty).unwrap();
    assert_eq!(back.entries(), most);
    let bytes = back.encode();
    assert_eq!(Delta::decode(&snapshot, VERSIONS, &bytes).unwrap().apply(&full).unwrap(), empty);
}

/// The bytes of an overlay that removes one rank.
fn one_removal(snapshot: &SnapshotIdentity, rank: u32) -> Vec<u8> {
    let mut bytes = Overlay::empty(*snapshot).encode();
    let p = (f64::from(snapshot.members) * std::f64::consts::LN_2).log2() as u32;
    let mut writer = rice::RiceWriter::append_to(Vec::new());
    writer.write(rank.into(), p);
    let body = writer.finish();
    (bytes[5], bytes[20], bytes[28]) = (p as u8, 1, body.len() as u8);
    bytes.extend(body);
    bytes
}

#[test]
fn delta_entries() {
    let most = OVERLAY_ENTRIES_MAX as u32;
    let snapshot = identity(DIRECTORY_MEMBERS_MAX, DIRECTORY_MEMBERS_MAX as u32);
    let decode = |before: u32, counts: [u32; 4]| {
        let empty = Overlay::empty(snapshot);
        let mut bytes = Delta::between(VERSIONS, &empty, &empty).unwrap().encode();
        bytes[40..44].copy_from_slice(&before.to_le_bytes());
        for (field, count) in bytes[44..60].chunks_exact_mut(4).zip(counts) {
            field.copy_from_slice(&count.to_le_bytes());
        }
        Delta::decode(&snapshot, VERSIONS, &bytes).map(|delta| delta.entries())
    };
    // What is within the limits fails for another reason, or not at all.
    assert_eq!(decode(most, [0; 4]), Ok(0));
    assert_eq!(decode(most + 1, [0; 4]), Err(OverlayError::TooLarge));
    assert_eq!(decode(most - 1, [1, 0, 0, 0]), Err(OverlayError::RiceParameter));
    assert_eq!(decode(most, [1, 0, 0, 0]), Err(OverlayError::TooLarge));
    assert_eq!(decode(0, [most, 0, 0, 0]), Err(OverlayError::RiceParameter));
    assert_eq!(decode(0, [most + 1, 0, 0, 0]), Err(OverlayError::TooLarge));
    assert_eq!(decode(0, [0, most, 0, 0]), Err(OverlayError::RiceParameter));
    assert_eq!(decode(0, [0, most, 0, 1]), Err(OverlayError::TooLarge));
    assert_eq!(decode(0, [0, 0, 0, most]), Err(OverlayError::Truncated));
    assert_eq!(decode(0, [0, 0, 0, most + 1]), Err(OverlayError::TooLarge));
    assert_eq!(decode(7, [0, 0, 7, 0]), Err(OverlayError::CountTooHigh));
    assert_eq!(decode(7, [0, 0, 8, 0]), Err(OverlayError::OrdinalRange));
}

#[test]
fn bytes() {
    let snapshot = identity(1_000, 10);
    let decode = |length: usize| Overlay::decode(&snapshot, &vec![0; length]).unwrap_err();
    assert_eq!(decode(OVERLAY_BYTES_MAX), OverlayError::Magic);
    assert_eq!(decode(OVERLAY_BYTES_MAX + 1), OverlayError::TooLarge);
    let decode = |length| Delta::decode(&snapshot, VERSIONS, &vec![0; length]).unwrap_err();
    assert_eq!(decode(DELTA_BYTES_MAX), OverlayError::Magic);
    assert_eq!(decode(DELTA_BYTES_MAX + 1), OverlayError::TooLarge);
}

#[test]
fn members_of_the_directory() {
    // Two overlays of a snapshot of two members, the second with one addition.
    let universe = Universe::with_capacity(1_000).unwrap();
    let mut world = World::new(universe, 1, vec![record(1 << 40, 1), record(1 << 50, 2)]);
    world.change(&[], &[record(1 << 60, 1)]);
    let bytes = world.overlay.encode();
    let with_members = |members: u64| {
        let members = u32::try_from(members).unwrap();
        let snapshot = SnapshotIdentity { members, ..*world.overlay.snapshot() };
        Overlay::decode(&snapshot, &bytes).map(|overlay| overlay.members())
    };
    let most = DIRECTORY_MEMBERS_MAX;
    assert_eq!(with_members(most - 1), Ok(most));
    assert_eq!(with_members(most), Err(OverlayError::Capacity));
}
