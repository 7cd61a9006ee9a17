//! Rotation of the key at system level: nobody loses a match, nothing of the old key is left, and
//! `kill -9` at any moment changes neither.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    ops::{ControlFlow, Range},
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use acquaint_client::{
    Client, Credential, Identifier, Label, MemoryStateStore, Registrar, StaticCredential,
    SyncOutcome, Visibility,
};
use acquaint_core::oprf::{self, BlindedBatch, Mode, Padding, SecretKey};
use acquaint_proto::{
    Reason, Received,
    v1::{
        EvaluateRequest, GetStatusRequest, KeyPhase, ListKeysRequest, RegisterRequest,
        RegistryServiceEvaluateRequest, RotateKeyRequest, RotationPhase, UnregisterRequest,
        admin_service_client::AdminServiceClient,
    },
};
use acquaint_server::{
    clock::ManualClock,
    keystore::Keys,
    store::{Handle, RedbStore, Store as _},
};
use data_encoding::HEXLOWER;
use rand::RngExt as _;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, transport::Channel};

use crate::{
    binary::{Installation, PATIENCE, Serving, admin, poll, run},
    world::{
        Site, World, book, elements, found, install_provider, label, now_s, number, oracle, seeded,
        users,
    },
};

/// Credentials of the harness are valid for an hour: the clock stays near the real one.
const GRACE_S: u32 = 600;

/// A world that is rotated over its admin socket, with a clock that stands.
struct Rotating {
    world: World,
    clock: Arc<ManualClock>,
    admin: AdminServiceClient<Channel>,
    start_s: u64,
}

async fn rotating(quota: u64) -> Rotating {
    let mut site = Site::new();
    let socket = site.path("admin.sock");
    site.config.admin_socket = Some(socket.clone());
    site.config.rotation.grace_s = GRACE_S;
    site.config.quota.elements = quota;
    site.config.quota.refill_per_day = 0;
    let start_s = now_s();
    let clock = Arc::new(ManualClock::at_ms(start_s * 1_000));
    let world = site.start_with_clock(Arc::<ManualClock>::clone(&clock)).await;
    Rotating { world, clock, admin: admin(&socket).await, start_s }
}

impl Rotating {
    async fn phase(&mut self) -> RotationPhase {
        let status = self.admin.get_status(GetStatusRequest::default()).await.unwrap();
        status.into_inner().rotation_phase()
    }

    /// Waits until the rotation has come to a phase.
    async fn reach(&mut self, phase: RotationPhase) {
        let reached = async {
            while self.phase().await != phase {
                sleep(Duration::from_millis(10)).await;
            }
        };
        timeout(PATIENCE, reached).await.expect("the rotation goes on by itself");
    }

    /// Begins a rotation and waits until both epochs are published.
    async fn rotate(&mut self) {
        let begun = self.admin.rotate_key(RotateKeyRequest::default()).await.unwrap().into_inner();
        assert_eq!(begun.to_epoch, begun.from_epoch + 1);
        self.reach(RotationPhase::Grace).await;
        self.world.publish().await;
    }

    async fn end(&mut self) {
        self.clock.set_ms((self.start_s + u64::from(GRACE_S)) * 1_000);
        self.reach(RotationPhase::Settled).await;
    }

    async fn keys(&mut self) -> Vec<(u32, KeyPhase)> {
        let keys =
            self.admin.list_keys(ListKeysRequest::default()).await.unwrap().into_inner().keys;
        keys.iter().map(|key| (key.epoch, key.phase())).collect()
    }

    async fn evaluate(&self, account: &str, epoch: u32, batch: Range<u64>) -> Result<u64, Status> {
        let message = EvaluateRequest { epoch, blinded_elements: elements(batch).into() };
        let request = self.world.asks(account, message);
        let answer = self.world.discovery().evaluate(request).await?.into_inner();
        Ok(answer.quota.unwrap().charged)
    }

    fn client_with_state(&self, account: &str) -> Client {
        let builder = self.world.client_builder(account);
        builder.state_store(MemoryStateStore::new()).build().unwrap()
    }

