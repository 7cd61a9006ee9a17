//! Lookups that follow one another: only new contacts are evaluated, only changes downloaded, and
//! the answer is always that of the plain intersection.

use std::{collections::HashMap, path::Path, sync::Arc};

use acquaint_client::{
    AddressBook, Client, ClientError, FileStateStore, Identifier, Label, MemoryStateStore,
    StateError, SyncOutcome, Visibility,
};
use acquaint_core::manifest::EpochInfo;
use acquaint_proto::v1::{FetchDeltaRequest, FetchDeltaResponse, GetManifestRequest};
use acquaint_server::clock::ManualClock;
use tonic::Status;

use crate::world::{
    Site, World, book, collect, found, label, now_s, number, oracle, seeded, users,
};

type People = HashMap<Identifier, Label>;

/// A site that publishes when told to, and never by itself.
fn site() -> Site {
    let mut site = Site::new();
    site.config.publication.delay_ms = 3_600_000;
    site
}

fn client(world: &World, account: &str, state: &Path) -> Client {
    world.client_builder(account).state_store(FileStateStore::open(state).unwrap()).build().unwrap()
}

async fn sync(client: &Client, book: &AddressBook) -> SyncOutcome {
    client.sync(book, |_| {}).await.unwrap()
}

async fn newest(world: &World) -> EpochInfo {
    let request = world.asks("reader", GetManifestRequest::default());
    let answer = world.discovery().get_manifest(request).await.unwrap().into_inner();
    let signed: acquaint_core::manifest::SignedManifest =
        answer.manifest.unwrap().try_into().unwrap();
    signed.verify(&world.pin).unwrap().current().clone()
}

/// Registers, relabels and removes people at random, in the directory and in the plain set.
async fn change(world: &World, people: &mut People, rng: &mut impl rand::Rng, n: usize) {
    let registrar = world.registrar();
    let mut rows = Vec::new();
    for _ in 0..n {
        let i = rng.next_u64() % 4_000;
        rows.push((number(i), label(rng.next_u64())));
    }
    people.extend(rows.iter().cloned());
    registrar.register(rows.into_iter(), Visibility::Discoverable, |_| {}).await.unwrap();
    let gone: Vec<_> = (0..n / 2).map(|_| number(rng.next_u64() % 4_000)).collect();
    people.retain(|identifier, _| !gone.contains(identifier));
    registrar.remove(&gone).await.unwrap();
    world.publish().await;
}

/// The whole life: many publications, compactions, restarts of server and client, a growing and a
/// shrinking address book. Whoever was away for a while finds the same as whoever was not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_sync_equals_the_oracle() {
    let mut rng = seeded("every_sync_equals_the_oracle");
    let mut site = site();
    site.config.publication.snapshot_share_percent = 1;
    site.config.quota.elements = 1 << 20;
    let mut world = site.start().await;
    let mut people = users(0..2_000);
    world.register(&people, Visibility::Discoverable).await;
    let places = tempfile::tempdir().unwrap();
    let mut downloads = [0u64; 3];
    for round in 0..14u64 {
        change(&world, &mut people, &mut rng, 150).await;
        if round % 5 == 4 {
            world = world.stop().await.start().await;
        }
        let contacts: Vec<u64> = (0..300).map(|i| i * 7 + round).filter(|i| i % 11 != 0).collect();
        let book = book(contacts);
        for (i, every) in [1, 3, 6].into_iter().enumerate() {
            if round % every != 0 {
                continue;
            }
            let client =
                client(&world, &format!("account {i}"), &places.path().join(i.to_string()));
            let outcome = sync(&client, &book).await;
            assert_eq!(found(&outcome), oracle(&book, &people), "round {round}, client {i}");
            assert_eq!(outcome.state_discarded, None);
            if round > 0 {
                downloads[i] += outcome.report.labels.bytes_down;
            }
        }
    }
    let snapshots = newest(&world).await.snapshot.number;
    assert!(snapshots > 3, "no compaction was tested: {snapshots}");
    assert_eq!(downloads, [0; 3], "following deltas costs no label array, ever");
}

/// What an unchanged address book and an unchanged directory cost: one question, one short answer.
#[tokio::test]
async fn an_empty_sync_costs_next_to_nothing() {
    let world = site().start().await;
    let people = users(0..3_000);
    world.register(&people, Visibility::Discoverable).await;
    let (book, place) = (book(2_500..3_500), tempfile::tempdir().unwrap());
    let client = client(&world, "account", place.path());
    let first = sync(&client, &book).await;
    assert_eq!(found(&first), oracle(&book, &people));
    assert_eq!(first.changes.joined.len(), found(&first).len());
    let again = sync(&client, &book).await;
    assert_eq!(found(&again), found(&first));
    assert!(again.changes.is_empty());
    assert_eq!((again.report.elements, again.report.batches, again.quota), (0, 0, None));
    let traffic = again.report.traffic;
    assert!(traffic.bytes_up + traffic.bytes_down < 4_096, "{traffic:?}");
    // So does a change that concerns nobody in the address book.
    let one: People = users(9_000..9_001);
    world.register(&one, Visibility::Discoverable).await;
    let after = sync(&client, &book).await;
    assert!(after.changes.is_empty() && after.report.elements == 0);
    let traffic = after.report.traffic;
    assert!(traffic.bytes_up + traffic.bytes_down < 4_096, "{traffic:?}");
    assert!(after.report.set.bytes_down > 0, "there was a delta");
}

