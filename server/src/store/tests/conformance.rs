//! The contract of [`Store`], checked through the trait alone: any implementation passes it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::*;
use crate::store::{Applied, REPEAT_FREE_MS};

/// An implementation under test: opens the same store again and again.
pub(super) trait Harness: Sync {
    fn open(&self) -> Arc<dyn Store>;
}

/// Runs every check of the contract as a test of its own, each on a fresh harness.
macro_rules! conformance {
    ($fresh:expr; $($check:ident),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
        async fn $check() {
            super::conformance::$check(&$fresh).await;
        })*
    };
}
pub(super) use conformance;

/// What the store should hold, in plain maps.
#[derive(Default)]
struct Oracle {
    rows: BTreeMap<(u32, Handle), Vec<u8>>,
    head: Head,
    /// Per account: elements in use times the milliseconds of a day, and the latest charge.
    quotas: HashMap<u8, (i128, u64)>,
    charges: HashMap<(u8, u64), u64>,
    publications: u64,
}

impl Oracle {
    fn apply(&mut self, epoch: u32, changes: &[Change], at: u64) -> Applied {
        let mut applied = Applied::default();
        for change in changes {
            let key = (epoch, *change.handle());
            match change {
                Change::Put { sealed, .. } => match self.rows.insert(key, sealed.clone()) {
                    Some(before) if before == *sealed => continue,
                    Some(_) => applied.updated += 1,
                    None => applied.added += 1,
                },
                Change::Remove { .. } => match self.rows.remove(&key) {
                    Some(_) => applied.removed += 1,
                    None => continue,
                },
            }
            self.head.version += 1;
            self.head.changed_at = at;
        }
        self.head.entries = self.rows.len() as u64;
        Applied { version: self.head.version, ..applied }
    }

    fn charge(&mut self, account: u8, batch: u64, cost: u64, now_ms: u64) -> Option<u64> {
        let day = 86_400_000;
        let (used, latest) = self.quotas.get(&account).copied().unwrap_or((0, 0));
        let now = now_ms.max(latest);
        let leaked = i128::from(now - latest) * i128::from(POLICY.refill_per_day);
        let used = (used - leaked).max(0) + i128::from(cost) * day;
        let earlier = self.charges.get(&(account, batch));
        if cost == 0 || earlier.is_some_and(|at| at.abs_diff(now_ms) <= REPEAT_FREE_MS) {
            return Some(0);
        }
        if used > i128::from(POLICY.capacity) * day {
            return None;
        }
        self.quotas.insert(account, (used, now));
        self.charges.insert((account, batch), now_ms);
        Some(cost)
    }

    fn compare(&self, store: &dyn Store) {
        assert_eq!(store.head().unwrap(), self.head);
        for epoch in [0, 1, 2, 3, u32::MAX] {
            let expected: Vec<_> = self.rows.iter().filter(|((e, _), _)| *e == epoch).collect();
            let (head, found) = rows(store, epoch).unwrap();
            assert_eq!(head, self.head);
            assert!(
                found.iter().map(|(handle, _)| (epoch, *handle)).eq(expected.iter().map(|e| *e.0))
            );
            assert!(found.iter().map(|(_, sealed)| sealed).eq(expected.iter().map(|e| e.1)));
        }
        let last = store.last_publication().unwrap();
        assert_eq!(last, (self.publications > 0).then(|| publication(self.publications)));
    }
}

