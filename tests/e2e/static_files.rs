//! The publication as files: what is exported, and that a client which gets it from a web server
//! finds what one finds that asks the server, whatever that web server does.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use acquaint_client::{
    Client, ClientError, Identifier, Label, MemoryStateStore, Misbehavior, StateStore,
    StaticCredential, SyncOutcome, Visibility,
    state::{PartBytes, StateFuture, StatePart},
};
use acquaint_core::{
    credential::Scope,
    limits::EXPORTED_VERSIONS_MAX,
    manifest::{ChainError, ManifestError, SignedManifest},
    publication::FileName,
};
use acquaint_proto::v1::{
    FetchFileRequest, ListPublicationRequest, ListPublicationResponse, PublishedVersion,
};
use acquaint_server::{
    clock::{Clock as _, ManualClock},
    export::{ExportError, Exported, Remote, export},
};
use rand::RngExt as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    },
};
use tonic::Code;

use crate::{
    binary::{Installation, acquaint, admin, run},
    discovery::{Running, Tap},
    world::{Site, World, book, collect, found, label, oracle, seeded, users},
};

const START_MS: u64 = 1_700_000_000_000;
const DAY_S: u64 = 86_400;
const KEEP: Duration = Duration::from_secs(30 * DAY_S);

type Directory = HashMap<Identifier, Label>;

/// A running server with an admin socket and a clock that is set by hand; a directory that it is
/// exported to; and a web server for that.
struct Scene {
    world: World,
    clock: Arc<ManualClock>,
    files: PathBuf,
    cdn: Cdn,
}

impl Scene {
    async fn start(users: &Directory) -> Self {
        let mut site = Site::new();
        site.config.publication.delay_ms = 3_600_000;
        site.config.quota.elements = 1 << 20;
        site.config.admin_socket = Some(site.path("admin.sock"));
        let files = site.path("export");
        let clock = Arc::new(ManualClock::at_ms(START_MS));
        let world = site.start_with_clock(Arc::<ManualClock>::clone(&clock)).await;
        world.register(users, Visibility::Discoverable).await;
        let cdn = Cdn::start(&world, &files).await;
        Self { world, clock, files, cdn }
    }

    async fn remote(&self) -> Remote {
        Remote::connect(&self.world.site.path("admin.sock"), "").await.unwrap()
    }

    async fn export(&self) -> Exported {
        self.export_to(&self.files).await.unwrap()
    }

    async fn export_to(&self, to: &Path) -> Result<Exported, ExportError> {
        export(&self.remote().await, to, KEEP, self.clock.now_s(), |_, _| {}).await
    }

    fn advance(&self, seconds: u64) {
        self.clock.set_ms(self.clock.now_ms() + seconds * 1_000);
    }

    /// Publishes changes; after so many days that they make a new snapshot.
    async fn change_and_compact(&self, users: &Directory) {
        self.advance(8 * DAY_S);
        self.world.register(users, Visibility::Discoverable).await;
    }

    /// A client of the files, whose server is at an address.
    fn client_at(&self, url: &str, store: &Kept) -> Client {
        let credential = self.world.site.credential_until("account", Scope::Discover, u64::MAX);
        Client::builder(url)
            .pin(self.world.pin.clone())
            .trust_root_pem(self.world.site.root.as_bytes())
            .credentials(StaticCredential::new(credential))
            .static_files(&self.cdn.url)
            .state_store(store.clone())
            .retry_time_max(Duration::from_secs(5))
            .build()
            .unwrap()
    }

    fn client(&self, store: &Kept) -> Client {
        self.client_at(&self.world.url, store)
    }

    fn path(&self, name: &FileName) -> PathBuf {
        self.files.join(name.to_string())
    }

    /// The only file of a kind that was exported: directories here have one segment.
    fn only(&self, folder: &str) -> PathBuf {
        let paths: Vec<_> = tree(&self.files.join(folder)).into_keys().collect();
        assert_eq!(paths.len(), 1, "{paths:?}");
        self.files.join(folder).join(&paths[0])
    }
}

