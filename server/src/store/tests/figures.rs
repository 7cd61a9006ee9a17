//! Figures, not verdicts: `cargo test -p acquaint-server figures -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::Instant;

use super::redb_file::RedbFile;
use super::*;

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
