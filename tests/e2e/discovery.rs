//! `discover == oracle`: whatever was registered, changed and removed, a lookup finds the plain
//! intersection with what was published; and what crosses the wire does not tell which it was.

use std::{
    collections::{BTreeMap, HashMap},
    convert::Infallible,
    fs,
    sync::{Arc, Mutex},
    task::{Context, Poll},
};

use acquaint_client::{
    AddressBook, Client, ClientError, Identifier, Label, Progress, Registrar, SyncOutcome,
    Visibility,
};
use acquaint_core::manifest::EpochInfo;
use acquaint_proto::{
    Reason, Received,
    v1::{
        FetchDeltaRequest, FetchDeltaResponse, FetchLabelsRequest, FetchLabelsResponse,
        FetchSetRequest, FetchSetResponse, GetManifestRequest, SignedManifest,
    },
};
use acquaint_server::{clock::ManualClock, keystore::Keys};
use bytes::Bytes;
use futures_util::{
    FutureExt as _,
    future::{BoxFuture, join_all},
    stream::{BoxStream, StreamExt as _},
};
use rand::{RngExt as _, seq::SliceRandom as _};
use rand_chacha::ChaCha20Rng;
use tokio::{net::TcpListener, sync::Notify, task::AbortHandle};
use tonic::{
    Code, Request, Response, Status, Streaming,
    body::Body,
    client,
    codegen::{Service, http},
    server::{self, NamedService},
    transport::{Channel, Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

use crate::world::{
    Raw, Site, World, book, collect, found, install_provider, label, number, oracle, seeded, users,
};

type Directory = HashMap<Identifier, Label>;

/// A site that publishes when told to, and with room for every lookup.
fn site() -> Site {
    let mut site = Site::new();
    site.config.publication.delay_ms = 3_600_000;
    site.config.quota.elements = 1 << 39;
    site
}

/// A fictional person of any kind of identifier; different numbers are different people.
fn person(i: u64) -> Identifier {
    match i % 3 {
        0 => number(i),
        1 => Identifier::mailto(&format!("person-{i}@example.com")).unwrap(),
        _ => Identifier::opaque(format!("person {i}").as_bytes()).unwrap(),
    }
}

fn random_label(rng: &mut ChaCha20Rng) -> Label {
    Label(rng.random())
}

async fn register(registrar: &Registrar, rows: &Directory, visibility: Visibility) {
    let rows: Vec<_> = rows.iter().map(|(id, label)| (id.clone(), label.clone())).collect();
    let n_rows = rows.len() as u64;
    let registered = registrar.register(rows.into_iter(), visibility, |_| {}).await.unwrap();
    assert_eq!(registered.acknowledged, n_rows);
}

async fn sync(client: &Client, book: &AddressBook) -> SyncOutcome {
    client.sync(book, |_| {}).await.unwrap()
}

async fn assert_finds(world: &World, book: &AddressBook, published: &Directory) {
    let outcome = sync(&world.client("account"), book).await;
    assert_eq!(found(&outcome), oracle(book, published));
}

/// An address book of a size, a percentage of it registered as far as there are users, shuffled.
fn random_book(
    registered: &[Identifier],
    n_contacts: usize,
    percent: usize,
    rng: &mut ChaCha20Rng,
) -> AddressBook {
    let n_registered = (n_contacts * percent / 100).min(registered.len());
    let mut known = registered.to_vec();
    known.shuffle(rng);
    known.truncate(n_registered);
    // Strangers have numbers of their own.
    let strangers = (0..).map(|_| rng.random_range(1 << 32..1 << 33)).map(person);
    known.extend(strangers.take(n_contacts - n_registered));
    known.shuffle(rng);
    AddressBook::from_identifiers(known.into_iter().map(|id| ("", id)))
}

/// The product: over directories and address books of many sizes, at the edges of the padding
/// classes, a lookup finds exactly the plain intersection, with the right labels.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn discover_equals_the_oracle() {
    let mut rng = seeded("discover_equals_the_oracle");
    let small: &[_] = &[(0, 50), (1, 0), (1, 100), (2, 50), (3, 100), (16, 50), (17, 100)];
    let large: &[_] = &[
        (0, 0),
        (1, 0),
        (1, 100),
        (16, 0),
        (16, 50),
        (16, 100),
        (17, 50),
        (1_024, 0),
        (1_024, 100),
        (1_025, 50),
        (1_025, 100),
        (2_500, 50),
    ];
    for (n_users, cases) in [(0, small), (1, small), (2, small), (3_000, large)] {
        let world = site().start().await;
        let numbers = std::iter::repeat_with(|| rng.random_range(0..1 << 32));
        let mut people: Vec<_> = numbers.take(n_users + n_users / 5).map(person).collect();
        people.sort_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        people.dedup();
        people.shuffle(&mut rng);
        let mut label_of = |id: &Identifier| (id.clone(), random_label(&mut rng));
        let (visible, hidden) = people.split_at(n_users.min(people.len()));
        let directory: Directory = visible.iter().map(&mut label_of).collect();
        let unlisted: Directory = hidden.iter().map(&mut label_of).collect();
        register(&world.registrar(), &unlisted, Visibility::Hidden).await;
        world.register(&directory, Visibility::Discoverable).await;
        let client = world.client("account");
        for &(n_contacts, percent) in cases {
            let book = random_book(visible, n_contacts, percent, &mut rng);
            let outcome = sync(&client, &book).await;
            assert_eq!(outcome.report.users, directory.len() as u64);
            let expected = oracle(&book, &directory);
            assert_eq!(found(&outcome), expected, "{n_users} users, {n_contacts} contacts");
        }
        let book = random_book(hidden, 600, 100, &mut rng);
        assert_eq!(found(&sync(&client, &book).await), [], "hidden users are never found");
    }
}

/// The same through random histories: registered, relabeled, hidden, shown, removed, published.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_histories_are_found_as_they_were_published() {
    let mut rng = seeded("random_histories_are_found_as_they_were_published");
    let mut world = site().start().await;
    let mut entries: HashMap<Identifier, (Label, Visibility)> = HashMap::new();
    let mut published = Directory::new();
    let everybody = AddressBook::from_identifiers((0..60).map(|i| ("", person(i))));
    for _ in 0..30 {
        let some: Vec<_> = (0..rng.random_range(1..12)).map(|_| rng.random_range(0..60)).collect();
        let some = some.into_iter().map(person);
        match rng.random_range(0..10) {
            0..5 => {
                let visibility = if rng.random_bool(0.3) {
                    Visibility::Hidden
                } else {
                    Visibility::Discoverable
                };
                let rows: Directory = some.map(|id| (id, random_label(&mut rng))).collect();
                register(&world.registrar(), &rows, visibility).await;
                entries.extend(rows.into_iter().map(|(id, label)| (id, (label, visibility))));
            }
            5..7 => {
                let gone: Vec<_> = some.collect();
                let removed = world.registrar().remove(&gone).await.unwrap().removed;
                let n_before = entries.len();
                entries.retain(|id, _| !gone.contains(id));
                assert_eq!(removed, (n_before - entries.len()) as u64);
            }
            7..9 => {
                world.publish().await;
                published = visible(&entries);
            }
            _ => {
                // A start publishes what was not published yet.
                world = world.stop().await.start().await;
                published = visible(&entries);
            }
        }
        assert_finds(&world, &everybody, &published).await;
    }
}

