//! The contract of [`Store`], checked through the trait alone: any implementation passes it.

mod log;
mod oracle;
mod quota;
mod rotation;
mod rows;

use std::sync::Arc;

use super::*;

pub(super) use self::log::*;
pub(super) use self::oracle::random_operations;
pub(super) use self::quota::*;
pub(super) use self::rotation::*;
pub(super) use self::rows::*;

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

pub(super) async fn a_closed_store_says_so(harness: &dyn Harness) {
    let store = harness.open();
    store.apply(one(1, vec![put(1, b"a")]), 1).await.unwrap();
    let (first, second) = tokio::join!(store.close(), store.close());
    assert_eq!((first, second), (Ok(()), Ok(())));
    assert_eq!(store.apply(one(1, vec![put(2, b"b")]), 1).await, Err(StoreError::Closed));
    assert_eq!(store.charge(request(1, 1, 1)).await, Err(StoreError::Closed));
    assert_eq!(store.quota(&[1; 16], &POLICY, NOW_MS).await, Err(StoreError::Closed));
    assert_eq!(store.forget_rested(1, NOW_MS).await, Err(StoreError::Closed));
    assert_eq!(store.record_publication(publication(1)).await, Err(StoreError::Closed));
    assert_eq!(store.copy_rows(2, 1, Vec::new(), 1).await, Err(StoreError::Closed));
    assert_eq!(store.drop_epoch(1).await, Err(StoreError::Closed));
    assert_eq!(store.prune_log(1).await, Err(StoreError::Closed));
    assert_eq!(store.prune_publications(1).await, Err(StoreError::Closed));
    assert_eq!(store.set_meta(MetaName::Rotation, vec![1]).await, Err(StoreError::Closed));
    assert_eq!(store.meta(MetaName::Rotation), Err(StoreError::Closed));
    assert_eq!(store.head(), Err(StoreError::Closed));
    assert_eq!(store.entries(1), Err(StoreError::Closed));
    assert_eq!(store.history(1, 0, 9), Err(StoreError::Closed));
    assert_eq!(store.scan_after(1, None, 9), Err(StoreError::Closed));
    assert_eq!(store.publications_after(0), Err(StoreError::Closed));
    assert_eq!(store.last_publication(), Err(StoreError::Closed));
    assert_eq!(rows(&*store, 1), Err(StoreError::Closed));
    assert_eq!(harness.open().head().unwrap().entries, 1);
}
