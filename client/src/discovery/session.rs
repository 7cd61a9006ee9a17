//! What a lookup starts from, and what it leaves behind: the client's state.

use std::sync::Arc;

use acquaint_core::{
    manifest::{DIGEST_BYTES, SignedManifest, TenantName, VerifiedManifest},
    set::{Overlay, SnapshotIdentity, SnapshotSegment, SnapshotView},
    tag::{LabelKey, Tag},
};
use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

use super::{evaluate::Evaluated, holding::Holding};
use crate::{
    address_book::AddressBook,
    builder::Core,
    error::ClientError,
    outcome::Match,
    state::{
        AcceptedManifest, Binding, Changes, HeldSnapshot, Loaded, SavedEvaluation, Snapshot,
        SnapshotId, State, StateError, StateKeeper,
    },
};

/// The state of a client during one lookup.
pub(super) struct Session {
    core: Arc<Core>,
    /// The way to the saved state, if the app wants one. One session at a time has it.
    keeper: Option<(StateKeeper, OwnedSemaphorePermit)>,
    /// `None` before the first manifest.
    state: Option<Arc<State>>,
    /// The newest manifest that was accepted, if it is known whole.
    manifest: Option<Arc<VerifiedManifest>>,
    /// What is held of the newest epoch.
    pub(super) holding: Option<Holding>,
    /// The saved snapshot, with the digest of its index.
    saved: Option<(SnapshotId, [u8; DIGEST_BYTES])>,
    /// Whether `holding` was looked for in the saved state.
    holding_loaded: bool,
    /// Why the saved state could not be used.
    pub(super) discarded: Option<StateError>,
}

impl Session {
    /// Opens the saved state, if there is one.
    ///
    /// # Errors
    /// [`ClientError::State`] if it belongs to somebody else or the store failed.
    pub(super) async fn open(core: &Arc<Core>) -> Result<Self, ClientError> {
        let mut session = Self {
            core: Arc::clone(core),
            keeper: None,
            state: None,
            manifest: None,
            holding: None,
            saved: None,
            holding_loaded: false,
            discarded: None,
        };
        let Some(store) = core.state.clone() else { return Ok(session) };
        let turn = Arc::clone(&core.state_turn).acquire_owned().await;
        let turn = turn.map_err(|_| ClientError::Internal)?;
        let binding = Binding::new(core.trust.pin());
        let (keeper, loaded) = StateKeeper::open_on(Arc::clone(&core.cpu), store, binding).await?;
        session.keeper = Some((keeper, turn));
        match loaded {
            Loaded::State(state) => session.adopt(*state),
            Loaded::Nothing => {}
            Loaded::Unusable(error) => session.discarded = Some(error),
        }
        Ok(session)
    }

    /// Takes a saved state over; its manifest is checked again before anything of it is used.
    fn adopt(&mut self, state: State) {
        let recalled = state.manifest().and_then(|kept| self.core.trust.recall(&kept.signed));
        self.manifest = recalled.map(Arc::new);
        self.state = Some(Arc::new(state));
    }

    /// The digest of the newest manifest, if it need not be sent again.
    pub(super) fn known_digest(&self) -> Vec<u8> {
        self.manifest.as_ref().map(|manifest| manifest.head().digest.to_vec()).unwrap_or_default()
    }

    /// The newest manifest, if it is known whole.
    pub(super) fn manifest(&self) -> Option<Arc<VerifiedManifest>> {
        self.manifest.clone()
    }

    /// Goes on under a manifest that was just accepted. What is known of other epochs than the
    /// live ones is forgotten.
    ///
    /// # Errors
    /// [`ClientError::State`] for more live epochs than a state holds.
    pub(super) fn accept(
        &mut self,
        signed: SignedManifest,
        manifest: &Arc<VerifiedManifest>,
    ) -> Result<(), ClientError> {
        let tenant = &manifest.tenant;
        let is_foreign = |state: &Arc<State>| state.binding() != self.binding(tenant);
        if self.state.as_ref().is_none_or(is_foreign) {
            let state = State::new(tenant.clone(), self.core.trust.pin(), &mut rand::rng());
            self.state = Some(Arc::new(state));
        }
        let state = Arc::make_mut(self.state.as_mut().ok_or(ClientError::Internal)?);
        let live: Vec<_> =
            manifest.epochs.iter().map(|info| (info.epoch, info.public_key)).collect();
        state.set_live_epochs(&live)?;
        state.set_manifest(AcceptedManifest {
            number: manifest.sequence,
            epochs: live.iter().map(|(epoch, _)| *epoch).collect(),
            signed,
        });
        self.manifest = Some(Arc::clone(manifest));
        Ok(())
    }