async fn lookup(client: &Client, contacts: &[u64]) -> Result<SyncOutcome, ClientError> {
    client.sync(&book(contacts.iter().copied()), |_| {}).await
}

/// Looks up, and compares with the plain intersection.
async fn assert_finds(client: &Client, contacts: &[u64], published: &Directory) -> SyncOutcome {
    let outcome = lookup(client, contacts).await.unwrap();
    assert_eq!(found(&outcome), oracle(&book(contacts.iter().copied()), published));
    outcome
}

/// All files below a directory by relative path, without what begins with a dot.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            if path.is_dir() {
                folders.push(path);
            } else if !name.starts_with('.') {
                files.insert(name, fs::read(path).unwrap());
            }
        }
    }
    files
}

/// A state that several clients have, one after the other.
#[derive(Clone, Default)]
struct Kept(Arc<MemoryStateStore>);

impl StateStore for Kept {
    fn load(&self, part: StatePart) -> StateFuture<'_, Option<PartBytes>> {
        self.0.load(part)
    }

    fn save(&self, part: StatePart, bytes: PartBytes) -> StateFuture<'_, ()> {
        self.0.save(part, bytes)
    }

    fn retain(&self, parts: Vec<StatePart>) -> StateFuture<'_, ()> {
        self.0.retain(parts)
    }
}

/// A web server over TLS that serves a directory, and does worse if told to. Written by hand: a
/// good one would not break its answers.
struct Cdn {
    url: String,
    state: Arc<Mutex<CdnState>>,
    _running: Running,
}

#[derive(Default)]
struct CdnState {
    /// Paths and offsets that were asked for.
    asked: Vec<(String, usize)>,
    /// Bytes of files that were sent.
    bytes_sent: usize,
    /// Answers break off after this many bytes of a file.
    break_after: Option<usize>,
    /// Whether parts are refused: every answer begins at the beginning.
    whole_only: bool,
    /// A status for the next requests, how many, and a header.
    status: Option<(u16, usize, &'static str)>,
}

impl Cdn {
    async fn start(world: &World, root: &Path) -> Self {
        let certificate = CertificateDer::from_pem_slice(world.site.root.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(world.site.tls_key.as_bytes()).unwrap();
        let config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::<Mutex<CdnState>>::default();
        let (root, shared) = (root.to_owned(), Arc::clone(&state));
        let served = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(acceptor.clone(), stream, root.clone(), Arc::clone(&shared)));
            }
        });
        let url = format!("https://localhost:{port}/acquaint/");
        Self { url, state, _running: Running(served.abort_handle()) }
    }

    fn set(&self, change: impl FnOnce(&mut CdnState)) {
        change(&mut self.state.lock().unwrap());
    }

    /// What was asked for since the last time, and the bytes sent.
    fn take(&self) -> (Vec<(String, usize)>, usize) {
        let mut state = self.state.lock().unwrap();
        (std::mem::take(&mut state.asked), std::mem::take(&mut state.bytes_sent))
    }

    fn asked(&self) -> Vec<String> {
        self.take().0.into_iter().map(|(path, _)| path).collect()
    }
}

/// One connection, until either side ends it.
async fn serve(acceptor: TlsAcceptor, tcp: TcpStream, root: PathBuf, state: Arc<Mutex<CdnState>>) {
    let Ok(mut stream) = acceptor.accept(tcp).await else { return };
    let mut head = Vec::new();
    while let Ok(byte) = stream.read_u8().await {
        head.push(byte);
        if head.ends_with(b"\r\n\r\n") {
            let text = String::from_utf8(std::mem::take(&mut head)).unwrap();
            let (answer, complete) = answer(&text, &root, &mut state.lock().unwrap());
            let written = stream.write_all(&answer).await;
            if written.is_err() || !complete {
                drop(stream.shutdown().await);
                return;
            }
        }
    }
}

