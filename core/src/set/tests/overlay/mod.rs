//! Tests of overlays, deltas and compaction.

mod oracle;
mod world;

use std::collections::{BTreeMap, HashMap, HashSet};

use super::*;
use world::World;

/// A record whose label is one repeated byte.
fn record(tag: u64, label: u8) -> Record {
    Record { tag, sealed_label: [label; 32] }
}

/// As `rng.next_u64() % bound`, as an index.
fn below(rng: &mut ChaCha12Rng, bound: usize) -> usize {
    (rng.next_u64() % bound as u64) as usize
}
