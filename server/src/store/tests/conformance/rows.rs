//! Rows: applied, scanned, paged.

use std::sync::Arc;

use super::super::*;
use super::Harness;
use crate::store::Applied;

pub(in super::super) async fn changes_without_effect_leave_no_trace(harness: &dyn Harness) {
    let store = harness.open();
    assert_eq!(store.head().unwrap(), Head::default());
    let applied = store.apply(one(1, vec![remove(1)]), 5).await.unwrap();
    assert_eq!((applied, store.head().unwrap()), (Applied::default(), Head::default()));
    store.apply(one(1, vec![put(1, b"a"), put(2, b"b")]), 6).await.unwrap();
    let same = store.apply(one(1, vec![put(1, b"a"), put(2, b"b"), remove(3)]), 7).await.unwrap();
    assert_eq!(same, Applied { version: 2, ..Applied::default() });
    assert_eq!(store.head().unwrap(), Head { version: 2, entries: 2, changed_at: 6 });
    let empty = store.apply(one(1, Vec::new()), 8).await.unwrap();
    assert_eq!(empty, Applied { version: 2, ..Applied::default() });
    // The later of two changes to one row stands, and both are in the log.
    let twice =
        store.apply(one(1, vec![put(9, b"x"), remove(1), remove(9), put(1, b"y")]), 9).await;
    assert_eq!(twice.unwrap(), Applied { version: 6, added: 2, updated: 0, removed: 2 });
    assert_eq!(rows(&*store, 1).unwrap().1.len(), 2);
}

pub(in super::super) async fn a_scan_is_ordered_and_may_stop(harness: &dyn Harness) {
    let store = harness.open();
    let changes = (1..=100).map(|number| put(number, &[number as u8])).collect();
    store.apply(one(7, changes), 1).await.unwrap();
    let edges = vec![
        Change::Put { handle: Handle::new([0; 32]), sealed: vec![1] },
        Change::Put { handle: Handle::new([0xff; 32]), sealed: Vec::new() },
    ];
    for epoch in [6, 7, 8] {
        store.apply(one(epoch, edges.clone()), 2).await.unwrap();
    }
    let (head, all) = rows(&*store, 7).unwrap();
    assert_eq!((all.len(), head.entries), (102, 106));
    assert!(all.is_sorted_by(|a, b| a.0 < b.0));
    let mut seen = 0;
    let stopped = store.scan(7, &mut |_, _| {
        seen += 1;
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!((stopped.unwrap(), seen), (head, 3));
}

pub(in super::super) async fn a_scan_sees_one_snapshot(harness: &dyn Harness) {
    let store = harness.open();
    store.apply(one(1, (0..500).map(|number| put(number, b"old")).collect()), 1).await.unwrap();
    let (reader, runtime) = (Arc::clone(&store), tokio::runtime::Handle::current());
    let scanned = std::thread::spawn(move || {
        let mut seen = Vec::new();
        let head = reader.scan(1, &mut |_, sealed| {
            if seen.is_empty() {
                // A write that completes in the middle of the scan.
                let changes = (0..500).map(|number| put(number, b"new")).collect();
                runtime.block_on(reader.apply(one(1, changes), 2)).unwrap();
            }
            seen.push(sealed.to_vec());
            ControlFlow::Continue(())
        });
        (head.unwrap(), seen)
    });
    let (head, seen) = scanned.join().unwrap();
    assert_eq!(head, Head { version: 500, entries: 500, changed_at: 1 });
    assert!(seen.len() == 500 && seen.iter().all(|sealed| sealed == b"old"));
    assert_eq!(store.head().unwrap().version, 1_000);
}

pub(in super::super) async fn pages_join_to_a_scan(harness: &dyn Harness) {
    let store = harness.open();
    for epoch in [4, 5, 6] {
        store.apply(one(epoch, (0..100).map(|n| put(n, b"a")).collect()), 1).await.unwrap();
    }
    let all = rows(&*store, 5).unwrap().1;
    assert_eq!(store.scan_after(5, None, 100).unwrap(), all);
    assert_eq!(store.scan_after(5, None, 1_000).unwrap(), all);
    assert_eq!(store.scan_after(5, None, 0).unwrap(), []);
    // After a row that is there, after one that is not, after the last, after the greatest key.
    assert_eq!(store.scan_after(5, Some(all[39].0), 10).unwrap(), all[40..50]);
    store.apply(one(5, vec![Change::Remove { handle: all[39].0 }]), 2).await.unwrap();
    assert_eq!(store.scan_after(5, Some(all[39].0), 10).unwrap(), all[40..50]);
    assert_eq!(store.scan_after(5, Some(all[99].0), 10).unwrap(), []);
    assert_eq!(store.scan_after(5, Some(Handle::new([0xff; 32])), 10).unwrap(), []);
    assert_eq!(store.scan_after(9, None, 10).unwrap(), []);
}

pub(in super::super) async fn two_epochs_change_together(harness: &dyn Harness) {
    let store = harness.open();
    store.apply(one(1, vec![put(1, b"a"), put(2, b"b")]), 1).await.unwrap();
    let parts = vec![
        (1, vec![put(1, b"A"), remove(2), put(3, b"c")]),
        (2, vec![put(11, b"A"), put(13, b"c"), put(14, b"d"), remove(12)]),
    ];
    // The counts are those of the first part, the version that of all.
    let applied = store.apply(parts, 2).await.unwrap();
    assert_eq!(applied, Applied { version: 8, added: 1, updated: 1, removed: 1 });
    assert_eq!((store.entries(1).unwrap(), store.entries(2).unwrap()), (2, 3));
    assert_eq!(store.head().unwrap(), Head { version: 8, entries: 5, changed_at: 2 });
    // If one of the epochs takes no rows, neither is changed, whichever comes first.
    store.drop_epoch(2).await.unwrap();
    for order in [[1, 2], [2, 1]] {
        let parts = order.map(|epoch| (epoch, vec![put(5, b"e")])).to_vec();
        assert_eq!(store.apply(parts, 3).await, Err(StoreError::EpochDropped));
    }
    assert_eq!(store.head().unwrap(), Head { version: 8, entries: 2, changed_at: 2 });
}