pub(super) async fn random_operations(harness: &dyn Harness) {
    let mut random = seeded("random_operations", 1);
    let (mut store, mut oracle, mut now_ms) = (harness.open(), Oracle::default(), NOW_MS);
    for round in 0..400 {
        match below(&mut random, 12) {
            0..=3 => {
                let epoch = [1, 2, u32::MAX][below(&mut random, 3) as usize];
                let changes: Vec<_> = (0..below(&mut random, 40))
                    .map(|_| match below(&mut random, 3) {
                        0 => remove(below(&mut random, 60)),
                        _ => put(below(&mut random, 60), &[below(&mut random, 3) as u8; 64]),
                    })
                    .collect();
                let expected = oracle.apply(epoch, &changes, now_ms / 1_000);
                assert_eq!(store.apply(epoch, changes, now_ms / 1_000).await.unwrap(), expected);
            }
            4..=8 => {
                let (account, batch) = (below(&mut random, 3) as u8, below(&mut random, 12));
                let cost = below(&mut random, 400);
                let expected = oracle.charge(account, batch, cost, now_ms);
                let request = ChargeRequest { now_ms, ..request(account, batch, cost) };
                let outcome = store.charge(request).await.unwrap();
                assert_eq!(charged(outcome), expected, "round {round}");
                let (ChargeOutcome::Granted { quota, .. } | ChargeOutcome::Refused { quota, .. }) =
                    outcome;
                assert_eq!(store.quota(&[account; 16], &POLICY, now_ms).await.unwrap(), quota);
            }
            9 => {
                oracle.publications += 1;
                store.record_publication(publication(oracle.publications)).await.unwrap();
            }
            10 => {
                let step_ms = [1, 1_000, REPEAT_FREE_MS, 3_600_000][below(&mut random, 4) as usize];
                now_ms =
                    if below(&mut random, 5) == 0 { now_ms - step_ms } else { now_ms + step_ms };
            }
            _ => {
                store.close().await.unwrap();
                store = harness.open();
            }
        }
        if round % 20 == 0 {
            oracle.compare(&*store);
        }
    }
    oracle.compare(&*store);
}

pub(super) async fn changes_without_effect_leave_no_trace(harness: &dyn Harness) {
    let store = harness.open();
    assert_eq!(store.head().unwrap(), Head::default());
    let applied = store.apply(1, vec![remove(1)], 5).await.unwrap();
    assert_eq!((applied, store.head().unwrap()), (Applied::default(), Head::default()));
    store.apply(1, vec![put(1, b"a"), put(2, b"b")], 6).await.unwrap();
    let same = store.apply(1, vec![put(1, b"a"), put(2, b"b"), remove(3)], 7).await.unwrap();
    assert_eq!(same, Applied { version: 2, ..Applied::default() });
    assert_eq!(store.head().unwrap(), Head { version: 2, entries: 2, changed_at: 6 });
    let empty = store.apply(1, Vec::new(), 8).await.unwrap();
    assert_eq!(empty, Applied { version: 2, ..Applied::default() });
    // The later of two changes to one row stands, and both are in the log.
    let twice = store.apply(1, vec![put(9, b"x"), remove(1), remove(9), put(1, b"y")], 9).await;
    assert_eq!(twice.unwrap(), Applied { version: 6, added: 2, updated: 0, removed: 2 });
    assert_eq!(rows(&*store, 1).unwrap().1.len(), 2);
}

