//! Every limit of the wire at its value and one past it: the exact code and reason, constant
//! texts, and nothing done by a refused call.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use acquaint_client::{Credential, ManifestPin, Visibility};
use acquaint_core::{
    credential::{Claims, Scope},
    keys::CredentialKey,
    limits::{
        BATCH_ELEMENTS_MAX, CHUNK_BYTES, ELEMENT_BYTES, LABEL_BYTES, LOOKUP_BYTES_MAX,
        MESSAGE_BYTES_MAX, SEALED_LABEL_BYTES,
    },
    manifest::{SignedManifest, VerifiedManifest},
};
use acquaint_proto::{
    Reason, Received,
    v1::{
        EvaluateRequest, FetchLabelsRequest, FetchSegmentIndexRequest, FetchSetRequest,
        GetManifestRequest, GetQuotaRequest, GetStatusRequest, RegisterRequest, RegisterResponse,
        RegistryServiceEvaluateRequest, UnregisterRequest,
        admin_service_client::AdminServiceClient,
    },
};
use acquaint_server::clock::{Clock, ManualClock, SystemClock};
use bytes::Bytes;
use futures_util::{future::join_all, stream};
use tokio::{
    sync::{Notify, watch},
    task::block_in_place,
};
use tonic::{Code, Request, Status, transport::Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::world::{
    Site, World, authorized, book, call_raw, collect, elements, found, now_s, oracle, users,
};

const EPOCH: u32 = 1;

const BAD_ENCODINGS: &str = include_str!("../../core/vectors/rfc9496-bad-encodings.txt");

/// Every rpc of the port, with the scope that it demands.
const RPCS: [(&str, Scope); 9] = [
    ("/acquaint.v1.DiscoveryService/GetManifest", Scope::Discover),
    ("/acquaint.v1.DiscoveryService/Evaluate", Scope::Discover),
    ("/acquaint.v1.DiscoveryService/GetQuota", Scope::Discover),
    ("/acquaint.v1.DiscoveryService/FetchSet", Scope::Discover),
    ("/acquaint.v1.DiscoveryService/FetchLabels", Scope::Discover),
    ("/acquaint.v1.RegistryService/GetManifest", Scope::Register),
    ("/acquaint.v1.RegistryService/Evaluate", Scope::Register),
    ("/acquaint.v1.RegistryService/Register", Scope::Register),
    ("/acquaint.v1.RegistryService/Unregister", Scope::Register),
];

/// The rpcs that take elements.
#[derive(Clone, Copy, Debug)]
enum Takes {
    Evaluate,
    RegistryEvaluate,
    Register,
    Unregister,
}

impl Takes {
    const ALL: [Self; 4] =
        [Self::Evaluate, Self::RegistryEvaluate, Self::Register, Self::Unregister];

    async fn call(self, world: &World, epoch: u32, elements: Vec<u8>) -> Result<(), Status> {
        let n_elements = elements.len() / ELEMENT_BYTES;
        let elements = Bytes::from(elements);
        let blinded_elements = elements.clone();
        match self {
            Self::Evaluate => {
                let message = EvaluateRequest { epoch, blinded_elements };
                let answer = world.discovery().evaluate(world.asks("account", message)).await?;
                let answer = answer.into_inner();
                assert_eq!(answer.evaluated_elements.len(), elements.len());
                assert_eq!(answer.proof.len(), 64);
            }
            Self::RegistryEvaluate => {
                let message = RegistryServiceEvaluateRequest { epoch, blinded_elements };
                let answer = world.registry().evaluate(world.orders(message)).await?;
                assert_eq!(answer.into_inner().evaluated_elements.len(), elements.len());
            }
            Self::Register => {
                let labels = vec![7; n_elements * LABEL_BYTES].into();
                let chunk = RegisterRequest { epoch, elements, labels, hidden: false };
                register(world, chunk).await?;
            }
            Self::Unregister => {
                let message = UnregisterRequest { epoch, elements };
                world.registry().unregister(world.orders(message)).await?;
            }
        }
        Ok(())
    }
}

async fn register(world: &World, chunk: RegisterRequest) -> Result<RegisterResponse, Status> {
    let chunks = world.orders(stream::iter([chunk]));
    let answers = world.registry().register(chunks).await?.into_inner();
    collect(answers).await.map(|mut all| all.pop().unwrap())
}

/// Exactly this refusal, in the table's constant words.
#[track_caller]
fn assert_refused(status: &Status, code: Code, reason: Reason) {
    assert_eq!((status.code(), status.message()), (code, reason.text()));
    let received = Received::from(status);
    assert_eq!(received.reason, Some(reason));
    assert_eq!(received.retry_after.is_some(), code == Code::ResourceExhausted);
}

/// Everything of a refusal that reaches the caller.
fn content(status: &Status) -> (Code, String, Vec<u8>) {
    (status.code(), status.message().to_owned(), status.details().to_vec())
}

async fn remaining(world: &World, account: &str) -> u64 {
    let request = world.asks(account, GetQuotaRequest {});
    world.discovery().get_quota(request).await.unwrap().into_inner().quota.unwrap().remaining
}

async fn manifest(world: &World) -> VerifiedManifest {
    let request = world.asks("reader", GetManifestRequest::default());
    let answer = world.discovery().get_manifest(request).await.unwrap().into_inner();
    let signed = SignedManifest::try_from(answer.manifest.unwrap()).unwrap();
    let pin: &ManifestPin = &world.pin;
    signed.verify(pin).unwrap()
}

/// A site that publishes when told to, and never by itself.
fn quiet_site() -> Site {
    let mut site = Site::new();
    site.config.publication.delay_ms = 3_600_000;
    site
}

/// K2: the decoder stands behind every rpc, and a bad batch costs neither quota nor work.
#[tokio::test]
async fn bad_encodings_refuse_the_whole_batch_before_any_work() {
    let mut site = quiet_site();
    let socket = site.path("admin.sock");
    site.config.admin_socket = Some(socket.clone());
    let world = site.start().await;
    let admin = Endpoint::from_shared(format!("unix://{}", socket.display())).unwrap();
    let mut admin = AdminServiceClient::new(admin.connect_lazy());
    let (quota, published) = (remaining(&world, "account").await, manifest(&world).await.head());

    let encodings = BAD_ENCODINGS.lines().filter(|line| line.len() == 2 * ELEMENT_BYTES);
    let encodings: Vec<Vec<u8>> = encodings.map(from_hex).collect();
    assert_eq!(encodings.len(), 30);
    let mut first = None;
    for (i, bad) in encodings.iter().enumerate() {
        let mut batch = elements(0..16);
        batch[i % 16 * ELEMENT_BYTES..][..ELEMENT_BYTES].copy_from_slice(bad);
        for rpc in Takes::ALL {
            let status = rpc.call(&world, EPOCH, batch.clone()).await.unwrap_err();
            assert_refused(&status, Code::InvalidArgument, Reason::InvalidElement);
            if matches!(rpc, Takes::Evaluate) {
                let expected = first.get_or_insert_with(|| content(&status)).clone();
                assert_eq!(content(&status), expected, "the refusal echoes encoding {i}");
            }
        }
    }
    assert_eq!(remaining(&world, "account").await, quota);
    let status = admin.get_status(GetStatusRequest::default()).await.unwrap().into_inner();
    assert_eq!((status.evaluated_elements, status.entries, status.version), (0, 0, 0));
    world.publish().await;
    assert_eq!(manifest(&world).await.head(), published, "nothing was stored");
}

fn from_hex(line: &str) -> Vec<u8> {
    let digit = |i: usize| u8::from_str_radix(&line[i..i + 2], 16).unwrap();
    (0..line.len()).step_by(2).map(digit).collect()
}

/// K2, P4: elements are cut out of packed bytes by length alone, so that no length may slip by.
#[tokio::test]
async fn lengths_that_are_no_batch_are_refused() {
    let world = quiet_site().start().await;
    let quota = remaining(&world, "account").await;
    let longest = BATCH_ELEMENTS_MAX * ELEMENT_BYTES;
    let bytes = elements(0..BATCH_ELEMENTS_MAX as u64 + 1);
    let mut lengths = vec![0, 31, 33, longest - 1, longest + 1, longest + ELEMENT_BYTES];
    lengths.extend([1, 2, 8].iter().flat_map(|k| [64 * k - 1, 64 * k + 1]));
    for length in lengths {
        for rpc in Takes::ALL {
            let status = rpc.call(&world, EPOCH, bytes[..length].to_vec()).await.unwrap_err();
            assert_refused(&status, Code::InvalidArgument, Reason::BatchSize);
        }
    }
    // Far past the limit, where a length in two bytes would have wrapped around.
    for n_elements in [65_535 / ELEMENT_BYTES, 65_536 / ELEMENT_BYTES + 1] {
        let status = Takes::Evaluate
            .call(&world, EPOCH, bytes[..n_elements * ELEMENT_BYTES + 1].to_vec())
            .await
            .unwrap_err();
        assert_refused(&status, Code::InvalidArgument, Reason::BatchSize);
    }
    assert_eq!(remaining(&world, "account").await, quota);
}

/// P4: the largest batch is served by every rpc that takes one, also if all elements are equal.
#[tokio::test]
async fn the_largest_batch_is_accepted() {
    let world = quiet_site().start().await;
    let quota = remaining(&world, "account").await;
    for rpc in Takes::ALL {
        rpc.call(&world, EPOCH, elements(0..BATCH_ELEMENTS_MAX as u64)).await.unwrap();
        rpc.call(&world, EPOCH, elements(0..1)).await.unwrap();
    }
    let equal = elements(0..1).repeat(BATCH_ELEMENTS_MAX);
    Takes::Evaluate.call(&world, EPOCH, equal).await.unwrap();
    let spent = 2 * BATCH_ELEMENTS_MAX as u64 + 1;
    assert_eq!(remaining(&world, "account").await, quota - spent);
}

/// An element registered twice in one chunk is one entry: a directory never holds doubles.
#[tokio::test]
async fn equal_elements_of_a_chunk_become_one_entry() {
    let world = quiet_site().start().await;
    let elements = elements(0..1).repeat(BATCH_ELEMENTS_MAX);
    let labels = vec![7; BATCH_ELEMENTS_MAX * LABEL_BYTES];
    let chunk = RegisterRequest {
        epoch: EPOCH,
        elements: elements.into(),
        labels: labels.into(),
        hidden: false,
    };
    assert_eq!(register(&world, chunk).await.unwrap().added, 1);
    world.publish().await;
    assert_eq!(manifest(&world).await.current().members(), 1);
}

/// Labels that do not fit the elements one to one would give somebody another person's account.
#[tokio::test]
async fn labels_that_do_not_fit_store_nothing() {
    let world = quiet_site().start().await;
    let chunk = |labels_bytes: usize| RegisterRequest {
        epoch: EPOCH,
        elements: elements(0..3).into(),
        labels: vec![7; labels_bytes].into(),
        hidden: false,
    };
    for labels_bytes in [0, 1, 2 * LABEL_BYTES, 3 * LABEL_BYTES - 1, 3 * LABEL_BYTES + 1, 64] {
        let status = register(&world, chunk(labels_bytes)).await.unwrap_err();
        assert_refused(&status, Code::InvalidArgument, Reason::LabelLength);
    }
    let published = manifest(&world).await.head();
    world.publish().await;
    assert_eq!(manifest(&world).await.head(), published);
    let stored = register(&world, chunk(3 * LABEL_BYTES)).await.unwrap();
    assert_eq!((stored.version, stored.added, stored.updated), (3, 3, 0), "the log was empty");
}

/// A refused chunk ends the stream; what was acknowledged before it stays, nothing after it.
#[tokio::test]
async fn a_refused_chunk_changes_nothing_and_ends_the_stream() {
    let world = quiet_site().start().await;
    let chunk = |range: std::ops::Range<u64>, epoch| RegisterRequest {
        epoch,
        labels: vec![7; range.clone().count() * LABEL_BYTES].into(),
        elements: elements(range).into(),
        hidden: false,
    };
    let chunks = [chunk(0..2, EPOCH), chunk(2..4, EPOCH + 1), chunk(4..6, EPOCH)];
    let request = world.orders(stream::iter(chunks));
    let mut answers = world.registry().register(request).await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap().added, 2);
    let status = answers.message().await.unwrap_err();
    assert_refused(&status, Code::FailedPrecondition, Reason::EpochUnknown);
    world.publish().await;
    assert_eq!(manifest(&world).await.current().members(), 2);
}