fn visible(entries: &HashMap<Identifier, (Label, Visibility)>) -> Directory {
    let shown = entries.iter().filter(|(_, (_, v))| *v == Visibility::Discoverable);
    shown.map(|(id, (label, _))| (id.clone(), label.clone())).collect()
}

/// G4: who registers hidden is never published; who hides later is gone with the next snapshot.
#[tokio::test]
async fn hidden_users_are_not_found() {
    let world = site().start().await;
    let (book, nobody) = (book(0..30), Directory::new());
    world.register(&users(0..20), Visibility::Hidden).await;
    assert_finds(&world, &book, &nobody).await;
    assert_eq!(sync(&world.client("account"), &book).await.report.users, 0, "not even counted");
    world.register(&users(0..10), Visibility::Discoverable).await;
    assert_finds(&world, &book, &users(0..10)).await;
    world.register(&users(0..5), Visibility::Hidden).await;
    assert_finds(&world, &book, &users(5..10)).await;
}

/// An account that changes hands is found under its new label only.
#[tokio::test]
async fn registering_again_changes_the_label() {
    let world = site().start().await;
    let (mut people, book) = (users(0..20), book(0..30));
    world.register(&people, Visibility::Discoverable).await;
    assert_finds(&world, &book, &people).await;
    people.insert(number(3), label(1_000));
    let change = HashMap::from([(number(3), label(1_000))]);
    world.register(&change, Visibility::Discoverable).await;
    assert_finds(&world, &book, &people).await;
}

