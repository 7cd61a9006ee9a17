//! Quotas: the limit, the repeats, the credit of a new epoch.

use std::sync::Arc;

use super::super::*;
use super::Harness;
use crate::store::{Credit, REPEAT_FREE_MS};

pub(in super::super) async fn parallel_charges_grant_exactly_the_limit(harness: &dyn Harness) {
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

pub(in super::super) async fn a_refusal_in_a_group_concerns_only_itself(harness: &dyn Harness) {
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

pub(in super::super) async fn a_repeat_is_charged_once(harness: &dyn Harness) {
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

fn with_credit(epoch: u32, batch: u64, cost: u64) -> ChargeRequest {
    ChargeRequest { credit: Some(Credit { epoch, elements: 1_000 }), ..request(1, batch, cost) }
}

pub(in super::super) async fn a_credit_is_drawn_on_first_and_once(harness: &dyn Harness) {
    let store = harness.open();
    // A hundred callers at once, twice as much as credit and quota together.
    let calls: Vec<_> = (0..100)
        .map(|batch| {
            let store = Arc::clone(&store);
            tokio::spawn(
                async move { charged(store.charge(with_credit(2, batch, 40)).await.unwrap()) },
            )
        })
        .collect();
    let mut granted = 0;
    for call in calls {
        granted += call.await.unwrap().unwrap_or(0);
    }
    assert_eq!(granted, 2_000);
    store.close().await.unwrap();
    let store = harness.open();
    // Nothing is left of either; another account has its own.
    assert_eq!(charged(store.charge(with_credit(2, 200, 1)).await.unwrap()), None);
    let other = ChargeRequest { account: [2; 16], ..with_credit(2, 200, 2_000) };
    assert_eq!(charged(store.charge(other).await.unwrap()), Some(2_000));
    // A day later the quota has grown back, the credit has not.
    let later = ChargeRequest { now_ms: NOW_MS + 86_400_000, ..with_credit(2, 201, 240) };
    assert_eq!(charged(store.charge(later).await.unwrap()), Some(240));
    let more = ChargeRequest { digest: [9; 32], cost: 1, ..later };
    assert_eq!(charged(store.charge(more).await.unwrap()), None);
}

pub(in super::super) async fn a_credit_spares_the_quota_and_repeats_are_free(
    harness: &dyn Harness,
) {
    let store = harness.open();
    let remaining =
        async |store: &dyn Store| store.quota(&[1; 16], &POLICY, NOW_MS).await.unwrap().remaining;
    // A refusal opens no credit and draws on none.
    assert_eq!(charged(store.charge(with_credit(2, 0, 2_001)).await.unwrap()), None);
    for _ in 0..3 {
        store.charge(with_credit(2, 1, 900)).await.unwrap();
        assert_eq!(remaining(&*store).await, 1_000);
    }
    assert_eq!(charged(store.charge(with_credit(2, 2, 300)).await.unwrap()), Some(300));
    assert_eq!(remaining(&*store).await, 800);
    // Without a credit in the request there is none, whatever is left of it.
    let ChargeOutcome::Granted { quota, .. } = store.charge(request(1, 3, 700)).await.unwrap()
    else {
        panic!("refused")
    };
    assert_eq!((quota.remaining, remaining(&*store).await), (100, 100));
    // What was used stays used if the credit grows or shrinks.
    for (elements, cost, expected) in [(500, 101, None), (1_050, 150, Some(150)), (1_050, 1, None)]
    {
        let credit = Some(Credit { epoch: 2, elements });
        let request = ChargeRequest { credit, ..request(1, 10 + elements + cost, cost) };
        assert_eq!(charged(store.charge(request).await.unwrap()), expected);
    }
}

pub(in super::super) async fn credits_do_not_accumulate(harness: &dyn Harness) {
    let store = harness.open();
    assert_eq!(charged(store.charge(with_credit(2, 1, 400)).await.unwrap()), Some(400));
    // Under the next epoch there is a new one, and nothing of the old one.
    assert_eq!(charged(store.charge(with_credit(3, 2, 2_001)).await.unwrap()), None);
    assert_eq!(charged(store.charge(with_credit(3, 3, 2_000)).await.unwrap()), Some(2_000));
    assert_eq!(charged(store.charge(with_credit(3, 4, 1)).await.unwrap()), None);
    // Nor has the new one replaced the old one, which ends with its epoch: a request that comes
    // late does not open it a second time.
    assert_eq!(charged(store.charge(with_credit(2, 5, 600)).await.unwrap()), Some(600));
    assert_eq!(charged(store.charge(with_credit(2, 6, 1)).await.unwrap()), None);
    store.drop_epoch(2).await.unwrap();
    assert_eq!(charged(store.charge(with_credit(2, 7, 1)).await.unwrap()), None);
    assert_eq!(charged(store.charge(with_credit(3, 8, 1)).await.unwrap()), None);
    // The quota itself goes on.
    let later = ChargeRequest { now_ms: NOW_MS + 86_400_000, ..with_credit(2, 9, 240) };
    assert_eq!(charged(store.charge(later).await.unwrap()), Some(240));
}