/// Elements under a key that is not served must never be mixed with those under one that is.
#[tokio::test]
async fn unknown_epochs_are_refused() {
    let world = quiet_site().start().await;
    let quota = remaining(&world, "account").await;
    for epoch in [0, EPOCH + 1, u32::MAX] {
        for rpc in Takes::ALL {
            let status = rpc.call(&world, epoch, elements(0..16)).await.unwrap_err();
            assert_refused(&status, Code::FailedPrecondition, Reason::EpochUnknown);
        }
    }
    assert_eq!(remaining(&world, "account").await, quota);
}

/// P3: a message past the limit is refused by its declared length; one at it is read.
#[tokio::test]
async fn messages_are_read_up_to_the_limit() {
    let world = quiet_site().start().await;
    // Epoch 1, then one field of bytes with its length in three of them.
    let message = |n_bytes: usize| {
        let length = n_bytes - 6;
        let varint = [length as u8 | 0x80, (length >> 7) as u8 | 0x80, (length >> 14) as u8];
        let mut message = vec![0x08, 0x01, 0x12];
        message.extend(varint);
        message.resize(n_bytes, 0xFF);
        Bytes::from(message)
    };
    let paths = [
        ("/acquaint.v1.DiscoveryService/Evaluate", Scope::Discover),
        ("/acquaint.v1.RegistryService/Evaluate", Scope::Register),
        ("/acquaint.v1.RegistryService/Register", Scope::Register),
        ("/acquaint.v1.RegistryService/Unregister", Scope::Register),
    ];
    for (path, scope) in paths {
        let credential = world.site.credential("account", scope);
        let call = |n_bytes| {
            let request = authorized(&credential, message(n_bytes));
            call_raw(world.channel(), path, request)
        };
        let limit = if scope == Scope::Discover { LOOKUP_BYTES_MAX } else { MESSAGE_BYTES_MAX };
        for n_bytes in [limit - 1, limit] {
            let status = call(n_bytes).await.unwrap_err();
            assert_refused(&status, Code::InvalidArgument, Reason::BatchSize);
        }
        for n_bytes in [limit + 1, 4 * MESSAGE_BYTES_MAX + 1] {
            let status = call(n_bytes).await.unwrap_err();
            assert_eq!(status.code(), Code::OutOfRange, "{path}, {n_bytes} bytes");
        }
    }
}

