//! The living directory by size: what it weighs, how long publishing and following it takes.
//!
//! Prints one table for each number of users: 10^5 and 10^6, and 10^7 with
//! `ACQUAINT_BENCH_USERS=10000000` (minutes, 10 GiB of disk). Not criterion: a row is one run of
//! minutes. Rates are given beside a baseline of the same run wherever there is one.
//! `benches/README.md` says how to read the rows.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    missing_debug_implementations,
    unreachable_pub,
    reason = "a bench: it has no callers, and aborts when something is wrong"
)]

mod scale;

use scale::{
    client,
    report::{Report, ms, seconds},
    server::Bench,
    sizes,
};

fn main() {
    // `cargo test --benches` and criterion's flags end here: one run is too long for them.
    if std::env::args().any(|argument| argument == "--test" || argument == "--list") {
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let chosen = std::env::var("ACQUAINT_BENCH_USERS").ok();
    let users = chosen.map_or(vec![100_000, 1_000_000], |users| vec![users.parse().unwrap()]);
    for n_users in users {
        runtime.block_on(table(n_users));
    }
}

/// Everything about a directory of one size.
async fn table(n_users: u64) {
    let mut report = Report::new(n_users);
    let mut bench = Bench::start(n_users).await;
    let loaded = bench.load().await;
    report.row(
        "loading, durable",
        seconds(loaded),
        format!("{:.1} µs a user", per(loaded, n_users)),
    );

    let sealing = bench.seal_labels();
    let published = bench.publish().await;
    report.row("sealing all labels, one thread: baseline", seconds(sealing), String::new());
    report.ratio("publishing everything", published, sealing);
    report.row("server memory, resident", format!("{} MB", bench.resident_mb()), String::new());

    let set = bench.snapshot_bytes();
    sizes::rows(&mut report, n_users, set);

    for percent in [0.1, 1.0] {
        let churn = bench.churn(percent).await;
        let name = format!("delta at {percent} % churn");
        let entries = churn.removed + churn.added;
        report.row(
            &format!("{name}: publishing"),
            ms(churn.publishing),
            format!("{entries} changes"),
        );
        report.row(&format!("{name}: making it for a client"), ms(churn.making), String::new());
        let bound = sizes::delta_bound(n_users, churn.removed, churn.added);
        report.row(
            &format!("{name}: bytes"),
            format!("{:.1} kB", churn.bytes as f64 / 1e3),
            format!("{:.3} × the entropy bound with labels", churn.bytes as f64 / bound),
        );
    }

    let view = bench.snapshot();
    let matching = client::matching(&view, 1_000);
    report.row("client, 1,000 contacts: decode the set and match", ms(matching), "one core".into());
    let compaction = client::compaction(&view, &bench.overlay());
    report.row("client: compact, and check the digests", ms(compaction), "no download".into());
    drop(view);

    let restart = bench.restart().await;
    report.row("restart: opening the store", seconds(restart.store), String::new());
    report.row("restart: to the first answer", seconds(restart.total), String::new());
    report.print();
}

/// Microseconds each.
fn per(time: std::time::Duration, n: u64) -> f64 {
    time.as_secs_f64() * 1e6 / n as f64
}