    /// Registers through bare messages, under an epoch of the test's choice.
    async fn register(&self, epoch: u32, users: &HashMap<Identifier, Label>) {
        let (identifiers, labels): (Vec<_>, Vec<_>) = users.clone().into_iter().unzip();
        let keys = Keys::load(&self.world.site.config.tenants["default"].keys).unwrap();
        let (secret, _) = keys.oprf_seeds.get(epoch).unwrap().epoch_key(epoch).unwrap();
        let request = RegisterRequest {
            epoch,
            elements: outputs(&secret, &identifiers).concat().into(),
            labels: labels.iter().flat_map(|label| label.0).collect::<Vec<u8>>().into(),
            hidden: false,
        };
        let request = self.world.orders(tokio_stream::once(request));
        let mut answers = self.world.registry().register(request).await.unwrap().into_inner();
        assert!(answers.message().await.unwrap().is_some());
    }
}

/// `k·H(x)` of identifiers, with the secret key at hand.
fn outputs(secret: &SecretKey, identifiers: &[Identifier]) -> Vec<[u8; 32]> {
    let (rng, public, trusted) = (&mut rand::rng(), secret.public_key(), secret.trusted_key());
    let mut all = Vec::with_capacity(identifiers.len());
    for identifiers in identifiers.chunks(4_096) {
        let inputs: Vec<&[u8]> = identifiers.iter().map(Identifier::as_bytes).collect();
        let blinding = oprf::blind_for(&trusted, &inputs, Padding::None, rng).unwrap();
        let batch = BlindedBatch::try_from(&blinding.to_bytes()[..]).unwrap();
        let evaluation = oprf::blind_evaluate(Mode::Voprf, secret, &batch, rng);
        let (evaluated, proof) = (evaluation.elements.concat(), evaluation.proof.unwrap());
        let verified = blinding.verify(&public, &evaluated, &proof.to_bytes()).unwrap();
        all.extend(verified.unblind().iter().map(|element| *element.expose_bytes()));
    }
    all
}

#[track_caller]
fn assert_refused(status: &Status, code: Code, reason: Reason) {
    assert_eq!((status.code(), Received::from(status).reason), (code, Some(reason)));
    assert_eq!(status.message(), reason.text());
}

/// S6: lookups before, during and after find what the plain intersection says, and the app notices
/// nothing.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_loses_a_match() {
    let mut rotating = rotating(1 << 20).await;
    let mut registered = users(0..300);
    rotating.world.register(&registered, Visibility::Discoverable).await;
    let book = book((200..340).chain([900, 901, 902]));
    let (kept, anew) = (rotating.client_with_state("kept"), rotating.world.client("anew"));
    let first = kept.sync(&book, |_| {}).await.unwrap();
    assert_eq!(found(&first), oracle(&book, &registered));
    assert_eq!(first.changes.joined.len(), 100);
    assert_eq!(rotating.keys().await, [(1, KeyPhase::Serving)]);

    rotating.rotate().await;
    assert_eq!(rotating.keys().await, [(1, KeyPhase::Grace), (2, KeyPhase::Serving)]);
    let status = rotating.admin.rotate_key(RotateKeyRequest::default()).await.unwrap_err();
    assert_refused(&status, Code::FailedPrecondition, Reason::RotationRunning);
    let second = kept.sync(&book, |_| {}).await.unwrap();
    assert_eq!(found(&second), oracle(&book, &registered));
    assert_eq!((second.head.epoch, second.changes.is_empty()), (2, true));
    assert!(second.report.elements > 0, "everybody is evaluated once more");
    let third = kept.sync(&book, |_| {}).await.unwrap();
    assert_eq!((third.report.elements, third.changes.is_empty()), (0, true));

    // Under the old epoch and the new one, new accounts and new labels, and removals.
    rotating.register(1, &users(300..310)).await;
    rotating.register(2, &users(310..320)).await;
    registered.extend(users(300..320));
    let relabeled: HashMap<_, _> = (250..260).map(|i| (number(i), label(i + 1_000))).collect();
    rotating.register(1, &relabeled).await;
    registered.extend(relabeled);
    let gone: Vec<_> = (200..220).map(number).collect();
    rotating.world.registrar().remove(&gone).await.unwrap();
    registered.retain(|user, _| !gone.contains(user));
    rotating.world.publish().await;
    for client in [&kept, &anew] {
        let outcome = client.sync(&book, |_| {}).await.unwrap();
        assert_eq!(found(&outcome), oracle(&book, &registered));
    }

    rotating.end().await;
    assert_eq!(rotating.keys().await, [(1, KeyPhase::Destroyed), (2, KeyPhase::Serving)]);
    for client in [&kept, &anew] {
        let outcome = client.sync(&book, |_| {}).await.unwrap();
        assert_eq!(found(&outcome), oracle(&book, &registered));
    }
    let site = rotating.world.stop().await;
    let world = site.start().await;
    let outcome = world.client("anew").sync(&book, |_| {}).await.unwrap();
    assert_eq!(found(&outcome), oracle(&book, &registered));
    world.register(&users(320..330), Visibility::Discoverable).await;
    registered.extend(users(320..330));
    let outcome = world.client("anew").sync(&book, |_| {}).await.unwrap();
    assert_eq!(found(&outcome), oracle(&book, &registered));
}