/// A resumed download may start anywhere up to the end, and nowhere else.
#[tokio::test]
async fn positions_and_snapshots_outside_of_what_is_kept_are_refused() {
    let world = quiet_site().start().await;
    let snapshot = manifest(&world).await.current().snapshot.clone();
    let (number, n_segments) = (snapshot.number, snapshot.universe.segment_count());
    let empty_segment = u32::try_from(snapshot.set_bytes).unwrap();
    let fetch = async |snapshot, first_segment, first_offset| {
        let message = FetchSetRequest { snapshot, first_segment, first_offset };
        let answer = world.discovery().fetch_set(world.asks("reader", message)).await;
        let set = match answer {
            Ok(answer) => collect(answer.into_inner()).await.map(|chunks| chunks.len()),
            Err(status) => Err(status),
        };
        let message = FetchLabelsRequest { snapshot, first_segment, first_offset };
        let answer = world.discovery().fetch_labels(world.asks("reader", message)).await;
        let labels = match answer {
            Ok(answer) => collect(answer.into_inner()).await.map(|chunks| chunks.len()),
            Err(status) => Err(status),
        };
        [set, labels]
    };
    for (segment, offset, expected) in
        [(n_segments, 0, 0), (0, 0, 1), (0, empty_segment - 1, 1), (0, empty_segment, 0)]
    {
        let [set, _] = fetch(number, segment, offset).await;
        assert_eq!(set.unwrap(), expected, "{segment}, {offset}");
    }
    assert_eq!(fetch(number, n_segments, 0).await[1].as_ref().unwrap(), &0);
    let past = [
        (n_segments + 1, 0),
        (u32::MAX, 0),
        (0, empty_segment + 1),
        (0, u32::MAX),
        (n_segments, 1),
    ];
    for (segment, offset) in past {
        for result in fetch(number, segment, offset).await {
            assert_refused(&result.unwrap_err(), Code::InvalidArgument, Reason::Position);
        }
    }
    for snapshot in [0, number + 1, u64::MAX] {
        for result in fetch(snapshot, 0, 0).await {
            assert_refused(&result.unwrap_err(), Code::NotFound, Reason::SnapshotUnknown);
        }
        let message = FetchSegmentIndexRequest { snapshot };
        let answer = world.discovery().fetch_segment_index(world.asks("reader", message)).await;
        assert_refused(&answer.unwrap_err(), Code::NotFound, Reason::SnapshotUnknown);
    }
}

