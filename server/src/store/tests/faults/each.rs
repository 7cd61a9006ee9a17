//! Each write, failing at each operation of the disk: done wholly or not at all, and done by
//! trying again.

use std::pin::Pin;

use super::*;
use crate::store::History;

type Write =
    for<'s> fn(&'s RedbStore) -> Pin<Box<dyn Future<Output = Result<(), StoreError>> + 's>>;

/// Everything that can be read of a store.
#[derive(PartialEq)]
struct State {
    rows: Vec<(Head, Vec<Row>)>,
    entries: Vec<u64>,
    histories: Vec<Option<History>>,
    publications: Vec<Publication>,
    meta: Option<Vec<u8>>,
}

fn state(store: &RedbStore) -> State {
    let epochs = [1, 2, 3];
    let histories = epochs
        .iter()
        .flat_map(|epoch| [0, 60, 125].map(|after| store.history(*epoch, after, 1_000).unwrap()));
    State {
        rows: epochs.iter().map(|epoch| rows(store, *epoch).unwrap()).collect(),
        entries: epochs.iter().map(|epoch| store.entries(*epoch).unwrap()).collect(),
        histories: histories.collect(),
        publications: store.publications_after(0).unwrap(),
        meta: store.meta(MetaName::Rotation).unwrap(),
    }
}

/// Rows in two epochs, some of them changed, three publications and a note.
async fn prepared() -> Disk {
    let disk = Disk::initialized();
    let store = disk.store().unwrap();
    for sealed in [b"old", b"new"] {
        let changes = |epoch, limit| (epoch, (0..limit).map(|n| put(n, sealed)).collect());
        store.apply(vec![changes(1, 40), changes(2, 25)], 1).await.unwrap();
    }
    for sequence in 1..=3 {
        store.record_publication(publication(sequence)).await.unwrap();
    }
    store.set_meta(MetaName::Rotation, b"begun".to_vec()).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    disk
}

/// Fails `write` at each operation in turn. A second attempt ends in the same state, whether or not
/// the first one was written before it failed.
async fn fails_at_each_operation(write: Write) {
    let original = prepared().await;
    let healthy = original.after_power_cut().store().unwrap();
    let before = state(&healthy);
    write(&healthy).await.unwrap();
    let after = state(&healthy);
    assert!(before != after);
    let mut failures = 0;
    for budget in 0.. {
        let disk = original.after_power_cut();
        let store = disk.store().unwrap();
        disk.fail_after(Some(budget));
        let outcome = write(&store).await;
        let power_cut = disk.after_power_cut().store().unwrap();
        disk.fail_after(None);
        let found = state(&power_cut);
        assert!(found == after || (found == before && outcome.is_err()), "{budget}: power cut");
        if outcome.is_ok() {
            assert!(state(&store) == after);
            break;
        }
        failures += 1;
        // The first write after a failure is what reopens the store.
        store.charge(request(1, 1, 1)).await.unwrap();
        let found = state(&store);
        assert!(found == before || found == after, "{budget}");
        match write(&store).await {
            Ok(()) | Err(StoreError::OutOfOrder) => {}
            Err(error) => panic!("{budget}: {error}"),
        }
        assert!(state(&store) == after, "{budget}");
    }
    println!("failed at each of {failures} operations");
    assert!(failures > 2);
}

macro_rules! fails_at_each_operation {
    ($($name:ident: $write:expr;)*) => {
        $(#[tokio::test]
        async fn $name() {
            fails_at_each_operation($write).await;
        })*
    };
}

fails_at_each_operation! {
    apply_to_two_epochs: |store| Box::pin(async {
        let parts = vec![(1, vec![remove(1), put(50, b"x")]), (3, vec![put(1, b"y")])];
        store.apply(parts, 2).await.map(drop)
    });
    copying_rows: |store| Box::pin(async {
        let copies = (0..40).map(|n| copied(n, b"new", b"copied")).collect();
        store.copy_rows(3, 1, copies, 2).await.map(drop)
    });
    dropping_an_epoch: |store| Box::pin(store.drop_epoch(1));
    pruning_the_log: |store| Box::pin(store.prune_log(100));
    pruning_publications: |store| Box::pin(store.prune_publications(2));
    recording_a_publication: |store| Box::pin(store.record_publication(publication(4)));
    setting_a_note: |store| Box::pin(store.set_meta(MetaName::Rotation, b"done".to_vec()));
}

/// A removal of several steps, stopped at each operation: the epoch is there or it is not.
#[tokio::test]
async fn an_epoch_that_is_half_removed_reads_as_empty() {
    let original = Disk::initialized();
    let store = original.store().unwrap();
    store.apply(one(1, (0..40_000).map(|n| put(n, b"a")).collect()), 1).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let mut halves = 0;
    for budget in 0.. {
        let disk = original.after_power_cut();
        let store = disk.store().unwrap();
        disk.fail_after(Some(budget));
        let outcome = store.drop_epoch(1).await;
        let power_cut = disk.after_power_cut().store().unwrap();
        let (head, found) = rows(&power_cut, 1).unwrap();
        assert!(found.is_empty() || (found.len() == 40_000 && outcome.is_err()), "{budget}");
        assert_eq!(power_cut.entries(1).unwrap(), found.len() as u64);
        halves += usize::from(found.is_empty() && head.entries > 0);
        power_cut.drop_epoch(1).await.unwrap();
        assert_eq!(power_cut.head().unwrap(), Head { entries: 0, ..head });
        if outcome.is_ok() {
            break;
        }
    }
    println!("stopped {halves} times between two steps");
    assert!(halves > 0);
}
