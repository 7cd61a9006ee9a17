//! A process that is killed: what it was told is done, is done.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use super::*;
use crate::store::RedbStore;

const CYCLES: u64 = 8;
const UNLIMITED: QuotaPolicy = QuotaPolicy { capacity: 1 << 40, refill_per_day: 0 };
const PATH: &str = "ACQUAINT_TEST_KILLED_STORE";
const CHILD: &str = "store::tests::killed::writes_until_it_is_killed";

/// The child: round `n` adds row `n`, removes row `n - 1` and charges one element.
#[tokio::test]
#[ignore = "started and killed by the test below"]
async fn writes_until_it_is_killed() {
    let Ok(path) = std::env::var(PATH) else { return };
    let store = RedbStore::open(path, KEY_CHECK).unwrap();
    loop {
        // A batch that was charged before the kill is repeated after it, and then free.
        let round = store.head().unwrap().changed_at + 1;
        let request = ChargeRequest { policy: UNLIMITED, ..request(1, round, 1) };
        let (applied, outcome) = tokio::join!(
            store.apply(one(1, vec![put(round, b"a"), remove(round - 1)]), round),
            store.charge(request)
        );
        let (version, charge) = (applied.unwrap().version, charged(outcome.unwrap()).unwrap());
        println!("\nacknowledged {version} {charge}");
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill() {
    let mut random = seeded("what_was_acknowledged_survives_kill", 5);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store.redb");
    let (mut version, mut charges) = (0, 0);
    for cycle in 0..CYCLES {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", CHILD, "--ignored", "--nocapture", "--test-threads=1"])
            .env(PATH, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let acknowledged = lines.filter(|line| line.starts_with("acknowledged "));
        let rounds = 1 + below(&mut random, 60) as usize;
        for line in acknowledged.take(rounds) {
            let mut numbers = line.split(' ').skip(1).map(|number| number.parse::<u64>().unwrap());
            version = numbers.next().unwrap();
            charges += numbers.next().unwrap();
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let store = RedbStore::open(&path, KEY_CHECK).unwrap();
        let (head, rows) = rows(&store, 1).unwrap();
        assert!(head.version >= version, "cycle {cycle}: {head:?} after {version}");
        // Of each pair of changes both or none: exactly the latest row is there.
        assert_eq!((rows.len(), head.entries), (1, 1), "cycle {cycle}");
        assert_eq!(rows[0].0, handle(head.changed_at), "cycle {cycle}");
        let left = store.quota(&[1; 16], &UNLIMITED, NOW_MS).await.unwrap().remaining;
        let booked = UNLIMITED.capacity - left;
        // More may be on disk than was heard of before the kill, never less.
        assert!(booked >= charges, "cycle {cycle}: {booked} booked, {charges} granted");
        (version, charges) = (head.version, booked);
    }
    println!("{CYCLES} kills, {version} changes, {charges} charges");
    assert!(charges >= CYCLES);
}
