//! A lookup, from its steps to the whole: `steps/…`, then `lookup/<users>/<contacts>`.
//!
//! Steps run on one thread in this process. A lookup is `Client::sync` against a real server in
//! this process, over TLS on the loopback interface. `benches/README.md` says how to read both.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    missing_debug_implementations,
    unreachable_pub,
    reason = "a bench: it has no callers, aborts when something is wrong, and shares modules with \
              others, each of which uses a part"
)]

mod baseline;
mod steps;
// The harness of the end-to-end tests: a server as `serve` runs it, and clients for it.
#[path = "../tests/e2e/world.rs"]
mod world;

use std::{collections::HashMap, time::Duration};

use acquaint_client::{AddressBook, Visibility};
use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode, criterion_group, criterion_main};
use tokio::runtime::Runtime;
use world::{Site, World};

/// Directory sizes.
const USERS: [u64; 2] = [10_000, 100_000];

/// Address book sizes; a fifth of each is registered.
const CONTACTS: [u64; 2] = [100, 1_000];

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .sample_size(20);
    targets = steps::oprf, steps::labels, steps::set, steps::manifest, lookup
}
criterion_main!(benches);

/// A first lookup of an installation: connection and TLS handshake, manifest, evaluation, the
/// whole set and all labels, matching. Nothing of it is cached between iterations.
fn lookup(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("lookup");
    group.sampling_mode(SamplingMode::Flat).sample_size(10);
    for n_users in USERS {
        // Registration takes seconds; a filter that names no lookup does not wait for it.
        let mut world = None;
        for n_contacts in CONTACTS {
            group.bench_function(BenchmarkId::new(n_users.to_string(), n_contacts), |bencher| {
                let world = world.get_or_insert_with(|| runtime.block_on(registered(n_users)));
                let book = address_book(n_users, n_contacts);
                assert_eq!(runtime.block_on(matches(world, &book)) as u64, n_contacts / 5);
                bencher.to_async(&runtime).iter_batched(
                    || world.client("bench"),
                    async |client| client.sync(&book, |_| {}).await.unwrap(),
                    BatchSize::PerIteration,
                );
            });
        }
        if let Some(world) = world {
            runtime.block_on(world.stop());
        }
    }
    group.finish();
}

/// A server with registered users, and a quota that no bench exhausts.
async fn registered(n_users: u64) -> World {
    let mut site = Site::new();
    site.config.quota.elements = 1 << 32;
    let world = site.start().await;
    let users: HashMap<_, _> = world::users(0..n_users);
    world.register(&users, Visibility::Discoverable).await;
    world
}

/// Contacts of which every fifth is registered.
fn address_book(n_users: u64, n_contacts: u64) -> AddressBook {
    world::book((0..n_contacts).map(|i| if i % 5 == 0 { i } else { n_users + i }))
}

async fn matches(world: &World, book: &AddressBook) -> usize {
    world.client("bench").sync(book, |_| {}).await.unwrap().matches.len()
}
