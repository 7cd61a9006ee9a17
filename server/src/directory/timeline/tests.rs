//! The timeline against the overlay that the core computes, and against a plain multiset.

use acquaint_core::set::{self, Record, SnapshotSegment, Universe};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};

use super::*;

const EPOCH: u32 = 3;

fn entry(i: u64) -> Entry {
    // Few values, so that many members share one; labels tell most of them apart.
    Entry { value: i % 40 * 1_000, sealed_label: [(i % 90) as u8; 32] }
}

/// A snapshot of entries, in a universe that has them as tags.
fn view(entries: &[Entry]) -> SnapshotView<Vec<u8>> {
    let universe = Universe::with_capacity(1_000).unwrap();
    let width = u128::from(universe.segment_width() << universe.segment_bits());
    // The smallest tag that scales to the value.
    let tag = |value: u64| u64::try_from((u128::from(value) << 64).div_ceil(width)).unwrap();
    let record = |entry: &Entry| Record { tag: tag(entry.value), sealed_label: entry.sealed_label };
    let mut records: Vec<_> = entries.iter().map(record).collect();
    let segment = |segment: set::EncodedSegment| SnapshotSegment {
        count: segment.count,
        bytes: segment.bytes,
        labels: segment.labels,
    };
    let segments = set::build(&universe, 1, &mut records).map(|s| segment(s.unwrap())).collect();
    SnapshotView::new(&universe, EPOCH, 1, segments).unwrap()
}

#[test]
fn every_version_has_the_overlay_that_the_core_computes() {
    let seed = 0x7469_6d65_6c69_6e65;
    println!("seed {seed}");
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut members: Vec<Entry> = (0..200).map(entry).collect();
    let view = view(&members);
    let mut timeline = Timeline::new(*view.identity());
    let mut overlays = vec![Overlay::empty(*view.identity())];
    for version in 1..=120u64 {
        let mut changes = Vec::new();
        for _ in 0..rng.next_u64() % 6 {
            let gone = (!members.is_empty() && rng.next_u64() % 2 == 0).then(|| {
                members.swap_remove(usize::try_from(rng.next_u32()).unwrap() % members.len())
            });
            let new = (rng.next_u64() % 2 == 0).then(|| entry(rng.next_u64() % 400));
            members.extend(new);
            changes.push(RecordChange { version, gone, new });
        }
        timeline.record(&view, &changes).unwrap();
        let gone: Vec<_> = changes.iter().filter_map(|change| change.gone).collect();
        let new: Vec<_> = changes.iter().filter_map(|change| change.new).collect();
        let before = overlays.last().unwrap();
        let advanced = before.advance(&view, &gone, &new).unwrap();
        assert_eq!(advanced.members(), members.len() as u64);
        overlays.push(advanced);
        for (at, overlay) in (0..).zip(&overlays) {
            assert!(timeline.overlay_at(at).unwrap() == *overlay, "{at} of {version}");
        }
    }
    assert!(overlays.iter().any(|overlay| !overlay.removed().is_empty()));
}

#[test]
fn who_was_never_there_cannot_leave() {
    let view = view(&[entry(1), entry(2)]);
    let mut timeline = Timeline::new(*view.identity());
    let leave = |entry| RecordChange { version: 1, gone: Some(entry), new: None };
    assert_eq!(timeline.record(&view, &[leave(entry(3))]), Err(OverlayError::NotAMember));
    let mut timeline = Timeline::new(*view.identity());
    let twice = [leave(entry(1)), leave(entry(1))];
    assert_eq!(timeline.record(&view, &twice), Err(OverlayError::NotAMember));
}

#[test]
fn changes_that_cancel_within_a_version_leave_no_trace() {
    let view = view(&[entry(1)]);
    let mut timeline = Timeline::new(*view.identity());
    let both = RecordChange { version: 1, gone: Some(entry(1)), new: Some(entry(1)) };
    timeline.record(&view, &[both]).unwrap();
    assert!(timeline.overlay_at(1).unwrap() == Overlay::empty(*view.identity()));
}