/// Downloads come in messages that any client has room for, in order and without gaps.
#[tokio::test]
async fn chunks_are_never_above_their_limit() {
    let world = quiet_site().start().await;
    let n_members = BATCH_ELEMENTS_MAX as u64 * 2 + 1;
    for first in (0..n_members).step_by(BATCH_ELEMENTS_MAX) {
        let last = n_members.min(first + BATCH_ELEMENTS_MAX as u64);
        Takes::Register.call(&world, EPOCH, elements(first..last)).await.unwrap();
    }
    world.publish().await;
    let snapshot = manifest(&world).await.current().snapshot.clone();
    assert_eq!((snapshot.members, snapshot.universe.segment_count()), (n_members, 1));
    let number = snapshot.number;
    let message = FetchLabelsRequest { snapshot: number, ..Default::default() };
    let answer = world.discovery().fetch_labels(world.asks("reader", message)).await.unwrap();
    let chunks = collect(answer.into_inner()).await.unwrap();
    let shape: Vec<_> = chunks.iter().map(|c| (c.segment, c.offset, c.data.len())).collect();
    let half = u32::try_from(CHUNK_BYTES).unwrap();
    let expected = [(0, 0, CHUNK_BYTES), (0, half, CHUNK_BYTES), (0, 2 * half, SEALED_LABEL_BYTES)];
    assert_eq!(shape, expected);
    let message = FetchSetRequest { snapshot: number, ..Default::default() };
    let answer = world.discovery().fetch_set(world.asks("reader", message)).await.unwrap();
    let chunks = collect(answer.into_inner()).await.unwrap();
    assert!(chunks.iter().all(|chunk| (1..=CHUNK_BYTES).contains(&chunk.data.len())));
    let set_bytes: u64 = chunks.iter().map(|chunk| chunk.data.len() as u64).sum();
    assert_eq!(set_bytes, snapshot.set_bytes);
}

