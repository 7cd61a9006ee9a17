//! Loading and saving over any store: reasons, refusals, and what a new keeper relies on.

use std::{
    future::{pending, ready},
    sync::atomic::{AtomicBool, Ordering::SeqCst},
};

use super::*;

async fn memory(world: &mut World) -> (Arc<dyn StateStore>, Arc<State>, Snapshot) {
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::new());
    let (mut keeper, loaded) = open(&store, &world.binding()).await;
    assert!(matches!(loaded, Loaded::Nothing));
    let (state, snapshot) = world.sample(1);
    let state = Arc::new(state);
    keeper.save_snapshot(&snapshot).await.unwrap();
    keeper.save(&state).await.unwrap();
    (store, state, snapshot)
}

async fn core(store: &Arc<dyn StateStore>) -> Vec<u8> {
    store.load(StatePart::Core).await.unwrap().unwrap().to_vec()
}

#[tokio::test]
async fn a_state_that_cannot_be_used_is_told_and_replaced() {
    let mut world = World::new(40);
    let (store, _, _) = memory(&mut world).await;
    let good = core(&store).await;
    let newer = {
        let mut content = good[..good.len() - 32].to_vec();
        content[4] = 2;
        resealed(&content)
    };
    let truncated = good[..good.len() - 1].to_vec();
    for (bytes, reason) in [
        (newer, StateError::NewerVersion),
        (truncated, StateError::Corrupt),
        (Vec::new(), StateError::Corrupt),
    ] {
        store.save(StatePart::Core, bytes.into()).await.unwrap();
        let (mut keeper, loaded) = open(&store, &world.binding()).await;
        assert!(matches!(loaded, Loaded::Unusable(found) if found == reason), "{loaded:?}");
        let (fresh, snapshot) = world.sample(2);
        keeper.save_snapshot(&snapshot).await.unwrap();
        keeper.save(&Arc::new(fresh.clone())).await.unwrap();
        let (_, loaded) = open(&store, &world.binding()).await;
        assert_eq!(found(loaded).encode().unwrap()[..], fresh.encode().unwrap()[..]);
    }
}

#[tokio::test]
async fn a_foreign_state_is_refused_and_left_alone() {
    let mut world = World::new(41);
    let (store, _, snapshot) = memory(&mut world).await;
    let before = core(&store).await;
    let other_tenant = world.binding().tenant("tenant-b".parse().unwrap());
    for binding in [World::new(42).binding(), other_tenant] {
        let refused = StateKeeper::open(Arc::clone(&store), binding).await;
        assert_eq!(refused.unwrap_err(), StateError::Foreign);
    }
    // Nor can it be overwritten with a state of another tenant or pin later on.
    let (mut keeper, _) = open(&store, &world.binding()).await;
    let mut rng = world.rng.clone();
    let tenant_b = State::new("tenant-b".parse().unwrap(), &world.pin, &mut rng);
    for foreign in [tenant_b, World::new(42).state()] {
        assert_eq!(keeper.save(&Arc::new(foreign)).await, Err(StateError::Foreign));
    }
    assert_eq!(core(&store).await, before);
    assert!(store.load(StatePart::Snapshot(snapshot.id())).await.unwrap().is_some());
}

#[tokio::test]
async fn a_core_names_only_snapshots_that_are_saved() {
    let mut world = World::new(43);
    let store: Arc<dyn StateStore> = Arc::new(MemoryStateStore::new());
    let (mut keeper, _) = open(&store, &world.binding()).await;
    let (state, snapshot) = world.sample(1);
    let state = Arc::new(state);
    assert_eq!(keeper.save(&state).await, Err(StateError::UnknownSnapshot));
    assert!(store.load(StatePart::Core).await.unwrap().is_none());
    keeper.save_snapshot(&snapshot).await.unwrap();
    keeper.save(&state).await.unwrap();

    // A save in between that does not name it removes it.
    let mut without = (*state).clone();
    without.epoch_mut(1).unwrap().release();
    keeper.save(&Arc::new(without)).await.unwrap();
    assert_eq!(keeper.save(&state).await, Err(StateError::UnknownSnapshot));
    keeper.save_snapshot(&snapshot).await.unwrap();
    keeper.save(&state).await.unwrap();
    keeper.load_snapshot(snapshot.id()).await.unwrap();
}

