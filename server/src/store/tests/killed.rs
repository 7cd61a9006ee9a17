//! A process that is killed: what it was told is done, is done.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use redb::{Database, ReadableDatabase, ReadableTableMetadata};

use super::*;
use crate::store::{Credit, RedbStore, tables};

const CYCLES: u64 = 8;
const UNLIMITED: QuotaPolicy = QuotaPolicy { capacity: 1 << 40, refill_per_day: 0 };
const PATH: &str = "ACQUAINT_TEST_KILLED_STORE";
const WRITER: &str = "store::tests::killed::writes_until_it_is_killed";
const REMOVER: &str = "store::tests::killed::ends_epochs_until_it_is_killed";
/// Rows of an epoch that is ended: several steps' worth.
const MANY: u64 = 30_000;

/// Runs a test of this file as a process and kills it some time after `lines` acknowledgments,
/// which are returned as numbers.
fn killed_after(child: &str, path: &Path, lines: usize, pause: Duration) -> Vec<Vec<u64>> {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", child, "--ignored", "--nocapture", "--test-threads=1"])
        .env(PATH, path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let acknowledged = output
        .filter_map(|line| line.strip_prefix("acknowledged ").map(str::to_owned))
        .map(|line| line.split(' ').map(|number| number.parse().unwrap()).collect())
        .take(lines)
        .collect();
    std::thread::sleep(pause);
    process.kill().unwrap();
    process.wait().unwrap();
    acknowledged
}

/// The child: round `n` adds row `n` to two epochs and removes row `n - 1` from both, carries the
/// row into a third, charges one element of the quota and one of a credit, publishes `n`, and notes
/// `n`.
#[tokio::test]
#[ignore = "started and killed by the test below"]
async fn writes_until_it_is_killed() {
    let Ok(path) = std::env::var(PATH) else { return };
    let store = RedbStore::open(path, KEY_CHECK).unwrap();
    loop {
        // A batch that was charged before the kill is repeated after it, and then free.
        let round = store.entries(3).unwrap() + 1;
        let changes = vec![put(round, b"a"), remove(round - 1)];
        let parts = vec![(1, changes.clone()), (2, changes)];
        let quota = ChargeRequest { policy: UNLIMITED, ..request(1, round, 1) };
        let credit = Some(Credit { epoch: 2, elements: 1 << 40 });
        let with_credit = ChargeRequest { credit, ..request(2, round, 1) };
        let (applied, charge, credited, published, noted) = tokio::join!(
            store.apply(parts, round),
            store.charge(quota),
            store.charge(with_credit),
            store.record_publication(publication(round)),
            store.set_meta(MetaName::Rotation, round.to_be_bytes().to_vec()),
        );
        let charges = [charge, credited].map(|charge| charged(charge.unwrap()).unwrap());
        // Recorded before the kill, in a round that begins anew after it.
        assert!(matches!(published, Ok(()) | Err(StoreError::OutOfOrder)));
        noted.unwrap();
        // Last, because the next round begins where it ends.
        let copied = store.copy_rows(3, 1, vec![copied(round, b"a", b"b")], round).await.unwrap();
        assert_eq!(copied.copied, 1);
        let version = applied.unwrap().version;
        println!("\nacknowledged {round} {version} {} {}", charges[0], charges[1]);
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill() {
    let mut random = seeded("what_was_acknowledged_survives_kill", 5);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let (mut round, mut version, mut charges, mut credited) = (0, 0, 0, 0);
    for cycle in 0..CYCLES {
        let rounds = 1 + below(&mut random, 60) as usize;
        for line in killed_after(WRITER, &path, rounds, Duration::ZERO) {
            (round, version) = (line[0], line[1]);
            charges += line[2];
            credited += line[3];
        }
        let store = RedbStore::open(&path, KEY_CHECK).unwrap();
        let (head, rows_of_1) = rows(&store, 1).unwrap();
        assert!(head.version >= version, "cycle {cycle}: {head:?} after {version}");
        // Of each pair of changes both or none, in both epochs: exactly one row is there, the same.
        assert_eq!((rows_of_1.len(), store.entries(1).unwrap()), (1, 1), "cycle {cycle}");
        assert_eq!(rows(&store, 2).unwrap().1, rows_of_1, "cycle {cycle}");
        assert_eq!(rows_of_1[0].0, handle(head.changed_at), "cycle {cycle}");
        assert!(store.entries(3).unwrap() >= round, "cycle {cycle}");
        for epoch in [1, 2, 3] {
            assert!(
                undone(&store, epoch).is_empty(),
                "cycle {cycle}: the log of {epoch} has holes"
            );
        }
        let sequence = store.last_publication().unwrap().unwrap().sequence;
        assert!(sequence >= round && store.publications_after(0).unwrap().len() as u64 == sequence);
        let note = store.meta(MetaName::Rotation).unwrap().unwrap();
        assert!(u64::from_be_bytes(note.try_into().unwrap()) >= round, "cycle {cycle}");
        let left = store.quota(&[1; 16], &UNLIMITED, NOW_MS).await.unwrap().remaining;
        let booked = UNLIMITED.capacity - left;
        // More may be on disk than was heard of before the kill, never less.
        assert!(booked >= charges, "cycle {cycle}: {booked} booked, {charges} granted");
        drop(store);
        let drawn = credit_used(&path);
        assert!(drawn >= credited, "cycle {cycle}: {drawn} drawn, {credited} granted");
        (charges, credited) = (booked, drawn);
    }
    println!("{CYCLES} kills, {version} changes, {charges} charges, {credited} of the credit");
    assert!(charges >= CYCLES && credited >= CYCLES);
}

/// The rows of an epoch after undoing its whole history: those of the beginning.
fn undone(store: &RedbStore, epoch: u32) -> HashMap<Handle, Vec<u8>> {
    let mut rows: HashMap<_, _> = rows(store, epoch).unwrap().1.into_iter().collect();
    let history = store.history(epoch, 0, 1 << 20).unwrap().unwrap();
    assert!(!history.changes.is_empty());
    for change in history.changes.into_iter().rev() {
        match change.before {
            Some(before) => rows.insert(change.handle, before),
            None => rows.remove(&change.handle),
        };
    }
    rows
}

fn credit_used(path: &Path) -> u64 {
    let database = Database::open(path).unwrap();
    let snapshot = database.begin_read().unwrap();
    let credits = snapshot.open_table(tables::CREDITS).unwrap();
    credits
        .get(&tables::credit_key(2, &[2; 16]))
        .unwrap()
        .map_or(0, |used| u64::from_be_bytes(*used.value()))
}

/// The child: fills an epoch, says so, ends it and prunes the log, says so, and takes the next one.
#[tokio::test]
#[ignore = "started and killed by the test below"]
async fn ends_epochs_until_it_is_killed() {
    let Ok(path) = std::env::var(PATH) else { return };
    let store = RedbStore::open(path, KEY_CHECK).unwrap();
    let first = store.head().unwrap().changed_at;
    for epoch in first + 1.. {
        let rows = (0..MANY).map(|number| put(number, b"a")).collect();
        let number = u32::try_from(epoch).unwrap();
        let filled = store.apply(one(number, rows), epoch).await.unwrap();
        println!("\nacknowledged {epoch} 0");
        store.drop_epoch(number).await.unwrap();
        println!("\nacknowledged {epoch} 1");
        store.prune_log(filled.version).await.unwrap();
    }
}

#[tokio::test]
async fn a_killed_removal_is_finished_by_the_next() {
    let mut random = seeded("a_killed_removal_is_finished_by_the_next", 6);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let (mut dropped, mut halves) = (0, 0);
    for cycle in 0..CYCLES {
        // Some time after an epoch was filled: before, in the middle of or after its removal.
        let (epochs, pause) = (1 + below(&mut random, 2), below(&mut random, 40));
        let lines = 2 * epochs as usize - 1;
        let lines = killed_after(REMOVER, &path, lines, Duration::from_millis(pause));
        let acknowledged = lines.iter().filter(|line| line[1] == 1).map(|line| line[0]);
        dropped = acknowledged.max().unwrap_or(dropped);
        let store = RedbStore::open(&path, KEY_CHECK).unwrap();
        let head = store.head().unwrap();
        let (mut seen, last) = (0, u32::try_from(head.changed_at).unwrap());
        for epoch in 1..=last {
            let count = rows(&store, epoch).unwrap().1.len() as u64;
            assert!(count == 0 || (count == MANY && u64::from(epoch) > dropped), "cycle {cycle}");
            assert_eq!(store.entries(epoch).unwrap(), count, "cycle {cycle}");
            seen += count;
        }
        halves += u64::from(head.entries > seen);
        for epoch in 1..=last {
            store.drop_epoch(epoch).await.unwrap();
        }
        assert_eq!(store.head().unwrap(), Head { entries: 0, ..head }, "cycle {cycle}");
        drop(store);
        let database = Database::open(&path).unwrap();
        let snapshot = database.begin_read().unwrap();
        assert_eq!(snapshot.open_table(tables::ROWS).unwrap().len().unwrap(), 0, "cycle {cycle}");
        assert_eq!(snapshot.open_table(tables::CHANGES).unwrap().len().unwrap(), 0);
        dropped = u64::from(last);
    }
    println!("{CYCLES} kills, {dropped} epochs, {halves} times in the middle of a removal");
    assert!(dropped >= CYCLES);
}