/// After the grace period the old epoch is unknown to every rpc, on streams that are open too.
#[tokio::test(flavor = "multi_thread")]
async fn the_old_epoch_is_refused_after_the_grace_period() {
    let mut rotating = rotating(1 << 20).await;
    let (send, chunks) = mpsc::channel(1);
    let chunk = |range: Range<u64>| RegisterRequest {
        epoch: 1,
        labels: vec![0; 16 * range.clone().count()].into(),
        elements: elements(range).into(),
        hidden: false,
    };
    send.send(chunk(0..10)).await.unwrap();
    let request = rotating.world.orders(ReceiverStream::new(chunks));
    let mut stream = rotating.world.registry().register(request).await.unwrap().into_inner();
    assert_eq!(stream.message().await.unwrap().unwrap().added, 10);
    rotating.rotate().await;
    send.send(chunk(5..20)).await.unwrap();
    assert_eq!(stream.message().await.unwrap().unwrap().added, 10);
    for epoch in [1, 2] {
        assert_eq!(rotating.evaluate("account", epoch, 0..16).await.unwrap(), 16);
    }
    let status = rotating.evaluate("account", 3, 0..16).await.unwrap_err();
    assert_refused(&status, Code::FailedPrecondition, Reason::EpochUnknown);

    rotating.end().await;
    send.send(chunk(0..10)).await.unwrap();
    let unknown =
        |status: Status| assert_refused(&status, Code::FailedPrecondition, Reason::EpochUnknown);
    unknown(stream.message().await.unwrap_err());
    unknown(rotating.evaluate("account", 1, 0..16).await.unwrap_err());
    let mut registry = rotating.world.registry();
    let bytes = elements(0..16);
    let message =
        RegistryServiceEvaluateRequest { epoch: 1, blinded_elements: bytes.clone().into() };
    unknown(registry.evaluate(rotating.world.orders(message)).await.unwrap_err());
    let message = UnregisterRequest { epoch: 1, elements: bytes.into() };
    unknown(registry.unregister(rotating.world.orders(message)).await.unwrap_err());
    let status = rotating.admin.get_status(GetStatusRequest::default()).await.unwrap().into_inner();
    assert_eq!((status.epoch, status.entries, status.members), (2, 20, 20));
}

