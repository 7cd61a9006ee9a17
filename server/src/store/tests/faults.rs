//! Disks that fail, power that is cut, commands that panic.

mod each;

use std::io::{Error, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redb::{Builder, Database, StorageBackend};

use super::conformance::{Harness, conformance};
use super::redb_file::RedbFile;
use super::*;
use crate::store::RedbStore;
use crate::store::connection;
use crate::store::execute::Command;
use crate::store::writer::Pacing;

/// A disk in memory that can be full, and remembers what would survive a power cut.
#[derive(Clone, Default)]
pub(super) struct Disk(Arc<Mutex<Platters>>);

#[derive(Default)]
struct Platters {
    written: Vec<u8>,
    synced: Vec<u8>,
    /// Operations that succeed before every other fails; `None` for a healthy disk.
    budget: Option<u64>,
    operations: u64,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Disk")
    }
}

impl Disk {
    fn modify(&self, change: impl FnOnce(&mut Platters)) -> Result<(), Error> {
        let mut platters = self.0.lock().unwrap();
        platters.operations += 1;
        if let Some(budget) = &mut platters.budget {
            if *budget == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            *budget -= 1;
        }
        change(&mut platters);
        Ok(())
    }

    pub(super) fn fail_after(&self, budget: Option<u64>) {
        self.0.lock().unwrap().budget = budget;
    }

    fn operations(&self) -> u64 {
        self.0.lock().unwrap().operations
    }

    /// A new disk with what this one would hold after a power cut.
    pub(super) fn after_power_cut(&self) -> Self {
        let synced = self.0.lock().unwrap().synced.clone();
        let platters = Platters { written: synced.clone(), synced, ..Platters::default() };
        Self(Arc::new(Mutex::new(platters)))
    }

    /// A disk with a closed database that `fill` has written to.
    pub(super) fn filled(fill: impl FnOnce(&Database)) -> Self {
        let disk = Self::default();
        fill(&disk.database());
        disk
    }

    pub(super) fn initialized() -> Self {
        Self::filled(|database| assert!(connection::initialize(database, &KEY_CHECK).is_ok()))
    }

    pub(super) fn database(&self) -> Database {
        Builder::new().create_with_backend(self.clone()).unwrap()
    }

    pub(super) fn store(&self) -> Result<RedbStore, StoreError> {
        self.store_paced(Pacing { pause: Duration::ZERO, factor: 0 })
    }

