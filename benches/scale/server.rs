//! A directory in this process: store, keys and publisher as `serve` has them, without the network.

use std::{
    collections::HashMap,
    fs,
    sync::Arc,
    time::{Duration, Instant},
};

use acquaint_core::{
    limits::BATCH_ELEMENTS_MAX,
    oprf::OprfElement,
    set::{Delta, DeltaVersions, Overlay, SnapshotView},
    tag::Label,
};
use acquaint_server::{
    clock::SystemClock,
    config::Config,
    directory::{Directory, Entries, PublishHandle, Published, Publisher},
    evaluator::Evaluator,
    keystore::{Keys, SeedFiles},
    store::{RedbStore, Store},
};
use bytes::Bytes;
use curve25519_dalek::{
    constants::RISTRETTO_BASEPOINT_POINT, ristretto::RistrettoPoint, scalar::Scalar,
};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

const EPOCH: u32 = 1;

/// Chunks registered at a time: four registrars with four each.
const IN_FLIGHT: usize = 16;

pub struct Bench {
    n_users: u64,
    /// Users registered so far: `first..next` of the endless sequence of elements.
    first: u64,
    next: u64,
    place: TempDir,
    keys: Keys,
    evaluator: Evaluator,
    store: Arc<dyn Store>,
    directory: Arc<Directory>,
    publish: PublishHandle,
    stop: CancellationToken,
    points: HashMap<u64, RistrettoPoint>,
}

pub struct Churn {
    pub removed: u64,
    pub added: u64,
    pub publishing: Duration,
    pub making: Duration,
    pub bytes: u64,
}

pub struct Restart {
    pub store: Duration,
    pub total: Duration,
}

impl Bench {
    pub async fn start(n_users: u64) -> Self {
        let place = tempfile::tempdir().unwrap();
        let keys = Keys::generate(&mut rand::rng());
        let evaluator = Evaluator::start(0, 1 << 20).unwrap();
        let (store, directory, publish, stop) = open(&place, &keys, &evaluator).await;
        let points = HashMap::new();
        let (first, next) = (0, 0);
        Self {
            n_users,
            first,
            next,
            place,
            keys,
            evaluator,
            store,
            directory,
            publish,
            stop,
            points,
        }
    }

    /// Registers all users, sixteen chunks at a time, as four registrars do.
    pub async fn load(&mut self) -> Duration {
        // Making the elements is the registrar's work: not timed.
        let mut elapsed = Duration::ZERO;
        let mut left = self.n_users;
        while left > 0 {
            let n = left.min(16 * BATCH_ELEMENTS_MAX as u64);
            elapsed += self.register(n).await;
            left -= n;
        }
        elapsed
    }

    async fn register(&mut self, n: u64) -> Duration {
        let elements = self.elements(self.next, n);
        let chunks: Vec<_> = (0..n as usize)
            .step_by(BATCH_ELEMENTS_MAX)
            .map(|start| {
                let end = (start + BATCH_ELEMENTS_MAX).min(n as usize);
                let labels: Vec<u8> = (start as u64..end as u64)
                    .flat_map(|i| u128::from(self.next + i).to_be_bytes())
                    .collect();
                (elements.slice(start * 32..end * 32), Bytes::from(labels))
            })
            .collect();
        self.next += n;
        let start = Instant::now();
        let register = |(elements, labels): (Bytes, Bytes)| {
            let (directory, evaluator) = (Arc::clone(&self.directory), self.evaluator.clone());
            async move {
                let room = evaluator.reserve((elements.len() / 32) as u32).unwrap();
                let entries = Entries { elements, labels, hidden: false };
                directory.register(&room, EPOCH, entries).await.unwrap();
            }
        };
        for some in chunks.chunks(IN_FLIGHT) {
            futures_util::future::join_all(some.iter().cloned().map(register)).await;
        }
        start.elapsed()
    }

    async fn unregister(&mut self, n: u64) {
        let elements = self.elements(self.first, n);
        self.first += n;
        for chunk in elements.chunks(BATCH_ELEMENTS_MAX * 32) {
            let room = self.evaluator.reserve((chunk.len() / 32) as u32).unwrap();
            let elements = Bytes::copy_from_slice(chunk);
            self.directory.unregister(&room, EPOCH, elements).await.unwrap();
        }
    }

    /// Distinct elements, 32 bytes each: even multiples of the base point.
    fn elements(&mut self, first: u64, n: u64) -> Bytes {
        let known = self.points.remove(&first);
        let start = known.unwrap_or_else(|| RistrettoPoint::mul_base(&Scalar::from(first + 1)));
        let mut point = start;
        let mut bytes = Vec::with_capacity(n as usize * 32);
        for part in (0..n).step_by(65_536) {
            let points: Vec<_> = (part..n.min(part + 65_536))
                .map(|_| {
                    let next = point + RISTRETTO_BASEPOINT_POINT;
                    std::mem::replace(&mut point, next)
                })
                .collect();
            let encodings = RistrettoPoint::double_and_compress_batch(&points);
            bytes.extend(encodings.iter().flat_map(|encoding| encoding.to_bytes()));
        }
        self.points.insert(first + n, point);
        bytes.into()
    }

