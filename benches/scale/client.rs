//! What a phone does with a directory, on one core.

use std::time::{Duration, Instant};

use acquaint_core::{
    manifest::{SegmentIndex, SegmentInfo},
    set::{Expected, Overlay, SnapshotView, compact, find_in_segment},
};
use bytes::Bytes;

/// Decodes every segment and looks up as many tags, none of which is a member; best of five.
pub fn matching(view: &SnapshotView<Bytes>, n_contacts: u64) -> Duration {
    let universe = view.identity().universe;
    let mut tags: Vec<u64> =
        (0..n_contacts).map(|i| i.wrapping_mul(0xd134_2543_de82_ef95)).collect();
    tags.sort_unstable();
    let run = || {
        let start = Instant::now();
        let mut hits = 0;
        let mut rest = tags.as_slice();
        for (index, segment) in (0..).zip(view.segments()) {
            let n = rest.partition_point(|tag| universe.segment_of(*tag) <= index);
            let (here, later) = rest.split_at(n);
            rest = later;
            let snapshot_number = view.identity().number;
            let expected = Expected { snapshot_number, index, count: segment.count };
            hits += find_in_segment(&universe, expected, &segment.bytes, here).unwrap().len();
        }
        assert!(hits < 10, "by chance at most");
        start.elapsed()
    };
    (0..5).map(|_| run()).min().unwrap()
}

/// Makes the next snapshot from this one and an overlay, with the digests of its files.
pub fn compaction(view: &SnapshotView<Bytes>, overlay: &Overlay) -> Duration {
    let start = Instant::now();
    let segments = compact(view, overlay, view.identity().number + 1).unwrap().map(Result::unwrap);
    let infos = segments.map(|s| SegmentInfo::of(s.count, &s.bytes, &s.labels).unwrap());
    let index = SegmentIndex::new(infos.collect()).unwrap();
    assert_eq!(index.members(), overlay.members());
    start.elapsed()
}