pub(super) async fn a_scan_is_ordered_and_may_stop(harness: &dyn Harness) {
    let store = harness.open();
    let changes = (1..=100).map(|number| put(number, &[number as u8])).collect();
    store.apply(7, changes, 1).await.unwrap();
    let edges = vec![
        Change::Put { handle: Handle::new([0; 32]), sealed: vec![1] },
        Change::Put { handle: Handle::new([0xff; 32]), sealed: Vec::new() },
    ];
    for epoch in [6, 7, 8] {
        store.apply(epoch, edges.clone(), 2).await.unwrap();
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

pub(super) async fn a_scan_sees_one_snapshot(harness: &dyn Harness) {
    let store = harness.open();
    store.apply(1, (0..500).map(|number| put(number, b"old")).collect(), 1).await.unwrap();
    let (reader, runtime) = (Arc::clone(&store), tokio::runtime::Handle::current());
    let scanned = std::thread::spawn(move || {
        let mut seen = Vec::new();
        let head = reader.scan(1, &mut |_, sealed| {
            if seen.is_empty() {
                // A write that completes in the middle of the scan.
                let changes = (0..500).map(|number| put(number, b"new")).collect();
                runtime.block_on(reader.apply(1, changes, 2)).unwrap();
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

pub(super) async fn parallel_charges_grant_exactly_the_limit(harness: &dyn Harness) {
    let store = harness.open();
    store.charge(request(1, 0, 993)).await.unwrap();
    // Seven elements are left, and a hundred callers want one each.
    let calls: Vec<_> = (1..=100)
        .map(|batch| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { charged(store.charge(request(1, batch, 1)).await.unwrap()) })
        })
        .collect();
    let mut granted = 0;
    for call in calls {
        granted += call.await.unwrap().unwrap_or(0);
    }
    assert_eq!(granted, 7);
    let refused = store.charge(request(1, 200, 1)).await.unwrap();
    let ChargeOutcome::Refused { wait_ms, quota } = refused else { panic!("{refused:?}") };
    assert_eq!((wait_ms, quota.remaining), (Some(360_000), 0));
    // Another account is untouched.
    assert_eq!(store.quota(&[2; 16], &POLICY, NOW_MS).await.unwrap().remaining, 1_000);
}

pub(super) async fn a_refusal_in_a_group_concerns_only_itself(harness: &dyn Harness) {
    let store = harness.open();
    let calls: Vec<_> = (0..60_u64)
        .map(|batch| {
            let store = Arc::clone(&store);
            let cost = if batch % 3 == 0 { 1_001 } else { 10 };
            tokio::spawn(async move {
                if batch % 3 == 1 {
                    let wrong = store.record_publication(publication(9)).await;
                    assert_eq!(wrong, Err(StoreError::OutOfOrder));
                }
                charged(store.charge(request(1, batch, cost)).await.unwrap())
            })
        })
        .collect();
    for (batch, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap(), (batch % 3 != 0).then_some(10));
    }
    assert_eq!(store.quota(&[1; 16], &POLICY, NOW_MS).await.unwrap().remaining, 600);
}

pub(super) async fn a_repeat_is_charged_once(harness: &dyn Harness) {
    let store = harness.open();
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { charged(store.charge(request(1, 5, 600)).await.unwrap()) })
        })
        .collect();
    let mut total = 0;
    for call in calls {
        total += call.await.unwrap().unwrap();
    }
    assert_eq!(total, 600);
    store.close().await.unwrap();
    drop(store);
    let store = harness.open();
    let at = |now_ms| ChargeRequest { now_ms, ..request(1, 5, 600) };
    for now_ms in [NOW_MS, NOW_MS + REPEAT_FREE_MS, NOW_MS - REPEAT_FREE_MS] {
        assert_eq!(charged(store.charge(at(now_ms)).await.unwrap()), Some(0));
    }
    // One millisecond later it is a new request, which does not fit; nor does a clock set back.
    for now_ms in [NOW_MS + REPEAT_FREE_MS + 1, NOW_MS - REPEAT_FREE_MS - 1] {
        assert_eq!(charged(store.charge(at(now_ms)).await.unwrap()), None);
    }
    // The same batch of another account is not a repeat, nor is another batch of this one.
    assert_eq!(charged(store.charge(request(2, 5, 600)).await.unwrap()), Some(600));
    assert_eq!(charged(store.charge(request(1, 6, 400)).await.unwrap()), Some(400));
    assert_eq!(charged(store.charge(request(1, 7, 0)).await.unwrap()), Some(0));
}

pub(super) async fn publications_come_in_order(harness: &dyn Harness) {
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

pub(super) async fn a_closed_store_says_so(harness: &dyn Harness) {
    let store = harness.open();
    store.apply(1, vec![put(1, b"a")], 1).await.unwrap();
    let (first, second) = tokio::join!(store.close(), store.close());
    assert_eq!((first, second), (Ok(()), Ok(())));
    assert_eq!(store.apply(1, vec![put(2, b"b")], 1).await, Err(StoreError::Closed));
    assert_eq!(store.charge(request(1, 1, 1)).await, Err(StoreError::Closed));
    assert_eq!(store.quota(&[1; 16], &POLICY, NOW_MS).await, Err(StoreError::Closed));
    assert_eq!(store.record_publication(publication(1)).await, Err(StoreError::Closed));
    assert_eq!(store.head(), Err(StoreError::Closed));
    assert_eq!(store.last_publication(), Err(StoreError::Closed));
    assert_eq!(rows(&*store, 1), Err(StoreError::Closed));
    assert_eq!(harness.open().head().unwrap().entries, 1);
}