/// T8: an account with nothing left can look its address book up under the new key, once.
#[tokio::test(flavor = "multi_thread")]
async fn the_quota_grants_a_second_evaluation_once() {
    let mut rotating = rotating(64).await;
    let registered = users(0..60);
    rotating.world.register(&registered, Visibility::Discoverable).await;
    let book = book(20..80);
    let (kept, other) = (rotating.client_with_state("a"), rotating.client_with_state("b"));
    for client in [&kept, &other] {
        let outcome = client.sync(&book, |_| {}).await.unwrap();
        assert_eq!((outcome.report.elements, outcome.quota.unwrap().remaining), (64, 0));
    }
    let exhausted = |outcome: &SyncOutcome| outcome.pending.is_some();
    let anew = rotating.world.client("a");
    assert!(exhausted(&anew.sync(&book, |_| {}).await.unwrap()));

    rotating.rotate().await;
    let outcome = kept.sync(&book, |_| {}).await.unwrap();
    assert_eq!(found(&outcome), oracle(&book, &registered));
    assert_eq!((outcome.report.elements, outcome.changes.is_empty()), (64, true));
    // Not twice, not in parts, and nothing under the old epoch.
    assert!(exhausted(&anew.sync(&book, |_| {}).await.unwrap()));
    for epoch in [1, 2] {
        let status = rotating.evaluate("a", epoch, 1_000..1_001).await.unwrap_err();
        assert_refused(&status, Code::ResourceExhausted, Reason::QuotaExhausted);
    }
    // Who wastes the credit keeps the matches, and gets no other one.
    for batch in [2_000..2_032, 3_000..3_032] {
        assert_eq!(rotating.evaluate("b", 2, batch).await.unwrap(), 32);
    }
    assert!(exhausted(&other.sync(&book, |_| {}).await.unwrap()));

    rotating.end().await;
    let outcome = kept.sync(&book, |_| {}).await.unwrap();
    assert_eq!((found(&outcome), outcome.report.elements), (oracle(&book, &registered), 0));
    assert!(exhausted(&other.sync(&book, |_| {}).await.unwrap()));
    // The next rotation has a credit of its own, and `b` never lost what it knew.
    rotating.start_s += u64::from(GRACE_S);
    rotating.rotate().await;
    for client in [&kept, &other] {
        let outcome = client.sync(&book, |_| {}).await.unwrap();
        assert_eq!(found(&outcome), oracle(&book, &registered));
        assert!(outcome.changes.is_empty());
    }
}

/// All bytes of all files below a directory.
fn everything(directory: &Path) -> Vec<u8> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(everything(&path));
        } else if path.is_file() {
            all.extend(fs::read(path).unwrap());
        }
    }
    all
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

/// K6: what is left on the disk gives nobody the old key.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_the_old_key_is_left() {
    let mut rotating = rotating(1 << 20).await;
    rotating.world.register(&users(0..20), Visibility::Discoverable).await;
    let seed = rotating.world.site.keys.oprf_seeds.get(1).unwrap().clone();
    let digits = HEXLOWER.encode(seed.expose_bytes());
    let root = rotating.world.site.directory.path().to_owned();
    assert!(contains(&everything(&root), digits.as_bytes()), "the check finds what is there");
    rotating.rotate().await;
    assert!(contains(&everything(&root), digits.as_bytes()));
    rotating.end().await;
    let _site = rotating.world.stop().await;
    let left = everything(&root);
    assert!(!contains(&left, digits.as_bytes()) && !contains(&left, seed.expose_bytes()));
    let names = fs::read_dir(root.join("keys")).unwrap();
    let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let expected = ["credential-1.key", "manifest.key", "oprf-1.destroyed", "oprf-2.seed"];
    assert_eq!(names, [&expected[..], &["pseudonym.key", "storage.key"]].concat());
    let note = fs::read_to_string(root.join("keys/oprf-1.destroyed")).unwrap();
    let public = seed.epoch_key(1).unwrap().1;
    assert_eq!(note.trim(), HEXLOWER.encode(public.as_bytes()));
}

