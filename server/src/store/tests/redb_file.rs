//! The redb store as a file: the contract, and what concerns the file itself.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::join_all;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};

use super::conformance::{Harness, conformance};
use super::*;
use crate::admission::bucket::Bucket;
use crate::store::execute::{FORGOTTEN_MAX, STEP_QUOTAS_MAX};
use crate::store::tables::{self, Operation};
use crate::store::{Credit, History, LoggedChange, REPEAT_FREE_MS, RedbStore};

pub(super) struct RedbFile {
    directory: tempfile::TempDir,
}

impl RedbFile {
    pub(super) fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.directory.path().join("store.redb")
    }

    pub(super) fn try_open(&self) -> Result<RedbStore, StoreError> {
        RedbStore::open(self.path(), KEY_CHECK)
    }
}

impl Harness for RedbFile {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(self.try_open().unwrap())
    }
}

conformance! {
    RedbFile::new();
    random_operations,
    changes_without_effect_leave_no_trace,
    a_scan_is_ordered_and_may_stop,
    a_scan_sees_one_snapshot,
    parallel_charges_grant_exactly_the_limit,
    a_refusal_in_a_group_concerns_only_itself,
    a_repeat_is_charged_once,
    publications_come_in_order,
    pages_join_to_a_scan,
    two_epochs_change_together,
    publications_are_kept_until_they_are_pruned,
    history_tells_what_was_before_and_what_is,
    a_pruned_log_tells_no_history_with_holes,
    only_unchanged_rows_are_copied,
    a_dropped_epoch_is_gone_for_good,
    notes_are_kept,
    a_credit_is_drawn_on_first_and_once,
    a_credit_spares_the_quota_and_repeats_are_free,
    credits_do_not_accumulate,
    a_closed_store_says_so,
}

#[tokio::test]
async fn a_store_is_open_once() {
    let file = RedbFile::new();
    let store = file.try_open().unwrap();
    assert_eq!(file.try_open().unwrap_err(), StoreError::AlreadyOpen);
    store.close().await.unwrap();
    let again = file.try_open().unwrap();
    drop(again);
    drop(store);
    file.try_open().unwrap();
}

