//! A server in memory for the tests of this crate: honest unless a test says otherwise.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use acquaint_core::{
    credential::Credential,
    identifier::Identifier,
    keys::{ManifestKey, OprfSeed},
    manifest::{
        EpochInfo, Manifest, ManifestPin, OverlayInfo, Policy, SegmentIndex, SegmentInfo,
        SignedManifest, SnapshotInfo,
    },
    oprf::{self, BlindedBatch, Mode, OprfElement, Padding, SecretKey},
    set::{self, Overlay, Record, SnapshotIdentity, Universe},
    tag::Label,
};
use acquaint_proto::{
    Reason, Refusal,
    v1::{self, discovery_service_server as discovery, registry_service_server as registry},
};
use futures_util::Stream;
use hyper_util::rt::TokioIo;
use tonic::{Request, Status, transport::Channel};

use crate::{Builder, StaticCredential};

mod services;

use services::Served;

/// A label and whether the entry is hidden.
type Stored = (Vec<u8>, bool);

/// Segment, offset, data; or how the stream breaks.
type Piece = Result<(u32, u32, Vec<u8>), Status>;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// What the server does that an honest one does not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Lie {
    #[default]
    None,
    OtherKey,
    PermutedAnswer,
    ShortAnswer,
    FlippedSet,
    FlippedLabels,
    TruncatedSet,
    RepeatedChunk,
    UnsignedManifest,
    /// Not a lie: no answer to an evaluation ever comes.
    Silence,
}

/// State of the server, shared with the test.
pub(crate) struct Fake {
    key: SecretKey,
    manifest_key: ManifestKey,
    pub(crate) members: Vec<(Identifier, Label)>,
    published: Mutex<Published>,
    pub(crate) lie: Mutex<Lie>,
    /// Refusals of evaluations, before the first that is answered.
    pub(crate) refusals: Mutex<VecDeque<Reason>>,
    /// What `GetQuota` tells.
    pub(crate) quota: Mutex<u64>,
    /// Streams that break after one message, or one acknowledgment.
    pub(crate) n_breaks: AtomicUsize,
    /// Evaluated requests, in the order of arrival.
    pub(crate) evaluated: Mutex<Vec<Vec<u8>>>,
    pub(crate) n_label_bytes: AtomicUsize,
    /// Evaluations that are being worked on.
    pub(crate) n_evaluating: Arc<AtomicUsize>,
    pub(crate) registered: Mutex<BTreeMap<[u8; 32], Stored>>,
    pub(crate) authorizations: Mutex<Vec<String>>,
}

struct Published {
    snapshot: u64,
    signed: SignedManifest,
    index: Vec<u8>,
    segments: Vec<set::EncodedSegment>,
}

pub(crate) fn user(i: u32) -> Identifier {
    Identifier::tel(&format!("+999{i:08}")).unwrap()
}

pub(crate) fn label(i: u32) -> Label {
    let mut label = Label([0xab; 16]);
    label.0[..4].copy_from_slice(&i.to_be_bytes());
    label
}

impl Fake {
    /// A directory of the users `0..n`, spread over four segments.
    pub(crate) fn new(n: u32) -> Arc<Self> {
        let (key, _) = OprfSeed::from_bytes([1; 32]).epoch_key(1).unwrap();
        let manifest_key = ManifestKey::from_bytes([2; 32]);
        let members: Vec<_> = (0..n).map(|i| (user(i), label(i))).collect();
        let published = Mutex::new(publish(&key, &manifest_key, &members, 1, 50_000));
        Arc::new(Self {
            key,
            manifest_key,
            members,
            published,
            lie: Mutex::default(),
            refusals: Mutex::default(),
            quota: Mutex::new(1 << 20),
            n_breaks: AtomicUsize::new(0),
            evaluated: Mutex::default(),
            n_label_bytes: AtomicUsize::new(0),
            n_evaluating: Arc::default(),
            registered: Mutex::default(),
            authorizations: Mutex::default(),
        })
    }

    pub(crate) fn pin(&self) -> ManifestPin {
        self.manifest_key.pin()
    }

    /// Publishes the same users under another number and quota.
    pub(crate) fn republish(&self, snapshot: u64, quota: u64) {
        *self.published.lock().unwrap() =
            publish(&self.key, &self.manifest_key, &self.members, snapshot, quota);
    }

    pub(crate) fn element(&self, identifier: &Identifier) -> OprfElement {
        elements(&self.key, &[identifier]).remove(0)
    }

