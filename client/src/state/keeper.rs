//! Loads and saves a state: snapshots first, the core that names them last.

use std::{collections::BTreeSet, fmt, io, sync::Arc};

use super::{
    Binding, Snapshot, SnapshotId, State, StateError, StatePart, StateStore, StateUnavailable,
};
use crate::{cpu::Cpu, error::ClientError};

/// The way to a saved state. Whoever has one has seen that the place does not belong to another
/// operator.
///
/// Encoding, decoding and hashing run on a thread of the keeper's own.
pub struct StateKeeper {
    store: Arc<dyn StateStore>,
    cpu: Arc<Cpu>,
    binding: Binding,
    /// Snapshots that the store has and keeps.
    saved: BTreeSet<SnapshotId>,
}

/// What [`StateKeeper::open`] found.
#[derive(Debug)]
pub enum Loaded {
    /// The state of an earlier run.
    State(Box<State>),
    /// Nothing was saved before.
    Nothing,
    /// Something that cannot be used, and why; the next save replaces it. Start with a new state:
    /// the server has lost nothing.
    Unusable(StateError),
}

impl StateKeeper {
    /// Opens what is saved and loads its core.
    ///
    /// # Errors
    /// [`StateError::Foreign`] if it belongs to another operator or tenant: nothing is changed,
    /// and nothing can be saved there. [`StateError::Unavailable`] if the store failed.
    pub async fn open(
        store: Arc<dyn StateStore>,
        binding: Binding,
    ) -> Result<(Self, Loaded), StateError> {
        let cpu = Cpu::new(Some(1)).map_err(|_| StateUnavailable::Io(io::ErrorKind::Other))?;
        Self::open_on(Arc::new(cpu), store, binding).await
    }

    /// As [`StateKeeper::open`], computing on threads that are there already.
    pub(crate) async fn open_on(
        cpu: Arc<Cpu>,
        store: Arc<dyn StateStore>,
        binding: Binding,
    ) -> Result<(Self, Loaded), StateError> {
        let mut keeper = Self { store, cpu, binding, saved: BTreeSet::new() };
        let loaded = match keeper.load_core().await {
            Ok(Some(state)) => {
                keeper.binding = state.binding();
                keeper.collect_garbage(snapshots_of(&state)).await;
                Loaded::State(Box::new(state))
            }
            Ok(None) => Loaded::Nothing,
            Err(
                error @ (StateError::Corrupt | StateError::NewerVersion | StateError::TooLarge),
            ) => Loaded::Unusable(error),
            Err(error) => return Err(error),
        };
        Ok((keeper, loaded))
    }

    /// Saves the core of a state, durably, and removes the snapshots that it does not name.
    ///
    /// **Cancellation.** After a dropped future the old core is there, or the new one.
    ///
    /// # Errors
    /// [`StateError::UnknownSnapshot`] if the state names a snapshot that
    /// [`StateKeeper::save_snapshot`] has not saved, or that was removed since;
    /// [`StateError::Foreign`] for the state of another operator or tenant;
    /// [`StateError::TooLarge`]; [`StateError::Unavailable`] if the store failed. The old core is
    /// then still there; if the store failed, perhaps already the new one.
    pub async fn save(&mut self, state: &Arc<State>) -> Result<(), StateError> {
        if !self.binding.admits(&state.tenant, &state.pin) {
            return Err(StateError::Foreign);
        }
        let named = snapshots_of(state);
        if !named.is_subset(&self.saved) {
            return Err(StateError::UnknownSnapshot);
        }
        let encoded = Arc::clone(state);
        let bytes = self.compute(move || encoded.encode()).await?;
        self.store.save(StatePart::Core, bytes).await?;
        self.binding = state.binding();
        self.collect_garbage(named).await;
        Ok(())
    }

    /// Saves a snapshot, durably, if it is not there yet.
    ///
    /// It stays only if the next core that is saved names it: [`EpochState::hold`] it, then
    /// [`StateKeeper::save`].
    ///
    /// # Errors
    /// [`StateError::Unavailable`] if the store failed. What is named by the core is untouched.
    ///
    /// [`EpochState::hold`]: super::EpochState::hold
    pub async fn save_snapshot(&mut self, snapshot: &Snapshot) -> Result<SnapshotId, StateError> {
        let id = snapshot.id();
        if !self.saved.contains(&id) {
            self.store.save(StatePart::Snapshot(id), snapshot.part().clone()).await?;
            self.saved.insert(id);
        }
        Ok(id)
    }

    /// Whether a snapshot has to be saved before a core can name it.
    pub(crate) fn lacks(&self, id: SnapshotId) -> bool {
        !self.saved.contains(&id)
    }

    /// Loads a snapshot that the state names.
    ///
    /// # Errors
    /// [`StateError::Corrupt`] if it is missing or not what was saved: download it again.
    /// [`StateError::Unavailable`] if the store failed.
    pub async fn load_snapshot(&mut self, id: SnapshotId) -> Result<Snapshot, StateError> {
        let loaded = self.load_exactly(id).await;
        if matches!(loaded, Err(StateError::Corrupt)) {
            // So that saving it again is not taken for done.
            self.saved.remove(&id);
        }
        loaded
    }

    async fn load_exactly(&self, id: SnapshotId) -> Result<Snapshot, StateError> {
        let bytes = match self.store.load(StatePart::Snapshot(id)).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) | Err(StateUnavailable::TooLarge) => return Err(StateError::Corrupt),
            Err(error) => return Err(error.into()),
        };
        let binding = self.binding.clone();
        let decoded = self.compute(move || Snapshot::decode(bytes, &binding)).await;
        match decoded {
            Ok(snapshot) if snapshot.id() == id => Ok(snapshot),
            Err(StateError::Internal) => Err(StateError::Internal),
            // The core has vouched for it: whatever else stands there was not saved under it.
            _ => Err(StateError::Corrupt),
        }
    }

    async fn load_core(&self) -> Result<Option<State>, StateError> {
        let bytes = match self.store.load(StatePart::Core).await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            Err(StateUnavailable::TooLarge) => return Err(StateError::TooLarge),
            Err(error) => return Err(error.into()),
        };
        let binding = self.binding.clone();
        self.compute(move || State::decode(&bytes, &binding)).await.map(Some)
    }

    /// Removes all snapshots but these. A failure only leaves garbage, for the next time.
    async fn collect_garbage(&mut self, named: BTreeSet<SnapshotId>) {
        let parts = named.iter().copied().map(StatePart::Snapshot);
        let parts = [StatePart::Core].into_iter().chain(parts).collect();
        // Before the call: dropped in the middle of it, it may still remove them.
        self.saved = named;
        let _ = self.store.retain(parts).await;
    }

    async fn compute<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> Result<T, StateError> + Send + 'static,
    ) -> Result<T, StateError> {
        self.cpu.run(job).await.map_err(|_: ClientError| StateError::Internal)?
    }
}

fn snapshots_of(state: &State) -> BTreeSet<SnapshotId> {
    state.epochs().iter().filter_map(|epoch| Some(epoch.held()?.id)).collect()
}

impl fmt::Debug for StateKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StateKeeper")
            .field("binding", &self.binding)
            .field("saved", &self.saved)
            .finish_non_exhaustive()
    }
}
