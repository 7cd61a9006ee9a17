//! Tests of overlays, deltas and compaction.

mod canonical;
mod figures;
mod limits;
mod malformed;
mod mutations;
mod oracle;
mod properties;
mod refusals;
mod snapshot;
mod vectors;
mod world;

use std::collections::{BTreeMap, HashMap, HashSet};

use super::*;
use world::{EPOCH, World};

const VERSIONS: DeltaVersions = DeltaVersions { from: 5, to: 9 };

/// A record whose label is one repeated byte.
fn record(tag: u64, label: u8) -> Record {
    Record { tag, sealed_label: [label; 32] }
}

/// A random index.
fn below(rng: &mut ChaCha12Rng, bound: usize) -> usize {
    (rng.next_u64() % bound as u64) as usize
}

fn shuffle<T>(items: &mut [T], rng: &mut ChaCha12Rng) {
    for i in (1..items.len()).rev() {
        items.swap(i, below(rng, i + 1));
    }
}

/// A snapshot that needs no segments, because nothing looks into it.
fn identity(capacity: u64, members: u32) -> SnapshotIdentity {
    let universe = Universe::with_capacity(capacity).unwrap();
    SnapshotIdentity { universe, epoch: EPOCH, number: 1, members }
}
