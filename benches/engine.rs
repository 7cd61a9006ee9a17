//! Group operations in batches: `acquaint_core` against named baselines, in one process.
//!
//! Ids: `evaluate/<implementation>/<batch>`, `evaluate_with_proof/…`, `client/…`,
//! `primitives/<operation>/<implementation>`. A batch of 16,384 is four of 4,096, the largest
//! that the protocol allows. Before anything is timed, all implementations must give the same
//! bytes. After criterion's figures comes a table of interleaved rounds; a run with a filter
//! leaves it out, and `ACQUAINT_BENCH_TABLE_ONLY=1` prints nothing else.
//!
//! `benches/README.md` says how to read all this.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    missing_debug_implementations,
    unreachable_pub,
    reason = "a bench: it has no callers, prints its results, and aborts when something is wrong"
)]

mod baseline;

use std::{env, hint::black_box, time::Duration};

use baseline::{
    BATCHES, Implementation, implementations,
    jobs::{Operation, assert_agreement, jobs},
    primitives, table,
};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};

/// Agreement is checked up to this batch size beforehand; the table compares the rest, too.
const CHECKED_BATCH_MAX: usize = 1_024;

fn main() {
    let implementations = implementations();
    for operation in Operation::ALL {
        for batch in BATCHES.into_iter().filter(|&batch| batch <= CHECKED_BATCH_MAX) {
            assert_agreement(&jobs(&implementations, operation, batch), operation, batch);
        }
    }
    let table_only = env::var_os("ACQUAINT_BENCH_TABLE_ONLY").is_some_and(|value| value == "1");
    if !table_only {
        let mut criterion = Criterion::default()
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_millis(1_500))
            .sample_size(20)
            .configure_from_args();
        bench_operations(&mut criterion, &implementations);
        bench_primitives(&mut criterion);
        criterion.final_summary();
    }
    if table_only || is_whole_run() {
        table::print(&implementations);
    }
}

/// Whether `cargo bench` runs everything: no filter, no test mode.
fn is_whole_run() -> bool {
    let mut benching = false;
    for argument in env::args().skip(1) {
        match argument.as_str() {
            "--bench" => benching = true,
            "--quick" | "--noplot" => {}
            _ => return false,
        }
    }
    benching
}

fn bench_operations(criterion: &mut Criterion, implementations: &[Box<dyn Implementation>]) {
    for operation in Operation::ALL {
        let mut group = criterion.benchmark_group(operation.name());
        for batch in BATCHES {
            if batch > CHECKED_BATCH_MAX {
                // A call takes up to two seconds.
                group.sampling_mode(SamplingMode::Flat).sample_size(10);
            }
            group.throughput(Throughput::Elements(batch as u64));
            for job in jobs(implementations, operation, batch) {
                group.bench_function(BenchmarkId::new(job.name, batch), |bencher| {
                    bencher.iter(|| black_box((job.run)()));
                });
            }
        }
        group.finish();
    }
}

fn bench_primitives(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("primitives");
    group.throughput(Throughput::Elements(primitives::BATCH as u64));
    for timed in primitives::all() {
        group.bench_function(BenchmarkId::new(timed.operation, timed.name), |bencher| {
            bencher.iter(|| (timed.run)());
        });
    }
    group.finish();
}