/// Joined, left, relabelled; and only contacts that are new are evaluated.
#[tokio::test]
async fn a_sync_tells_what_is_new() {
    let world = site().start().await;
    world.register(&users(0..100), Visibility::Discoverable).await;
    let place = tempfile::tempdir().unwrap();
    let client = client(&world, "account", place.path());
    let first_book = book(90..110);
    let first = sync(&client, &first_book).await;
    assert_eq!((first.report.batches, first.report.elements), (1, 32));
    assert_eq!(first.changes.joined, (0..10).collect::<Vec<_>>());

    let registrar = world.registrar();
    let rows = [(number(95), label(7)), (number(105), label(8))];
    registrar.register(rows.into_iter(), Visibility::Discoverable, |_| {}).await.unwrap();
    registrar.remove(&[number(91)]).await.unwrap();
    world.publish().await;
    // Number 110 is new, number 90 was deleted.
    let second_book = book(91..111);
    let second = sync(&client, &second_book).await;
    let mut people = users(0..100);
    people.extend([(number(95), label(7)), (number(105), label(8))]);
    people.remove(&number(91));
    assert_eq!(found(&second), oracle(&second_book, &people));
    assert_eq!((second.report.batches, second.report.elements), (1, 16), "one new contact");
    let changes = second.changes;
    assert_eq!((changes.joined, changes.left, changes.label_changed), (vec![14], vec![0], vec![4]));
}

/// Damage to what is kept costs a download; somebody else's state is left alone.
#[tokio::test]
async fn a_state_that_cannot_be_used_is_replaced_or_refused() {
    let world = site().start().await;
    let people = users(0..50);
    world.register(&people, Visibility::Discoverable).await;
    let (book, place) = (book(40..60), tempfile::tempdir().unwrap());
    sync(&client(&world, "account", place.path()), &book).await;
    for name in std::fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().path()) {
        if name.extension().is_none_or(|extension| extension != "state") {
            continue;
        }
        let mut bytes = std::fs::read(&name).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(&name, bytes).unwrap();
        world.register(&users(200..201), Visibility::Discoverable).await;
        let outcome = sync(&client(&world, "account", place.path()), &book).await;
        assert_eq!(found(&outcome), oracle(&book, &people), "{name:?}");
        assert_eq!(outcome.state_discarded, Some(StateError::Corrupt), "{name:?}");
        world.registrar().remove(&[number(200)]).await.unwrap();
        world.publish().await;
        let outcome = sync(&client(&world, "account", place.path()), &book).await;
        assert_eq!((found(&outcome), outcome.state_discarded), (oracle(&book, &people), None));
    }
    let other = site().start().await;
    let error = client(&other, "account", place.path()).sync(&book, |_| {}).await.unwrap_err();
    assert_eq!(error, ClientError::State(StateError::Foreign));
    let outcome = sync(&client(&world, "account", place.path()), &book).await;
    assert_eq!(outcome.report.elements, 0, "what is kept is as it was");
}

/// A lookup that fails half-way keeps what was charged: the next one evaluates the rest.
#[tokio::test]
async fn what_was_evaluated_before_a_failure_is_not_evaluated_again() {
    let mut site = site();
    site.config.quota.elements = 1_040;
    site.config.quota.refill_per_day = 0;
    let world = site.start().await;
    let mut people = users(0..2_000);
    world.register(&people, Visibility::Discoverable).await;
    let client = world
        .client_builder("account")
        .in_flight(1)
        .state_store(MemoryStateStore::default())
        .build()
        .unwrap();
    let small = book(0..16);
    assert_eq!(sync(&client, &small).await.report.elements, 16);
    // 1,024 more fit into the quota, in one batch; the sync after it finds them evaluated.
    let large = book(0..1_040);
    let outcome = sync(&client, &large).await;
    assert_eq!(outcome.report.elements, 1_024);
    assert_eq!(found(&outcome), oracle(&large, &people));
    // Somebody joins meanwhile: the lookup gets as far as the new version, and no further.
    people.extend(users(2_000..2_001));
    world.register(&users(2_000..2_001), Visibility::Discoverable).await;
    world.registrar().remove(&[number(3)]).await.unwrap();
    world.publish().await;
    people.remove(&number(3));
    let beyond = book(0..1_041);
    let outcome = sync(&client, &beyond).await;
    assert_eq!(outcome.pending.unwrap().contacts, [1_040]);
    let outcome = sync(&client, &large).await;
    assert_eq!((outcome.report.elements, found(&outcome)), (0, oracle(&large, &people)));
}

