//! The rotation step by step, against a plain model of who is registered.

use std::{collections::BTreeMap, ops::ControlFlow, ops::Range, path::PathBuf};

use acquaint_core::{engine::Engine, keys::OprfSeed, oprf, oprf::BlindedBatch, oprf::Mode};
use bytes::Bytes;
use tokio::{task::JoinHandle, time::timeout};

use super::*;
use crate::{
    clock::ManualClock,
    config::Config,
    directory::{Entries, KeyPhase, Publisher},
    evaluator::Evaluator,
    keystore::{KeyFileError, Keys, SeedFiles},
    store::{RedbStore, Store},
};

const START_S: u64 = 1_700_000_000;
const GRACE_S: u64 = 3_600;

/// Label and visibility of each user.
type Model = BTreeMap<u64, (u8, bool)>;

/// What stays when a process ends.
struct Site {
    place: tempfile::TempDir,
    clock: Arc<ManualClock>,
}

/// A directory whose rotation is carried on by hand.
struct World {
    site: Site,
    store: Arc<dyn Store>,
    evaluator: Evaluator,
    directory: Arc<Directory>,
    rotator: Rotator,
    publisher: JoinHandle<()>,
}

impl Site {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        Keys::generate(&mut rand::rng()).create(&place.path().join("keys")).unwrap();
        Self { place, clock: Arc::new(ManualClock::at_ms(START_S * 1_000)) }
    }

    fn keys(&self) -> PathBuf {
        self.place.path().join("keys")
    }

    async fn try_start(self) -> Result<World, (Self, DirectoryError)> {
        let keys = Keys::load(&self.keys()).unwrap();
        let path = self.place.path().join("store.redb");
        let store: Arc<dyn Store> =
            Arc::new(RedbStore::open(path, keys.storage.check_value()).unwrap());
        let settings = Config::default().check().unwrap().tenants.remove(0);
        let evaluator = Evaluator::start(2, 65_536).unwrap();
        let opened = Directory::open(
            settings.name,
            (&keys, SeedFiles::new(&self.keys())),
            (settings.policy, settings.compaction, settings.entries_max),
            Arc::clone(&store),
            Arc::<ManualClock>::clone(&self.clock),
            evaluator.clone(),
        )
        .await;
        let directory = match opened {
            Ok(directory) => directory,
            Err(error) => {
                store.close().await.unwrap();
                return Err((self, error));
            }
        };
        let (publisher, publish) = Publisher::new(Arc::clone(&directory), Duration::ZERO);
        let (rotator, _) = Rotator::new(Arc::clone(&directory), publish, GRACE_S);
        let publisher = tokio::spawn(publisher.run(CancellationToken::new()));
        Ok(World { site: self, store, evaluator, directory, rotator, publisher })
    }

    async fn start(self) -> World {
        self.try_start().await.map_err(|(_, error)| error).unwrap()
    }
}

impl World {
    async fn stop(self) -> Site {
        self.publisher.abort();
        drop(self.publisher.await);
        self.store.close().await.unwrap();
        self.site
    }

    async fn restart(self) -> Self {
        self.stop().await.start().await
    }

    fn seed(&self, epoch: u32) -> OprfSeed {
        Keys::load(&self.site.keys()).unwrap().oprf_seeds.get(epoch).unwrap().clone()
    }

    /// OPRF outputs of users under an epoch, from the seed in the key directory.
    fn elements(&self, epoch: u32, users: impl IntoIterator<Item = u64>) -> Vec<[u8; 32]> {
        let uniform = |user: u64| {
            let mut bytes = [0; 64];
            blake3::Hasher::new().update(&user.to_le_bytes()).finalize_xof().fill(&mut bytes);
            bytes
        };
        let inputs: Vec<_> = users.into_iter().map(uniform).collect();
        let engine = Engine::current();
        let (secret, _) = self.seed(epoch).epoch_key(epoch).unwrap();
        let evaluate = |inputs: &[[u8; 64]]| {
            let points = engine.encode(&engine.map_to_group(inputs)).concat();
            let batch = BlindedBatch::try_from(&points[..]).unwrap();
            oprf::blind_evaluate(Mode::Oprf, &secret, &batch, &mut rand::rng()).elements
        };
        inputs.chunks(4_096).flat_map(evaluate).collect()
    }

    async fn register(&self, model: &mut Model, epoch: u32, users: Range<u64>, label: u8) {
        for chunk in users.collect::<Vec<_>>().chunks(4_096) {
            let elements = self.elements(epoch, chunk.iter().copied()).concat();
            let labels = vec![label; 16 * chunk.len()];
            let hidden = label.is_multiple_of(2);
            let entries = Entries { elements: elements.into(), labels: labels.into(), hidden };
            let reservation = self.evaluator.reserve(4_096).unwrap();
            self.directory.register(&reservation, epoch, entries).await.unwrap();
            model.extend(chunk.iter().map(|user| (*user, (label, hidden))));
        }
    }

