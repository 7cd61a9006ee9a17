//! Files of schemas 1 and 2: brought up to date when they are opened, wholly or not at all.

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, TableHandle};

use super::faults::Disk;
use super::redb_file::RedbFile;
use super::*;
use crate::store::{REPEAT_FREE_MS, RedbStore, tables};

type Bytes = TableDefinition<'static, &'static [u8], &'static [u8]>;

// The layout of schema 1, spelled out: it must not follow what the program does today.
const META: Bytes = TableDefinition::new("meta");
const COUNTERS: Bytes = TableDefinition::new("counters");
const ROWS: TableDefinition<'_, &[u8; 36], &[u8]> = TableDefinition::new("rows");
const CHANGES: TableDefinition<'_, &[u8; 8], &[u8; 45]> = TableDefinition::new("changes");
const PUBLICATIONS: TableDefinition<'_, &[u8; 8], &[u8]> = TableDefinition::new("publications");
const QUOTAS: TableDefinition<'_, &[u8; 16], &[u8; 24]> = TableDefinition::new("quotas");
const CHARGES: TableDefinition<'_, &[u8; 48], &[u8; 8]> = TableDefinition::new("charges");
const CHARGE_TIMES: TableDefinition<'_, &[u8; 56], &[u8]> = TableDefinition::new("charge_times");

const VERSION: u64 = 40;

/// 20 rows of epoch 1 and 10 of epoch 2, a log of 40 changes, 5 elements charged, 2 publications.
fn fill_schema_1(database: &Database, entries: u64) {
    let txn = database.begin_write().unwrap();
    {
        let mut meta = txn.open_table(META).unwrap();
        meta.insert(&b"schema"[..], &1_u32.to_be_bytes()[..]).unwrap();
        meta.insert(&b"key_check"[..], &KEY_CHECK[..]).unwrap();
        let head = [VERSION, entries, 9].map(u64::to_be_bytes).concat();
        txn.open_table(COUNTERS).unwrap().insert(&b"head"[..], &head[..]).unwrap();
        let (mut rows, mut changes) =
            (txn.open_table(ROWS).unwrap(), txn.open_table(CHANGES).unwrap());
        for (epoch, count) in [(1_u32, 20), (2, 10)] {
            for number in 0..count {
                let key = [&epoch.to_be_bytes()[..], handle(number).as_bytes()].concat();
                let key: [u8; 36] = key.try_into().unwrap();
                rows.insert(&key, &[number as u8; 65][..]).unwrap();
            }
        }
        for version in 1..=VERSION {
            changes.insert(&version.to_be_bytes(), &[1; 45]).unwrap();
        }
        let mut publications = txn.open_table(PUBLICATIONS).unwrap();
        for number in 1..=2 {
            let Publication { version, manifest, signature, .. } = publication(number);
            let record = [&version.to_be_bytes()[..], &signature, &manifest].concat();
            publications.insert(&number.to_be_bytes(), &record[..]).unwrap();
        }
        let mut bucket = [0; 24];
        bucket[..16].copy_from_slice(&(5_u128 * 86_400_000).to_be_bytes());
        bucket[16..].copy_from_slice(&NOW_MS.to_be_bytes());
        txn.open_table(QUOTAS).unwrap().insert(&[1; 16], &bucket).unwrap();
        let digest = request(1, 1, 5).digest;
        let charge: [u8; 48] = [&[1; 16][..], &digest].concat().try_into().unwrap();
        txn.open_table(CHARGES).unwrap().insert(&charge, &NOW_MS.to_be_bytes()).unwrap();
        let time: [u8; 56] = [&NOW_MS.to_be_bytes()[..], &charge].concat().try_into().unwrap();
        txn.open_table(CHARGE_TIMES).unwrap().insert(&time, &[][..]).unwrap();
    }
    txn.commit().unwrap();
}

fn file_of_schema_1(entries: u64) -> RedbFile {
    let file = RedbFile::new();
    fill_schema_1(&Database::create(file.path()).unwrap(), entries);
    file
}

/// The schema that a file says it has, and the number of entries in a log of schema 1.
fn schema(database: &Database) -> (u32, usize) {
    let snapshot = database.begin_read().unwrap();
    let schema = snapshot.open_table(META).unwrap().get(&b"schema"[..]).unwrap().unwrap();
    let log = snapshot.open_table(CHANGES).map_or(0, |log| log.iter().unwrap().count());
    (u32::from_be_bytes(schema.value().try_into().unwrap()), log)
}

fn has_everything(store: &RedbStore) {
    assert_eq!(store.head().unwrap(), Head { version: VERSION, entries: 30, changed_at: 9 });
    assert_eq!([1, 2, 3].map(|epoch| store.entries(epoch).unwrap()), [20, 10, 0]);
    for (epoch, count) in [(1, 20), (2, 10)] {
        let mut expected: Vec<Row> = (0..count).map(|n| (handle(n), vec![n as u8; 65])).collect();
        expected.sort();
        assert_eq!(rows(store, epoch).unwrap().1, expected);
    }
    assert_eq!(store.publications_after(0).unwrap(), [publication(1), publication(2)]);
    // The old log said too little: history starts at the head.
    assert_eq!(store.history(1, VERSION - 1, 100).unwrap(), None);
    assert_eq!(store.history(1, VERSION, 100).unwrap().unwrap().changes, []);
    assert_eq!(store.meta(MetaName::Rotation).unwrap(), None);
}