    /// A builder that has everything it needs.
    pub(crate) fn complete<T>(&self, builder: Builder<T>) -> Builder<T> {
        let credential = Credential::from_text("c2VjcmV0");
        builder.pin(self.pin()).credentials(StaticCredential::new(credential)).threads(2)
    }

    /// A channel to this server, over memory.
    pub(crate) fn channel(self: &Arc<Self>) -> Channel {
        let (connections, listener) = tokio::sync::mpsc::unbounded_channel();
        let incoming = tokio_stream::wrappers::UnboundedReceiverStream::new(listener);
        let services = tonic::transport::Server::builder()
            .add_service(self.discovery_service())
            .add_service(registry::RegistryServiceServer::new(Served(Arc::clone(self))));
        tokio::spawn(services.serve_with_incoming(incoming));
        let connector = tower::service_fn(move |_| {
            let (ours, theirs) = tokio::io::duplex(1 << 16);
            let sent = connections.send(Ok::<_, std::io::Error>(theirs));
            async move {
                sent.map_err(|_| std::io::Error::from(std::io::ErrorKind::ConnectionRefused))?;
                Ok::<_, std::io::Error>(TokioIo::new(ours))
            }
        });
        tonic::transport::Endpoint::from_static("http://fake.test")
            .connect_with_connector_lazy(connector)
    }

    pub(crate) fn discovery_service(
        self: &Arc<Self>,
    ) -> discovery::DiscoveryServiceServer<impl discovery::DiscoveryService> {
        discovery::DiscoveryServiceServer::new(Served(Arc::clone(self)))
    }

    fn authorize<T>(&self, request: &Request<T>) {
        let entry = request.metadata().get("authorization").unwrap();
        self.authorizations.lock().unwrap().push(entry.to_str().unwrap().to_owned());
    }

    fn signed(&self) -> Option<v1::SignedManifest> {
        let mut signed = self.published.lock().unwrap().signed.clone();
        if *self.lie.lock().unwrap() == Lie::UnsignedManifest {
            signed.signature[0] ^= 1;
        }
        Some(signed.into())
    }

    async fn evaluate(&self, blinded: &[u8]) -> Result<(Vec<u8>, Vec<u8>), Status> {
        struct Working(Arc<AtomicUsize>);
        impl Drop for Working {
            fn drop(&mut self) {
                self.0.fetch_sub(1, SeqCst);
            }
        }
        self.n_evaluating.fetch_add(1, SeqCst);
        let _working = Working(Arc::clone(&self.n_evaluating));
        self.evaluated.lock().unwrap().push(blinded.to_vec());
        if let Some(reason) = self.refusals.lock().unwrap().pop_front() {
            return Err(Refusal::new(reason).into());
        }
        let lie = *self.lie.lock().unwrap();
        if lie == Lie::Silence {
            std::future::pending::<()>().await;
        }
        let other = OprfSeed::from_bytes([9; 32]).epoch_key(1).unwrap().0;
        let key = if lie == Lie::OtherKey { &other } else { &self.key };
        let batch = BlindedBatch::try_from(blinded).map_err(Refusal::from)?;
        let mut answer = oprf::blind_evaluate(Mode::Voprf, key, &batch, &mut rand::rng());
        match lie {
            Lie::PermutedAnswer => answer.elements.swap(0, 1),
            Lie::ShortAnswer => drop(answer.elements.pop()),
            _ => {}
        }
        Ok((answer.elements.concat(), answer.proof.unwrap().to_bytes().to_vec()))
    }

    /// Chunks of 100 bytes: segment, offset, data.
    fn chunks(
        &self,
        snapshot: u64,
        (first_segment, first_offset): (u32, u32),
        part: impl Fn(&set::EncodedSegment) -> Vec<u8>,
    ) -> Result<VecDeque<Piece>, Status> {
        let published = self.published.lock().unwrap();
        if snapshot != published.snapshot {
            return Err(Refusal::new(Reason::SnapshotUnknown).into());
        }
        let mut chunks = VecDeque::new();
        for (i, segment) in (0..).zip(&published.segments).skip(first_segment as usize) {
            let passed_over = if i == first_segment { first_offset } else { 0 };
            let rest = part(segment).split_off(passed_over as usize);
            for (n, data) in (0..).zip(rest.chunks(100)) {
                chunks.push_back(Ok((i, passed_over + n * 100, data.to_vec())));
            }
        }
        if self.takes_break() {
            chunks.truncate(2);
            chunks.push_back(Err(Status::unavailable("broken")));
        }
        Ok(chunks)
    }