/// An answer, and whether it is complete.
fn answer(head: &str, root: &Path, state: &mut CdnState) -> (Vec<u8>, bool) {
    let path = head.strip_prefix("GET /acquaint/").unwrap().split(' ').next().unwrap();
    assert!(!head.to_ascii_lowercase().contains("authorization"), "files need no credential");
    let range = head.lines().find_map(|line| line.strip_prefix("range: bytes="));
    let asked = range.map_or(0, |range| range.trim_end_matches('-').parse().unwrap());
    state.asked.push((path.to_owned(), asked));
    if let Some((status, times, header)) = state.status {
        state.status = (times > 1).then_some((status, times - 1, header));
        return (format!("HTTP/1.1 {status} No\r\n{header}content-length: 0\r\n\r\n").into(), true);
    }
    let Ok(file) = fs::read(root.join(path)) else {
        return (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n".to_vec(), true);
    };
    let start = if state.whole_only { 0 } else { asked };
    let Some(body) = file.get(start..).filter(|body| start == 0 || !body.is_empty()) else {
        return (b"HTTP/1.1 416 No\r\ncontent-length: 0\r\n\r\n".to_vec(), true);
    };
    let (length, end) = (body.len(), file.len());
    let mut answer = match start {
        0 => format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"),
        _ => format!(
            "HTTP/1.1 206 Partial Content\r\ncontent-length: {length}\r\n\
             content-range: bytes {start}-{}/{end}\r\n\r\n",
            end - 1
        ),
    }
    .into_bytes();
    let sent = state.break_after.unwrap_or(length).min(length);
    state.bytes_sent += sent;
    answer.extend_from_slice(&body[..sent]);
    (answer, sent == length)
}

/// The whole life of a client: first lookup, nothing new, a change, a new snapshot, and several
/// at once. It finds the plain intersection each time, and asks the server for nothing but
/// evaluations.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_files_equals_the_oracle() {
    let mut rng = seeded("a_client_of_files_equals_the_oracle");
    let mut published = users(0..300);
    let scene = Scene::start(&published).await;
    let (tap, url, _running) = Tap::start(&scene.world).await;
    let store = Kept::default();
    let mut contacts: Vec<u64> = (0..40).map(|_| rng.random_range(0..1_000)).collect();

    scene.export().await;
    assert_finds(&scene.client_at(&url, &store), &contacts, &published).await;
    assert!(scene.cdn.asked().iter().any(|path| path.starts_with("set/")));

    // A new client with the same state, so that its handshake counts, too.
    let unchanged = assert_finds(&scene.client_at(&url, &store), &contacts, &published).await;
    assert_eq!(scene.cdn.asked(), ["manifest"]);
    let traffic = unchanged.report.traffic;
    let bytes = traffic.bytes_up + traffic.bytes_down;
    assert!(bytes < 4_096, "an unchanged lookup costs {bytes} bytes");

    let changed: Directory = users(290..330).into_keys().map(|id| (id, label(7))).collect();
    scene.world.register(&changed, Visibility::Discoverable).await;
    published.extend(changed);
    scene.export().await;
    contacts.extend([295, 310, 2_000]);
    assert_finds(&scene.client_at(&url, &store), &contacts, &published).await;
    let asked = scene.cdn.asked();
    assert!(
        matches!(&asked[..], [manifest, delta]
        if manifest == "manifest" && delta.starts_with("delta/")),
        "{asked:?}"
    );

    // Two snapshots later: the client makes both of them itself.
    for range in [400..420, 420..450] {
        let new = users(range);
        scene.change_and_compact(&new).await;
        published.extend(new);
        contacts.push(410);
        contacts.push(430);
    }
    scene.export().await;
    assert_finds(&scene.client_at(&url, &store), &contacts, &published).await;
    let asked = scene.cdn.asked();
    assert!(asked[1].starts_with("way/"), "{asked:?}");
    assert!(asked[2..].iter().all(|path| path.starts_with("delta/")), "{asked:?}");

    let called: Vec<_> = tap.take().into_keys().map(|(path, _)| path).collect();
    assert!(!called.is_empty());
    let is_evaluation = |path: &String| path.ends_with("/Evaluate");
    assert!(called.iter().all(is_evaluation), "{called:?}");
}

