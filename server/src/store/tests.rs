//! What every store must do, and what the redb one must survive.

mod conformance;
mod damage;
mod faults;
mod figures;
mod killed;
mod memory;
mod migration;
mod redb_file;

use std::ops::ControlFlow;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::{
    Change, ChargeOutcome, ChargeRequest, CopiedRow, Handle, Head, MetaName, Publication, Store,
    StoreError,
};
use crate::admission::bucket::QuotaPolicy;

const KEY_CHECK: [u8; 32] = [7; 32];
const POLICY: QuotaPolicy = QuotaPolicy { capacity: 1_000, refill_per_day: 240 };
const NOW_MS: u64 = 1_800_000_000_000;

/// A generator whose seed is printed, and can be given as `ACQUAINT_TEST_SEED`.
fn seeded(test: &str, default: u64) -> ChaCha8Rng {
    let given = std::env::var("ACQUAINT_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or(default);
    println!("{test}: ACQUAINT_TEST_SEED={seed}");
    ChaCha8Rng::seed_from_u64(seed)
}

fn below(random: &mut ChaCha8Rng, limit: u64) -> u64 {
    random.next_u64() % limit
}

fn handle(number: u64) -> Handle {
    // Spread over the key space, as hashes are.
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    bytes[24..].copy_from_slice(&number.to_be_bytes());
    Handle::new(bytes)
}

fn put(number: u64, sealed: &[u8]) -> Change {
    Change::Put { handle: handle(number), sealed: sealed.to_vec() }
}

fn remove(number: u64) -> Change {
    Change::Remove { handle: handle(number) }
}

/// Changes of one epoch, as [`Store::apply`] takes them.
fn one(epoch: u32, changes: Vec<Change>) -> Vec<(u32, Vec<Change>)> {
    vec![(epoch, changes)]
}

/// A row that goes from `number` to `number + 1,000`.
fn copied(number: u64, expected: &[u8], sealed: &[u8]) -> CopiedRow {
    CopiedRow {
        source: handle(number),
        expected: expected.to_vec(),
        handle: handle(number + 1_000),
        sealed: sealed.to_vec(),
    }
}

fn request(account: u8, batch: u64, cost: u64) -> ChargeRequest {
    let mut digest = [0; 32];
    digest[..8].copy_from_slice(&batch.to_be_bytes());
    ChargeRequest {
        account: [account; 16],
        cost,
        digest,
        now_ms: NOW_MS,
        policy: POLICY,
        credit: None,
    }
}

fn publication(sequence: u64) -> Publication {
    let manifest = format!("manifest {sequence}").into_bytes();
    Publication {
        sequence,
        version: sequence.wrapping_mul(10),
        manifest,
        signature: [sequence as u8; 64],
    }
}

type Row = (Handle, Vec<u8>);

/// All rows of an epoch, in the order of the scan.
fn rows(store: &dyn Store, epoch: u32) -> Result<(Head, Vec<Row>), StoreError> {
    let mut rows = Vec::new();
    let head = store.scan(epoch, &mut |handle, sealed| {
        rows.push((*handle, sealed.to_vec()));
        ControlFlow::Continue(())
    })?;
    Ok((head, rows))
}

/// Elements that an outcome charged; `None` if it refused.
fn charged(outcome: ChargeOutcome) -> Option<u64> {
    match outcome {
        ChargeOutcome::Granted { charged, .. } => Some(charged),
        ChargeOutcome::Refused { .. } => None,
    }
}
