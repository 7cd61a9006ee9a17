//! Tests of the saved state, and the sample that they share.

mod contacts;
mod crash;
mod damage;
mod files;
mod keeper;
mod limits;
mod round_trip;
mod simulated_disk;
mod speed;

use std::sync::Arc;

use acquaint_core::{
    identifier::Identifier,
    keys::{ManifestKey, OprfSeed},
    manifest::{ManifestPin, SIGNATURE_BYTES, SignedManifest, TenantName},
    oprf::PublicKey,
    tag::Label,
};
use rand_chacha::{
    ChaCha20Rng,
    rand_core::{Rng, SeedableRng},
};

use super::*;
use crate::{AddressBook, Match};

/// Everything about a tenant that a state depends on, from a seed.
struct World {
    rng: ChaCha20Rng,
    pin: ManifestPin,
    tenant: TenantName,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let pin = ManifestKey::generate(&mut rng).pin();
        Self { rng, pin, tenant: "tenant-a".parse().unwrap() }
    }

    fn binding(&self) -> Binding {
        Binding::new(&self.pin)
    }

    fn state(&mut self) -> State {
        State::new(self.tenant.clone(), &self.pin, &mut self.rng)
    }

    fn public_key(&mut self, epoch: u32) -> PublicKey {
        OprfSeed::generate(&mut self.rng).epoch_key(epoch).unwrap().1
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    fn random_bytes(&mut self, n: usize) -> Vec<u8> {
        let mut bytes = vec![0; n];
        self.rng.fill_bytes(&mut bytes);
        bytes
    }

    fn label(&mut self) -> Label {
        Label(self.random())
    }

    fn evaluation(&mut self, contact: LocalKey) -> SavedEvaluation {
        SavedEvaluation::new(contact, self.random(), self.random())
    }

    fn manifest(&mut self, number: u64, content_bytes: usize) -> AcceptedManifest {
        let content = self.random_bytes(content_bytes);
        let signature = self.random::<SIGNATURE_BYTES>();
        let signed = SignedManifest { content, signature };
        AcceptedManifest { number, epochs: vec![1, 2], signed }
    }

    /// A snapshot of two segments, with labels or without.
    fn snapshot(&mut self, owner: &State, epoch: u32, number: u64, labels: bool) -> Snapshot {
        let set = [self.random_bytes(40), self.random_bytes(30)];
        let sealed = [self.random_bytes(64), self.random_bytes(32)];
        let labels = labels.then_some(&sealed[..]);
        Snapshot::encode(owner, epoch, number, &set, labels).unwrap()
    }

    /// Makes an epoch live in a state, beside those that are.
    fn add_epoch(&mut self, state: &mut State, epoch: u32) {
        let mut live: Vec<_> =
            state.epochs().iter().map(|e| (e.epoch(), *e.public_key())).collect();
        live.push((epoch, self.public_key(epoch)));
        state.set_live_epochs(&live).unwrap();
    }

    /// Evaluations of all contacts in an epoch; every other contact is a match.
    fn evaluate(&mut self, state: &mut State, epoch: u32, book: &AddressBook) {
        let evaluations = book
            .contacts()
            .iter()
            .map(|contact| self.evaluation(state.local_key(contact.identifier())))
            .collect();
        state.epoch_mut(epoch).unwrap().add_evaluations(evaluations);
        let matches: Vec<Match> = (0..book.contacts().len())
            .step_by(2)
            .map(|contact| Match { contact, label: self.label() })
            .collect();
        state.set_matches(book, &matches);
    }

    /// A state with a bit of everything, and its snapshot.
    fn sample(&mut self, number: u64) -> (State, Snapshot) {
        let mut state = self.state();
        state.set_manifest(self.manifest(number, 50));
        self.add_epoch(&mut state, 1);
        self.add_epoch(&mut state, 2);
        let snapshot = self.snapshot(&state, 1, number, true);
        state.epoch_mut(1).unwrap().hold(self.held(&snapshot)).unwrap();
        self.evaluate(&mut state, 1, &book(0..3));
        (state, snapshot)
    }

    fn held(&mut self, snapshot: &Snapshot) -> HeldSnapshot {
        let overlay = self.random_bytes(20);
        HeldSnapshot { id: snapshot.id(), snapshot_version: 7, version: 9, overlay }
    }
}

/// Fictional people of an unassigned country code.
fn book(people: impl IntoIterator<Item = u32>) -> AddressBook {
    AddressBook::from_identifiers(people.into_iter().map(|n| (String::new(), identifier(n))))
}

fn identifier(n: u32) -> Identifier {
    Identifier::tel(&format!("+999{n:09}")).unwrap()
}

/// Puts a correct trailer behind altered content.
fn resealed(content: &[u8]) -> Vec<u8> {
    [content, blake3::hash(content).as_bytes()].concat()
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

async fn open(store: &Arc<dyn StateStore>, binding: &Binding) -> (StateKeeper, Loaded) {
    StateKeeper::open(Arc::clone(store), binding.clone()).await.unwrap()
}

/// The state that was found.
fn found(loaded: Loaded) -> State {
    match loaded {
        Loaded::State(state) => *state,
        other => panic!("expected a state, found {other:?}"),
    }
}