/// Several segments at a time, over connections that break every few kilobytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_transfers_go_on_where_they_broke() {
    let published = users(0..30_000);
    let scene = Scene::start(&published).await;
    let exported = scene.export().await;
    scene.cdn.set(|state| state.break_after = Some(100_000));
    let contacts: Vec<u64> = (29_990..30_010).collect();
    assert_finds(&scene.client(&Kept::default()), &contacts, &published).await;
    let (asked, sent) = scene.cdn.take();
    let segments: Vec<_> = asked.iter().filter(|(path, _)| path.starts_with("labels/")).collect();
    assert!(segments.iter().filter(|(_, offset)| *offset == 0).count() >= 2, "{asked:?}");
    assert!(segments.iter().any(|(_, offset)| *offset >= 400_000), "{asked:?}");
    assert!(sent as u64 <= exported.bytes, "{sent} of {}: nothing comes twice", exported.bytes);

    // Who only ever sends the beginning is given up.
    scene.cdn.set(|state| state.whole_only = true);
    let refused = lookup(&scene.client(&Kept::default()), &contacts).await;
    assert_eq!(refused.unwrap_err(), ClientError::Unreachable);
}

/// Who serves the files can refuse them, and nothing else: what is not what the pin vouches for
/// is never used.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_were_tampered_with_are_refused() {
    let published = users(0..50);
    let scene = Scene::start(&published).await;
    // So that the users are in the snapshot.
    let more = users(50..60);
    scene.change_and_compact(&more).await;
    let published: Directory = published.into_iter().chain(more).collect();
    scene.export().await;
    let contacts = [1, 2, 3, 700];
    let try_lookup = || async {
        let outcome = lookup(&scene.client(&Kept::default()), &contacts).await;
        outcome.map(|_| ()).unwrap_err()
    };
    for (folder, expected) in [
        ("index", Misbehavior::DigestMismatch),
        ("set", Misbehavior::DigestMismatch),
        ("labels", Misbehavior::DigestMismatch),
    ] {
        let path = scene.only(folder);
        let good = fs::read(&path).unwrap();
        let mut forged = good.clone();
        forged[good.len() / 2] ^= 1;
        fs::write(&path, &forged).unwrap();
        assert_eq!(try_lookup().await, ClientError::ServerMisbehaved(expected), "{folder}");
        if folder != "index" {
            fs::write(&path, &good[..good.len() - 1]).unwrap();
            let truncated = ClientError::ServerMisbehaved(Misbehavior::Truncated);
            assert_eq!(try_lookup().await, truncated, "{folder}");
            fs::write(&path, [&good[..], &[0]].concat()).unwrap();
            let too_long = ClientError::ServerMisbehaved(Misbehavior::ChunkSequence);
            assert_eq!(try_lookup().await, too_long, "{folder}");
        }
        fs::write(&path, &good).unwrap();
    }
    let manifest = scene.path(&FileName::Manifest);
    let good = fs::read(&manifest).unwrap();
    for at in [0, 63, 64, good.len() - 1] {
        let mut forged = good.clone();
        forged[at] ^= 1;
        fs::write(&manifest, &forged).unwrap();
        let refused = ClientError::UntrustedManifest(ManifestError::Signature);
        assert_eq!(try_lookup().await, refused, "byte {at}");
    }
    fs::write(&manifest, [&good[..], &[0; 4_096]].concat()).unwrap();
    let too_long = ClientError::ServerMisbehaved(Misbehavior::ChunkSequence);
    assert_eq!(try_lookup().await, too_long);
    fs::write(&manifest, &good).unwrap();
    assert_finds(&scene.client(&Kept::default()), &contacts, &published).await;
}

