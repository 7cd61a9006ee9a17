//! The store in memory, for simulations and measurements.

use super::*;
use crate::store::{RedbStore, execute::Command};

#[tokio::test]
async fn it_charges_as_the_one_in_a_file_does() {
    let store = RedbStore::in_memory().unwrap();
    let first = store.charge(request(1, 1, 400)).await.unwrap();
    let repeat = store.charge(request(1, 1, 400)).await.unwrap();
    assert_eq!((charged(first), charged(repeat)), (Some(400), Some(0)));
    assert_eq!(charged(store.charge(request(1, 2, 601)).await.unwrap()), None);
    assert_eq!(charged(store.charge(request(1, 3, 600)).await.unwrap()), Some(600));
    assert_eq!(store.quota(&[1; 16], &POLICY, NOW_MS).await.unwrap().remaining, 0);
    store.close().await.unwrap();
    // The next one is another.
    let other = RedbStore::in_memory().unwrap();
    assert_eq!(other.quota(&[1; 16], &POLICY, NOW_MS).await.unwrap().remaining, 1_000);
}

#[tokio::test]
async fn it_does_not_come_back_empty_after_a_failure() {
    let store = RedbStore::in_memory().unwrap();
    store.charge(request(1, 1, 1_000)).await.unwrap();
    assert!(store.submit(Command::Panic).await.is_err());
    assert!(store.charge(request(1, 2, 1)).await.is_err());
    assert!(store.quota(&[1; 16], &POLICY, NOW_MS).await.is_err());
}