    async fn remove(&self, model: &mut Model, epoch: u32, users: Range<u64>) {
        let elements: Bytes = self.elements(epoch, users.clone()).concat().into();
        let reservation = self.evaluator.reserve(4_096).unwrap();
        let expected = users.clone().filter(|user| model.contains_key(user)).count();
        let applied = self.directory.unregister(&reservation, epoch, elements).await.unwrap();
        assert_eq!(applied.removed as usize, expected, "counted once");
        model.retain(|user, _| !users.contains(user));
    }

    /// Rows of an epoch: element, label, visibility.
    fn rows(&self, epoch: u32) -> BTreeMap<[u8; 32], (u8, bool)> {
        let vault = Keys::load(&self.site.keys()).unwrap().storage.vault();
        let mut rows = BTreeMap::new();
        let mut add = |handle: &Handle, sealed: &[u8]| {
            let row = vault.open(epoch, handle.as_bytes(), sealed).unwrap();
            rows.insert(*row.element.expose_bytes(), (row.label.0[0], row.hidden));
            ControlFlow::Continue(())
        };
        self.store.scan(epoch, &mut add).unwrap();
        rows
    }

    #[track_caller]
    fn assert_holds(&self, epoch: u32, model: &Model) {
        let elements = self.elements(epoch, model.keys().copied());
        let expected: BTreeMap<_, _> = elements.into_iter().zip(model.values().copied()).collect();
        assert_eq!(self.rows(epoch).len(), expected.len(), "epoch {epoch}");
        assert!(self.rows(epoch) == expected, "epoch {epoch}");
    }

    fn published(&self) -> Vec<(u32, u64)> {
        let published = self.directory.published();
        published.manifest.epochs.iter().map(|info| (info.epoch, info.members())).collect()
    }

    async fn publish(&self) {
        self.rotator.publish().await.unwrap();
    }

    /// Steps until another phase begins.
    async fn next_phase(&mut self) {
        let before = self.directory.phase().to_string();
        while self.directory.phase().to_string() == before {
            assert!(self.rotator.advance().await.unwrap(), "stuck at {before}");
        }
    }

    fn end_grace(&self) {
        self.site.clock.set_ms((START_S + GRACE_S) * 1_000);
    }

    async fn phases(&self) -> Vec<(u32, KeyPhase)> {
        let keys = self.directory.keys().await.unwrap();
        keys.into_iter().map(|(key, phase)| (key.epoch, phase)).collect()
    }
}

fn visible(model: &Model) -> u64 {
    model.values().filter(|(_, hidden)| !hidden).count() as u64
}

/// S6: whatever changes in any phase is in every epoch that lives.
#[tokio::test]
async fn changes_of_every_phase_are_in_both_epochs() {
    let (mut world, mut model) = (Site::new().start().await, Model::new());
    world.register(&mut model, 1, 0..9_000, 1).await;
    world.publish().await;
    assert_eq!(world.phases().await, [(1, KeyPhase::Serving)]);

    let epochs = world.directory.begin_rotation().await.unwrap();
    assert_eq!((epochs.from, epochs.to), (1, 2));
    assert_eq!(world.phases().await, [(1, KeyPhase::Serving), (2, KeyPhase::Moving)]);
    assert!(world.directory.key(2).is_err(), "nobody sees it yet");
    assert_eq!(world.directory.moved().unwrap(), Some(0));
    // Half of the rows are on the other side; of each kind of change there is one to both halves.
    assert!(world.rotator.advance().await.unwrap());
    assert_eq!(world.directory.moved().unwrap(), Some(4_096));
    world.remove(&mut model, 1, 0..500).await;
    world.register(&mut model, 1, 500..1_000, 2).await;
    world.register(&mut model, 1, 9_000..9_500, 3).await;
    world.remove(&mut model, 1, 9_400..9_600).await;
    world.publish().await;
    assert_eq!(world.published(), [(1, visible(&model))]);
    world.next_phase().await;
    world.assert_holds(1, &model);
    world.assert_holds(2, &model);

    assert!(world.rotator.advance().await.unwrap());
    let members = visible(&model);
    assert_eq!(world.published(), [(1, members), (2, members)]);
    assert_eq!(world.phases().await, [(1, KeyPhase::Grace), (2, KeyPhase::Serving)]);
    world.register(&mut model, 1, 10_000..10_100, 4).await;
    world.register(&mut model, 2, 10_050..10_200, 5).await;
    world.remove(&mut model, 2, 1_000..1_100).await;
    world.remove(&mut model, 1, 1_100..1_200).await;
    world.register(&mut model, 2, 2_000..2_100, 6).await;
    world.assert_holds(1, &model);
    world.assert_holds(2, &model);
    world.publish().await;
    let members = visible(&model);
    assert_eq!(world.published(), [(1, members), (2, members)]);

    world.end_grace();
    world.next_phase().await;
    world.next_phase().await;
    assert_eq!(world.directory.phase(), Phase::Settled);
    assert_eq!(world.published(), [(2, members)]);
    assert!(world.rows(1).is_empty());
    world.assert_holds(2, &model);
    assert_eq!(world.phases().await, [(1, KeyPhase::Destroyed), (2, KeyPhase::Serving)]);
    assert_eq!(world.directory.key(1).unwrap_err(), DirectoryError::Epoch);
    assert!(!world.site.keys().join("oprf.seed").exists());
    assert_eq!(world.directory.entries().unwrap(), model.len() as u64);
    assert!(!world.rotator.advance().await.unwrap(), "nothing is left to do");
}