/// Invariant 5: a removal takes effect with the next publication, and nothing undoes it.
#[tokio::test]
async fn removals_take_effect_with_the_next_publication() {
    let world = site().start().await;
    let (people, book) = (users(0..20), book(0..30));
    world.register(&people, Visibility::Discoverable).await;
    let gone: Vec<_> = [4, 7, 25].map(number).to_vec();
    assert_eq!(world.registrar().remove(&gone).await.unwrap().removed, 2);
    assert_finds(&world, &book, &people).await;
    world.publish().await;
    let mut left = people.clone();
    left.retain(|id, _| !gone.contains(id));
    assert_finds(&world, &book, &left).await;
    assert_eq!(world.registrar().remove(&gone).await.unwrap().removed, 0);

    let world = world.stop().await.start().await;
    assert_finds(&world, &book, &left).await;
    world.registrar().remove(&people.into_keys().collect::<Vec<_>>()).await.unwrap();
    world.publish().await;
    assert_finds(&world, &book, &Directory::new()).await;
}

/// Everything that is published, as it comes over the wire.
#[derive(PartialEq)]
struct Published {
    manifest: SignedManifest,
    set: Vec<FetchSetResponse>,
    labels: Vec<FetchLabelsResponse>,
    /// From the snapshot itself to the version of the manifest.
    delta: Vec<FetchDeltaResponse>,
}

impl Published {
    async fn fetch(world: &World) -> Self {
        let manifest = fetch_manifest(world).await;
        let info = newest(world, &manifest);
        let snapshot = info.snapshot.number;
        let message = FetchDeltaRequest {
            snapshot,
            version: info.snapshot.version,
            to_snapshot: snapshot,
            to_version: info.version,
        };
        let delta = world.discovery().fetch_delta(world.asks("reader", message)).await.unwrap();
        Self {
            manifest,
            set: fetch_set(world, snapshot).await.unwrap(),
            labels: fetch_labels(world, snapshot).await.unwrap(),
            delta: collect(delta.into_inner()).await.unwrap(),
        }
    }
}

async fn fetch_manifest(world: &World) -> SignedManifest {
    let request = world.asks("reader", GetManifestRequest::default());
    world.discovery().get_manifest(request).await.unwrap().into_inner().manifest.unwrap()
}

fn newest(world: &World, manifest: &SignedManifest) -> EpochInfo {
    let signed = acquaint_core::manifest::SignedManifest::try_from(manifest.clone()).unwrap();
    signed.verify(&world.pin).unwrap().current().clone()
}

fn snapshot_number(world: &World, manifest: &SignedManifest) -> u64 {
    newest(world, manifest).snapshot.number
}

