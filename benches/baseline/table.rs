//! The last table: all implementations in turn, round by round, so that what disturbs one
//! disturbs all.

use std::time::Instant;

use super::{
    BATCHES, Implementation, host,
    jobs::{Job, Operation, jobs},
};

/// Rounds of each operation and batch size. Odd, so that the median is one of them.
const ROUNDS: usize = 15;

/// A sample repeats its call until it has worked on this many elements.
const SAMPLE_ELEMENTS_MIN: usize = 512;

/// What one implementation took, in nanoseconds an element, by round.
struct Row {
    name: &'static str,
    times_ns: Vec<f64>,
}

/// Measures and prints.
///
/// # Panics
/// If two implementations differ in a byte, in any round.
pub fn print(implementations: &[Box<dyn Implementation>]) {
    println!("\nMedians of {ROUNDS} interleaved rounds, nanoseconds an element, one thread.");
    println!("Ratio: median over the rounds of (time / time of acquaint in the same round).");
    println!("{}\n", host::describe());
    println!("{:<40} {:>10} {:>10} {:>7}", "id", "median ns", "lowest ns", "ratio");
    for operation in Operation::ALL {
        for batch in BATCHES {
            let rows = measure(&jobs(implementations, operation, batch), batch);
            print_rows(&rows, operation, batch);
        }
    }
}

fn measure(jobs: &[Job<'_>], batch: usize) -> Vec<Row> {
    let mut rows: Vec<_> =
        jobs.iter().map(|job| Row { name: job.name, times_ns: Vec::new() }).collect();
    for round in 0..=ROUNDS {
        let mut outputs = Vec::new();
        // Nobody is always the one that runs after the slowest.
        for turn in 0..jobs.len() {
            let index = (round + turn) % jobs.len();
            let (time_ns, output) = sample(&jobs[index], batch);
            outputs.push(output);
            // The first round fills caches and compares, and does not count.
            if round > 0 {
                rows[index].times_ns.push(time_ns);
            }
        }
        assert!(outputs.windows(2).all(|pair| pair[0] == pair[1]), "implementations differ");
    }
    rows
}

/// Nanoseconds an element of one sample, and the output of its last call.
fn sample(job: &Job<'_>, batch: usize) -> (f64, Vec<u8>) {
    let calls = SAMPLE_ELEMENTS_MIN.div_ceil(batch);
    let mut output = Vec::new();
    let start = Instant::now();
    for _ in 0..calls {
        output = std::hint::black_box((job.run)());
    }
    let elapsed = start.elapsed();
    (elapsed.as_secs_f64() * 1e9 / (calls * batch) as f64, output)
}

fn print_rows(rows: &[Row], operation: Operation, batch: usize) {
    let ours = &rows[0].times_ns;
    for row in rows {
        let ratios = row.times_ns.iter().zip(ours).map(|(theirs, ours)| theirs / ours).collect();
        let lowest = row.times_ns.iter().copied().fold(f64::INFINITY, f64::min);
        let id = format!("{}/{}/{batch}", operation.name(), row.name);
        let median_ns = median(row.times_ns.clone());
        println!("{id:<40} {median_ns:>10.0} {lowest:>10.0} {:>7.2}", median(ratios));
    }
    println!();
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
