//! A file that was altered behind redb's back: right data or an error, never a panic.

use std::path::Path;

use super::redb_file::RedbFile;
use super::*;
use crate::store::{Credit, History, RedbStore};

const ROWS: u64 = 1_500;

/// A populated store, closed, and what it holds.
async fn populated() -> (RedbFile, Vec<u8>, Contents) {
    let file = RedbFile::new();
    let store = file.try_open().unwrap();
    let mut random = seeded("damage", 2);
    for chunk in 0..3 {
        let numbers = chunk * ROWS / 3..(chunk + 1) * ROWS / 3;
        let changes =
            numbers.map(|number| put(number, &random.next_u64().to_be_bytes().repeat(12)));
        store.apply(one(1, changes.collect()), 1).await.unwrap();
    }
    for batch in 0..200 {
        store.charge(request(batch as u8, batch, 3)).await.unwrap();
    }
    store.record_publication(publication(1)).await.unwrap();
    // Before-images, a second epoch, a pruned log, a credit of which ten elements are left.
    store
        .apply(vec![(1, vec![put(0, b"x"), remove(2)]), (2, vec![put(1, b"y")])], 2)
        .await
        .unwrap();
    store.copy_rows(2, 1, vec![copied(0, b"x", b"z")], 2).await.unwrap();
    store.prune_log(ROWS / 2).await.unwrap();
    store.set_meta(MetaName::Rotation, vec![3; 64]).await.unwrap();
    store.drop_epoch(3).await.unwrap();
    store.charge(with_credit(1_000, 990)).await.unwrap();
    let contents = read(&store).await.unwrap();
    store.close().await.unwrap();
    drop(store);
    let bytes = std::fs::read(file.path()).unwrap();
    (file, bytes, contents)
}

/// A charge of an account of its own.
fn with_credit(batch: u64, cost: u64) -> ChargeRequest {
    let credit = Some(Credit { epoch: 2, elements: 1_000 });
    ChargeRequest { account: [0xee; 16], credit, ..request(0, batch, cost) }
}

#[derive(PartialEq)]
struct Contents {
    rows: [(Head, Vec<Row>); 2],
    entries: [u64; 3],
    histories: [Option<History>; 3],
    publications: Vec<Publication>,
    meta: Option<Vec<u8>>,
    remaining: Vec<u64>,
}

async fn read(store: &RedbStore) -> Result<Contents, StoreError> {
    let mut remaining = Vec::new();
    for account in 0..=255 {
        remaining.push(store.quota(&[account; 16], &POLICY, NOW_MS).await?.remaining);
    }
    let all = 2 * ROWS as usize;
    let entries = [store.entries(1)?, store.entries(2)?, store.entries(3)?];
    let history = |epoch| store.history(epoch, ROWS / 2, all);
    Ok(Contents {
        rows: [rows(store, 1)?, rows(store, 2)?],
        entries,
        histories: [history(1)?, history(2)?, history(3)?],
        publications: store.publications_after(0)?,
        meta: store.meta(MetaName::Rotation)?,
        remaining,
    })
}

/// Opens the altered file, and reads and writes all of it; says whether all was right.
async fn survives(path: &Path, bytes: &[u8], contents: &Contents, what: &str) -> bool {
    std::fs::write(path, bytes).unwrap();
    let store = match RedbStore::open(path, KEY_CHECK) {
        Ok(store) => store,
        Err(StoreError::Corrupt | StoreError::WrongKey | StoreError::SchemaVersion { .. }) => {
            return false;
        }
        Err(error) => panic!("{what}: {error}"),
    };
    let right = match read(&store).await {
        Ok(found) => {
            assert!(found == *contents, "{what}: wrong data without an error");
            true
        }
        Err(error) => {
            assert_eq!(error, StoreError::Corrupt, "{what}");
            false
        }
    };
    // Ten elements of the credit are left and at most a thousand of the quota: no damage makes it more.
    if let Ok(outcome) = store.charge(with_credit(2_000, 1_011)).await {
        assert_eq!(charged(outcome), None, "{what}");
    }
    let _ = store.charge(request(1, 1_000, 1)).await;
    let _ = store.apply(one(1, vec![put(ROWS, b"x"), remove(1)]), 2).await;
    let _ = store.prune_log(ROWS).await;
    let _ = store.drop_epoch(2).await;
    let _ = store.close().await;
    right
}

#[tokio::test]
async fn a_flipped_byte_in_every_page() {
    let (file, bytes, contents) = populated().await;
    let mut random = seeded("a_flipped_byte_in_every_page", 3);
    let (mut right, mut pages) = (0, 0);
    for page in (0..bytes.len()).step_by(4_096) {
        let within = [0, below(&mut random, 4_096) as usize];
        for at in within.map(|offset| page + offset).into_iter().filter(|at| *at < bytes.len()) {
            // Most pages of a small file are empty.
            if pages > 8 && bytes[page..].iter().take(4_096).all(|byte| *byte == 0) {
                continue;
            }
            let mut altered = bytes.clone();
            altered[at] ^= 1 << below(&mut random, 8);
            pages += 1;
            let what = format!("byte {at}");
            right += usize::from(survives(&file.path(), &altered, &contents, &what).await);
        }
    }
    println!("{pages} flips in {} bytes: {right} harmless, the others detected", bytes.len());
    assert!(right < pages);
}

#[tokio::test]
async fn an_altered_header() {
    let (file, bytes, contents) = populated().await;
    let mut random = seeded("an_altered_header", 4);
    let mut right = 0;
    for at in 0..320 {
        let mut altered = bytes.clone();
        altered[at] ^= 1 << below(&mut random, 8);
        right += usize::from(survives(&file.path(), &altered, &contents, &format!("{at}")).await);
    }
    println!("320 flips in the header: {right} harmless, the others detected");
    for length in [1, 64, 320, 4_096] {
        for filler in [0, 0xff] {
            let mut altered = bytes.clone();
            altered[..length].fill(filler);
            assert!(!survives(&file.path(), &altered, &contents, "overwritten header").await);
        }
    }
}

#[tokio::test]
async fn a_truncated_file() {
    let (file, bytes, contents) = populated().await;
    let all = bytes.len();
    for length in [0, 1, 9, 319, 320, 4_096, 10_000, all / 2, all - 4_096, all - 1] {
        let what = format!("truncated to {length} of {all}");
        assert!(!survives(&file.path(), &bytes[..length], &contents, &what).await, "{what}");
    }
    assert!(survives(&file.path(), &bytes, &contents, "unaltered").await);
}

#[tokio::test]
async fn a_file_of_someone_elses() {
    let file = RedbFile::new();
    std::fs::write(file.path(), b"-- a dump\nCREATE TABLE rows ();\n".repeat(500)).unwrap();
    assert_eq!(file.try_open().unwrap_err(), StoreError::Corrupt);
    // A redb database with other tables.
    std::fs::remove_file(file.path()).unwrap();
    drop(redb::Database::create(file.path()).unwrap());
    assert_eq!(file.try_open().unwrap_err(), StoreError::Corrupt);
}