async fn fetch_set(world: &World, snapshot: u64) -> Result<Vec<FetchSetResponse>, Status> {
    let message = FetchSetRequest { snapshot, first_segment: 0, first_offset: 0 };
    let answer = world.discovery().fetch_set(world.asks("reader", message)).await?;
    collect(answer.into_inner()).await
}

async fn fetch_labels(world: &World, snapshot: u64) -> Result<Vec<FetchLabelsResponse>, Status> {
    let message = FetchLabelsRequest { snapshot, first_segment: 0, first_offset: 0 };
    let answer = world.discovery().fetch_labels(world.asks("reader", message)).await?;
    collect(answer.into_inner()).await
}

/// A restart is invisible: the same snapshot number, the same bytes, the same matches.
#[tokio::test]
async fn a_restart_changes_nothing() {
    let mut world = site().start().await;
    let (people, book) = (users(0..500), book(490..510));
    world.register(&users(0..300), Visibility::Discoverable).await;
    world.register(&users(300..500), Visibility::Discoverable).await;
    world.register(&users(500..505), Visibility::Hidden).await;
    let before = Published::fetch(&world).await;
    assert_eq!(snapshot_number(&world, &before.manifest), 2);
    assert!(before.delta[0].delta_bytes > 200 * 32, "200 users are in the overlay");
    let client_head = sync(&world.client("account"), &book).await.head;
    for _ in 0..2 {
        world = world.stop().await.start().await;
        assert!(Published::fetch(&world).await == before, "other bytes after a restart");
        let client = world.client_builder("account").last_seen(client_head.clone());
        let outcome = sync(&client.build().unwrap(), &book).await;
        assert_eq!(found(&outcome), oracle(&book, &people));
        assert_eq!(outcome.head, client_head);
    }
}

/// S7: replicas with the same keys and the same changes publish the same bytes.
#[tokio::test]
async fn equal_histories_publish_equal_bytes() {
    let twin = async |keys: Option<&Keys>| {
        let mut site = site();
        if let Some(keys) = keys {
            fs::remove_dir_all(site.path("keys")).unwrap();
            keys.create(&site.path("keys")).unwrap();
            site.keys = keys.clone();
        }
        site.start_with_clock(Arc::new(ManualClock::at_ms(1_700_000_000_000))).await
    };
    let first = twin(None).await;
    let second = twin(Some(&first.site.keys)).await;
    let foreign = twin(None).await;
    let worlds = [&first, &second, &foreign];
    let compare = async || {
        let [first, second, foreign] = worlds.map(Published::fetch);
        let (first, second, foreign) = (first.await, second.await, foreign.await);
        assert!(first.manifest == second.manifest && first == second, "the replicas differ");
        assert!(first.manifest != foreign.manifest, "the keys make no difference");
    };
    compare().await;
    let ordered =
        |range: std::ops::Range<u64>, shift: u64| range.map(move |i| (number(i), label(i + shift)));
    let steps = [
        (ordered(0..700, 0), Visibility::Discoverable),
        (ordered(600..800, 9), Visibility::Discoverable),
        (ordered(0..50, 0), Visibility::Hidden),
    ];
    for (rows, visibility) in steps {
        for world in worlds {
            let registrar = world.registrar();
            registrar.register(rows.clone(), visibility, |_| {}).await.unwrap();
            world.publish().await;
        }
        compare().await;
    }
    for world in worlds {
        let gone: Vec<_> = (100..200).map(number).collect();
        world.registrar().remove(&gone).await.unwrap();
        world.publish().await;
    }
    compare().await;

    // The control: one other label, and the bytes differ.
    for (world, value) in [(&first, 1), (&second, 2)] {
        let row = [(number(300), label(value))];
        world
            .registrar()
            .register(row.into_iter(), Visibility::Discoverable, |_| {})
            .await
            .unwrap();
        world.publish().await;
    }
    assert!(Published::fetch(&first).await != Published::fetch(&second).await);
}