#[tokio::test]
async fn the_grace_period_lasts_as_long_as_it_should_and_one_rotation_runs_at_a_time() {
    let (mut world, mut model) = (Site::new().start().await, Model::new());
    world.register(&mut model, 1, 0..10, 1).await;
    assert!(!world.directory.is_successor(1));
    world.directory.begin_rotation().await.unwrap();
    let refused = |error| assert_eq!(error, DirectoryError::RotationRunning);
    refused(world.directory.begin_rotation().await.unwrap_err());
    world.next_phase().await;
    refused(world.directory.begin_rotation().await.unwrap_err());
    assert!(world.rotator.advance().await.unwrap());
    assert!(world.directory.is_successor(2) && !world.directory.is_successor(1));

    world.site.clock.set_ms((START_S + GRACE_S) * 1_000 - 1);
    assert!(!world.rotator.advance().await.unwrap());
    // A clock that went back only makes it longer.
    world.site.clock.set_ms(1_000);
    assert!(!world.rotator.advance().await.unwrap());
    world.end_grace();
    world.next_phase().await;
    refused(world.directory.begin_rotation().await.unwrap_err());
    world.next_phase().await;
    assert!(!world.directory.is_successor(2));

    let next = world.directory.begin_rotation().await.unwrap();
    assert_eq!((next.from, next.to), (2, 3));
    assert_eq!(
        world.phases().await,
        [(1, KeyPhase::Destroyed), (2, KeyPhase::Serving), (3, KeyPhase::Moving)]
    );
}

/// A process may end between any two steps.
#[tokio::test]
async fn a_restart_goes_on_from_every_step() {
    let (mut world, mut model) = (Site::new().start().await, Model::new());
    world.register(&mut model, 1, 0..5_000, 1).await;
    world.publish().await;
    world.directory.begin_rotation().await.unwrap();
    let mut steps = Vec::new();
    loop {
        let sequence = world.directory.published().manifest.sequence;
        world = world.restart().await;
        let again = world.directory.published().manifest.sequence;
        steps.push(world.directory.phase().to_string());
        match world.directory.phase() {
            Phase::Settled => break,
            Phase::Moving { .. } => {
                // So that the next process does not begin with the first row again.
                world.rotator.pages = PAGES_PER_NOTE - 1;
                let round = 100 * steps.len() as u64;
                world.register(&mut model, 1, 5_000 + round..5_050 + round, 7).await;
                world.remove(&mut model, 1, round..50 + round).await;
            }
            // What was published is published again, and not made anew; a new epoch is new, and the
            // process before may have published once more before it ended.
            Phase::Grace { .. } | Phase::Retiring { .. } => assert!(again <= sequence + 2),
        }
        if !world.rotator.advance().await.unwrap() {
            world.end_grace();
        }
    }
    steps.dedup();
    assert_eq!(steps, ["moving", "grace", "retiring", "settled"]);
    world.assert_holds(2, &model);
    assert!(world.rows(1).is_empty());
    assert_eq!(world.published(), [(2, visible(&model))]);
    assert_eq!(world.directory.epoch(), 2);
}