/// Any two versions that manifests named are joined by a delta; others are refused by name, also by
/// a server that was started again.
#[tokio::test]
async fn deltas_lead_from_any_version_to_any_later_one() {
    let world = site().start().await;
    world.register(&users(0..500), Visibility::Discoverable).await;
    let mut versions = vec![newest(&world).await];
    for i in 0..4 {
        world.register(&users(1_000 + i * 3..1_003 + i * 3), Visibility::Discoverable).await;
        versions.push(newest(&world).await);
    }
    assert!(versions.iter().all(|info| info.snapshot.number == versions[0].snapshot.number));
    let position = |info: &EpochInfo| (info.snapshot.number, info.version);
    for (i, from) in versions.iter().enumerate() {
        for to in &versions[i..] {
            let messages = fetch(&world, position(from), position(to)).await.unwrap();
            let last = messages.last().unwrap();
            assert_eq!((last.snapshot, last.version), position(to));
            assert_eq!(last.delta_bytes == 0, from.version == to.version);
        }
        for to in &versions[..i] {
            assert!(fetch(&world, position(from), position(to)).await.is_err(), "backward");
        }
    }
    let (snapshot, version) = position(versions.last().unwrap());
    let unknown = [(snapshot + 1, version), (0, version), (snapshot, version + 1), (snapshot, 0)];
    for from in unknown {
        let status = fetch(&world, from, (snapshot, version)).await.unwrap_err();
        assert_eq!(status.code(), tonic::Code::NotFound, "{from:?}");
    }

    // What came and went between two publications is not to be seen by asking for what is between.
    let rows: Vec<_> = users(5_000..5_003).into_iter().collect();
    let visible = Visibility::Discoverable;
    world.registrar().register(rows.into_iter(), visible, |_| {}).await.unwrap();
    world.registrar().remove(&[number(5_000), number(1_000)]).await.unwrap();
    world.publish().await;
    let (number, newest) = position(&newest(&world).await);
    assert!(number == snapshot && newest > version + 3);
    let named: Vec<_> = versions.iter().map(|info| info.version).chain([newest]).collect();
    let mut world = world;
    for starts in 0..2 {
        let mut n_refused = 0;
        for from in named[0]..=newest {
            for to in from..=newest {
                let are_named = named.contains(&from) && named.contains(&to);
                match fetch(&world, (snapshot, from), (snapshot, to)).await {
                    Ok(_) => assert!(are_named, "{from} to {to} after {starts} starts"),
                    Err(status) => {
                        assert!(!are_named, "{from} to {to} after {starts} starts: {status}");
                        assert_eq!(status.code(), tonic::Code::NotFound, "{from} to {to}");
                        n_refused += 1;
                    }
                }
            }
        }
        assert!(n_refused > 50, "{n_refused}");
        world = world.stop().await.start().await;
    }
    world.stop().await;
}

async fn fetch(
    world: &World,
    (snapshot, version): (u64, u64),
    (to_snapshot, to_version): (u64, u64),
) -> Result<Vec<FetchDeltaResponse>, Status> {
    let message = FetchDeltaRequest { snapshot, version, to_snapshot, to_version };
    let answer = world.discovery().fetch_delta(world.asks("reader", message)).await?;
    collect(answer.into_inner()).await
}

/// Whoever was away for too long gets a snapshot, not an error.
#[tokio::test]
async fn a_client_that_is_too_old_downloads_the_snapshot() {
    let mut site = site();
    site.config.publication.delta_retention_s = 60;
    let mut now_ms = now_s() * 1_000;
    let clock = Arc::new(ManualClock::at_ms(now_ms));
    let world = site.start_with_clock(Arc::clone(&clock) as _).await;
    let mut people = users(0..300);
    world.register(&people, Visibility::Discoverable).await;
    let (book, places) = (book(250..350), tempfile::tempdir().unwrap());
    let [follower, sleeper] =
        ["a", "b"].map(|name| client(&world, name, &places.path().join(name)));
    for client in [&follower, &sleeper] {
        assert_eq!(found(&sync(client, &book).await), oracle(&book, &people));
    }
    // Two snapshots of half as many people again, and the time for a way between them passes.
    for range in [300..700, 700..1_400] {
        let more = users(range);
        people.extend(more.clone());
        world.register(&more, Visibility::Discoverable).await;
        assert_eq!(found(&sync(&follower, &book).await), oracle(&book, &people));
        now_ms += 61_000;
        clock.set_ms(now_ms);
    }
    people.extend(users(1_400..1_401));
    world.register(&users(1_400..1_401), Visibility::Discoverable).await;
    let followed = sync(&follower, &book).await;
    assert_eq!((found(&followed), followed.report.labels.bytes_down), (oracle(&book, &people), 0));
    let woken = sync(&sleeper, &book).await;
    assert_eq!(found(&woken), oracle(&book, &people));
    assert!(woken.report.labels.bytes_down > 32 * 1_300, "a whole label array");
    assert_eq!(woken.report.elements, 0);
}