/// A download that has begun can be ended: across one publication by asking again, across more on
/// the stream that is open. What is older is refused by name, not answered with other bytes.
#[tokio::test]
async fn a_snapshot_is_kept_until_the_one_after_the_next() {
    let world = site().start().await;
    world.register(&users(0..500), Visibility::Discoverable).await;
    let old = Published::fetch(&world).await;
    let number = snapshot_number(&world, &old.manifest);

    let message = FetchLabelsRequest { snapshot: number, first_segment: 0, first_offset: 0 };
    let answer = world.discovery().fetch_labels(world.asks("reader", message)).await;
    let open = answer.unwrap().into_inner();

    // A few more people are an overlay, half as many again are a snapshot.
    world.register(&users(500..510), Visibility::Discoverable).await;
    assert_eq!(snapshot_number(&world, &fetch_manifest(&world).await), number);
    world.register(&users(510..1_200), Visibility::Discoverable).await;
    assert_eq!(snapshot_number(&world, &fetch_manifest(&world).await), number + 1);
    assert!(fetch_set(&world, number).await.unwrap() == old.set);
    assert!(fetch_labels(&world, number).await.unwrap() == old.labels);

    world.register(&users(1_200..3_000), Visibility::Discoverable).await;
    for status in [
        fetch_set(&world, number).await.map(drop).unwrap_err(),
        fetch_labels(&world, number).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(status.code(), Code::NotFound);
        assert_eq!(Received::from(&status).reason, Some(Reason::SnapshotUnknown));
    }
    fetch_set(&world, number + 1).await.unwrap();
    assert!(collect(open).await.unwrap() == old.labels, "an open stream is not cut off");
}

/// A lookup during publications finds exactly what the snapshot that it names holds: never a
/// mixture of two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lookup_is_of_one_snapshot() {
    let world = site().start().await;
    world.register(&users(0..10), Visibility::Discoverable).await;
    // Snapshot 2 has 10 users, and each further one 10 more.
    let publications = async {
        for step in 1..8 {
            world.register(&users(step * 10..step * 10 + 10), Visibility::Discoverable).await;
        }
    };
    let book = book(0..100);
    let lookups = join_all((0..4).map(|i| {
        let (client, book) = (world.client(&format!("account {i}")), &book);
        async move {
            for _ in 0..5 {
                match client.sync(book, |_| {}).await {
                    Ok(outcome) => {
                        let people = users(0..(outcome.head.sequence - 1) * 10);
                        assert_eq!(found(&outcome), oracle(book, &people));
                    }
                    Err(error) => assert_eq!(error, ClientError::DirectoryChanged),
                }
            }
        }
    }));
    tokio::join!(publications, lookups);
    assert_finds(&world, &book, &users(0..80)).await;
}

/// Progress ends where it said it would, phase by phase and in order.
#[tokio::test]
async fn progress_ends_with_everything_done() {
    let world = site().start().await;
    let people = users(0..2_000);
    world.register(&people, Visibility::Discoverable).await;
    for n_contacts in [0, 1, 17, 1_500] {
        let events = Mutex::new(Vec::new());
        let book = book(0..n_contacts);
        let client = world.client("account");
        let outcome = client.sync(&book, |event| events.lock().unwrap().push(event)).await;
        let report = outcome.unwrap().report;
        let events = events.into_inner().unwrap();
        assert_eq!(events.first(), Some(&Progress::Manifest));
        assert_eq!(events.last(), Some(&Progress::Match));
        let last = |of: fn(&Progress) -> Option<(u64, u64)>| events.iter().rev().find_map(of);
        let evaluated = last(|event| match event {
            Progress::Evaluate { done, total } => Some((*done, *total)),
            _ => None,
        });
        assert_eq!(evaluated, Some((n_contacts, n_contacts)));
        let set = last(|event| match event {
            Progress::Set { bytes, total } => Some((*bytes, *total)),
            _ => None,
        });
        assert_eq!(set, Some((report.set_bytes, report.set_bytes)));
        let labels = last(|event| match event {
            Progress::Labels { bytes, total } => Some((*bytes, *total)),
            _ => None,
        });
        assert_eq!(labels, Some((report.labels_bytes, report.labels_bytes)));
        assert_eq!(report.labels_bytes, 32 * 2_000);
    }
}

