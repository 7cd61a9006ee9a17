//! A power failure after every single file operation: the old state, or the new one.

use std::{future::ready, sync::Mutex};

use super::{
    super::{disk::Disk as _, file::Parts},
    simulated_disk::{Forgets, SimulatedDisk},
    *,
};
use crate::cpu::Cpu;

/// The file store over a simulated disk.
struct SimulatedStore(Mutex<Parts<SimulatedDisk>>);

impl SimulatedStore {
    fn open(disk: &SimulatedDisk) -> Result<Arc<dyn StateStore>, StateUnavailable> {
        Ok(Arc::new(Self(Mutex::new(Parts::open(disk.clone())?))))
    }
}

impl StateStore for SimulatedStore {
    fn load(&self, part: StatePart) -> StateFuture<'_, Option<PartBytes>> {
        Box::pin(ready(self.0.lock().unwrap().load(part)))
    }

    fn save(&self, part: StatePart, bytes: PartBytes) -> StateFuture<'_, ()> {
        Box::pin(ready(self.0.lock().unwrap().save(part, &bytes)))
    }

    fn retain(&self, kept: Vec<StatePart>) -> StateFuture<'_, ()> {
        Box::pin(ready(self.0.lock().unwrap().retain(&kept)))
    }
}

/// A state with the snapshots that it names.
struct Generation {
    state: Arc<State>,
    snapshots: Vec<Snapshot>,
}

impl Generation {
    /// Both epochs hold a snapshot.
    fn new(world: &mut World, number: u64, shared: Option<&Snapshot>) -> Self {
        let (mut state, snapshot) = world.sample(number);
        let other = shared.cloned().unwrap_or_else(|| world.snapshot(&state, 2, number, false));
        state.epoch_mut(2).unwrap().hold(world.held(&other)).unwrap();
        Self { state: Arc::new(state), snapshots: vec![snapshot, other] }
    }

    async fn save(&self, keeper: &mut StateKeeper) -> Result<(), StateError> {
        for snapshot in &self.snapshots {
            keeper.save_snapshot(snapshot).await?;
        }
        keeper.save(&self.state).await
    }

    /// What a writer in the wrong order would do.
    async fn save_core_first(&self, store: &dyn StateStore) -> Result<(), StateError> {
        store.save(StatePart::Core, self.state.encode()?).await?;
        for snapshot in &self.snapshots {
            store.save(StatePart::Snapshot(snapshot.id()), snapshot.part().clone()).await?;
        }
        Ok(())
    }

    /// Whether this is what was loaded, with every snapshot.
    async fn is(&self, loaded: &Loaded, keeper: &mut StateKeeper) -> bool {
        let Loaded::State(state) = loaded else { return false };
        if state.encode().unwrap()[..] != self.state.encode().unwrap()[..] {
            return false;
        }
        for snapshot in &self.snapshots {
            let kept = keeper.load_snapshot(snapshot.id()).await;
            if !kept.is_ok_and(|kept| kept.part()[..] == snapshot.part()[..]) {
                return false;
            }
        }
        true
    }
}

/// Two generations of a state that share a snapshot, and one to be saved after the failure.
///
/// The snapshots of epoch 1 have the same number in the first two, but other bytes: labels may be
/// kept from now on.
struct Scenario {
    cpu: Arc<Cpu>,
    binding: Binding,
    old: Option<Generation>,
    new: Generation,
    next: Generation,
    has_leftovers: bool,
    forgets: Forgets,
    core_first: bool,
}

impl Scenario {
    fn new(seed: u64, has_old: bool) -> Self {
        eprintln!("seed {seed}");
        let mut world = World::new(seed);
        let old = Generation::new(&mut world, 1, None);
        let new = Generation::new(&mut world, 1, Some(&old.snapshots[1]));
        let next = Generation::new(&mut world, 2, None);
        Self {
            cpu: Arc::new(Cpu::new(Some(1)).unwrap()),
            binding: world.binding(),
            old: has_old.then_some(old),
            new,
            next,
            has_leftovers: false,
            forgets: Forgets::default(),
            core_first: false,
        }
    }