    fn index(&self, snapshot: u64) -> Result<Vec<u8>, Status> {
        let published = self.published.lock().unwrap();
        if snapshot != published.snapshot {
            return Err(Refusal::new(Reason::SnapshotUnknown).into());
        }
        Ok(published.index.clone())
    }

    fn takes_break(&self) -> bool {
        self.n_breaks.try_update(SeqCst, SeqCst, |n| n.checked_sub(1)).is_ok()
    }
}

fn elements(key: &SecretKey, identifiers: &[&Identifier]) -> Vec<OprfElement> {
    let inputs: Vec<_> = identifiers.iter().map(|identifier| identifier.as_bytes()).collect();
    let blinding = oprf::blind(Mode::Voprf, &inputs, Padding::None, &mut rand::rng()).unwrap();
    let batch = BlindedBatch::try_from(&blinding.to_bytes()[..]).unwrap();
    let answer = oprf::blind_evaluate(Mode::Voprf, key, &batch, &mut rand::rng());
    let proof = answer.proof.unwrap().to_bytes();
    let public = key.public_key();
    blinding.verify(&public, &answer.elements.concat(), &proof).unwrap().unblind()
}

fn publish(
    key: &SecretKey,
    manifest_key: &ManifestKey,
    members: &[(Identifier, Label)],
    snapshot: u64,
    quota_elements: u64,
) -> Published {
    let identifiers: Vec<_> = members.iter().map(|(identifier, _)| identifier).collect();
    let mut records: Vec<Record> = Vec::new();
    for (part, members) in identifiers.chunks(4_096).zip(members.chunks(4_096)) {
        for (element, (_, label)) in elements(key, part).iter().zip(members) {
            let tag = element.tag();
            let sealed_label = element.label_key().seal(&tag, 1, label).0;
            records.push(Record { tag: tag.expose_u64(), sealed_label });
        }
    }
    let universe = Universe::with_capacity(60_000).unwrap();
    let segments: Vec<_> =
        set::build(&universe, snapshot, &mut records).collect::<Result<_, _>>().unwrap();
    let info = |s: &set::EncodedSegment| SegmentInfo::of(s.count, &s.bytes, &s.labels).unwrap();
    let index = SegmentIndex::new(segments.iter().map(info).collect()).unwrap();
    let snapshot_info = SnapshotInfo {
        number: snapshot,
        version: snapshot,
        universe,
        members: index.members(),
        set_bytes: index.set_bytes(),
        index_digest: index.digest(),
    };
    let empty = Overlay::empty(SnapshotIdentity {
        universe,
        epoch: 1,
        number: snapshot,
        members: u32::try_from(index.members()).unwrap(),
    })
    .encode();
    let manifest = Manifest {
        tenant: "test".parse().unwrap(),
        sequence: snapshot,
        changed_at: 0,
        previous: [0; 32],
        policy: Policy {
            padding_classes: vec![16, 32],
            quota_elements,
            quota_refill_per_day: 1,
            repeat_retention_seconds: 1,
            delta_retention_seconds: 1,
        },
        epochs: vec![EpochInfo {
            epoch: 1,
            public_key: key.public_key(),
            version: snapshot,
            snapshot: snapshot_info,
            overlay: OverlayInfo {
                bytes: empty.len() as u64,
                removed: 0,
                added: 0,
                digest: *blake3::hash(&empty).as_bytes(),
            },
        }],
    };
    let signed = manifest.sign(manifest_key).unwrap();
    Published { snapshot, signed, index: index.encode(), segments }
}

impl Fake {
    fn store(&self, chunk: &v1::RegisterRequest, n: u64) -> Result<v1::RegisterResponse, Status> {
        let mut registered = self.registered.lock().unwrap();
        let elements = chunk.elements.as_chunks::<32>().0;
        assert_eq!(elements.len() * 16, chunk.labels.len());
        let (mut added, mut updated) = (0, 0);
        for (element, label) in elements.iter().zip(chunk.labels.chunks(16)) {
            match registered.insert(*element, (label.to_vec(), chunk.hidden)) {
                None => added += 1,
                Some(before) if before != (label.to_vec(), chunk.hidden) => updated += 1,
                Some(_) => {}
            }
        }
        let lies = *self.lie.lock().unwrap() == Lie::RepeatedChunk;
        let chunks = if lies { n + 1 } else { n };
        Ok(v1::RegisterResponse { chunks, version: n, added, updated })
    }
}