/// The operator's path with the real binary.
#[test]
fn the_command_rotates_and_lists() {
    let site = Installation::new();
    let list = |expected: &[(u64, &str)], running: bool| {
        let listed = run(&mut site.command(&["key", "list", "--json"])).ok().json();
        assert_eq!(listed["server_running"], running);
        let keys = listed["keys"].as_array().unwrap();
        let phases: Vec<_> = keys
            .iter()
            .map(|key| (key["epoch"].as_u64().unwrap(), key["phase"].as_str().unwrap()))
            .collect();
        assert_eq!(phases, expected);
        assert!(keys.iter().all(|key| key["public_key"].as_str().unwrap().len() == 64));
    };
    list(&[(1, "kept")], false);
    let error = run(&mut site.command(&["key", "rotate", "--json"])).error();
    assert!(error.contains("no server answers") && error.contains("admin.sock"), "{error}");

    let server = site.serve();
    list(&[(1, "serving")], true);
    let rotated = run(&mut site.command(&["key", "rotate", "--wait", "--json"])).ok().json();
    let fields = ["from_epoch", "to_epoch", "phase"].map(|field| rotated[field].to_string());
    assert_eq!(fields, ["1", "2", "\"grace\""]);
    list(&[(1, "grace"), (2, "serving")], true);
    let error = run(&mut site.command(&["key", "rotate"])).error();
    assert!(error.contains(Reason::RotationRunning.text()), "{error}");
    let text = run(&mut site.command(&["key", "list"])).ok().stdout;
    assert!(text.contains("grace") && text.contains("serving"), "{text}");
    server.stop();
    list(&[(1, "kept"), (2, "kept")], false);

    // After key theft: no grace period, also for a rotation that runs already.
    let server = site.serve_with(&[("ACQUAINT__ROTATION__GRACE_S", "0")]);
    server.wait_for_log("rotation complete; old key destroyed");
    list(&[(1, "destroyed"), (2, "serving")], true);
    server.stop();
    list(&[(1, "destroyed"), (2, "kept")], false);
    assert!(!site.path("keys/oprf.seed").exists());
}

const ROWS: u64 = 20_000;
/// Rows that the server carries over together.
const PAGE_ROWS: u64 = 4_096;
const KILLS: u64 = 4;

/// What a killed rotation is compared with.
struct Trial<'a> {
    site: &'a Installation,
    registrar: String,
    /// Label of each user, as far as it was acknowledged.
    model: BTreeMap<u64, u64>,
}

impl Trial<'_> {
    fn registrar(&self, server: &Serving<'_>) -> Registrar {
        install_provider();
        let credential = Credential::from_text(&self.registrar);
        Registrar::builder(&server.url)
            .pin(self.site.pin.parse().unwrap())
            .trust_root_pem(fs::read(self.site.path("tls/certificate.pem")).unwrap())
            .credentials(StaticCredential::new(credential))
            .build()
            .unwrap()
    }

    async fn register(&mut self, server: &Serving<'_>, users: Range<u64>, offset: u64) {
        let rows: Vec<_> = users.clone().map(|i| (number(i), label(i + offset))).collect();
        let registrar = self.registrar(server);
        registrar.register(rows.into_iter(), Visibility::Discoverable, |_| {}).await.unwrap();
        self.model.extend(users.map(|i| (i, i + offset)));
    }

    async fn remove(&mut self, server: &Serving<'_>, users: Range<u64>) {
        let identifiers: Vec<_> = users.clone().map(number).collect();
        self.registrar(server).remove(&identifiers).await.unwrap();
        self.model.retain(|user, _| !users.contains(user));
    }

    /// Accounts that come, change and go, all of it acknowledged.
    async fn change(&mut self, server: &Serving<'_>, round: u64) {
        let (new, old) = (ROWS + 100 * round, 100 * round);
        self.register(server, new..new + 50, 0).await;
        self.register(server, old..old + 20, 1_000_000).await;
        self.remove(server, old + 20..old + 40).await;
    }

    /// Compares the rows of epochs, in the file of a server that has ended, with the model; other
    /// epochs must have none.
    #[track_caller]
    fn check(&self, epochs: &[u32], others: &[u32]) {
        let keys = Keys::load(&self.site.path("keys")).unwrap();
        let path = self.site.path("store.redb");
        let store = RedbStore::open(path, keys.storage.check_value()).unwrap();
        let vault = keys.storage.vault();
        let identifiers: Vec<_> = self.model.keys().copied().map(number).collect();
        for epoch in epochs {
            let mut rows = HashMap::new();
            let mut add = |handle: &Handle, sealed: &[u8]| {
                let row = vault.open(*epoch, handle.as_bytes(), sealed).unwrap();
                rows.insert(*row.element.expose_bytes(), row.label.0);
                ControlFlow::Continue(())
            };
            store.scan(*epoch, &mut add).unwrap();
            let (secret, _) = keys.oprf_seeds.get(*epoch).unwrap().epoch_key(*epoch).unwrap();
            let labels = self.model.values().map(|i| label(*i).0);
            let elements = outputs(&secret, &identifiers);
            let expected: HashMap<_, _> = elements.into_iter().zip(labels).collect();
            assert_eq!(rows.len(), expected.len(), "epoch {epoch}");
            assert!(rows == expected, "epoch {epoch}");
        }
        for epoch in others {
            assert_eq!(store.entries(*epoch).unwrap(), 0, "epoch {epoch}");
        }
    }
}

