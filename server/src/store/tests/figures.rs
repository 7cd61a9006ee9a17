//! Figures, not verdicts: `cargo test -p acquaint-server figures -- --ignored --nocapture`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};

use super::redb_file::RedbFile;
use super::*;
use crate::store::RedbStore;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn group_commit() {
    let file = RedbFile::new();
    let store = Arc::new(file.try_open().unwrap());
    let started = Instant::now();
    for batch in 0..500 {
        store.charge(request(0, batch, 1)).await.unwrap();
    }
    println!("1 caller: {:.0} charges/s", 500.0 / started.elapsed().as_secs_f64());
    for callers in [8_u64, 64, 256] {
        let started = Instant::now();
        let calls: Vec<_> = (0..callers)
            .map(|caller| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    for batch in 0..100 {
                        let batch = callers * 1_000_000 + caller * 1_000 + batch;
                        store.charge(request(caller as u8, batch, 1)).await.unwrap();
                    }
                })
            })
            .collect();
        for call in calls {
            call.await.unwrap();
        }
        let rate = (callers * 100) as f64 / started.elapsed().as_secs_f64();
        println!("{callers} callers: {rate:.0} charges/s");
    }
}

#[tokio::test]
#[ignore = "measures"]
async fn a_million_rows() {
    let file = RedbFile::new();
    let store = file.try_open().unwrap();
    let started = Instant::now();
    for chunk in 0..16 {
        let changes = (chunk * 62_500..(chunk + 1) * 62_500).map(|n| put(n, &[n as u8; 72]));
        store.apply(one(1, changes.collect()), 1).await.unwrap();
    }
    println!("1,000,000 rows applied in {:.2?}", started.elapsed());
    drop(store);
    let mib = std::fs::metadata(file.path()).unwrap().len() >> 20;
    let started = Instant::now();
    let store = file.try_open().unwrap();
    println!("{mib} MiB opened and verified in {:.2?}", started.elapsed());
    let started = Instant::now();
    let mut count = 0;
    store
        .scan(1, &mut |_, _| {
            count += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
    println!("{count} rows scanned in {:.2?}", started.elapsed());
}

/// What the process has written so far, in MiB.
fn written_mib() -> u64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap_or_default();
    let bytes = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    bytes.and_then(|bytes| bytes.parse::<u64>().ok()).unwrap_or(0) >> 20
}

/// A million rows in chunks of 4,096, as a registrar streams them: chunk by chunk, with four chunks
/// in flight, with sixteen; then in the order of handles, which hashes do not come in.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn a_million_rows_in_chunks() {
    for (in_flight, ordered) in [(1, false), (4, false), (16, false), (4, true)] {
        let file = RedbFile::new();
        let store = file.try_open().unwrap();
        let key = |n: u64| {
            let mut bytes = *handle(n).as_bytes();
            if ordered {
                bytes[..8].copy_from_slice(&n.to_be_bytes());
            }
            Handle::new(bytes)
        };
        let (started, written) = (Instant::now(), written_mib());
        stream::iter(0..245_u64)
            .map(|chunk| {
                let numbers = chunk * 4_096..((chunk + 1) * 4_096).min(1_000_000);
                let changes: Vec<_> = numbers
                    .map(|n| Change::Put { handle: key(n), sealed: vec![n as u8; 65] })
                    .collect();
                let store = &store;
                async move { store.apply(one(1, changes), 1).await.unwrap() }
            })
            .buffered(in_flight)
            .for_each(async |_| {})
            .await;
        let (elapsed, written) = (started.elapsed(), written_mib() - written);
        println!("{in_flight} in flight, ordered {ordered}: {elapsed:.2?}, {written} MiB written");
        store.close().await.unwrap();
    }
}

/// The long removals and the reads of a rotation, over a million rows.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures"]
async fn a_million_rows_carried_and_dropped() {
    let file = RedbFile::new();
    let store = Arc::new(file.try_open().unwrap());
    for chunk in 0..16 {
        let changes = (chunk * 62_500..(chunk + 1) * 62_500).map(|n| put(n, &[n as u8; 65]));
        store.apply(one(1, changes.collect()), 1).await.unwrap();
    }
    let started = Instant::now();
    let history = store.history(1, 900_000, 1 << 20).unwrap().unwrap();
    println!("history of {} changes: {:.2?}", history.changes.len(), started.elapsed());
    let started = Instant::now();
    let mut after = None;
    loop {
        let page = store.scan_after(1, after, 4_096).unwrap();
        let Some((last, _)) = page.last() else { break };
        after = Some(*last);
        let copies = page.iter().map(|(source, sealed)| CopiedRow {
            source: *source,
            expected: sealed.clone(),
            // As random in the other epoch as a hash.
            handle: Handle::new(*blake3::hash(source.as_bytes()).as_bytes()),
            sealed: sealed.clone(),
        });
        store.copy_rows(2, 1, copies.collect(), 2).await.unwrap();
    }
    println!("{} rows copied: {:.2?}", store.entries(2).unwrap(), started.elapsed());
    removal(&store, "log pruned", async |store| store.prune_log(1_900_000).await).await;
    removal(&store, "epoch dropped", async |store| store.drop_epoch(1).await).await;
}

/// A long removal, and the longest that charges made meanwhile had to wait.
async fn removal(
    store: &Arc<RedbStore>,
    what: &str,
    remove: impl AsyncFnOnce(Arc<RedbStore>) -> Result<(), StoreError>,
) {
    let (charging, stop) = (Arc::clone(store), Arc::new(AtomicBool::new(false)));
    let stopped = Arc::clone(&stop);
    let charges = tokio::spawn(async move {
        let mut longest = Duration::ZERO;
        for batch in 0.. {
            if stopped.load(Ordering::Relaxed) {
                break;
            }
            let started = Instant::now();
            charging
                .charge(ChargeRequest { digest: [batch as u8; 32], ..request(1, 0, 0) })
                .await
                .unwrap();
            longest = longest.max(started.elapsed());
        }
        longest
    });
    let started = Instant::now();
    remove(Arc::clone(store)).await.unwrap();
    let elapsed = started.elapsed();
    stop.store(true, Ordering::Relaxed);
    println!("{what}: {elapsed:.2?}, a charge waited {:.2?} at most", charges.await.unwrap());
}
