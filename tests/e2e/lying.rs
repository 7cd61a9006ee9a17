//! A lying server with a genuine certificate: whatever it says, the SDK concludes nothing wrong.
//!
//! The liar has everything a real server has: the operator's keys, honest answers, real TLS. Each
//! case changes one thing. The controls show that without the lie the same script is believed.

use std::{
    collections::HashMap,
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use acquaint_client::{
    AddressBook, Builder, Client, ClientError, Credential, Identifier, Label, Misbehavior,
    Progress, StaticCredential, SyncOutcome,
};
use acquaint_core::{
    keys::{ManifestKey, OprfSeed, Row},
    limits::{ELEMENT_BYTES, MESSAGE_BYTES_MAX},
    manifest::{
        ChainError, EpochInfo, Manifest, ManifestError, OverlayInfo, Policy, SegmentIndex,
        SignedManifest,
    },
    oprf::{
        self, BlindedBatch, Evaluation, Mode, OprfElement, Padding, Proof, PublicKey, SecretKey,
    },
    set::{Overlay, Record, Universe},
};
use acquaint_proto::{
    Reason, Refusal,
    v1::{
        self, EvaluateRequest, EvaluateResponse, FetchDeltaRequest, FetchDeltaResponse,
        FetchLabelsRequest, FetchLabelsResponse, FetchSegmentIndexRequest,
        FetchSegmentIndexResponse, FetchSetRequest, FetchSetResponse, GetManifestRequest,
        GetManifestResponse, GetQuotaRequest, GetQuotaResponse,
        discovery_service_server::{DiscoveryService, DiscoveryServiceServer},
    },
};
use acquaint_server::directory::{
    record,
    snapshot::{self, Part, Snapshot},
};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{
    Request, Response, Status, async_trait,
    transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

use crate::world::{book, elements, found, install_provider, label, number, oracle};

mod deltas;

const EPOCH: u32 = 1;

/// Users of the directory, and a book of which the first half are.
const USERS: u64 = 40;
const BOOK: std::ops::Range<u64> = 10..70;

/// The operator whose key the client pins, its directory, and everything needed to lie.
struct Operator {
    seed: OprfSeed,
    manifest_key: ManifestKey,
    people: HashMap<Identifier, Label>,
    records: Vec<Record>,
}

static OPERATOR: LazyLock<Operator> = LazyLock::new(Operator::new);

/// A directory of the people alone: quick to download.
static SMALL: LazyLock<Shown> = LazyLock::new(|| Shown::new(&OPERATOR.publish(7, |_, _| {})));

/// The same people among 60,000 others, in four segments of several chunks each.
static LARGE: LazyLock<Shown> = LazyLock::new(|| {
    let crowd = |_: &mut Manifest, records: &mut Vec<Record>| {
        let stranger = || Record { tag: rand::random(), sealed_label: rand::random() };
        records.extend(std::iter::repeat_with(stranger).take(60_000));
    };
    Shown::new(&OPERATOR.publish(7, crowd))
});

/// Certificate, which is its own root, and key.
static TLS: LazyLock<(String, String)> = LazyLock::new(|| {
    let identity = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    (identity.cert.pem(), identity.signing_key.serialize_pem())
});

impl Operator {
    fn new() -> Self {
        let seed = OprfSeed::generate(&mut rand::rng());
        let people: HashMap<_, _> = (0..USERS).map(|i| (number(i), label(i))).collect();
        let (identifiers, labels): (Vec<_>, Vec<_>) = people.clone().into_iter().unzip();
        let rows = outputs(&seed, &identifiers).into_iter().zip(labels);
        let row = |(element, label)| Row { element, label, hidden: false };
        let records = rows.map(|pair| record(EPOCH, &row(pair)).unwrap()).collect();
        let manifest_key = ManifestKey::generate(&mut rand::rng());
        Self { seed, manifest_key, people, records }
    }

    fn secret(&self) -> SecretKey {
        self.seed.epoch_key(EPOCH).unwrap().0
    }

    fn public(&self) -> PublicKey {
        self.seed.epoch_key(EPOCH).unwrap().1
    }

    /// Publishes the people as snapshot and manifest of one number, after a change of records or
    /// manifest.
    fn publish(
        &self,
        number: u64,
        change: impl FnOnce(&mut Manifest, &mut Vec<Record>),
    ) -> (SignedManifest, Snapshot) {
        let mut records = self.records.clone();
        let mut manifest = Manifest {
            tenant: "demo".parse().unwrap(),
            sequence: number,
            changed_at: 1_700_000_000,
            previous: [9; 32],
            policy: Policy {
                padding_classes: vec![16, 32, 64],
                quota_elements: 10_000,
                quota_refill_per_day: 10_000,
                repeat_retention_seconds: 600,
                delta_retention_seconds: 600,
            },
            epochs: Vec::new(),
        };
        change(&mut manifest, &mut records);
        let universe = Universe::for_members(records.len() as u64).unwrap();
        let snapshot = Snapshot::build(EPOCH, number, number, universe, &mut records).unwrap();
        let empty = Overlay::empty(*snapshot.view().identity()).encode();
        manifest.epochs.push(EpochInfo {
            epoch: EPOCH,
            public_key: self.public(),
            version: number,
            snapshot: snapshot.info().clone(),
            overlay: OverlayInfo {
                bytes: empty.len() as u64,
                removed: 0,
                added: 0,
                digest: *blake3::hash(&empty).as_bytes(),
            },
        });
        (manifest.sign(&self.manifest_key).unwrap(), snapshot)
    }
}

/// `E = k·H(x)`, as a registrar obtains it.
fn outputs(seed: &OprfSeed, identifiers: &[Identifier]) -> Vec<OprfElement> {
    let (secret, public) = seed.epoch_key(EPOCH).unwrap();
    let inputs: Vec<_> = identifiers.iter().map(Identifier::as_bytes).collect();
    let blinding = oprf::blind(Mode::Voprf, &inputs, Padding::None, &mut rand::rng()).unwrap();
    let (evaluated, proof) = evaluated(&secret, &blinding.to_bytes());
    blinding.verify(&public, &evaluated, &proof.to_bytes()).unwrap().unblind()
}

/// An honest evaluation under any key, with the proof for that key.
fn evaluated(secret: &SecretKey, blinded: &[u8]) -> (Vec<u8>, Proof) {
    let batch = BlindedBatch::try_from(blinded).unwrap();
    let Evaluation { elements, proof } =
        oprf::blind_evaluate(Mode::Voprf, secret, &batch, &mut rand::rng());
    (elements.concat(), proof.unwrap())
}

/// A piece of a download.
#[derive(Clone, PartialEq)]
struct Piece {
    segment: u32,
    offset: u32,
    data: Bytes,
}

/// A snapshot as a server shows it.
#[derive(Clone)]
struct Shown {
    signed: SignedManifest,
    manifest: Manifest,
    index: Bytes,
    segments: usize,
    set: Vec<Piece>,
    labels: Vec<Piece>,
}

impl Shown {
    fn new((signed, snapshot): &(SignedManifest, Snapshot)) -> Self {
        let pieces = |part| -> Vec<Piece> {
            let chunks = snapshot.chunks(part, 0, 0).unwrap();
            let piece =
                |c: snapshot::Chunk| Piece { segment: c.segment, offset: c.offset, data: c.data };
            chunks.map(piece).collect()
        };
        let verified = signed.verify(&OPERATOR.manifest_key.pin()).unwrap();
        let index = SegmentIndex::decode(&snapshot.index(), snapshot.info()).unwrap();
        Self {
            signed: signed.clone(),
            manifest: (*verified).clone(),
            index: snapshot.index(),
            segments: index.segments().len(),
            set: pieces(Part::Set),
            labels: pieces(Part::Labels),
        }
    }
}

type Answers<Q, A> = Box<dyn Fn(usize, &Q) -> Result<A, Status> + Send + Sync>;

/// What the server answers, by rpc; the first argument counts the calls of that rpc from 0.
struct Script {
    manifest: Answers<GetManifestRequest, GetManifestResponse>,
    index: Answers<FetchSegmentIndexRequest, Bytes>,
    evaluate: Answers<EvaluateRequest, EvaluateResponse>,
    set: Answers<FetchSetRequest, Vec<Piece>>,
    labels: Answers<FetchLabelsRequest, Vec<Piece>>,
    delta: Answers<FetchDeltaRequest, Vec<FetchDeltaResponse>>,
}

impl Script {
    fn honest(shown: &Shown) -> Self {
        let Shown { signed, index, set, labels, .. } = shown.clone();
        Self {
            manifest: Box::new(move |_, _| Ok(manifest_answer(&signed))),
            index: Box::new(move |_, _| Ok(index.clone())),
            evaluate: Box::new(|_, request| Ok(honest_answer(request))),
            set: Box::new(move |_, _| Ok(set.clone())),
            labels: Box::new(move |_, _| Ok(labels.clone())),
            delta: Box::new(|_, _| Err(Refusal::new(Reason::SnapshotUnknown).into())),
        }
    }
}

fn manifest_answer(signed: &SignedManifest) -> GetManifestResponse {
    GetManifestResponse { manifest: Some(signed.clone().into()) }
}

fn honest_answer(request: &EvaluateRequest) -> EvaluateResponse {
    answer_under(&OPERATOR.secret(), &request.blinded_elements)
}

fn answer_under(secret: &SecretKey, blinded: &[u8]) -> EvaluateResponse {
    let (elements, proof) = evaluated(secret, blinded);
    EvaluateResponse {
        evaluated_elements: elements.into(),
        proof: proof.to_bytes().to_vec().into(),
        quota: Some(v1::Quota { remaining: 1, capacity: 1, ..v1::Quota::default() }),
    }
}

/// Calls that the server received.
#[derive(Default)]
struct Seen {
    manifest: AtomicUsize,
    evaluate: AtomicUsize,
    set: AtomicUsize,
    labels: AtomicUsize,
    delta: AtomicUsize,
    index: AtomicUsize,
}

struct Liar {
    script: Script,
    seen: Arc<Seen>,
}

#[async_trait]
impl DiscoveryService for Liar {
    async fn get_manifest(
        &self,
        request: Request<GetManifestRequest>,
    ) -> Result<Response<GetManifestResponse>, Status> {
        let call = self.seen.manifest.fetch_add(1, SeqCst);
        (self.script.manifest)(call, request.get_ref()).map(Response::new)
    }

    async fn evaluate(
        &self,
        request: Request<EvaluateRequest>,
    ) -> Result<Response<EvaluateResponse>, Status> {
        let call = self.seen.evaluate.fetch_add(1, SeqCst);
        (self.script.evaluate)(call, request.get_ref()).map(Response::new)
    }

    async fn get_quota(
        &self,
        _: Request<GetQuotaRequest>,
    ) -> Result<Response<GetQuotaResponse>, Status> {
        let ample = v1::Quota { remaining: 1 << 20, capacity: 1 << 20, ..v1::Quota::default() };
        Ok(Response::new(GetQuotaResponse { quota: Some(ample) }))
    }

    async fn fetch_segment_index(
        &self,
        request: Request<FetchSegmentIndexRequest>,
    ) -> Result<Response<FetchSegmentIndexResponse>, Status> {
        let call = self.seen.index.fetch_add(1, SeqCst);
        let index = (self.script.index)(call, request.get_ref())?;
        Ok(Response::new(FetchSegmentIndexResponse { index }))
    }

    type FetchDeltaStream = BoxStream<'static, Result<FetchDeltaResponse, Status>>;

    async fn fetch_delta(
        &self,
        request: Request<FetchDeltaRequest>,
    ) -> Result<Response<Self::FetchDeltaStream>, Status> {
        let call = self.seen.delta.fetch_add(1, SeqCst);
        let messages = (self.script.delta)(call, request.get_ref())?;
        Ok(Response::new(stream::iter(messages.into_iter().map(Ok)).boxed()))
    }

    type FetchSetStream = BoxStream<'static, Result<FetchSetResponse, Status>>;

    async fn fetch_set(
        &self,
        request: Request<FetchSetRequest>,
    ) -> Result<Response<Self::FetchSetStream>, Status> {
        let call = self.seen.set.fetch_add(1, SeqCst);
        let pieces = (self.script.set)(call, request.get_ref())?;
        let message =
            |Piece { segment, offset, data }| Ok(FetchSetResponse { segment, offset, data });
        Ok(Response::new(stream::iter(pieces.into_iter().map(message)).boxed()))
    }

    type FetchLabelsStream = BoxStream<'static, Result<FetchLabelsResponse, Status>>;

    async fn fetch_labels(
        &self,
        request: Request<FetchLabelsRequest>,
    ) -> Result<Response<Self::FetchLabelsStream>, Status> {
        let call = self.seen.labels.fetch_add(1, SeqCst);
        let pieces = (self.script.labels)(call, request.get_ref())?;
        let message =
            |Piece { segment, offset, data }| Ok(FetchLabelsResponse { segment, offset, data });
        Ok(Response::new(stream::iter(pieces.into_iter().map(message)).boxed()))
    }
}

/// A running liar; stops when dropped.
struct Lying {
    url: String,
    seen: Arc<Seen>,
    served: JoinHandle<()>,
}

impl Lying {
    async fn start(script: Script) -> Self {
        install_provider();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let seen = Arc::new(Seen::default());
        let service = DiscoveryServiceServer::new(Liar { script, seen: Arc::clone(&seen) });
        let (certificate, key) = &*TLS;
        let identity = Identity::from_pem(certificate, key);
        let router = Server::builder()
            .tls_config(ServerTlsConfig::new().identity(identity))
            .unwrap()
            .add_service(service.max_decoding_message_size(MESSAGE_BYTES_MAX));
        let served = tokio::spawn(async move {
            router.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
        });
        Self { url, seen, served }
    }

    fn builder(&self) -> Builder<Client> {
        Client::builder(&self.url)
            .pin(OPERATOR.manifest_key.pin())
            .trust_root_pem(TLS.0.as_bytes())
            .credentials(StaticCredential::new(Credential::from_text("any")))
            .retry_time_max(Duration::from_secs(20))
            .threads(1)
    }

    /// Calls so far: manifest, evaluate, set, labels.
    fn calls(&self) -> [usize; 4] {
        let Seen { manifest, evaluate, set, labels, .. } = &*self.seen;
        [manifest, evaluate, set, labels].map(|calls| calls.load(SeqCst))
    }
}

impl Drop for Lying {
    fn drop(&mut self) {
        self.served.abort();
    }
}

/// A lookup with everything it told on its way.
async fn sync(client: &Client) -> (Result<SyncOutcome, ClientError>, Vec<Progress>) {
    let events = Mutex::new(Vec::new());
    let outcome = client.sync(&contacts(), |event| events.lock().unwrap().push(event)).await;
    (outcome, events.into_inner().unwrap())
}

fn contacts() -> AddressBook {
    book(BOOK)
}

#[track_caller]
fn assert_honest(outcome: &SyncOutcome) {
    assert_eq!(found(outcome), oracle(&contacts(), &OPERATOR.people));
}

/// The error of a new client that meets the script, how far it came, and what the server saw.
async fn refusal(script: Script) -> (ClientError, Vec<Progress>, [usize; 4]) {
    let lying = Lying::start(script).await;
    let (outcome, events) = sync(&lying.builder().build().unwrap()).await;
    (outcome.unwrap_err(), events, lying.calls())
}

const fn misbehaved(misbehavior: Misbehavior) -> ClientError {
    ClientError::ServerMisbehaved(misbehavior)
}

/// The controls: the script is believed as long as it does not lie.
#[tokio::test]
async fn an_honest_script_is_believed() {
    for shown in [&*SMALL, &*LARGE] {
        let lying = Lying::start(Script::honest(shown)).await;
        let (outcome, _) = sync(&lying.builder().build().unwrap()).await;
        assert_honest(&outcome.unwrap());
        assert_eq!(lying.calls(), [1, 1, 1, 1]);
    }
    assert_eq!(LARGE.segments, 4);
    assert!(LARGE.labels.len() >= 8, "several chunks a segment");
}

/// K3: an evaluation that the proof does not cover is never unblinded, let alone matched.
#[tokio::test]
async fn evaluations_that_the_proof_does_not_cover_are_refused() {
    let other_secret = || OprfSeed::from_bytes([5; 32]).epoch_key(EPOCH).unwrap().0;
    type Lie = Box<dyn Fn(&[u8], EvaluateResponse) -> EvaluateResponse + Send + Sync>;
    let lie = |f: fn(&[u8], EvaluateResponse) -> EvaluateResponse| -> Lie { Box::new(f) };
    let set_proof = |proof: Vec<u8>| -> Lie {
        Box::new(move |_, honest| EvaluateResponse { proof: proof.clone().into(), ..honest })
    };
    let lies: Vec<(&str, Lie)> = vec![
        ("another key, proven", Box::new(move |sent, _| answer_under(&other_secret(), sent))),
        (
            "another epoch's key, proven",
            lie(|sent, _| answer_under(&OPERATOR.seed.epoch_key(EPOCH + 1).unwrap().0, sent)),
        ),
        (
            "another key, with the proof of the right one",
            Box::new(move |sent, honest| EvaluateResponse {
                evaluated_elements: evaluated(&other_secret(), sent).0.into(),
                ..honest
            }),
        ),
        (
            "the right elements, with the proof of another batch",
            lie(|sent, honest| {
                let proof = evaluated(&OPERATOR.secret(), &elements(0..sent.len() as u64 / 32)).1;
                EvaluateResponse { proof: proof.to_bytes().to_vec().into(), ..honest }
            }),
        ),
        (
            "another batch, proven",
            lie(|sent, _| answer_under(&OPERATOR.secret(), &elements(0..sent.len() as u64 / 32))),
        ),
        (
            "two elements permuted",
            lie(|_, honest| with_elements(honest, |elements| elements.swap(3, 40))),
        ),
        (
            "the whole batch permuted, proven in that order",
            lie(|sent, _| {
                let mut turned = sent.to_vec();
                turned.rotate_left(ELEMENT_BYTES);
                answer_under(&OPERATOR.secret(), &turned)
            }),
        ),
        (
            "one element replaced by another of the batch",
            lie(|_, honest| with_elements(honest, |elements| elements[0] = elements[1])),
        ),
        (
            "one element replaced by a foreign one",
            lie(|_, honest| {
                let foreign = elements(0..1).try_into().unwrap();
                with_elements(honest, |elements| elements[63] = foreign)
            }),
        ),
        (
            "one element under another key",
            Box::new(move |sent, honest| {
                let (foreign, _) = evaluated(&other_secret(), sent);
                let foreign = foreign[..ELEMENT_BYTES].try_into().unwrap();
                with_elements(honest, |elements| elements[0] = foreign)
            }),
        ),
        (
            "the elements as they came",
            lie(|sent, honest| EvaluateResponse {
                evaluated_elements: sent.to_vec().into(),
                ..honest
            }),
        ),
        (
            "the proof with its halves swapped",
            lie(|_, honest| {
                let mut proof = honest.proof.to_vec();
                proof.rotate_left(32);
                EvaluateResponse { proof: proof.into(), ..honest }
            }),
        ),
        (
            "the proof with a bit of the challenge flipped",
            lie(|_, honest| {
                let mut proof = honest.proof.to_vec();
                proof[0] ^= 1;
                EvaluateResponse { proof: proof.into(), ..honest }
            }),
        ),
        (
            "the proof with a bit of the response flipped",
            lie(|_, honest| {
                let mut proof = honest.proof.to_vec();
                proof[40] ^= 0x80;
                EvaluateResponse { proof: proof.into(), ..honest }
            }),
        ),
        ("a proof of zeros", set_proof(vec![0; 64])),
        ("a proof of ones", set_proof([[1; 31].as_slice(), &[0]].concat().repeat(2))),
    ];
    for (name, lie) in lies {
        let evaluate = move |_: usize, request: &EvaluateRequest| {
            Ok(lie(&request.blinded_elements, honest_answer(request)))
        };
        let script = Script { evaluate: Box::new(evaluate), ..Script::honest(&SMALL) };
        let (error, events, calls) = refusal(script).await;
        assert_eq!(error, misbehaved(Misbehavior::ProofRefuted), "{name}");
        assert_nothing_concluded(&events, calls, name);
    }
}

fn with_elements(
    honest: EvaluateResponse,
    change: impl FnOnce(&mut [[u8; ELEMENT_BYTES]]),
) -> EvaluateResponse {
    let mut bytes = honest.evaluated_elements.to_vec();
    change(bytes.as_chunks_mut().0);
    EvaluateResponse { evaluated_elements: bytes.into(), ..honest }
}

/// No contact counted as evaluated, nothing searched, no second attempt.
#[track_caller]
fn assert_nothing_concluded(events: &[Progress], calls: [usize; 4], name: &str) {
    let concluded = |event: &&Progress| match event {
        Progress::Evaluate { done, .. } => *done > 0,
        Progress::Match => true,
        _ => false,
    };
    assert_eq!(events.iter().find(concluded), None, "{name}");
    let [manifest, evaluate, set, labels] = calls;
    assert_eq!((manifest, evaluate), (1, 1), "{name}");
    assert!(set <= 1 && labels <= 1, "{name}");
}

/// Anything that is not a batch of the right size with a well-formed proof is refused as such.
#[tokio::test]
async fn malformed_evaluations_are_refused() {
    use Misbehavior::{Evaluation as Malformed, Message};
    type Lie = fn(&mut Vec<u8>, &mut Vec<u8>);
    let lies: [(&str, Lie, Misbehavior); 17] = [
        ("one element fewer", |e, _| e.truncate(63 * 32), Malformed),
        ("one element more", |e, _| e.extend_from_within(..32), Malformed),
        ("half of an element fewer", |e, _| e.truncate(64 * 32 - 16), Malformed),
        ("one byte more", |e, _| e.push(0), Malformed),
        ("no elements", |e, _| e.clear(), Malformed),
        ("nothing at all", |e, p| (e.clear(), p.clear()).0, Malformed),
        ("the identity", |e, _| e[320..352].fill(0), Malformed),
        ("only identities", |e, _| e.fill(0), Malformed),
        ("a string that is no element", |e, _| e[320..352].fill(0xFF), Malformed),
        ("a negative element", |e, _| e[320..352].copy_from_slice(&one()), Malformed),
        ("no proof", |_, p| p.clear(), Malformed),
        ("a proof one byte short", |_, p| p.truncate(63), Malformed),
        ("a proof one byte long", |_, p| p.push(0), Malformed),
        ("two proofs", |_, p| p.extend_from_within(..), Malformed),
        ("a challenge that is no scalar", |_, p| p[..32].fill(0xFF), Malformed),
        ("a response that is no scalar", |_, p| p[32..].fill(0xFF), Malformed),
        ("more than a message holds", |e, _| e.resize(MESSAGE_BYTES_MAX, 7), Message),
    ];
    for (name, lie, expected) in lies {
        let evaluate = move |_: usize, request: &EvaluateRequest| {
            let honest = honest_answer(request);
            let (mut elements, mut proof) =
                (honest.evaluated_elements.to_vec(), honest.proof.to_vec());
            lie(&mut elements, &mut proof);
            let (evaluated_elements, proof) = (elements.into(), proof.into());
            Ok(EvaluateResponse { evaluated_elements, proof, ..honest })
        };
        let script = Script { evaluate: Box::new(evaluate), ..Script::honest(&SMALL) };
        let (error, events, calls) = refusal(script).await;
        assert_eq!(error, misbehaved(expected), "{name}");
        assert_nothing_concluded(&events, calls, name);
    }
}

/// 1, little endian: a canonical field element, and negative as a group element.
fn one() -> [u8; 32] {
    let mut one = [0; 32];
    one[0] = 1;
    one
}

/// One false answer among honest ones takes the whole lookup with it: there are no partial truths.
#[tokio::test]
async fn one_lie_in_one_of_several_batches_refuses_the_lookup() {
    let snapshot = OPERATOR.publish(7, |manifest, _| manifest.policy.padding_classes = vec![16]);
    let shown = Shown::new(&snapshot);
    let n_batches = 4;
    for liar in 0..n_batches {
        let first = Mutex::new(None);
        let evaluate = move |call: usize, request: &EvaluateRequest| {
            let honest = honest_answer(request);
            let earlier = first.lock().unwrap().get_or_insert_with(|| honest.clone()).clone();
            // The answer to an earlier batch with its proof; the first has none before it.
            let lie = if liar == 0 {
                with_elements(honest.clone(), |elements| elements.swap(0, 1))
            } else {
                earlier
            };
            Ok(if call == liar { lie } else { honest })
        };
        let script = Script { evaluate: Box::new(evaluate), ..Script::honest(&shown) };
        let lying = Lying::start(script).await;
        let client = lying.builder().in_flight(1).build().unwrap();
        let (outcome, events) = sync(&client).await;
        assert_eq!(outcome.unwrap_err(), misbehaved(Misbehavior::ProofRefuted), "batch {liar}");
        assert!(!events.contains(&Progress::Match));
        assert_eq!(lying.calls()[1], liar + 1, "nothing more was sent to a liar");
    }
}

/// V2: nothing about the address book is sent before the manifest is the pinned operator's.
#[tokio::test]
async fn forged_manifests_are_refused_before_anything_is_sent() {
    let signed = &SMALL.signed;
    let foreign = SMALL.manifest.sign(&ManifestKey::from_bytes([8; 32])).unwrap();
    let untrusted = ClientError::UntrustedManifest(ManifestError::Signature);
    let malformed = misbehaved(Misbehavior::Message);
    let wire = |content: Vec<u8>, signature: Vec<u8>| {
        Some(v1::SignedManifest { content: content.into(), signature: signature.into() })
    };
    let (content, signature) = (signed.content.clone(), signed.signature.to_vec());
    let mut lies = vec![
        ("another key", Some(foreign.clone().into()), untrusted),
        ("another key's signature", wire(content.clone(), foreign.signature.to_vec()), untrusted),
        (
            "the signature of another",
            wire(content.clone(), LARGE.signed.signature.to_vec()),
            untrusted,
        ),
        ("no signature bits", wire(content.clone(), vec![0; 64]), untrusted),
        ("one byte more", wire([&content[..], &[0]].concat(), signature.clone()), untrusted),
        ("one byte less", wire(content[1..].to_vec(), signature.clone()), untrusted),
        ("no content", wire(Vec::new(), signature.clone()), untrusted),
        ("a short signature", wire(content.clone(), signature[1..].to_vec()), malformed),
        ("a long signature", wire(content.clone(), [&signature[..], &[0]].concat()), malformed),
        ("no signature", wire(content.clone(), Vec::new()), malformed),
        ("no manifest", None, malformed),
        (
            "a manifest past its limit",
            wire(vec![0; MESSAGE_BYTES_MAX - 200], signature.clone()),
            ClientError::UntrustedManifest(ManifestError::Content),
        ),
        (
            "more than a message holds",
            wire(vec![0; MESSAGE_BYTES_MAX], signature.clone()),
            malformed,
        ),
    ];
    for bit in [0, 7, content.len() * 4, content.len() * 8 - 1] {
        let mut flipped = content.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        lies.push(("a flipped bit of the content", wire(flipped, signature.clone()), untrusted));
    }
    for bit in [0, 255, 256, 511] {
        let mut flipped = signature.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        lies.push(("a flipped bit of the signature", wire(content.clone(), flipped), untrusted));
    }
    for (name, manifest, expected) in lies {
        let answer = GetManifestResponse { manifest };
        let manifest = Box::new(move |_: usize, _: &_| Ok(answer.clone()));
        let lying = Lying::start(Script { manifest, ..Script::honest(&SMALL) }).await;
        let client = lying.builder().build().unwrap();
        let (outcome, events) = sync(&client).await;
        assert_eq!(outcome.unwrap_err(), expected, "{name}");
        assert_eq!(events, [Progress::Manifest], "{name}");
        assert_eq!(lying.calls(), [1, 0, 0, 0], "{name}");
        assert_eq!(client.last_seen(), None, "{name}");
    }
}

/// V2: the operator's own key does not excuse a second history, whether this client saw the first
/// one itself or was told of it.
#[tokio::test]
async fn manifests_that_contradict_the_past_are_refused_before_anything_is_sent() {
    let seen = &SMALL;
    let head = seen.signed.verify(&OPERATOR.manifest_key.pin()).unwrap().head();
    let sign = |change: fn(&mut Manifest)| {
        let mut manifest = seen.manifest.clone();
        change(&mut manifest);
        manifest.sign(&OPERATOR.manifest_key).unwrap()
    };
    let lies = [
        ("the one before", sign(|m| m.sequence -= 1), ChainError::Rollback),
        ("the first one", sign(|m| m.sequence = 1), ChainError::Rollback),
        (
            "an older epoch, as if newer",
            sign(|m| (m.epochs[0].epoch, m.sequence) = (0, 9)),
            ChainError::Rollback,
        ),
        (
            "an older version, as if newer",
            sign(|m| {
                m.sequence = 9;
                m.epochs[0].version -= 1;
                m.epochs[0].snapshot.version -= 1;
            }),
            ChainError::Rollback,
        ),
        ("another one of the same number", sign(|m| m.epochs[0].version += 1), ChainError::Fork),
        ("a next one with another past", sign(|m| m.sequence += 1), ChainError::Fork),
        ("another tenant's", sign(|m| m.tenant = "other".parse().unwrap()), ChainError::Tenant),
        (
            "another tenant's next one",
            sign(|m| (m.tenant, m.sequence) = ("other".parse().unwrap(), 8)),
            ChainError::Tenant,
        ),
    ];
    for (name, lie, expected) in lies {
        for is_restarted in [false, true] {
            // Honest, then the lie, then honest again.
            let (lie, honest) = (lie.clone(), seen.signed.clone());
            let manifest = move |call: usize, _: &GetManifestRequest| {
                Ok(manifest_answer(if call == 1 { &lie } else { &honest }))
            };
            let script = Script { manifest: Box::new(manifest), ..Script::honest(seen) };
            let lying = Lying::start(script).await;
            let mut client = lying.builder().build().unwrap();
            assert_honest(&sync(&client).await.0.unwrap());
            assert_eq!(client.last_seen(), Some(head.clone()));
            if is_restarted {
                client = lying.builder().last_seen(head.clone()).build().unwrap();
            }
            let (outcome, events) = sync(&client).await;
            assert_eq!(outcome.unwrap_err(), ClientError::Chain(expected), "{name}");
            assert_eq!(events, [Progress::Manifest], "{name}");
            assert_eq!(lying.calls(), [2, 1, 1, 1], "{name}");
            assert_eq!(client.last_seen(), Some(head.clone()), "{name}: the state is untouched");
            assert_honest(&sync(&client).await.0.unwrap());
        }
    }
}

/// V2: a head that the app kept refuses what contradicts it, and nothing else.
#[tokio::test]
async fn a_remembered_head_decides_about_the_first_manifest() {
    let head = SMALL.signed.verify(&OPERATOR.manifest_key.pin()).unwrap().head();
    let older = OPERATOR.publish(6, |_, _| {});
    let twin = OPERATOR.publish(7, |manifest, _| manifest.changed_at += 1);
    let next = OPERATOR.publish(8, |manifest, _| manifest.previous = SMALL.signed.digest());
    let later = OPERATOR.publish(9, |_, _| {});
    for (snapshot, expected) in [
        (&older, Err(ClientError::Chain(ChainError::Rollback))),
        (&twin, Err(ClientError::Chain(ChainError::Fork))),
        (&next, Ok(8)),
        (&later, Ok(9)),
    ] {
        let lying = Lying::start(Script::honest(&Shown::new(snapshot))).await;
        let client = lying.builder().last_seen(head.clone()).build().unwrap();
        let (outcome, _) = sync(&client).await;
        assert_eq!(outcome.map(|outcome| outcome.head.sequence), expected);
        assert_eq!(lying.calls()[1], usize::from(expected.is_ok()));
    }
}

/// What a download is turned into, and how that is refused.
type DownloadLie = (&'static str, fn(&mut Vec<Piece>), Misbehavior);

fn download_lies() -> Vec<DownloadLie> {
    use Misbehavior::{ChunkSequence, DigestMismatch, Message, Truncated};
    vec![
        ("nothing", |p| p.clear(), Truncated),
        ("without the end", |p| drop(p.pop()), Truncated),
        ("without the last byte", |p| cut(p.last_mut().unwrap()), Truncated),
        ("the first segment without its last byte", |p| cut(last_of_first(p)), ChunkSequence),
        ("without the first piece", |p| drop(p.remove(0)), ChunkSequence),
        ("without one segment", |p| p.retain(|piece| piece.segment != 2), ChunkSequence),
        ("a flipped bit at the start", |p| flip(&mut p[0], 0), DigestMismatch),
        ("a flipped bit in the middle", |p| flip(&mut p[2], 999), DigestMismatch),
        (
            "a flipped bit at the end",
            |p| {
                let last = p.last_mut().unwrap();
                flip(last, last.data.len() - 1);
            },
            DigestMismatch,
        ),
        (
            "two halves of a piece exchanged",
            |p| {
                let mut data = p[1].data.to_vec();
                let half = data.len() / 2;
                data.rotate_left(half);
                p[1].data = data.into();
            },
            DigestMismatch,
        ),
        ("backward", |p| p.reverse(), ChunkSequence),
        ("two segments exchanged", |p| p.sort_by_key(|piece| piece.segment ^ 1), ChunkSequence),
        ("a piece twice", |p| p.insert(1, p[0].clone()), ChunkSequence),
        (
            "a piece that overlaps",
            |p| {
                let piece = last_of_first(p);
                piece.data = piece.data.slice(..10);
                let again = Piece { offset: piece.offset + 5, ..piece.clone() };
                let at = p.iter().position(|piece| piece.segment == 1).unwrap();
                p.insert(at, again);
            },
            ChunkSequence,
        ),
        (
            "one byte too many",
            |p| {
                let last = p.last_mut().unwrap();
                last.data = [&last.data[..], &[0]].concat().into();
            },
            ChunkSequence,
        ),
        (
            "a segment too many",
            |p| p.push(Piece { segment: 4, offset: 0, data: vec![0; 99].into() }),
            ChunkSequence,
        ),
        (
            "an empty segment too many",
            |p| p.push(Piece { segment: 4, offset: 0, data: Bytes::new() }),
            ChunkSequence,
        ),
        (
            "a segment from nowhere",
            |p| p.insert(0, Piece { segment: u32::MAX, offset: u32::MAX, data: vec![0].into() }),
            ChunkSequence,
        ),
        (
            "pieces without content",
            |p| p.insert(0, Piece { segment: 0, offset: 0, data: Bytes::new() }),
            ChunkSequence,
        ),
        ("more than a message holds", |p| p[0].data = vec![0; MESSAGE_BYTES_MAX].into(), Message),
    ]
}

fn cut(piece: &mut Piece) {
    piece.data.truncate(piece.data.len() - 1);
}

fn flip(piece: &mut Piece, at: usize) {
    let mut data = piece.data.to_vec();
    data[at] ^= 0x10;
    piece.data = data.into();
}

fn last_of_first(pieces: &mut [Piece]) -> &mut Piece {
    pieces.iter_mut().rfind(|piece| piece.segment == 0).unwrap()
}

/// The set is taken byte for byte as the manifest's digests have it, or not at all.
#[tokio::test]
async fn altered_sets_are_refused() {
    for (name, lie, expected) in download_lies() {
        let mut pieces = LARGE.set.clone();
        lie(&mut pieces);
        let set = Box::new(move |_: usize, _: &_| Ok(pieces.clone()));
        let (error, events, calls) = refusal(Script { set, ..Script::honest(&LARGE) }).await;
        assert_eq!(error, misbehaved(expected), "{name}");
        assert!(!events.contains(&Progress::Match), "{name}");
        assert_eq!(calls[2], 1, "{name}: no second attempt");
    }
}

/// So are the labels: otherwise a server could give one contact the account of another.
#[tokio::test]
async fn altered_labels_are_refused() {
    for (name, lie, expected) in download_lies() {
        let mut pieces = LARGE.labels.clone();
        lie(&mut pieces);
        let labels = Box::new(move |_: usize, _: &_| Ok(pieces.clone()));
        let (error, _, calls) = refusal(Script { labels, ..Script::honest(&LARGE) }).await;
        assert_eq!(error, misbehaved(expected), "{name}");
        assert_eq!(calls, [1, 1, 1, 1], "{name}: no second attempt");
    }
}

/// A set of the right operator and the wrong time is as false as any other.
#[tokio::test]
async fn downloads_of_another_snapshot_are_refused() {
    let other = Shown::new(&OPERATOR.publish(6, |_, records| records.truncate(USERS as usize - 1)));
    let pieces = other.set.clone();
    let set = Box::new(move |_: usize, _: &_| Ok(pieces.clone()));
    let (error, events, _) = refusal(Script { set, ..Script::honest(&SMALL) }).await;
    let refused = [Misbehavior::DigestMismatch, Misbehavior::ChunkSequence, Misbehavior::Truncated];
    assert!(refused.map(misbehaved).contains(&error), "{error:?}");
    assert!(!events.contains(&Progress::Match));
    let pieces = other.labels.clone();
    let labels = Box::new(move |_: usize, _: &_| Ok(pieces.clone()));
    let (error, ..) = refusal(Script { labels, ..Script::honest(&SMALL) }).await;
    assert_eq!(error, misbehaved(Misbehavior::Truncated), "one member short");
}

/// The control of the above: only the bytes count, not how they are cut.
#[tokio::test]
async fn downloads_may_come_in_pieces_of_any_size() {
    let shown =
        Shown { set: recut(&SMALL.set, 1), labels: recut(&SMALL.labels, 13), ..SMALL.clone() };
    let lying = Lying::start(Script::honest(&shown)).await;
    assert_honest(&sync(&lying.builder().build().unwrap()).await.0.unwrap());
}

fn recut(pieces: &[Piece], piece_bytes: usize) -> Vec<Piece> {
    let cut = |piece: &Piece| -> Vec<Piece> {
        let starts = (0..piece.data.len()).step_by(piece_bytes);
        let part = |start: usize| Piece {
            segment: piece.segment,
            offset: piece.offset + start as u32,
            data: piece.data.slice(start..piece.data.len().min(start + piece_bytes)),
        };
        starts.map(part).collect()
    };
    pieces.iter().flat_map(cut).collect()
}

/// K9: even a signed snapshot cannot give somebody the account of another: labels are bound to
/// their member, so that exchanged ones open for nobody.
#[tokio::test]
async fn exchanged_labels_match_nobody_even_if_signed() {
    let swapped = [number(20), number(30)];
    let element = |id: &Identifier| outputs(&OPERATOR.seed, std::slice::from_ref(id)).remove(0);
    let tags = swapped.each_ref().map(|id| element(id).tag().expose_u64());
    let snapshot = OPERATOR.publish(7, |_, records| {
        let at = tags.map(|tag| records.iter().position(|record| record.tag == tag).unwrap());
        let labels = at.map(|i| records[i].sealed_label);
        (records[at[0]].sealed_label, records[at[1]].sealed_label) = (labels[1], labels[0]);
    });
    let lying = Lying::start(Script::honest(&Shown::new(&snapshot))).await;
    let outcome = sync(&lying.builder().build().unwrap()).await.0.unwrap();
    let mut people = OPERATOR.people.clone();
    people.retain(|id, _| !swapped.contains(id));
    assert_eq!(found(&outcome), oracle(&contacts(), &people));
    assert_eq!(found(&outcome).len() + 2, oracle(&contacts(), &OPERATOR.people).len());
}

/// K9: nor does a label that was sealed for another epoch, or was never sealed at all, open.
#[tokio::test]
async fn labels_of_another_epoch_match_nobody_even_if_signed() {
    let (id, own) = (number(20), label(20));
    let element = outputs(&OPERATOR.seed, std::slice::from_ref(&id)).remove(0);
    let tag = element.tag();
    let stale = element.label_key().seal(&tag, EPOCH + 1, &own).0;
    for sealed in [stale, [0; 32], [0xFF; 32]] {
        let snapshot = OPERATOR.publish(7, |_, records| {
            let member = records.iter_mut().find(|r| r.tag == tag.expose_u64()).unwrap();
            member.sealed_label = sealed;
        });
        let lying = Lying::start(Script::honest(&Shown::new(&snapshot))).await;
        let outcome = sync(&lying.builder().build().unwrap()).await.0.unwrap();
        let mut people = OPERATOR.people.clone();
        people.remove(&id);
        assert_eq!(found(&outcome), oracle(&contacts(), &people));
    }
}

/// A server that pretends that everything always changes cannot keep a client busy, nor make it
/// give more and more batches away.
#[tokio::test]
async fn endless_changes_are_given_up() {
    let unknown = |reason| Status::from(Refusal::new(reason));
    let set = Box::new(move |_: usize, _: &_| Err(unknown(Reason::SnapshotUnknown)));
    let (error, _, calls) = refusal(Script { set, ..Script::honest(&SMALL) }).await;
    assert_eq!(error, ClientError::DirectoryChanged);
    assert_eq!(calls[..3], [3, 1, 3], "the evaluation is kept under the same key");

    let evaluate = Box::new(move |_: usize, _: &_| Err(unknown(Reason::EpochUnknown)));
    let (error, events, calls) = refusal(Script { evaluate, ..Script::honest(&SMALL) }).await;
    assert_eq!(error, ClientError::DirectoryChanged);
    assert_eq!(calls[..2], [3, 3]);
    assert!(!events.contains(&Progress::Match));
}

/// A publication in the middle of a lookup is followed, not refused, and costs no second charge.
#[tokio::test]
async fn a_lookup_follows_a_publication() {
    let next = OPERATOR.publish(8, |manifest, _| manifest.previous = SMALL.signed.digest());
    let (before, after) = (SMALL.clone(), Shown::new(&next));
    let manifests = [before.signed.clone(), after.signed.clone()];
    let manifest = Box::new(move |call: usize, _: &_| Ok(manifest_answer(&manifests[call])));
    let set = Box::new(move |_: usize, request: &FetchSetRequest| match request.snapshot {
        8 => Ok(after.set.clone()),
        _ => Err(Refusal::new(Reason::SnapshotUnknown).into()),
    });
    let indexes = [before.index.clone(), next.1.index()];
    let index = Box::new(move |_: usize, request: &FetchSegmentIndexRequest| {
        Ok(indexes[usize::from(request.snapshot == 8)].clone())
    });
    let script = Script { manifest, index, set, ..Script::honest(&before) };
    let lying = Lying::start(script).await;
    let outcome = sync(&lying.builder().build().unwrap()).await.0.unwrap();
    assert_honest(&outcome);
    assert_eq!(outcome.head.sequence, 8);
    assert_eq!(lying.calls(), [2, 1, 2, 2]);
}

/// A busy server is asked again with the same bytes, which are charged once; a broken one is not.
#[tokio::test]
async fn busy_servers_are_asked_again_and_broken_ones_are_not() {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&sent);
    let evaluate = move |call: usize, request: &EvaluateRequest| {
        log.lock().unwrap().push(request.blinded_elements.clone());
        let busy = Refusal::new(Reason::QueueFull).retry_after(Duration::from_millis(1));
        if call < 2 { Err(busy.into()) } else { Ok(honest_answer(request)) }
    };
    let script = Script { evaluate: Box::new(evaluate), ..Script::honest(&SMALL) };
    let lying = Lying::start(script).await;
    assert_honest(&sync(&lying.builder().build().unwrap()).await.0.unwrap());
    let sent = sent.lock().unwrap().clone();
    assert_eq!(sent.len(), 3);
    assert!(sent.iter().all(|bytes| *bytes == sent[0]), "repeated, not blinded anew");

    let failed = || Err(Refusal::new(Reason::Internal).into());
    let evaluate = Box::new(move |_: usize, _: &_| failed());
    let (error, _, calls) = refusal(Script { evaluate, ..Script::honest(&SMALL) }).await;
    assert_eq!(error, ClientError::ServerFailed);
    assert_eq!(calls[1], 1);
}

/// Whoever has no acceptable certificate receives nothing at all.
#[tokio::test]
async fn an_untrusted_certificate_receives_nothing() {
    let other = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let lying = Lying::start(Script::honest(&SMALL)).await;
    let client = lying.builder().trust_root_pem(other.cert.pem()).build().unwrap();
    let (outcome, _) = sync(&client).await;
    assert_eq!(outcome.unwrap_err(), ClientError::UntrustedServer);
    assert_eq!(lying.calls(), [0; 4]);
}