    fn store_paced(&self, pacing: Pacing) -> Result<RedbStore, StoreError> {
        let disk = self.clone();
        let opener = Box::new(move || {
            let mut builder = Builder::new();
            Ok(builder.set_check_integrity_on_open(true).create_with_backend(disk.clone())?)
        });
        RedbStore::with_opener(Path::new("memory"), opener, KEY_CHECK, pacing)
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, Error> {
        Ok(self.0.lock().unwrap().written.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), Error> {
        let platters = self.0.lock().unwrap();
        let from = platters.written.get(offset as usize..offset as usize + out.len());
        out.copy_from_slice(from.ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), Error> {
        self.modify(|platters| platters.written.resize(len as usize, 0))
    }

    fn sync_data(&self) -> Result<(), Error> {
        self.modify(|platters| platters.synced.clone_from(&platters.written))
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), Error> {
        let offset = offset as usize;
        self.modify(|platters| {
            platters.written[offset..offset + data.len()].copy_from_slice(data);
        })
    }
}

impl Harness for Disk {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.store().unwrap())
    }
}

conformance! {
    Disk::initialized();
    random_operations,
}

async fn remaining(store: &RedbStore) -> u64 {
    store.quota(&[1; 16], &POLICY, NOW_MS).await.unwrap().remaining
}

#[tokio::test]
async fn a_charge_that_cannot_be_written_is_not_granted() {
    let mut failures = 0;
    for budget in 0.. {
        let disk = Disk::initialized();
        let store = disk.store().unwrap();
        assert_eq!(charged(store.charge(request(1, 0, 100)).await.unwrap()), Some(100));
        disk.fail_after(Some(budget));
        let outcome = store.charge(request(1, 1, 300)).await;
        let power_cut = disk.after_power_cut();
        if let Err(error) = &outcome {
            failures += 1;
            let expected = matches!(error, StoreError::Full | StoreError::WriteFailed { .. });
            assert!(expected, "{budget}: {error:?}");
            // While the disk is full nothing is granted, whoever asks.
            assert!(store.charge(request(2, 2, 1)).await.is_err(), "{budget}");
        }
        let acknowledged = if outcome.is_ok() { 400 } else { 100 };
        disk.fail_after(None);
        // It recovers without being reopened. The failed charge may have been booked, never more.
        assert_eq!(charged(store.charge(request(1, 3, 50)).await.unwrap()), Some(50), "{budget}");
        let left = remaining(&store).await;
        assert!(left == 950 - acknowledged || left == 550, "{budget}: {left}");
        // Asked again, the failed batch is granted and charged once in all.
        assert!(charged(store.charge(request(1, 1, 300)).await.unwrap()).is_some());
        assert_eq!(remaining(&store).await, 550);
        // Had the power been cut at the failure, what was acknowledged would still be there.
        let left = remaining(&power_cut.store().unwrap()).await;
        assert!(left == 1_000 - acknowledged || left == 600, "{budget}: {left} after a power cut");
        if outcome.is_ok() {
            break;
        }
    }
    println!("failed at each of {failures} operations");
    assert!(failures > 2);
}

#[tokio::test]
async fn an_apply_that_fails_is_done_wholly_or_not_at_all() {
    for budget in 0.. {
        let disk = Disk::initialized();
        let store = disk.store().unwrap();
        store.apply(one(1, (0..10).map(|n| put(n, b"old")).collect()), 1).await.unwrap();
        disk.fail_after(Some(budget));
        let changes: Vec<_> = (5..800).map(|n| put(n, &[9; 64])).chain([remove(0)]).collect();
        let outcome = store.apply(one(1, changes.clone()), 2).await;
        let power_cut = disk.after_power_cut().store().unwrap();
        disk.fail_after(None);
        let after = store.apply(one(2, vec![put(1, b"other")]), 3).await.unwrap();
        for (store, extra) in [(&store, 1), (&power_cut, 0)] {
            let (head, rows) = rows(store, 1).unwrap();
            let done = rows.len() == 799;
            assert!(done || (rows.len() == 10 && outcome.is_err()), "{budget}: {}", rows.len());
            assert_eq!(head.version, if done { 806 + extra } else { 10 + extra });
            assert_eq!(head.entries, rows.len() as u64 + extra);
            assert_eq!(
                done,
                rows.iter().all(|(h, s)| *h != handle(0) && (s == b"old" || s == &[9; 64]))
            );
        }
        assert!(after.added == 1);
        if outcome.is_ok() {
            break;
        }
    }
}

#[tokio::test]
async fn a_failed_store_is_not_reopened_at_every_request() {
    let disk = Disk::initialized();
    let hour = Duration::from_secs(3_600);
    let store = disk.store_paced(Pacing { pause: hour, factor: 0 }).unwrap();
    disk.fail_after(Some(0));
    // The first failure reopens at once, in vain.
    assert_eq!(store.charge(request(1, 0, 1)).await, Err(StoreError::Full));
    disk.fail_after(None);
    let before = disk.operations();
    for batch in 1..10 {
        assert_eq!(store.charge(request(1, batch, 1)).await, Err(StoreError::Full));
        assert_eq!(store.head(), Err(StoreError::Full));
    }
    assert_eq!(disk.operations(), before);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_failing_disk_at_open_is_an_error() {
    let disk = Disk::initialized();
    let before = disk.operations();
    drop(disk.store().unwrap());
    let operations = disk.operations() - before;
    for budget in 0..operations {
        disk.fail_after(Some(budget));
        match disk.store() {
            // Only the closing failed.
            Ok(store) => drop(store),
            Err(error) => assert_eq!(error, StoreError::Full, "{budget}"),
        }
        disk.fail_after(None);
        assert_eq!(disk.store().unwrap().head().unwrap(), Head::default(), "{budget}");
    }
}

#[tokio::test]
async fn a_panic_fails_its_group_and_the_thread_goes_on() {
    let file = RedbFile::new();
    let store = Arc::new(file.try_open().unwrap());
    store.apply(one(1, vec![put(1, b"a")]), 1).await.unwrap();
    let others: Vec<_> = (0..20)
        .map(|batch| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.charge(request(1, batch, 1)).await })
        })
        .collect();
    assert!(matches!(store.submit(Command::Panic).await, Err(StoreError::Interrupted)));
    let mut granted = 0;
    for other in others {
        match other.await.unwrap() {
            Ok(outcome) => granted += charged(outcome).unwrap(),
            Err(error) => assert_eq!(error, StoreError::Interrupted),
        }
    }
    assert_eq!(remaining(&store).await, 1_000 - granted);
    assert_eq!(charged(store.charge(request(1, 100, 1)).await.unwrap()), Some(1));
    assert_eq!(store.head().unwrap().entries, 1);
}

#[tokio::test]
async fn a_damaged_quota_is_not_taken_for_a_rested_one() {
    let file = RedbFile::new();
    drop(file.try_open().unwrap());
    let database = Database::open(file.path()).unwrap();
    let txn = database.begin_write().unwrap();
    txn.open_table(crate::store::tables::QUOTAS).unwrap().insert(&[1; 16], &[0xff; 24]).unwrap();
    txn.commit().unwrap();
    drop(database);
    let store = file.try_open().unwrap();
    let (damaged, sound) =
        tokio::join!(store.charge(request(1, 1, 1)), store.charge(request(2, 1, 1)));
    assert_eq!(damaged, Err(StoreError::Corrupt));
    assert_eq!(charged(sound.unwrap()), Some(1));
    assert_eq!(store.quota(&[1; 16], &POLICY, NOW_MS).await, Err(StoreError::Corrupt));
}

#[tokio::test]
async fn dropping_a_store_loses_nothing_acknowledged() {
    let file = RedbFile::new();
    for round in 0..20 {
        let store = file.try_open().unwrap();
        assert_eq!(store.head().unwrap().entries, round * 2);
        assert_eq!(remaining(&store).await, 1_000 - round * 10);
        store.apply(one(1, vec![put(2 * round, b"a"), put(2 * round + 1, b"b")]), 1).await.unwrap();
        store.charge(request(1, round, 10)).await.unwrap();
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_does_no_harm() {
    let file = RedbFile::new();
    let store = Arc::new(file.try_open().unwrap());
    for batch in 0..50 {
        let store = Arc::clone(&store);
        let call = tokio::spawn(async move { store.charge(request(1, batch, 1)).await });
        if batch % 2 == 0 {
            tokio::task::yield_now().await;
        }
        call.abort();
    }
    let granted = charged(store.charge(request(1, 99, 1)).await.unwrap());
    assert_eq!(granted, Some(1));
    assert!((949..=999).contains(&remaining(&store).await));
}