/// A delta that is missing or wrong costs a download, and nothing else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_usable_delta_the_snapshot_is_downloaded() {
    for forge in [false, true] {
        let mut published = users(0..50);
        let scene = Scene::start(&published).await;
        let few = users(50..53);
        scene.world.register(&few, Visibility::Discoverable).await;
        published.extend(few);
        scene.export().await;
        let store = Kept::default();
        let contacts = [1, 2, 52, 55, 65, 700];
        assert_finds(&scene.client(&store), &contacts, &published).await;
        let before: Vec<_> = tree(&scene.files).into_keys().collect();
        for range in [53..60, 60..70] {
            let new = users(range);
            scene.world.register(&new, Visibility::Discoverable).await;
            published.extend(new);
        }
        scene.export().await;
        let new = tree(&scene.files).into_keys().filter(|name| !before.contains(name));
        let deltas: Vec<_> = new.filter(|name| name.starts_with("delta/")).collect();
        // From the snapshot, and from the version that the client has.
        assert_eq!(deltas.len(), 2, "{deltas:?}");
        let held = scene.cdn.asked().into_iter().find(|path| path.starts_with("delta/")).unwrap();
        let (_, version) = held.rsplit_once('-').unwrap();
        let own = deltas.iter().find(|name| name.contains(&format!("/{version}-"))).unwrap();
        let path = scene.files.join(own);
        if forge {
            let mut delta = fs::read(&path).unwrap();
            *delta.last_mut().unwrap() ^= 1;
            fs::write(&path, delta).unwrap();
        } else {
            fs::remove_file(&path).unwrap();
        }
        assert_finds(&scene.client(&store), &contacts, &published).await;
        let asked = scene.cdn.asked();
        assert!(asked.contains(own) && asked.iter().any(|p| p.starts_with("index/")), "{asked:?}");
    }
}

/// Who serves the files cannot show a client an older directory than it has seen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_manifest_is_a_rollback() {
    let published = users(0..20);
    let scene = Scene::start(&published).await;
    scene.export().await;
    let manifest = scene.path(&FileName::Manifest);
    let old = fs::read(&manifest).unwrap();
    scene.world.register(&users(20..30), Visibility::Discoverable).await;
    scene.export().await;
    let store = Kept::default();
    assert!(lookup(&scene.client(&store), &[1, 25]).await.is_ok());
    fs::write(&manifest, old).unwrap();
    let refused = lookup(&scene.client(&store), &[1, 25]).await.unwrap_err();
    assert_eq!(refused, ClientError::Chain(ChainError::Rollback));
}

/// Statuses are understood; nobody is followed elsewhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn web_servers_are_asked_again_if_that_helps() {
    let published = users(0..20);
    let scene = Scene::start(&published).await;
    let none = lookup(&scene.client(&Kept::default()), &[1]).await.unwrap_err();
    let protocol = ClientError::ServerMisbehaved(Misbehavior::Protocol);
    assert_eq!(none, protocol, "a place without a manifest");
    scene.export().await;
    scene.cdn.take();
    for (status, header) in [(502, ""), (503, "retry-after: 0\r\n"), (429, "")] {
        scene.cdn.set(|state| state.status = Some((status, 2, header)));
        assert_finds(&scene.client(&Kept::default()), &[1, 30], &published).await;
        let manifests = scene.cdn.asked().into_iter().filter(|path| path == "manifest").count();
        assert_eq!(manifests, 3, "{status}");
    }
    for (status, header, expected) in [
        (302, "location: /acquaint/manifest\r\n", protocol),
        (403, "", protocol),
        (500, "", ClientError::ServerFailed),
    ] {
        scene.cdn.set(|state| state.status = Some((status, 1, header)));
        let refused = lookup(&scene.client(&Kept::default()), &[1]).await.unwrap_err();
        assert_eq!(refused, expected, "{status}");
        assert_eq!(scene.cdn.asked(), ["manifest"], "{status}");
    }
}

