//! What a state holds, as types that keep it consistent.

use std::fmt;

use acquaint_core::{
    identifier::Identifier,
    manifest::{ManifestPin, SignedManifest, TenantName},
    oprf::PublicKey,
    tag::Label,
};
use rand::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{Binding, EpochState, LocalKey, StateError, binding::PinDigest};
use crate::{address_book::AddressBook, limits::STATE_EPOCHS_MAX, outcome::Match};

/// Everything that outlives a lookup, but the snapshots.
///
/// Secrets in it are wiped on drop and redacted in `Debug`. `Clone` exists so that one can be
/// written while the next is made (`Arc::make_mut`); a copy is wiped like the original.
#[derive(Clone)]
pub struct State {
    pub(super) tenant: TenantName,
    pub(super) pin: PinDigest,
    pub(super) local: LocalSecret,
    pub(super) manifest: Option<AcceptedManifest>,
    /// Ascending, at most [`STATE_EPOCHS_MAX`].
    pub(super) epochs: Vec<EpochState>,
    /// Ascending by contact.
    pub(super) matches: Zeroizing<Vec<SavedMatch>>,
}

/// The newest manifest that was accepted, as it was signed: a server that has no newer one need
/// not send it again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedManifest {
    /// Its number in the chain. Kept beside the content, so that going back in time is noticed
    /// even by a version that no longer reads this content.
    pub number: u64,
    /// The epochs that it names, in its order.
    pub epochs: Vec<u32>,
    /// Content and signature. To be verified again before anything of it is used.
    pub signed: SignedManifest,
}

/// The random key of the local keys, made with the state.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub(super) struct LocalSecret(pub(super) [u8; 32]);

/// A contact that was registered at the last lookup, with its label.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub(super) struct SavedMatch {
    pub(super) contact: LocalKey,
    pub(super) label: Label,
}

impl State {
    /// A state with nothing in it but the new random key of its local keys.
    #[must_use]
    pub fn new(tenant: TenantName, pin: &ManifestPin, rng: &mut impl CryptoRng) -> Self {
        let mut local = LocalSecret([0; 32]);
        rng.fill_bytes(&mut local.0);
        Self {
            tenant,
            pin: PinDigest::of(pin),
            local,
            manifest: None,
            epochs: Vec::new(),
            matches: Zeroizing::default(),
        }
    }

    /// Whose state it is.
    #[must_use]
    pub fn binding(&self) -> Binding {
        Binding { pin: self.pin, tenant: Some(self.tenant.clone()) }
    }

    /// The tenant that the state belongs to.
    #[must_use]
    pub const fn tenant(&self) -> &TenantName {
        &self.tenant
    }

    /// What stands for a contact in this state.
    #[must_use]
    pub fn local_key(&self, identifier: &Identifier) -> LocalKey {
        LocalKey(*blake3::keyed_hash(&self.local.0, identifier.as_bytes()).as_bytes())
    }

    /// The newest accepted manifest.
    #[must_use]
    pub const fn manifest(&self) -> Option<&AcceptedManifest> {
        self.manifest.as_ref()
    }

    /// Remembers a manifest. The caller has verified it and checked that it follows the last.
    pub fn set_manifest(&mut self, manifest: AcceptedManifest) {
        self.manifest = Some(manifest);
    }

    /// The live epochs, ascending.
    #[must_use]
    pub fn epochs(&self) -> &[EpochState] {
        &self.epochs
    }

    /// A live epoch.
    #[must_use]
    pub fn epoch(&self, epoch: u32) -> Option<&EpochState> {
        self.epochs.iter().find(|live| live.epoch == epoch)
    }

    /// A live epoch, to be changed.
    pub fn epoch_mut(&mut self, epoch: u32) -> Option<&mut EpochState> {
        self.epochs.iter_mut().find(|live| live.epoch == epoch)
    }

    /// Makes these epochs the live ones; what is known of others is wiped.
    ///
    /// An epoch that comes with another public key starts empty: what was evaluated under the old
    /// one is worth nothing.
    ///
    /// # Errors
    /// [`StateError::TooLarge`] for more than [`STATE_EPOCHS_MAX`] different epochs; the state is
    /// then as before.
    pub fn set_live_epochs(&mut self, live: &[(u32, PublicKey)]) -> Result<(), StateError> {
        let mut live = live.to_vec();
        live.sort_by_key(|(epoch, _)| *epoch);
        live.dedup_by_key(|(epoch, _)| *epoch);
        if live.len() > STATE_EPOCHS_MAX {
            return Err(StateError::TooLarge);
        }
        let mut known = std::mem::take(&mut self.epochs);
        self.epochs = live
            .into_iter()
            .map(|(epoch, public_key)| {
                let same =
                    |state: &EpochState| (state.epoch, state.public_key) == (epoch, public_key);
                match known.iter().position(same) {
                    Some(i) => known.swap_remove(i),
                    None => EpochState::new(epoch, public_key),
                }
            })
            .collect();
        Ok(())
    }

    /// Forgets everything about contacts that are not in the address book.
    ///
    /// What is saved next has no trace of them. Cost: one hash per contact, about 0.1 µs.
    pub fn retain_contacts(&mut self, address_book: &AddressBook) {
        let mut kept: Vec<LocalKey> = address_book
            .contacts()
            .iter()
            .map(|contact| self.local_key(contact.identifier()))
            .collect();
        kept.sort_unstable();
        let is_kept = |contact: &LocalKey| kept.binary_search(contact).is_ok();
        for epoch in &mut self.epochs {
            epoch.evaluations.retain(|evaluation| is_kept(&evaluation.contact));
        }
        self.matches.retain(|found| is_kept(&found.contact));
    }

    /// The matches of the last lookup, ascending by contact, without asking anyone.
    #[must_use]
    pub fn matches(&self, address_book: &AddressBook) -> Vec<Match> {
        let labels = address_book.contacts().iter().map(|contact| {
            self.matched(&self.local_key(contact.identifier())).map(|found| found.label.clone())
        });
        labels
            .enumerate()
            .filter_map(|(contact, label)| Some(Match { contact, label: label? }))
            .collect()
    }

    /// Replaces the matches by those of a lookup of this address book. Positions that it does not
    /// have are left out.
    pub fn set_matches(&mut self, address_book: &AddressBook, matches: &[Match]) {
        // Full capacity at once: growing would leave copies behind.
        let mut saved = Zeroizing::new(Vec::with_capacity(matches.len()));
        saved.extend(matches.iter().filter_map(|found| {
            let contact = address_book.contacts().get(found.contact)?;
            let contact = self.local_key(contact.identifier());
            Some(SavedMatch { contact, label: found.label.clone() })
        }));
        saved.sort_unstable_by(|a, b| a.contact.cmp(&b.contact));
        saved.dedup_by(|a, b| a.contact == b.contact);
        self.matches = saved;
    }

    /// The match of a contact at the last lookup.
    pub(super) fn matched(&self, contact: &LocalKey) -> Option<&SavedMatch> {
        let i = self.matches.binary_search_by(|found| found.contact.cmp(contact)).ok()?;
        self.matches.get(i)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("tenant", &self.tenant)
            .field("manifest", &self.manifest)
            .field("epochs", &self.epochs)
            .field("n_matches", &self.matches.len())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for LocalSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocalSecret(REDACTED)")
    }
}

impl fmt::Debug for SavedMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SavedMatch(REDACTED)")
    }
}