/// T5: no forged credential opens any rpc, and all forgeries get the same answer.
#[tokio::test]
async fn forged_credentials_open_nothing() {
    let world = quiet_site().start().await;
    let (key_id, key) = world.site.keys.newest_credential().unwrap();
    for (path, scope) in RPCS {
        let claims = world.site.claims("account", scope);
        let good = Credential::mint(key, &claims);
        let text = good.expose_text();
        let mut flipped = text.to_owned().into_bytes();
        flipped[20] = if flipped[20] == b'A' { b'B' } else { b'A' };
        let foreign_key = CredentialKey::from_bytes([9; 32]);
        let forged = [
            String::new(),
            "secret-garbage".to_owned(),
            "A".repeat(4_000),
            text[1..].to_owned(),
            text[..text.len() - 1].to_owned(),
            format!("{text}A"),
            String::from_utf8(flipped).unwrap(),
            Credential::mint(&foreign_key, &claims).expose_text().to_owned(),
            mint(key, Claims { tenant: "other".parse().unwrap(), ..claims.clone() }),
            mint(key, Claims { audience: "other".parse().unwrap(), ..claims.clone() }),
            mint(key, Claims { key_id: key_id + 1, ..claims.clone() }),
            mint(key, Claims { issued_at: now_s() + 600, ..claims.clone() }),
        ];
        let mut first = None;
        for text in forged {
            let mut request = Request::new(Bytes::new());
            let value = format!("Bearer {text}").parse().unwrap();
            request.metadata_mut().insert("authorization", value);
            let status = call_raw(world.channel(), path, request).await.unwrap_err();
            assert_refused(&status, Code::Unauthenticated, Reason::CredentialInvalid);
            let expected = first.get_or_insert_with(|| content(&status));
            assert_eq!(&content(&status), expected, "one constant answer to all forgeries");
        }

        // None, or not where it belongs.
        let schemes = [None, Some(""), Some("Bearer"), Some("Basic QTpC"), Some("bearer QTpC")];
        for value in
            schemes.into_iter().map(|value| value.map(str::to_owned)).chain([Some(text.to_owned())])
        {
            let mut request = Request::new(Bytes::new());
            if let Some(value) = value {
                request.metadata_mut().insert("authorization", value.parse().unwrap());
            }
            let status = call_raw(world.channel(), path, request).await.unwrap_err();
            assert_refused(&status, Code::Unauthenticated, Reason::CredentialMissing);
        }

        let wrong_scope = match scope {
            Scope::Discover => Scope::Register,
            _ => Scope::Discover,
        };
        let credential = world.site.credential("account", wrong_scope);
        let request = authorized(&credential, Bytes::new());
        let status = call_raw(world.channel(), path, request).await.unwrap_err();
        assert_refused(&status, Code::PermissionDenied, Reason::ScopeMissing);

        // The control: with the right credential the same empty message gets past the gate.
        let answer = call_raw(world.channel(), path, authorized(&good, Bytes::new())).await;
        let code = answer.err().map(|status| status.code());
        let past = [None, Some(Code::FailedPrecondition), Some(Code::NotFound)];
        assert!(past.contains(&code), "{path}: {code:?}");
    }
}