/// A change that looked before the rotation began must be with the store before rows are read:
/// without [`Turns`] this test fails.
#[tokio::test]
async fn a_rotation_waits_for_changes_that_do_not_know_of_it() {
    let (mut world, mut model) = (Site::new().start().await, Model::new());
    world.register(&mut model, 1, 0..10, 1).await;
    let turn = world.directory.turns.take().await;
    let lines = world.directory.lines.load_full();
    let directory = Arc::clone(&world.directory);
    let mut begun = tokio::spawn(async move { directory.begin_rotation().await });
    timeout(Duration::from_millis(300), &mut begun).await.unwrap_err();
    assert_ne!(world.directory.phase(), Phase::Settled, "it waits for the change alone");

    let elements: Bytes = world.elements(1, 10..20).concat().into();
    let entries = Entries { elements, labels: vec![1; 160].into(), hidden: false };
    let parts = lines.puts(1, &entries.parse().unwrap()).unwrap();
    world.directory.apply(parts).await.unwrap();
    model.extend((10..20).map(|user| (user, (1, false))));
    drop(turn);
    begun.await.unwrap().unwrap();
    world.next_phase().await;
    world.assert_holds(2, &model);
}

#[tokio::test]
async fn the_place_is_kept_while_rows_are_moved() {
    let mut world = Site::new().start().await;
    world.directory.begin_rotation().await.unwrap();
    let Phase::Moving { epochs, .. } = world.directory.phase() else { panic!("it moves") };
    let place = Handle::new([0x80; 32]);
    for page in 1..=PAGES_PER_NOTE {
        world.rotator.pages = page - 1;
        let mut model = Model::new();
        world.register(&mut model, 1, 0..200, 1).await;
        world.rotator.move_page(epochs, None).await.unwrap();
        let kept = world.store.meta(MetaName::Rotation).unwrap().unwrap();
        let Phase::Moving { after, .. } = Phase::decode(&kept).unwrap() else { panic!() };
        assert_eq!(after.is_some(), page == PAGES_PER_NOTE, "page {page}");
        assert!(after.is_none_or(|after| after > place), "the last of 200 rows");
    }
}

#[tokio::test]
async fn a_store_starts_with_its_own_keys_only() {
    let (mut world, mut model) = (Site::new().start().await, Model::new());
    world.register(&mut model, 1, 0..10, 1).await;
    world.directory.begin_rotation().await.unwrap();
    world.next_phase().await;
    let mut site = world.stop().await;
    // Another seed, and none at all.
    let (path, aside) = (site.keys().join("oprf-2.seed"), site.place.path().join("aside"));
    std::fs::rename(&path, &aside).unwrap();
    SeedFiles::new(&site.keys()).replace_unused(2, &mut rand::rng()).unwrap();
    for _ in 0..2 {
        let (back, error) = site.try_start().await.err().unwrap();
        assert_eq!(error, DirectoryError::ForeignKeys);
        site = back;
        drop(std::fs::remove_file(&path));
    }
    std::fs::rename(&aside, &path).unwrap();
    let mut world = site.start().await;
    world.assert_holds(2, &model);

    // After the rotation the old seed alone is as foreign.
    let old = world.seed(1);
    world.end_grace();
    world.next_phase().await;
    world.next_phase().await;
    let site = world.stop().await;
    std::fs::remove_file(site.keys().join("oprf-2.seed")).unwrap();
    let error = Keys::load(&site.keys()).unwrap_err();
    assert!(matches!(error, KeyFileError::Io { .. }));
    let text = format!("{}\n", data_encoding::HEXLOWER.encode(old.expose_bytes()));
    std::fs::copy(site.keys().join("storage.key"), site.keys().join("oprf.seed")).unwrap();
    std::fs::write(site.keys().join("oprf.seed"), text).unwrap();
    let (_, error) = site.try_start().await.err().unwrap();
    assert_eq!(error, DirectoryError::ForeignKeys);
}

/// A beginning that was given up half-way leaves a seed, and perhaps a phase that no row depends
/// on.
#[tokio::test]
async fn a_rotation_that_never_began_is_forgotten() {
    let (world, mut model) = (Site::new().start().await, Model::new());
    world.register(&mut model, 1, 0..10, 1).await;
    let seeds = SeedFiles::new(&world.site.keys());
    seeds.replace_unused(2, &mut rand::rng()).unwrap();
    let world = world.restart().await;
    assert_eq!(world.directory.phase(), Phase::Settled);
    assert_eq!(world.phases().await, [(1, KeyPhase::Serving), (2, KeyPhase::Unused)]);

    let epochs = Epochs { from: 1, to: 2, to_key: [7; 32] };
    world.directory.keep(&Phase::Moving { epochs, after: None }).await.unwrap();
    let mut world = world.restart().await;
    assert_eq!(world.directory.phase(), Phase::Settled);
    let unused = world.seed(2);
    world.directory.begin_rotation().await.unwrap();
    assert_ne!(world.seed(2).expose_bytes(), unused.expose_bytes());
    world.next_phase().await;
    world.assert_holds(2, &model);
}