/// A place with another certificate than the app trusts is asked for nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_with_another_certificate_is_refused() {
    let scene = Scene::start(&users(0..5)).await;
    scene.export().await;
    let elsewhere = Scene::start(&users(0..5)).await;
    let client =
        scene.world.client_builder("account").static_files(&elsewhere.cdn.url).build().unwrap();
    assert_eq!(lookup(&client, &[1]).await.unwrap_err(), ClientError::UntrustedServer);
    assert!(elsewhere.cdn.asked().is_empty());
}

/// Exports of one publication are the same bytes, wherever and whenever; the second one to a
/// directory writes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exports_are_reproducible() {
    let scene = Scene::start(&users(0..50)).await;
    let first = scene.export().await;
    assert_eq!(first.files_written, first.files);
    assert_eq!(first.bytes_written, first.bytes);
    assert_eq!(tree(&scene.files).values().map(Vec::len).sum::<usize>() as u64, first.bytes);
    let again = scene.export().await;
    assert_eq!((again.files_written, again.bytes_written), (0, 0));
    assert_eq!((again.files, again.bytes), (first.files, first.bytes));

    let other = scene.world.site.path("other");
    scene.export_to(&other).await.unwrap();
    assert_eq!(tree(&other), tree(&scene.files));

    let (files, exported) = (scene.files.clone(), tree(&scene.files));
    let (clock, site) = (scene.clock, scene.world.stop().await);
    let world = site.start_with_clock(clock).await;
    let remote = Remote::connect(&world.site.path("admin.sock"), "default").await.unwrap();
    let third = world.site.path("third");
    export(&remote, &third, KEEP, START_MS / 1_000, |_, _| {}).await.unwrap();
    assert_eq!(tree(&third), exported, "a restart changes nothing");
    assert_eq!(tree(&files), exported);
}

/// The manifest names only what is there; what no manifest needs goes after a while, and nothing
/// else ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_needed_is_removed_after_a_while() {
    let scene = Scene::start(&users(0..50)).await;
    scene.export().await;
    fs::write(scene.files.join("index.html"), "ours").unwrap();
    let first = tree(&scene.files);
    scene.change_and_compact(&users(50..60)).await;
    let second = scene.export().await;
    assert_eq!(second.files_removed, 0);
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    let now = tree(&scene.files);
    assert!(first.keys().all(|name| now.contains_key(name)), "{:?}", names(&now));

    scene.advance(30 * DAY_S - 1);
    assert_eq!(scene.export().await.files_removed, 0);
    scene.advance(1);
    let last = scene.export().await;
    let kept = tree(&scene.files);
    // The old snapshot's index and set, and the delta over it; it had no labels.
    assert_eq!(last.files_removed, 3, "{:?}", names(&kept));
    assert_eq!(kept.len() as u64, last.files + 1, "{:?}", names(&kept));
    assert_eq!(kept["index.html"], b"ours");
    let manifest = SignedManifest::from_file(&kept["manifest"]).unwrap();
    let manifest = manifest.verify(&scene.world.pin).unwrap();
    let index = FileName::Index(manifest.current().snapshot.index_digest);
    assert!(kept.contains_key(&index.to_string()));
    assert_finds(&scene.client(&Kept::default()), &[1, 55], &users(0..60)).await;
}