    async fn open(&self, disk: &SimulatedDisk) -> Result<(StateKeeper, Loaded), StateError> {
        let (cpu, store) = (Arc::clone(&self.cpu), SimulatedStore::open(disk)?);
        StateKeeper::open_on(cpu, store, self.binding.clone()).await
    }

    /// Fails after each operation in turn. The number of failures that were looked at, or the
    /// first that left something else than one of the two generations.
    async fn run(&self) -> Result<usize, String> {
        let before = SimulatedDisk::default();
        if let Some(old) = &self.old {
            old.save(&mut self.open(&before).await.unwrap().0).await.unwrap();
        }
        if self.has_leftovers {
            for name in ["core.state.tmp", "snapshot-1-7-00.state", "snapshot-1-8-00.state.tmp"] {
                let mut file = before.create(name).unwrap();
                before.write(&mut file, b"half written").unwrap();
            }
        }
        let mut n_failures = 0;
        for stop_after in 0.. {
            let disk = before.restarted(self.forgets, Some(stop_after));
            let is_saved = self.save_new(&disk).await.is_ok();
            for outcome in disk.outcomes() {
                let at = || format!("operation {stop_after}, saved: {is_saved}");
                self.check(&outcome, is_saved).await.map_err(|mix| format!("{mix} {}", at()))?;
                n_failures += 1;
            }
            if disk.operations() < stop_after {
                break;
            }
        }
        Ok(n_failures)
    }

    /// Success if the new generation was acknowledged before the process died.
    async fn save_new(&self, disk: &SimulatedDisk) -> Result<(), StateError> {
        if self.core_first {
            return self.new.save_core_first(&*SimulatedStore::open(disk)?).await;
        }
        self.new.save(&mut self.open(disk).await?.0).await
    }

    async fn check(&self, disk: &SimulatedDisk, is_saved: bool) -> Result<(), String> {
        let (mut keeper, loaded) = self.open(disk).await.unwrap();
        let is_new = self.new.is(&loaded, &mut keeper).await;
        let is_old = match &self.old {
            Some(old) => old.is(&loaded, &mut keeper).await,
            None => matches!(loaded, Loaded::Nothing),
        };
        if !is_new && (is_saved || !is_old) {
            return Err(format!("neither one nor the other: {loaded:?}"));
        }
        // Life goes on, and nothing is left behind.
        self.next.save(&mut keeper).await.map_err(|error| error.to_string())?;
        let (mut keeper, loaded) = self.open(disk).await.unwrap();
        let mut expected: Vec<String> =
            self.next.snapshots.iter().map(|s| StatePart::Snapshot(s.id()).name()).collect();
        expected.push(StatePart::Core.name());
        expected.sort();
        if !self.next.is(&loaded, &mut keeper).await || disk.file_names() != expected {
            return Err(format!("not as usual afterwards: {:?}", disk.file_names()));
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_power_failure_leaves_the_old_state_or_the_new_one() {
    let n_failures = Scenario::new(20, true).run().await.unwrap();
    println!("{n_failures} failures");
    assert!(n_failures > 50, "{n_failures}");
}

#[tokio::test]
async fn a_power_failure_after_a_power_failure_does_no_more() {
    let again = Scenario { has_leftovers: true, ..Scenario::new(21, true) };
    let n_failures = again.run().await.unwrap();
    println!("{n_failures} failures");
    assert!(n_failures > 100, "{n_failures}");
}

#[tokio::test]
async fn a_power_failure_during_the_first_save_leaves_nothing_or_everything() {
    let n_failures = Scenario::new(22, false).run().await.unwrap();
    println!("{n_failures} failures");
    assert!(n_failures > 50, "{n_failures}");
}

/// The simulation notices each thing that saving must not leave out.
#[tokio::test]
async fn a_writer_that_leaves_something_out_is_caught() {
    let complete = Scenario::new(23, true);
    let no_content =
        Scenario { forgets: Forgets { content: true, names: false }, ..Scenario::new(23, true) };
    let no_names =
        Scenario { forgets: Forgets { content: false, names: true }, ..Scenario::new(23, true) };
    let core_first = Scenario { core_first: true, ..Scenario::new(23, true) };
    assert!(complete.run().await.is_ok());
    for (what, careless) in
        [("content", no_content), ("names", no_names), ("core first", core_first)]
    {
        assert!(careless.run().await.is_err(), "{what}");
    }
}