fn mint(key: &CredentialKey, claims: Claims) -> String {
    Credential::mint(key, &claims).expose_text().to_owned()
}

/// T5: a credential is good until the last millisecond before its expiry, not one longer.
#[tokio::test]
async fn credentials_expire_exactly_when_they_say() {
    let expiry = 1_900_000_000;
    let clock = Arc::new(ManualClock::at_ms(expiry * 1_000 - 1));
    let world = quiet_site().start_with_clock(Arc::<ManualClock>::clone(&clock)).await;
    for (path, scope) in RPCS {
        let credential = world.site.credential_until("account", scope, expiry);
        let call = || call_raw(world.channel(), path, authorized(&credential, Bytes::new()));
        let code = |result: Result<Vec<Bytes>, Status>| result.err().map(|status| status.code());
        clock.set_ms(expiry * 1_000 - 1);
        assert_ne!(code(call().await), Some(Code::Unauthenticated), "{path}");
        for now_ms in [expiry * 1_000, expiry * 1_000 + 1, u64::MAX] {
            clock.set_ms(now_ms);
            let status = call().await.unwrap_err();
            assert_refused(&status, Code::Unauthenticated, Reason::CredentialExpired);
        }
        // An expired forgery is a forgery: expiry is told to owners only.
        let text = &credential.expose_text()[1..];
        let request = authorized(&Credential::from_text(text), Bytes::new());
        let status = call_raw(world.channel(), path, request).await.unwrap_err();
        assert_refused(&status, Code::Unauthenticated, Reason::CredentialInvalid);
    }
}

/// The system's clock, which can hold up one charge: the batch keeps its place in the queue.
#[derive(Debug)]
struct HoldingClock {
    hold: Mutex<Option<mpsc::Receiver<()>>>,
    held: Notify,
    /// Calls that were admitted so far.
    admitted: watch::Sender<usize>,
}

impl Clock for HoldingClock {
    /// Asked when a batch is charged, which has its place in the queue by then.
    fn now_ms(&self) -> u64 {
        let hold = self.hold.lock().unwrap().take();
        if let Some(release) = hold {
            self.held.notify_one();
            block_in_place(|| release.recv().unwrap());
        }
        SystemClock.now_ms()
    }

    /// Asked when a credential is checked.
    fn now_s(&self) -> u64 {
        self.admitted.send_modify(|n_calls| *n_calls += 1);
        SystemClock.now_s()
    }
}

