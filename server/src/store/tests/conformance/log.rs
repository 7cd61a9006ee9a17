//! The change log and the publications: what they tell, and what they forget.

use super::super::*;
use super::Harness;

pub(in super::super) async fn publications_come_in_order(harness: &dyn Harness) {
    let store = harness.open();
    assert_eq!(store.last_publication().unwrap(), None);
    for wrong in [0, 2] {
        let outcome = store.record_publication(publication(wrong)).await;
        assert_eq!(outcome, Err(StoreError::OutOfOrder));
    }
    store.record_publication(publication(1)).await.unwrap();
    store.record_publication(publication(2)).await.unwrap();
    for wrong in [0, 1, 2, 4, u64::MAX] {
        let outcome = store.record_publication(publication(wrong)).await;
        assert_eq!(outcome, Err(StoreError::OutOfOrder));
    }
    assert_eq!(store.last_publication().unwrap(), Some(publication(2)));
}

pub(in super::super) async fn publications_are_kept_until_they_are_pruned(harness: &dyn Harness) {
    let store = harness.open();
    store.prune_publications(u64::MAX).await.unwrap();
    assert_eq!(store.publications_after(0).unwrap(), []);
    // More than one step takes away.
    for sequence in 1..=600 {
        store.record_publication(publication(sequence)).await.unwrap();
    }
    let kept = |from: u64| (from..=600).map(publication).collect::<Vec<_>>();
    for after in [0, 1, 598, 599, 600, u64::MAX] {
        assert_eq!(store.publications_after(after).unwrap(), kept(after.saturating_add(1)));
    }
    store.prune_publications(0).await.unwrap();
    assert_eq!(store.publications_after(0).unwrap(), kept(1));
    store.prune_publications(590).await.unwrap();
    assert_eq!(store.publications_after(0).unwrap(), kept(591));
    // The last one stays, and the next one follows it.
    for up_to in [600, u64::MAX] {
        store.prune_publications(up_to).await.unwrap();
        assert_eq!(store.publications_after(0).unwrap(), kept(600));
    }
    store.close().await.unwrap();
    let store = harness.open();
    assert_eq!(store.last_publication().unwrap(), Some(publication(600)));
    assert_eq!(store.record_publication(publication(1)).await, Err(StoreError::OutOfOrder));
    store.record_publication(publication(601)).await.unwrap();
}

pub(in super::super) async fn history_tells_what_was_before_and_what_is(harness: &dyn Harness) {
    let store = harness.open();
    store.apply(one(1, vec![put(1, b"a"), put(2, b""), put(3, b"c")]), 1).await.unwrap();
    store.apply(one(2, vec![put(1, b"other")]), 1).await.unwrap();
    store.apply(one(1, vec![remove(1)]), 2).await.unwrap();
    store.apply(one(1, vec![put(1, b"A")]), 3).await.unwrap();
    store.apply(one(1, vec![put(2, b"B")]), 4).await.unwrap();
    store.apply(one(1, vec![remove(3)]), 5).await.unwrap();
    let history = store.history(1, 3, 100).unwrap().unwrap();
    assert_eq!(history.head, store.head().unwrap());
    let told: Vec<_> = history
        .changes
        .iter()
        .map(|change| (change.version, change.handle, change.before.as_deref()))
        .collect();
    // A row that was empty is not a row that was not there.
    let expected = [
        (5, handle(1), Some(&b"a"[..])),
        (6, handle(1), None),
        (7, handle(2), Some(&b""[..])),
        (8, handle(3), Some(&b"c"[..])),
    ];
    assert_eq!(told, expected);
    let current = [(handle(1), b"A".to_vec()), (handle(2), b"B".to_vec())].into();
    assert_eq!(history.current, current);
    // Nothing happened since the head, nor ever to an epoch without rows.
    for (epoch, after) in [(1, 8), (2, 4), (9, 0)] {
        let history = store.history(epoch, after, 0).unwrap().unwrap();
        assert!(history.changes.is_empty() && history.current.is_empty());
    }
    // As many changes as were allowed, and one more; a version that is still to come.
    assert!(store.history(1, 3, 4).unwrap().is_some());
    assert_eq!(store.history(1, 3, 3).unwrap(), None);
    assert_eq!(store.history(1, 9, 100).unwrap(), None);
    assert_eq!(store.history(1, u64::MAX, 100).unwrap(), None);
}

pub(in super::super) async fn a_pruned_log_tells_no_history_with_holes(harness: &dyn Harness) {
    let store = harness.open();
    // Several steps' worth, in two epochs.
    for chunk in 0..5 {
        let changes = |epoch| (epoch, (0..5_000).map(|n| put(chunk * 5_000 + n, b"a")).collect());
        store.apply(vec![changes(1), changes(7)], 1).await.unwrap();
    }
    store.apply(one(7, vec![remove(1)]), 2).await.unwrap();
    let head = store.head().unwrap();
    assert_eq!(head, Head { version: 50_001, entries: 49_999, changed_at: 2 });
    store.prune_log(0).await.unwrap();
    assert_eq!(store.history(1, 0, 1 << 20).unwrap().unwrap().changes.len(), 25_000);
    // A charge that comes meanwhile is not held up until the end.
    let (pruned, outcome) = tokio::join!(store.prune_log(45_000), store.charge(request(1, 1, 1)));
    assert_eq!((pruned, charged(outcome.unwrap())), (Ok(()), Some(1)));
    assert_eq!(store.history(1, 44_999, 1 << 20).unwrap(), None);
    let rest = |epoch, after| store.history(epoch, after, 1 << 20).unwrap().unwrap().changes.len();
    assert_eq!((rest(1, 45_000), rest(7, 45_000)), (0, 5_001));
    // A lower version brings nothing back; one that is still to come forgets no more than all.
    store.prune_log(10).await.unwrap();
    assert_eq!(store.history(1, 44_999, 1 << 20).unwrap(), None);
    store.prune_log(u64::MAX).await.unwrap();
    assert_eq!(store.history(7, 50_000, 1 << 20).unwrap(), None);
    assert_eq!((rest(1, 50_001), rest(7, 50_001)), (0, 0));
    store.close().await.unwrap();
    let store = harness.open();
    assert_eq!(store.head().unwrap(), head);
    assert_eq!(store.history(7, 50_000, 1 << 20).unwrap(), None);
    store.apply(one(7, vec![put(1, b"b")]), 3).await.unwrap();
    let history = store.history(7, 50_001, 1).unwrap().unwrap();
    assert_eq!((history.changes[0].version, history.changes.len()), (50_002, 1));
}