#[tokio::test]
async fn a_snapshot_is_written_once() {
    let mut world = World::new(44);
    let (store, state, snapshot) = memory(&mut world).await;
    let (mut keeper, _) = open(&store, &world.binding()).await;
    // Something else stands there: if it were written again, it would be gone.
    let part = StatePart::Snapshot(snapshot.id());
    store.save(part, vec![1].into()).await.unwrap();
    keeper.save_snapshot(&snapshot).await.unwrap();
    keeper.save(&state).await.unwrap();
    assert_eq!(store.load(part).await.unwrap().unwrap()[..], [1]);
    // Once the damage has been noticed, it is.
    assert_eq!(keeper.load_snapshot(snapshot.id()).await.unwrap_err(), StateError::Corrupt);
    keeper.save_snapshot(&snapshot).await.unwrap();
    assert_eq!(store.load(part).await.unwrap().unwrap()[..], snapshot.part()[..]);
}

#[tokio::test]
async fn a_snapshot_that_is_not_the_named_one_is_corrupt() {
    let mut world = World::new(45);
    let (store, _, snapshot) = memory(&mut world).await;
    let part = StatePart::Snapshot(snapshot.id());
    let owner = world.state();
    let other = world.snapshot(&owner, 1, 1, true);
    let foreign_owner = World::new(46).state();
    let foreign = world.snapshot(&foreign_owner, 1, 1, true);
    for bytes in [
        other.part().to_vec(),
        foreign.part().to_vec(),
        core(&store).await,
        snapshot.part()[..snapshot.part().len() - 1].to_vec(),
        Vec::new(),
    ] {
        store.save(part, bytes.into()).await.unwrap();
        let (mut keeper, _) = open(&store, &world.binding()).await;
        assert_eq!(keeper.load_snapshot(snapshot.id()).await.unwrap_err(), StateError::Corrupt);
    }
}

/// Removes what it should, and the first time never says so.
#[derive(Default)]
struct Silent {
    parts: MemoryStateStore,
    is_removed: tokio::sync::Notify,
    has_answered: AtomicBool,
}

impl StateStore for Silent {
    fn load(&self, part: StatePart) -> StateFuture<'_, Option<PartBytes>> {
        self.parts.load(part)
    }

    fn save(&self, part: StatePart, bytes: PartBytes) -> StateFuture<'_, ()> {
        self.parts.save(part, bytes)
    }

    fn retain(&self, parts: Vec<StatePart>) -> StateFuture<'_, ()> {
        Box::pin(async move {
            self.parts.retain(parts).await?;
            self.is_removed.notify_one();
            if self.has_answered.swap(true, SeqCst) { Ok(()) } else { pending().await }
        })
    }
}

/// Dropping a save in the middle of the removal must not leave the keeper with the belief that
/// removed snapshots are still there.
#[tokio::test]
async fn an_abandoned_removal_is_taken_for_done() {
    let mut world = World::new(48);
    let store = Arc::new(Silent::default());
    let opened = StateKeeper::open(Arc::clone(&store) as Arc<dyn StateStore>, world.binding());
    let (mut keeper, _) = opened.await.unwrap();
    let (state, snapshot) = world.sample(1);
    keeper.save_snapshot(&snapshot).await.unwrap();
    let mut without = state.clone();
    without.epoch_mut(1).unwrap().release();
    let without = Arc::new(without);
    tokio::select! {
        _ = keeper.save(&without) => panic!("the removal never ends"),
        () = store.is_removed.notified() => {}
    }
    assert_eq!(keeper.save(&Arc::new(state)).await, Err(StateError::UnknownSnapshot));
    keeper.save_snapshot(&snapshot).await.unwrap();
    assert!(store.load(StatePart::Snapshot(snapshot.id())).await.unwrap().is_some());
}

/// Fails every call.
struct Broken;

impl StateStore for Broken {
    fn load(&self, _: StatePart) -> StateFuture<'_, Option<PartBytes>> {
        Box::pin(ready(Err(StateUnavailable::InUse)))
    }

    fn save(&self, _: StatePart, _: PartBytes) -> StateFuture<'_, ()> {
        Box::pin(ready(Err(StateUnavailable::InUse)))
    }

    fn retain(&self, _: Vec<StatePart>) -> StateFuture<'_, ()> {
        Box::pin(ready(Err(StateUnavailable::InUse)))
    }
}

#[tokio::test]
async fn a_store_that_fails_is_not_taken_for_an_empty_one() {
    let world = World::new(47);
    let failed = StateKeeper::open(Arc::new(Broken), world.binding()).await;
    assert_eq!(failed.unwrap_err(), StateError::Unavailable(StateUnavailable::InUse));
}