/// A full queue refuses at once, for free, and says for how long; whoever waits gets through.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_refuses_and_retrying_gets_through() {
    let mut site = quiet_site();
    site.config.evaluator.threads = 1;
    site.config.evaluator.queue_elements = BATCH_ELEMENTS_MAX as u32;
    let (held, admitted) = (Notify::new(), watch::Sender::new(0));
    let clock = Arc::new(HoldingClock { hold: Mutex::new(None), held, admitted });
    let world = site.start_with_clock(Arc::<HoldingClock>::clone(&clock)).await;
    let people = users(0..40);
    world.register(&people, Visibility::Discoverable).await;
    let quota = remaining(&world, "account").await;

    let discovery = world.discovery();
    let batch = |n_elements: usize| EvaluateRequest {
        epoch: EPOCH,
        blinded_elements: elements(0..1).repeat(n_elements).into(),
    };
    let call = |account: &str, n_elements| {
        let request = world.asks(account, batch(n_elements));
        let mut discovery = discovery.clone();
        async move { discovery.evaluate(request).await }
    };
    let (release, hold) = mpsc::channel();
    *clock.hold.lock().unwrap() = Some(hold);
    let first = tokio::spawn(call("first", BATCH_ELEMENTS_MAX));
    clock.held.notified().await;

    let calls = [1, 16, BATCH_ELEMENTS_MAX].into_iter().cycle().take(20);
    for answer in join_all(calls.map(|n_elements| call("account", n_elements))).await {
        let status = answer.unwrap_err();
        assert_refused(&status, Code::ResourceExhausted, Reason::QueueFull);
        let wait = Received::from(&status).retry_after.unwrap();
        let range = Duration::from_millis(100)..=Duration::from_secs(1);
        assert!(range.contains(&wait), "{wait:?}");
    }

    let (client, book) = (world.client("patient"), book(20..60));
    let mut admitted = clock.admitted.subscribe();
    let n_before = *admitted.borrow();
    let release = async {
        // Manifest, set, and two attempts to evaluate, in whatever order.
        admitted.wait_for(|n_calls| *n_calls >= n_before + 4).await.unwrap();
        release.send(()).unwrap();
    };
    let (outcome, ()) = tokio::join!(client.sync(&book, |_| {}), release);
    let outcome = outcome.unwrap();
    assert_eq!(found(&outcome), oracle(&book, &people));
    assert!(outcome.report.evaluate.bytes_up >= 2 * 64 * 32, "refused, then granted");

    let answer = first.await.unwrap().unwrap().into_inner();
    assert_eq!(answer.quota.unwrap().charged, BATCH_ELEMENTS_MAX as u64);
    assert_eq!(remaining(&world, "account").await, quota, "a refused batch is free");
}

/// What one account has in the evaluator keeps nobody else out of it, and is no more than its share.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_has_its_share_of_the_evaluator_and_no_more() {
    let mut site = quiet_site();
    site.config.evaluator.account_elements = BATCH_ELEMENTS_MAX as u32;
    let (held, admitted) = (Notify::new(), watch::Sender::new(0));
    let clock = Arc::new(HoldingClock { hold: Mutex::new(None), held, admitted });
    let world = site.start_with_clock(Arc::<HoldingClock>::clone(&clock)).await;
    let discovery = world.discovery();
    let call = |account: &str, elements: Vec<u8>| {
        let message = EvaluateRequest { epoch: EPOCH, blinded_elements: elements.into() };
        let request = world.asks(account, message);
        let mut discovery = discovery.clone();
        async move { discovery.evaluate(request).await }
    };
    let (release, hold) = mpsc::channel();
    *clock.hold.lock().unwrap() = Some(hold);
    let first = tokio::spawn(call("greedy", elements(0..1).repeat(BATCH_ELEMENTS_MAX)));
    clock.held.notified().await;

    let status = call("greedy", elements(0..1)).await.unwrap_err();
    assert_refused(&status, Code::ResourceExhausted, Reason::QueueFull);
    assert!(Received::from(&status).retry_after.is_some());
    call("modest", elements(0..16)).await.unwrap();
    release.send(()).unwrap();
    first.await.unwrap().unwrap();
    call("greedy", elements(0..1)).await.unwrap();
}

/// Load balancers and operators' tools find what they need, without a credential and no more.
#[tokio::test]
async fn health_and_reflection_answer_and_the_admin_service_does_not() {
    let world = World::start().await;
    let mut health = HealthClient::new(world.channel());
    for service in ["", "acquaint.v1.DiscoveryService", "acquaint.v1.RegistryService"] {
        let request = HealthCheckRequest { service: service.to_owned() };
        let answer = health.check(request).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    let request = HealthCheckRequest { service: "acquaint.v1.AdminService".to_owned() };
    assert_eq!(health.check(request).await.unwrap_err().code(), Code::NotFound);

    // `list_services`, field 7, of one character.
    let request = Request::new(Bytes::from_static(&[0x3A, 0x01, b'*']));
    let path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let answers = call_raw(world.channel(), path, request).await.unwrap().concat();
    let lists = |name: &str| answers.windows(name.len()).any(|window| window == name.as_bytes());
    assert!(lists("acquaint.v1.DiscoveryService"));
    assert!(lists("acquaint.v1.RegistryService"));
    assert!(!lists("acquaint.v1.AdminService"));

    for rpc in ["/acquaint.v1.AdminService/Publish", "/acquaint.v1.AdminService/GetStatus"] {
        let request = world.orders(Bytes::new());
        let status = call_raw(world.channel(), rpc, request).await.unwrap_err();
        assert_eq!(status.code(), Code::Unimplemented, "{rpc}");
    }
}