    fn binding(&self, tenant: &TenantName) -> Binding {
        Binding::new(self.core.trust.pin()).tenant(tenant.clone())
    }

    /// Positions of the contacts that were never evaluated under the key of an epoch.
    pub(super) fn missing(&self, book: &AddressBook, epoch: u32) -> Vec<usize> {
        let Some(state) = &self.state else { return (0..book.contacts().len()).collect() };
        let known = state.epoch(epoch);
        let is_missing = |contact: &crate::address_book::Contact| {
            let key = state.local_key(contact.identifier());
            known.is_none_or(|known| known.evaluation(&key).is_none())
        };
        let contacts = book.contacts().iter().enumerate();
        contacts.filter(|(_, contact)| is_missing(contact)).map(|(i, _)| i).collect()
    }

    /// Keeps what contacts were evaluated to.
    pub(super) fn add(&mut self, book: &AddressBook, epoch: u32, evaluated: Vec<Evaluated>) {
        let Some(state) = self.state.as_mut().map(Arc::make_mut) else { return };
        let mut saved = Vec::with_capacity(evaluated.len());
        saved.extend(evaluated.iter().filter_map(|evaluated| {
            let contact = book.contacts().get(evaluated.contact)?;
            Some(SavedEvaluation::new(
                state.local_key(contact.identifier()),
                *evaluated.tag.expose_bytes(),
                *evaluated.label_key.expose_bytes(),
            ))
        }));
        if let Some(live) = state.epoch_mut(epoch) {
            live.add_evaluations(saved);
        }
    }

    /// All contacts that were evaluated under the key of an epoch.
    pub(super) fn evaluated(&self, book: &AddressBook, epoch: u32) -> Vec<Evaluated> {
        let Some(state) = &self.state else { return Vec::new() };
        let Some(known) = state.epoch(epoch) else { return Vec::new() };
        // Full capacity at once: growing would leave copies of keys behind.
        let mut evaluated = Vec::with_capacity(book.contacts().len());
        evaluated.extend(book.contacts().iter().enumerate().filter_map(|(contact, entry)| {
            let saved = known.evaluation(&state.local_key(entry.identifier()))?;
            Some(Evaluated {
                contact,
                tag: Tag::from_bytes(*saved.expose_tag()),
                label_key: LabelKey::from_bytes(*saved.expose_label_key()),
            })
        }));
        evaluated
    }

    /// What the last lookup said of contacts, given by position.
    pub(super) fn remembered(&self, book: &AddressBook, contacts: &[usize]) -> Vec<Match> {
        let Some(state) = &self.state else { return Vec::new() };
        let is_asked = |found: &Match| contacts.binary_search(&found.contact).is_ok();
        state.matches(book).into_iter().filter(is_asked).collect()
    }

    /// Reads what is held of an epoch from the saved state, once.
    ///
    /// # Errors
    /// [`ClientError::State`] if the store failed. What is damaged is downloaded again.
    pub(super) async fn load_holding(&mut self, epoch: u32) -> Result<(), ClientError> {
        if std::mem::replace(&mut self.holding_loaded, true) {
            return Ok(());
        }
        let held = self.state.as_ref().and_then(|state| state.epoch(epoch)?.held().cloned());
        let Some(held) = held else { return Ok(()) };
        let Some((keeper, _)) = &mut self.keeper else { return Ok(()) };
        let Some(manifest) = &self.manifest else { return Ok(()) };
        let Some(universe) = manifest.epoch(epoch).map(|info| info.snapshot.universe) else {
            return Ok(());
        };
        match keeper.load_snapshot(held.id).await {
            Ok(snapshot) => {
                let id = snapshot.id();
                let read = move || holding_of(&universe, epoch, &held, &snapshot);
                self.holding = self.core.cpu.run(read).await?;
                self.saved = self.holding.as_ref().map(|holding| (id, holding.index_digest()));
                if self.holding.is_none() {
                    self.discarded = Some(StateError::Corrupt);
                }
                Ok(())
            }
            Err(StateError::Unavailable(error)) => Err(StateError::Unavailable(error).into()),
            Err(error) => {
                self.discarded = Some(error);
                Ok(())
            }
        }
    }