/// Waits until so many rows are moved, or all of them; the phase then.
async fn reach_moved(server: &Serving<'_>, moved: u64) -> RotationPhase {
    let mut admin = server.admin().await;
    let reached = async {
        loop {
            let status = admin.get_status(GetStatusRequest::default()).await.unwrap().into_inner();
            let phase = status.rotation_phase();
            if phase != RotationPhase::Moving || status.moved_entries >= moved {
                return phase;
            }
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, reached).await.expect("the rotation goes on by itself")
}

/// Whatever a kill interrupts, the next process goes on, and every record ends up in exactly the
/// epochs that it should be in.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_rotation_goes_on() {
    let mut rng = seeded("a_killed_rotation_goes_on");
    let (site, started) = (Installation::new(), Instant::now());
    let seed = fs::read(site.path("keys/oprf.seed")).unwrap();
    let registrar = site.mint("back-end", "register", "1h");
    let mut trial = Trial { site: &site, registrar, model: BTreeMap::new() };
    // Publications would only take the time of the test.
    let quiet = [("ACQUAINT__PUBLICATION__DELAY_MS", "3600000")];
    let mut server = site.serve_with(&quiet);
    trial.register(&server, 0..ROWS, 0).await;
    println!("{ROWS} rows after {:?}", started.elapsed());

    server.admin().await.rotate_key(RotateKeyRequest::default()).await.unwrap();
    for round in 0..KILLS {
        // A kill after each page, so that changes meet rows on both sides.
        let moved = PAGE_ROWS * (round + 1);
        let phase = reach_moved(&server, moved).await;
        trial.change(&server, round).await;
        println!("{phase:?} with {moved} rows moved after {:?}", started.elapsed());
        sleep(Duration::from_millis(rng.random_range(0..150))).await;
        server.kill();
        server = site.serve_with(&quiet);
    }
    // The last kill may have come between the fact and the line about it.
    let done = ["every row is in both epochs", r#""phase":"grace""#];
    let both =
        poll(PATIENCE, || done.iter().any(|words| server.log().contains(words)).then_some(()));
    assert!(both.is_some(), "the rotation goes on: {}", server.log());
    trial.change(&server, KILLS).await;
    server.kill();
    trial.check(&[1, 2], &[3]);

    // The grace period is over: the old epoch goes, through as many kills.
    let over = [quiet[0], ("ACQUAINT__ROTATION__GRACE_S", "0")];
    for _ in 0..KILLS {
        server = site.serve_with(&over);
        sleep(Duration::from_millis(rng.random_range(0..100))).await;
        server.kill();
    }
    server = site.serve_with(&over);
    let gone = poll(PATIENCE, || server.log().contains("old key destroyed").then_some(()));
    assert!(gone.is_some(), "the rotation ends: {}", server.log());
    trial.change(&server, KILLS + 1).await;
    server.kill();
    trial.check(&[2], &[1, 3]);
    assert!(!contains(&everything(site.root()), seed.trim_ascii_end()));
    println!("complete after {:?}", started.elapsed());
}