/// An export that fails half-way leaves the last one as it was; the next one goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_export_leaves_the_last_one_usable() {
    let published = users(0..50);
    let scene = Scene::start(&published).await;
    scene.export().await;
    let before = tree(&scene.files);
    let more = users(50..60);
    scene.change_and_compact(&more).await;
    let other = scene.world.site.path("other");
    scene.export_to(&other).await.unwrap();
    // The last of the new files cannot be written: its name is taken by a folder.
    let labels = tree(&other.join("labels")).into_keys().next().unwrap();
    let blocked = scene.files.join("labels").join(labels);
    fs::create_dir(&blocked).unwrap();
    assert!(matches!(scene.export_to(&scene.files).await, Err(ExportError::Disk(_))));
    let after = tree(&scene.files);
    assert!(before.iter().all(|(name, content)| after.get(name) == Some(content)));
    assert_finds(&scene.client(&Kept::default()), &[1, 55], &published).await;

    fs::remove_dir(&blocked).unwrap();
    let finished = scene.export().await;
    assert!(finished.files_written < finished.files, "{finished:?}");
    let all: Directory = published.into_iter().chain(more).collect();
    assert_finds(&scene.client(&Kept::default()), &[1, 55], &all).await;
}

/// Of the versions that were exported before, the last hundred count.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deltas_are_listed_from_the_last_versions_only() {
    let scene = Scene::start(&users(0..20)).await;
    // Not the version of the snapshot itself, from which there is always a delta.
    scene.world.register(&users(20..22), Visibility::Discoverable).await;
    let known = scene.remote().await.publish().await.unwrap();
    scene.world.register(&users(22..24), Visibility::Discoverable).await;
    let real = PublishedVersion { snapshot: known.snapshot, version: known.version };
    let unknown = PublishedVersion { snapshot: 77, version: 1 };
    let mut client = admin(&scene.world.site.path("admin.sock")).await;
    for (n_others, expected) in [(EXPORTED_VERSIONS_MAX - 1, true), (EXPORTED_VERSIONS_MAX, false)]
    {
        let mut exported = vec![real; 1];
        exported.extend(vec![unknown; n_others]);
        let request = ListPublicationRequest { exported, ..ListPublicationRequest::default() };
        let answer = client.list_publication(request).await.unwrap().into_inner();
        let listed: Vec<ListPublicationResponse> = collect(answer).await.unwrap();
        assert!(listed[0].manifest.is_some() && listed[0].files.is_empty());
        let names = listed.iter().flat_map(|message| &message.files).map(|file| &file.name);
        let prefix = format!("delta/{}/{}-", known.snapshot, known.version);
        let is_listed = names.clone().any(|name| name.starts_with(&prefix));
        assert_eq!(is_listed, expected, "{:?}", names.collect::<Vec<_>>());
    }
    for name in ["", "manifest/", "../keys/oprf.seed", "delta/77/1-2", "way/1-1-77-2"] {
        let request = FetchFileRequest { name: name.to_owned(), ..FetchFileRequest::default() };
        let refused = client.fetch_file(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound, "{name}");
    }
}

/// The command: publishes, exports, and says what is wrong.
#[test]
fn the_command_exports_what_it_publishes() {
    let site = Installation::new();
    let config = site.path("acquaint.toml").to_str().unwrap().to_owned();
    let publish = |more: &[&str]| {
        let arguments = ["--json", "publish", "--config", &config];
        run(&mut acquaint(&[&arguments[..], more].concat()))
    };
    let unreachable = publish(&[]).error();
    assert!(unreachable.contains("start it"), "{unreachable}");
    let serving = site.serve();
    let published = publish(&[]).ok().json();
    assert_eq!(published["members"], 0);
    assert!(published["exported"].is_null());

    let to = site.outside("export").to_str().unwrap().to_owned();
    let exported = publish(&["--to", &to]).ok().json();
    assert_eq!(exported["exported"]["files"], 3, "manifest, index, and an empty segment");
    assert_eq!(exported["exported"]["files_written"], 3);
    let again = publish(&["--to", &to, "--keep-days", "0"]).ok().json();
    assert_eq!(again["exported"]["files_written"], 0);
    assert_eq!(again["exported"]["files_removed"], 0);
    let file = site.write("file", "no directory");
    let refused = publish(&["--to", &file]).error();
    assert!(refused.contains("cannot be written"), "{refused}");
    serving.stop();
}