#[tokio::test]
async fn a_file_of_schema_1_is_brought_up_to_date() {
    let file = file_of_schema_1(30);
    for _ in 0..2 {
        let store = file.try_open().unwrap();
        has_everything(&store);
        assert_eq!(charged(store.charge(request(1, 1, 5)).await.unwrap()), Some(0));
        assert_eq!(store.quota(&[1; 16], &POLICY, NOW_MS).await.unwrap().remaining, 995);
    }
    assert_eq!(schema(&Database::open(file.path()).unwrap()), (3, 0));
    let store = file.try_open().unwrap();
    store.apply(one(1, vec![remove(3)]), 10).await.unwrap();
    let history = store.history(1, VERSION, 100).unwrap().unwrap();
    assert_eq!(history.changes[0].before, Some(vec![3; 65]));
    store.record_publication(publication(3)).await.unwrap();
}

#[tokio::test]
async fn charges_of_schema_2_stay_free_to_repeat() {
    let file = RedbFile::new();
    drop(file.try_open().unwrap());
    let batches = [(1, 0), (2, REPEAT_FREE_MS - 1), (3, REPEAT_FREE_MS)];
    {
        let database = Database::open(file.path()).unwrap();
        let txn = database.begin_write().unwrap();
        let mut meta = txn.open_table(META).unwrap();
        meta.insert(&b"schema"[..], &2_u32.to_be_bytes()[..]).unwrap();
        txn.delete_table(tables::CHARGES).unwrap();
        let mut charges = txn.open_table(CHARGES).unwrap();
        let mut times = txn.open_table(CHARGE_TIMES).unwrap();
        for (batch, ms) in batches {
            let digest = request(1, batch, 5).digest;
            let charge: [u8; 48] = [&[1; 16][..], &digest].concat().try_into().unwrap();
            let at = (NOW_MS + ms).to_be_bytes();
            let time: [u8; 56] = [&at[..], &charge].concat().try_into().unwrap();
            charges.insert(&charge, &at).unwrap();
            times.insert(&time, &[][..]).unwrap();
        }
        drop((meta, charges, times));
        txn.commit().unwrap();
    }
    for _ in 0..2 {
        let store = file.try_open().unwrap();
        for (batch, ms) in batches {
            let again = ChargeRequest { now_ms: NOW_MS + ms + 1, ..request(1, batch, 5) };
            assert_eq!(charged(store.charge(again).await.unwrap()), Some(0), "{batch}");
        }
        assert_eq!(charged(store.charge(request(1, 4, 0)).await.unwrap()), Some(0));
    }
    let database = Database::open(file.path()).unwrap();
    let snapshot = database.begin_read().unwrap();
    let names = snapshot.list_tables().unwrap();
    let names: Vec<_> = names.map(|table| table.name().to_owned()).collect();
    assert!(names.iter().all(|name| name != "charges" && name != "charge_times"), "{names:?}");
}

#[test]
fn another_key_brings_nothing_up_to_date() {
    let file = file_of_schema_1(30);
    assert_eq!(RedbStore::open(file.path(), [8; 32]).unwrap_err(), StoreError::WrongKey);
    assert_eq!(schema(&Database::open(file.path()).unwrap()), (1, VERSION as usize));
}

#[test]
fn a_file_whose_counter_is_wrong_is_damaged() {
    let file = file_of_schema_1(31);
    assert_eq!(file.try_open().unwrap_err(), StoreError::Corrupt);
    assert_eq!(schema(&Database::open(file.path()).unwrap()), (1, VERSION as usize));
}

#[test]
fn a_migration_that_fails_is_done_wholly_or_not_at_all() {
    let original = Disk::filled(|database| fill_schema_1(database, 30));
    let (mut failures, mut old) = (0, 0);
    for budget in 0.. {
        let disk = original.after_power_cut();
        disk.fail_after(Some(budget));
        let opened = disk.store();
        let done = opened.is_ok();
        let power_cut = disk.after_power_cut();
        disk.fail_after(None);
        if let Err(error) = &opened {
            assert_eq!(*error, StoreError::Full, "{budget}");
            failures += 1;
        }
        drop(opened);
        for disk in [disk, power_cut] {
            let found = schema(&disk.database());
            assert!(found == (3, 0) || (found == (1, 40) && !done), "{budget}: {found:?}");
            old += usize::from(found.0 == 1);
            has_everything(&disk.store().unwrap());
        }
        if done {
            break;
        }
    }
    println!("failed at each of {failures} operations, {old} files were still of schema 1");
    assert!(failures > 2 && old > 2);
}