#[cfg(unix)]
#[test]
fn a_new_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let file = RedbFile::new();
    let _store = file.try_open().unwrap();
    let mode = std::fs::metadata(file.path()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn another_key_is_refused_and_changes_nothing() {
    let file = RedbFile::new();
    let store = file.try_open().unwrap();
    store.apply(one(1, vec![put(1, b"a")]), 1).await.unwrap();
    drop(store);
    let wrong = RedbStore::open(file.path(), [8; 32]).unwrap_err();
    assert_eq!(wrong, StoreError::WrongKey);
    assert_eq!(file.try_open().unwrap().head().unwrap().entries, 1);
}

#[test]
fn another_schema_is_refused() {
    let file = RedbFile::new();
    drop(file.try_open().unwrap());
    for found in [0, tables::SCHEMA + 1, u32::MAX] {
        edit(&file, tables::META, tables::META_SCHEMA, &found.to_be_bytes());
        let expected = StoreError::SchemaVersion { found, supported: tables::SCHEMA };
        assert_eq!(file.try_open().unwrap_err(), expected);
    }
    edit(&file, tables::META, tables::META_SCHEMA, b"no number");
    assert_eq!(file.try_open().unwrap_err(), StoreError::Corrupt);
}

fn edit(file: &RedbFile, table: TableDefinition<'_, &[u8], &[u8]>, key: &[u8], value: &[u8]) {
    let database = Database::open(file.path()).unwrap();
    let txn = database.begin_write().unwrap();
    txn.open_table(table).unwrap().insert(key, value).unwrap();
    txn.commit().unwrap();
}

#[test]
fn a_missing_directory_is_an_io_error() {
    let file = RedbFile::new();
    let path = file.path().join("nowhere");
    let Err(StoreError::Io { kind, path: named }) = RedbStore::open(&path, KEY_CHECK) else {
        panic!("opened")
    };
    assert_eq!((kind, named), (std::io::ErrorKind::NotFound, path));
}

#[tokio::test]
async fn the_change_log_tells_everything_in_order() {
    let file = RedbFile::new();
    let store = file.try_open().unwrap();
    store.apply(one(3, vec![put(2, b"b"), put(1, b"a")]), 10).await.unwrap();
    store.apply(one(4, vec![put(1, b"c")]), 11).await.unwrap();
    store.apply(one(3, vec![remove(1), put(2, b"B"), put(2, b"B"), remove(5)]), 12).await.unwrap();
    drop(store);
    let database = Database::open(file.path()).unwrap();
    let log = database.begin_read().unwrap().open_table(tables::CHANGES).unwrap();
    let found: Vec<_> = log
        .iter()
        .unwrap()
        .map(|entry| entry.map(|(key, value)| (*key.value(), value.value().to_vec())).unwrap())
        .collect();
    let mut first = [handle(1), handle(2)];
    first.sort();
    let (key, record) = (tables::change_key, tables::encode_change);
    let expected = vec![
        (key(3, 1), record(Operation::Add, &first[0], 10, b"")),
        (key(3, 2), record(Operation::Add, &first[1], 10, b"")),
        (key(3, 4), record(Operation::Update, &handle(2), 12, b"b")),
        (key(3, 5), record(Operation::Remove, &handle(1), 12, b"a")),
        (key(4, 3), record(Operation::Add, &handle(1), 11, b"")),
    ];
    assert_eq!(found, expected);
}

#[tokio::test]
async fn what_is_forgotten_is_not_in_the_file() {
    let file = RedbFile::new();
    let store = file.try_open().unwrap();
    for epoch in [1, 2] {
        store.apply(one(epoch, (0..100).map(|n| put(n, b"a")).collect()), 1).await.unwrap();
        let credit = Some(Credit { epoch, elements: 9 });
        let request = ChargeRequest { credit, ..request(1, u64::from(epoch), 1) };
        store.charge(request).await.unwrap();
    }
    let lengths = || {
        let database = Database::open(file.path()).unwrap();
        let snapshot = database.begin_read().unwrap();
        let rows = snapshot.open_table(tables::ROWS).unwrap().len().unwrap();
        let changes = snapshot.open_table(tables::CHANGES).unwrap().len().unwrap();
        (rows, changes, snapshot.open_table(tables::CREDITS).unwrap().len().unwrap())
    };
    drop(store);
    assert_eq!(lengths(), (200, 200, 2));
    let store = file.try_open().unwrap();
    store.prune_log(150).await.unwrap();
    drop(store);
    assert_eq!(lengths(), (200, 50, 2));
    let store = file.try_open().unwrap();
    store.drop_epoch(2).await.unwrap();
    drop(store);
    assert_eq!(lengths(), (100, 0, 1));
}

#[tokio::test]
async fn expired_charges_are_purged() {
    let file = RedbFile::new();
    let store = file.try_open().unwrap();
    for batch in 0..20 {
        store.charge(request(1, batch, 1)).await.unwrap();
    }
    // A charge that was renewed after its time must not be forgotten with its old self.
    let later = |batch, ms| ChargeRequest { now_ms: NOW_MS + ms, ..request(1, batch, 1) };
    for batch in 0..2 {
        let renewed = store.charge(later(batch, REPEAT_FREE_MS + 1)).await.unwrap();
        assert_eq!(charged(renewed), Some(1));
    }
    let repeat = store.charge(later(0, 2 * REPEAT_FREE_MS)).await.unwrap();
    assert_eq!(charged(repeat), Some(0));
    let kept = |store| {
        drop::<RedbStore>(store);
        let database = Database::open(file.path()).unwrap();
        let snapshot = database.begin_read().unwrap();
        snapshot.open_table(tables::CHARGES).unwrap().len().unwrap()
    };
    // The next period is not over yet.
    assert_eq!(kept(store), 22);
    let store = file.try_open().unwrap();
    let renewed = store.charge(later(5, 2 * REPEAT_FREE_MS)).await.unwrap();
    assert_eq!(charged(renewed), Some(1));
    assert_eq!(kept(store), 3);
    // However many there are, a transaction forgets a number of them.
    let store = file.try_open().unwrap();
    join_all((10..610).map(|batch| store.charge(later(batch, 2 * REPEAT_FREE_MS)))).await;
    store.charge(later(0, 4 * REPEAT_FREE_MS)).await.unwrap();
    assert_eq!(kept(store), 3 + 600 - FORGOTTEN_MAX as u64 + 1);
    let store = file.try_open().unwrap();
    store.charge(later(1, 4 * REPEAT_FREE_MS)).await.unwrap();
    assert_eq!(kept(store), 2);
}

/// More accounts than one step takes, every third of them not rested yet.
#[tokio::test]
async fn rested_accounts_and_old_charges_are_forgotten() {
    const ACCOUNTS: u32 = 4 * STEP_QUOTAS_MAX as u32 + 100;
    let day = 86_400_000;
    let file = RedbFile::new();
    drop(file.try_open().unwrap());
    let lengths = || {
        let database = Database::open(file.path()).unwrap();
        let snapshot = database.begin_read().unwrap();
        let quotas = snapshot.open_table(tables::QUOTAS).unwrap();
        let kept = quotas.iter().unwrap().map(|row| row.unwrap().0.value()[15] % 3);
        assert!(kept.collect::<Vec<_>>().iter().all(|rest| *rest == 0));
        let charges = snapshot.open_table(tables::CHARGES).unwrap().len().unwrap();
        (quotas.len().unwrap(), charges)
    };
    {
        let database = Database::open(file.path()).unwrap();
        let txn = database.begin_write().unwrap();
        let mut quotas = txn.open_table(tables::QUOTAS).unwrap();
        let mut charges = txn.open_table(tables::CHARGES).unwrap();
        for n in 0..ACCOUNTS {
            let mut account = [0; 16];
            account[..4].copy_from_slice(&n.to_be_bytes());
            // The last byte says whether it will be rested.
            account[15] = (n % 3) as u8;
            let cost = if n % 3 == 0 { 241 } else { 240 };
            let bucket = Bucket::default().charge(&POLICY, NOW_MS, cost).unwrap();
            quotas.insert(&account, &bucket.encode()).unwrap();
            let period = tables::charge_period(NOW_MS);
            let charge = tables::charge_key(period, &account, &[1; 32]);
            charges.insert(&charge, &NOW_MS.to_be_bytes()).unwrap();
        }
        drop((quotas, charges));
        txn.commit().unwrap();
    }
    let store = file.try_open().unwrap();
    // A millisecond too early; and at a rate at which nobody is rested.
    store.forget_rested(POLICY.refill_per_day, NOW_MS + day - 1).await.unwrap();
    store.forget_rested(0, NOW_MS + 9 * day).await.unwrap();
    let left = |now_ms| store.quota(&[0; 16], &POLICY, now_ms);
    assert_eq!(left(NOW_MS + day).await.unwrap().remaining, 999);
    store.forget_rested(POLICY.refill_per_day, NOW_MS + day).await.unwrap();
    assert_eq!(left(NOW_MS + day).await.unwrap().remaining, 999);
    drop(store);
    assert_eq!(lengths(), (u64::from(ACCOUNTS.div_ceil(3)), 0));
}

#[tokio::test]
async fn refusals_repeats_and_queries_leave_the_file_alone() {
    let file = RedbFile::new();
    let store = file.try_open().unwrap();
    store.charge(request(1, 1, 1_000)).await.unwrap();
    let before = std::fs::read(file.path()).unwrap();
    for batch in 0..50 {
        store.charge(request(1, batch, 1_000)).await.unwrap();
        store.charge(request(2, batch, 1_001)).await.unwrap();
        store.quota(&[3; 16], &POLICY, NOW_MS).await.unwrap();
        store.apply(one(1, vec![remove(batch)]), 1).await.unwrap();
        store.copy_rows(2, 1, vec![copied(batch, b"a", b"b")], 1).await.unwrap();
        store.forget_rested(POLICY.refill_per_day, NOW_MS).await.unwrap();
        store.prune_log(batch).await.unwrap();
        store.prune_publications(batch).await.unwrap();
    }
    assert!(std::fs::read(file.path()).unwrap() == before);
}

#[test]
fn nothing_sensitive_is_printed() {
    let handle = Handle::new([0xab; 32]);
    let logged = LoggedChange { version: 1, handle, before: Some(vec![0xab; 9]) };
    let shown = format!(
        "{:?} {:?} {:?} {:?} {:?} {:?} {:?}",
        Handle::new([0xab; 32]),
        Change::Put { handle: Handle::new([0xab; 32]), sealed: vec![0xab; 9] },
        Change::Remove { handle: Handle::new([0xab; 32]) },
        ChargeRequest { account: [0xab; 16], digest: [0xab; 32], ..request(1, 1, 1) },
        Publication { signature: [0xab; 64], manifest: vec![0xab; 9], ..publication(1) },
        CopiedRow { source: Handle::new([0xab; 32]), ..copied(1, &[0xab; 9], &[0xab; 9]) },
        History {
            head: Head::default(),
            changes: vec![logged.clone()],
            current: [(logged.handle, vec![0xab; 9])].into(),
        },
    );
    assert!(!shown.contains("171") && !shown.to_lowercase().contains("ab,"), "{shown}");
    assert!(shown.starts_with("Handle(REDACTED) Put(REDACTED) Remove(REDACTED)"), "{shown}");
}
