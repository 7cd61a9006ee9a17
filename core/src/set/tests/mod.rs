//! Tests of the set against plain maps, an independent script, and malformed input.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "tests"
)]

mod figures;
mod malformed;
mod oracle;
mod overlay;
mod properties;
mod universe;
mod vectors;

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

use super::*;

/// A generator whose seed is printed when the test fails; `ACQUAINT_TEST_SEED` replays another.
fn seeded_rng(default: u64) -> ChaCha12Rng {
    let seed = std::env::var("ACQUAINT_TEST_SEED").map_or(default, |text| text.parse().unwrap());
    eprintln!("ACQUAINT_TEST_SEED={seed}");
    ChaCha12Rng::seed_from_u64(seed)
}

fn random_records(rng: &mut ChaCha12Rng, count: usize) -> Vec<Record> {
    let record = |_| {
        let mut sealed_label = [0; 32];
        let tag = rng.next_u64();
        rng.fill_bytes(&mut sealed_label);
        Record { tag, sealed_label }
    };
    (0..count).map(record).collect()
}

/// All encoded segments of the records, as the server publishes them.
fn publish(universe: &Universe, number: u64, records: &[Record]) -> Vec<EncodedSegment> {
    let mut records = records.to_vec();
    build(universe, number, &mut records).collect::<Result<_, _>>().unwrap()
}

/// The client's view of what was published.
fn decode_all(universe: &Universe, number: u64, published: &[EncodedSegment]) -> Set {
    let decode = |(index, segment): (u32, &EncodedSegment)| {
        let expected = Expected { snapshot_number: number, index, count: segment.count };
        Segment::decode(universe, expected, &segment.bytes).unwrap()
    };
    let segments = (0..).zip(published).map(decode).collect();
    Set::new(universe, number, segments).unwrap()
}