/// A user who closes the app midway harms nobody: others are served, and the server can stop.
#[tokio::test]
async fn dropped_lookups_leave_the_server_serving() {
    let world = site().start().await;
    let people = users(0..2_000);
    world.register(&people, Visibility::Discoverable).await;
    let book = book(500..2_600);
    let stages: [fn(&Progress) -> bool; 5] = [
        |event| matches!(event, Progress::Manifest),
        |event| matches!(event, Progress::Evaluate { .. }),
        |event| matches!(event, Progress::Evaluate { done: 1.., .. }),
        |event| matches!(event, Progress::Set { bytes: 1.., .. }),
        |event| matches!(event, Progress::Labels { .. }),
    ];
    let mut n_dropped = 0;
    for stage in stages {
        for _ in 0..3 {
            let client = world.client("impatient");
            let reached = Notify::new();
            let notify = |event| {
                if stage(&event) {
                    reached.notify_one();
                }
            };
            tokio::select! {
                biased;
                () = reached.notified() => n_dropped += 1,
                outcome = client.sync(&book, notify) => drop(outcome.unwrap()),
            }
        }
    }
    // The first two stages come before any answer could: their lookups were certainly cut off.
    assert!(n_dropped >= 6, "{n_dropped}");
    assert_finds(&world, &book, &people).await;
    // Draining waits for calls that hang: there are none.
    world.stop().await;
}

/// Sizes of messages by rpc and direction, in order.
pub type Sizes = BTreeMap<(String, Direction), Vec<usize>>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    Up,
    Down,
}

/// A proxy that measures every message between clients and a server.
#[derive(Clone)]
pub struct Tap {
    upstream: Channel,
    sizes: Arc<Mutex<Sizes>>,
}

/// One tapped call.
#[derive(Clone)]
struct Tapped {
    tap: Tap,
    path: http::uri::PathAndQuery,
}

impl Tap {
    /// Starts a tap in front of a world, under the same certificate; gives its address.
    pub async fn start(world: &World) -> (Self, String, Running) {
        install_provider();
        let tap = Self { upstream: world.channel(), sizes: Arc::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let identity = Identity::from_pem(&world.site.root, &world.site.tls_key);
        let router = Server::builder()
            .tls_config(ServerTlsConfig::new().identity(identity))
            .unwrap()
            .add_service(tap.clone());
        let served = tokio::spawn(async move {
            router.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
        });
        (tap, url, Running(served.abort_handle()))
    }

    fn measure(&self, path: &http::uri::PathAndQuery, direction: Direction, message: &Bytes) {
        let mut sizes = self.sizes.lock().unwrap();
        sizes.entry((path.to_string(), direction)).or_default().push(message.len());
    }

    /// What was measured since the last time.
    pub fn take(&self) -> Sizes {
        std::mem::take(&mut *self.sizes.lock().unwrap())
    }
}

/// Stops a task when dropped.
pub struct Running(pub AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl NamedService for Tap {
    const NAME: &'static str = "acquaint.v1.DiscoveryService";
}

impl Service<http::Request<Body>> for Tap {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path_and_query().unwrap().clone();
        let tapped = Tapped { tap: self.clone(), path };
        async move { Ok(server::Grpc::new(Raw).streaming(tapped, request).await) }.boxed()
    }
}

impl Service<Request<Streaming<Bytes>>> for Tapped {
    type Response = Response<BoxStream<'static, Result<Bytes, Status>>>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let Self { tap, path } = self.clone();
        async move {
            let (up, down) = (Tapped { tap: tap.clone(), path: path.clone() }, tap.clone());
            let request = request.map(|messages| {
                messages.filter_map(move |message| {
                    let message = message.ok();
                    if let Some(message) = &message {
                        up.tap.measure(&up.path, Direction::Up, message);
                    }
                    std::future::ready(message)
                })
            });
            let mut upstream = client::Grpc::new(tap.upstream.clone());
            upstream.ready().await.unwrap();
            let answers = upstream.streaming(request, path.clone(), Raw).await?;
            Ok(answers.map(move |messages| {
                let measured = messages.inspect(move |message| {
                    if let Ok(message) = message {
                        down.measure(&path, Direction::Down, message);
                    }
                });
                measured.boxed()
            }))
        }
        .boxed()
    }
}

