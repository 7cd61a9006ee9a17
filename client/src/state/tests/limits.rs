//! Each limit at its value and one past it.

use acquaint_core::limits::MANIFEST_BYTES_MAX;
use zeroize::Zeroizing;

use super::{
    super::wire::{self, Body, Kind, Output},
    *,
};
use crate::limits::{
    STATE_CONTACTS_MAX, STATE_EPOCHS_MAX, STATE_OVERLAY_BYTES_MAX, STATE_SEGMENTS_MAX,
};

fn assert_fits(world: &World, state: &State) {
    let bytes = state.encode().unwrap();
    let read = State::decode(&bytes, &world.binding()).unwrap();
    assert_eq!(read.encode().unwrap()[..], bytes[..]);
}

fn assert_too_large(state: &State) {
    assert_eq!(state.encode().unwrap_err(), StateError::TooLarge);
}

#[test]
fn epochs() {
    let mut world = World::new(50);
    let mut state = world.state();
    for epoch in (1..).take(STATE_EPOCHS_MAX) {
        world.add_epoch(&mut state, epoch);
    }
    assert_fits(&world, &state);
    let live: Vec<_> = (1..).take(STATE_EPOCHS_MAX + 1).map(|e| (e, world.public_key(e))).collect();
    assert_eq!(state.set_live_epochs(&live), Err(StateError::TooLarge));

    let mut manifest = world.manifest(1, 1);
    manifest.epochs = vec![0; STATE_EPOCHS_MAX];
    state.set_manifest(manifest.clone());
    assert_fits(&world, &state);
    manifest.epochs.push(0);
    state.set_manifest(manifest);
    assert_too_large(&state);
}

#[test]
fn manifest_and_overlay() {
    let mut world = World::new(51);
    let (mut state, snapshot) = world.sample(1);
    state.set_manifest(world.manifest(1, MANIFEST_BYTES_MAX));
    assert_fits(&world, &state);
    let mut held =
        HeldSnapshot { overlay: vec![1; STATE_OVERLAY_BYTES_MAX], ..world.held(&snapshot) };
    state.epoch_mut(1).unwrap().hold(held.clone()).unwrap();
    assert_fits(&world, &state);
    held.overlay.push(1);
    state.epoch_mut(1).unwrap().hold(held).unwrap();
    assert_too_large(&state);

    let mut state = world.state();
    state.set_manifest(world.manifest(1, MANIFEST_BYTES_MAX + 1));
    assert_too_large(&state);
}

#[test]
fn contacts() {
    let mut world = World::new(52);
    let mut state = world.state();
    world.add_epoch(&mut state, 1);
    let contact = |n: usize| {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&(n as u64).to_be_bytes());
        LocalKey(key)
    };
    let evaluation = |n| SavedEvaluation::new(contact(n), [1; 8], [2; 32]);
    state.epochs[0].evaluations = Zeroizing::new((0..STATE_CONTACTS_MAX).map(evaluation).collect());
    assert_fits(&world, &state);
    state.epochs[0].evaluations.push(evaluation(STATE_CONTACTS_MAX));
    assert_too_large(&state);

    let mut state = world.state();
    let found = |n| model::SavedMatch { contact: contact(n), label: Label([3; 16]) };
    state.matches = Zeroizing::new((0..STATE_CONTACTS_MAX).map(found).collect());
    assert_fits(&world, &state);
    state.matches.push(found(STATE_CONTACTS_MAX));
    assert_too_large(&state);
}

#[test]
fn segments() {
    let mut world = World::new(53);
    let owner = world.state();
    let set = vec![[5_u8; 2]; STATE_SEGMENTS_MAX + 1];
    let snapshot = Snapshot::encode(&owner, 1, 1, &set[1..], None).unwrap();
    assert_eq!(snapshot.segment_count(), STATE_SEGMENTS_MAX);
    let refused = Snapshot::encode(&owner, 1, 1, &set, None);
    assert_eq!(refused.unwrap_err(), StateError::TooLarge);

    // One that somebody wrote with more is not read either.
    let content = &snapshot.part()[..snapshot.part().len() - 32];
    let count_at = content.len() - STATE_SEGMENTS_MAX * 6 - 4;
    let mut longer = content.to_vec();
    let count = u32::try_from(STATE_SEGMENTS_MAX + 1).unwrap();
    longer[count_at..count_at + 4].copy_from_slice(&count.to_le_bytes());
    longer.extend([2, 0, 0, 0, 5, 5]);
    let read = Snapshot::decode(resealed(&longer).into(), &world.binding());
    assert_eq!(read.unwrap_err(), StateError::Corrupt);
}

/// A body of any length, with a limit that a test can reach.
struct Zeros(usize);

const PREAMBLE_AND_TRAILER: usize = 4 + 2 + 1 + 8 + 32 + 32;

impl Body for Zeros {
    const KIND: Kind = Kind::Core;
    const BYTES_MAX: u64 = 1_000;

    fn write(&self, out: &mut impl Output) -> Result<(), StateError> {
        out.bytes(&vec![0; self.0]);
        Ok(())
    }
}

#[test]
fn whole_parts() {
    let mut world = World::new(54);
    let owner = world.state();
    let seal = |n| wire::seal(&owner.tenant, &owner.pin, &Zeros(n));
    let bytes_max = usize::try_from(Zeros::BYTES_MAX).unwrap();
    let body_bytes = bytes_max - PREAMBLE_AND_TRAILER;
    assert_eq!(seal(body_bytes).unwrap().len(), bytes_max);
    assert_eq!(seal(body_bytes + 1).unwrap_err(), StateError::TooLarge);
    assert_eq!(State::BYTES_MAX, StatePart::Core.bytes_max());
}