    /// Ends a lookup: remembers its matches and what is held, forgets contacts that left the
    /// address book, and tells what is new.
    ///
    /// # Errors
    /// [`ClientError::State`] if the state cannot be saved.
    pub(super) async fn finish(
        &mut self,
        book: &AddressBook,
        matches: &[Match],
    ) -> Result<Changes, ClientError> {
        let Some(state) = self.state.as_mut() else { return Ok(Changes::default()) };
        let changes = state.changes(book, matches);
        let state = Arc::make_mut(state);
        state.set_matches(book, matches);
        state.retain_contacts(book);
        self.save().await?;
        Ok(changes)
    }

    /// Saves what is known so far.
    ///
    /// # Errors
    /// [`ClientError::State`].
    pub(super) async fn save(&mut self) -> Result<(), ClientError> {
        let (Some((keeper, _)), Some(state)) = (&mut self.keeper, &mut self.state) else {
            return Ok(());
        };
        if let Some(holding) = &self.holding {
            let id = hold(&self.core, keeper, state, holding, self.saved).await?;
            self.saved = Some((id, holding.index_digest()));
        }
        Ok(keeper.save(state).await?)
    }
}

/// Saves a snapshot, if this very one is not saved yet, and names it in the state.
async fn hold(
    core: &Core,
    keeper: &mut StateKeeper,
    state: &mut Arc<State>,
    holding: &Holding,
    saved: Option<(SnapshotId, [u8; DIGEST_BYTES])>,
) -> Result<SnapshotId, ClientError> {
    // By content, not by number: a restored server may use a number again.
    let same = |(id, digest): &(SnapshotId, [u8; DIGEST_BYTES])| {
        *digest == holding.index_digest() && id.number() == holding.snapshot()
    };
    let id = match saved.filter(same) {
        Some((id, _)) if !keeper.lacks(id) => id,
        _ => {
            let (owner, holding) = (Arc::clone(state), holding.clone());
            let encoded = core.cpu.run(move || encode(&owner, &holding)).await??;
            keeper.save_snapshot(&encoded).await?
        }
    };
    let held = HeldSnapshot {
        id,
        snapshot_version: holding.snapshot_version(),
        version: holding.version(),
        overlay: holding.overlay().encode(),
    };
    if let Some(live) = Arc::make_mut(state).epoch_mut(holding.epoch()) {
        live.hold(held)?;
    }
    Ok(id)
}

fn encode(owner: &State, holding: &Holding) -> Result<Snapshot, StateError> {
    let segments = holding.view().segments();
    let set: Vec<Bytes> = segments.iter().map(|segment| segment.bytes.clone()).collect();
    let labels: Vec<Bytes> = segments.iter().map(|segment| segment.labels.clone()).collect();
    Snapshot::encode(owner, holding.epoch(), holding.snapshot(), &set, Some(&labels))
}

/// What was saved as a holding; `None` if it cannot be read, or is of another universe than the
/// one in use now.
fn holding_of(
    universe: &acquaint_core::set::Universe,
    epoch: u32,
    held: &HeldSnapshot,
    snapshot: &Snapshot,
) -> Option<Holding> {
    let number = held.id.number();
    let mut segments = Vec::with_capacity(snapshot.segment_count());
    for i in 0..snapshot.segment_count() {
        let bytes = Bytes::copy_from_slice(snapshot.set(i)?);
        let labels = Bytes::copy_from_slice(snapshot.labels(i)?);
        let count = u32::try_from(labels.len() / acquaint_core::limits::SEALED_LABEL_BYTES).ok()?;
        segments.push(SnapshotSegment { count, bytes, labels });
    }
    let view = SnapshotView::new(universe, epoch, number, segments).ok()?;
    let identity: SnapshotIdentity = *view.identity();
    let overlay = Overlay::decode(&identity, &held.overlay).ok()?;
    Holding::kept(view, overlay, held.snapshot_version, held.version)
}