/// The sizes of everything that a lookup sends and receives, and how many it found.
async fn measured(world: &World, tap: &Tap, url: &str, book: &AddressBook) -> (Sizes, usize) {
    let credential = world.site.credential("account", acquaint_core::credential::Scope::Discover);
    let client = Client::builder(url)
        .pin(world.pin.clone())
        .trust_root_pem(world.site.root.as_bytes())
        .credentials(acquaint_client::StaticCredential::new(credential))
        .build()
        .unwrap();
    let outcome = sync(&client, book).await;
    (tap.take(), outcome.matches.len())
}

/// X2: who watches the sizes of messages does not learn how many of the contacts are registered.
#[tokio::test]
async fn sizes_do_not_depend_on_matches() {
    let world = site().start().await;
    world.register(&users(0..200), Visibility::Discoverable).await;
    let (tap, url, _running) = Tap::start(&world).await;
    for n_contacts in [1_u64, 60, 100] {
        let mut expected: Option<Sizes> = None;
        for n_registered in [0, n_contacts.div_ceil(2), n_contacts] {
            let first = 200 - n_registered;
            let book = book(first..first + n_contacts);
            let (sizes, n_matches) = measured(&world, &tap, &url, &book).await;
            assert_eq!(n_matches as u64, n_registered);
            assert_eq!(sizes.len(), 10, "five rpcs, both ways: {:?}", sizes.keys());
            let expected = expected.get_or_insert_with(|| sizes.clone());
            assert_eq!(&sizes, expected, "{n_registered} of {n_contacts} registered");
        }
    }
}

/// X3: who watches the sizes of messages learns the padding class, and nothing else of the size.
#[tokio::test]
async fn sizes_depend_on_the_padding_class_only() {
    let world = site().start().await;
    world.register(&users(0..50), Visibility::Discoverable).await;
    let (tap, url, _running) = Tap::start(&world).await;
    let mut of_classes = Vec::new();
    for (class, n_batches, books) in [
        (16, 1, vec![1, 2, 15, 16]),
        (32, 1, vec![17, 32]),
        (64, 1, vec![33, 64]),
        (1_024, 1, vec![513, 1_024]),
        (1_024, 2, vec![1_025, 2_048]),
    ] {
        let mut expected: Option<Sizes> = None;
        for n_contacts in books {
            let (sizes, _) = measured(&world, &tap, &url, &book(0..n_contacts)).await;
            let path = "/acquaint.v1.DiscoveryService/Evaluate".to_owned();
            let up = &sizes[&(path, Direction::Up)];
            assert_eq!(up.len(), n_batches, "{n_contacts} contacts");
            assert!(up.iter().all(|n| (class * 32..class * 32 + 16).contains(n)), "{up:?}");
            let expected = expected.get_or_insert_with(|| sizes.clone());
            assert_eq!(&sizes, expected, "{n_contacts} contacts");
        }
        of_classes.extend(expected);
    }
    let n_classes = of_classes.len();
    of_classes.dedup();
    assert_eq!(of_classes.len(), n_classes, "the tap measures");
}