    /// Seals the label of every user, on one thread: the least that a publication has to do.
    pub fn seal_labels(&mut self) -> Duration {
        let mut elapsed = Duration::ZERO;
        let n = self.n_users.min(100_000);
        let elements = self.elements(self.first, n);
        let elements = elements
            .chunks(BATCH_ELEMENTS_MAX * 32)
            .flat_map(|chunk| OprfElement::parse_batch(chunk).unwrap())
            .collect::<Vec<_>>();
        let label = Label([7; 16]);
        let start = Instant::now();
        for element in &elements {
            let sealed = element.label_key().seal(&element.tag(), EPOCH, &label);
            std::hint::black_box(sealed);
        }
        elapsed += start.elapsed();
        elapsed.mul_f64(self.n_users as f64 / n as f64)
    }

    pub async fn publish(&self) -> Duration {
        let start = Instant::now();
        self.publish.publish_now().await.unwrap().unwrap();
        start.elapsed()
    }

    fn published(&self) -> Arc<Published> {
        self.directory.published()
    }

    /// Bytes of the coded set and of the labels.
    pub fn snapshot_bytes(&self) -> (u64, u64) {
        let published = self.published();
        let snapshot = &published.manifest.current().snapshot;
        (snapshot.set_bytes, snapshot.labels_bytes())
    }

    pub fn snapshot(&self) -> SnapshotView<Bytes> {
        let published = self.published();
        let number = published.manifest.current().snapshot.number;
        published.snapshot(number).unwrap().view().clone()
    }

    /// The overlay of the newest version.
    pub fn overlay(&self) -> Overlay {
        let published = self.published();
        let info = published.manifest.current();
        let (snapshot, empty) = (self.snapshot(), (info.snapshot.number, info.snapshot.version));
        let steps = published.steps(empty, (info.snapshot.number, info.version)).unwrap().unwrap();
        let versions = DeltaVersions { from: info.snapshot.version, to: info.version };
        let delta = Delta::decode(snapshot.identity(), versions, &steps[0].delta).unwrap();
        delta.apply(&Overlay::empty(*snapshot.identity())).unwrap()
    }

    /// Half of the churn leaves, half comes; then what a client that had the version before gets.
    pub async fn churn(&mut self, percent: f64) -> Churn {
        let half = (self.n_users as f64 * percent / 200.0) as u64;
        let before = self.published();
        self.unregister(half).await;
        self.register(half).await;
        let publishing = self.publish().await;
        let after = self.published();
        let position = |published: &Published| {
            let info = published.manifest.current();
            (info.snapshot.number, info.version)
        };
        let start = Instant::now();
        let steps = after.steps(position(&before), position(&after)).unwrap().unwrap();
        let making = start.elapsed();
        let bytes = steps.iter().map(|step| step.delta.len() as u64).sum();
        Churn { removed: half, added: half, publishing, making, bytes }
    }

    /// Stops everything and starts again from the files.
    pub async fn restart(self) -> Restart {
        self.stop.cancel();
        self.store.close().await.unwrap();
        drop((self.store, self.directory, self.publish));
        let start = Instant::now();
        let path = self.place.path().join("store.redb");
        let check = self.keys.storage.check_value();
        drop(RedbStore::open(&path, check).unwrap());
        let store = start.elapsed();
        let start = Instant::now();
        let (store_again, directory, _publish, stop) =
            open(&self.place, &self.keys, &self.evaluator).await;
        assert!(directory.published().manifest.current().members() > 0);
        let total = start.elapsed();
        stop.cancel();
        store_again.close().await.unwrap();
        Restart { store, total }
    }

    /// Resident memory of this process in MB, with what the bench itself keeps.
    pub fn resident_mb(&self) -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kb = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
        kb.unwrap_or(0) / 1_000
    }
}

async fn open(
    place: &TempDir,
    keys: &Keys,
    evaluator: &Evaluator,
) -> (Arc<dyn Store>, Arc<Directory>, PublishHandle, CancellationToken) {
    let check = keys.storage.check_value();
    let store: Arc<dyn Store> =
        Arc::new(RedbStore::open(place.path().join("store.redb"), check).unwrap());
    let settings = Config::default().check().unwrap().tenants.remove(0);
    let tenant = settings.name;
    // Nothing is rotated here, and the seed is in memory alone.
    let (clock, seeds) = (Arc::new(SystemClock), SeedFiles::new(place.path()));
    let policies = (settings.policy, settings.compaction, settings.entries_max);
    let (shared, evaluator) = (Arc::clone(&store), evaluator.clone());
    let directory =
        Directory::open(tenant, (keys, seeds), policies, shared, clock, evaluator).await.unwrap();
    let (publisher, publish) = Publisher::new(Arc::clone(&directory), Duration::from_secs(36_000));
    let stop = CancellationToken::new();
    tokio::spawn(publisher.run(stop.clone()));
    (store, directory, publish, stop)
}
