//! What a rotation of the key asks of a store: carrying rows over, ending an epoch, a note of how
//! far it has come.

use super::super::*;
use super::Harness;
use crate::store::{Copied, Credit, META_BYTES_MAX};

pub(in super::super) async fn only_unchanged_rows_are_copied(harness: &dyn Harness) {
    let store = harness.open();
    let rows_of_1 = (1..=4).map(|n| put(n, b"old")).chain([put(5, b"")]).collect();
    store.apply(one(1, rows_of_1), 1).await.unwrap();
    // Between reading and copying, row 2 changes, row 3 goes, both in both epochs.
    let parts = vec![(1, vec![put(2, b"new"), remove(3)]), (2, vec![put(1_002, b"NEW")])];
    store.apply(parts, 2).await.unwrap();
    let copies = vec![
        copied(4, b"old", b"OLD 4"),
        copied(1, b"old", b"OLD 1"),
        copied(2, b"old", b"OLD 2"),
        copied(3, b"old", b"OLD 3"),
        copied(5, b"", b"OLD 5"),
        // An empty row that is expected is not one that is not there.
        copied(6, b"", b"OLD 6"),
    ];
    let outcome = store.copy_rows(2, 1, copies.clone(), 3).await.unwrap();
    assert_eq!(outcome, Copied { version: 11, copied: 3, stale: 3 });
    let mut expected: Vec<Row> = [(1, "OLD 1"), (2, "NEW"), (4, "OLD 4"), (5, "OLD 5")]
        .map(|(n, sealed)| (handle(1_000 + n), sealed.as_bytes().to_vec()))
        .to_vec();
    expected.sort();
    assert_eq!(rows(&*store, 2).unwrap().1, expected);
    assert_eq!((store.entries(1).unwrap(), store.entries(2).unwrap()), (4, 4));
    // The log of the new epoch tells it, in the order of handles; that of the old one does not.
    let history = store.history(2, 8, 10).unwrap().unwrap();
    let mut logged: Vec<_> = [1, 4, 5].map(|n| handle(1_000 + n)).to_vec();
    logged.sort();
    assert!(history.changes.iter().map(|change| change.handle).eq(logged));
    assert_eq!(store.history(1, 8, 0).unwrap().unwrap().changes, []);
    // A mover that was killed copies again: nothing changes.
    let again = store.copy_rows(2, 1, copies, 4).await.unwrap();
    assert_eq!(again, Copied { version: 11, copied: 3, stale: 3 });
    assert_eq!(store.head().unwrap(), Head { version: 11, entries: 8, changed_at: 3 });
}

pub(in super::super) async fn a_dropped_epoch_is_gone_for_good(harness: &dyn Harness) {
    let mut store = harness.open();
    // Several steps' worth of rows and log.
    for chunk in 0..5 {
        let changes = |epoch| (epoch, (0..5_000).map(|n| put(chunk * 5_000 + n, b"a")).collect());
        store.apply(vec![changes(1), changes(2)], 1).await.unwrap();
    }
    let credit = Some(Credit { epoch: 1, elements: 500 });
    store.charge(ChargeRequest { credit, ..request(1, 1, 100) }).await.unwrap();
    let kept = rows(&*store, 2).unwrap().1;
    for _ in 0..2 {
        store.drop_epoch(1).await.unwrap();
        assert_eq!(store.head().unwrap(), Head { version: 50_000, entries: 25_000, changed_at: 1 });
        assert_eq!((store.entries(1).unwrap(), store.entries(2).unwrap()), (0, 25_000));
        assert_eq!(rows(&*store, 1).unwrap().1, []);
        assert_eq!(store.scan_after(1, None, 10).unwrap(), []);
        assert_eq!(store.history(1, 50_000, 1 << 20).unwrap(), None);
        let put_again = store.apply(one(1, vec![put(1, b"b")]), 2).await;
        assert_eq!(put_again, Err(StoreError::EpochDropped));
        for (to, from) in [(1, 2), (2, 1)] {
            let copies = vec![copied(1, b"a", b"b")];
            let outcome = store.copy_rows(to, from, copies, 2).await;
            assert_eq!(outcome, Err(StoreError::EpochDropped));
        }
        assert_eq!(rows(&*store, 2).unwrap().1, kept);
        assert_eq!(store.history(2, 0, 1 << 20).unwrap().unwrap().changes.len(), 25_000);
        store.close().await.unwrap();
        store = harness.open();
    }
    // Not even an epoch that was never used comes back.
    store.drop_epoch(9).await.unwrap();
    let outcome = store.apply(one(9, vec![put(1, b"a")]), 2).await;
    assert_eq!(outcome, Err(StoreError::EpochDropped));
}

pub(in super::super) async fn notes_are_kept(harness: &dyn Harness) {
    let store = harness.open();
    assert_eq!(store.meta(MetaName::Rotation).unwrap(), None);
    let longest = vec![7; META_BYTES_MAX];
    store.set_meta(MetaName::Rotation, longest.clone()).await.unwrap();
    let outcome = store.set_meta(MetaName::Rotation, vec![8; META_BYTES_MAX + 1]).await;
    assert_eq!(outcome, Err(StoreError::MetaLength));
    store.close().await.unwrap();
    let store = harness.open();
    assert_eq!(store.meta(MetaName::Rotation).unwrap(), Some(longest));
    store.set_meta(MetaName::Rotation, Vec::new()).await.unwrap();
    assert_eq!(store.meta(MetaName::Rotation).unwrap(), Some(Vec::new()));
    assert_eq!(store.head().unwrap(), Head::default());
}
