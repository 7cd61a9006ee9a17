//! The core's bytes. The layout is in the documentation of the module.

use acquaint_core::{
    limits::MANIFEST_BYTES_MAX, manifest::SignedManifest, oprf::PublicKey, tag::Label,
};
use zeroize::Zeroizing;

use super::{
    AcceptedManifest, Binding, EpochState, HeldSnapshot, LocalKey, PartBytes, SavedEvaluation,
    SnapshotId, State, StateError,
    model::{LocalSecret, SavedMatch},
    wire::{self, Body, Kind, Output, Reader, within},
};
use crate::limits::{
    STATE_CONTACTS_MAX, STATE_CORE_BYTES_MAX, STATE_EPOCHS_MAX, STATE_OVERLAY_BYTES_MAX,
};

/// Local key, tag, label key.
const EVALUATION_BYTES: usize = 32 + 8 + 32;
/// Local key, label.
const MATCH_BYTES: usize = 32 + 16;

impl State {
    /// Encodes everything but the snapshots, which are named by digest. Deterministic.
    ///
    /// # Errors
    /// [`StateError::TooLarge`] past a limit of [`crate::limits`].
    pub fn encode(&self) -> Result<PartBytes, StateError> {
        check(self)?;
        wire::seal(&self.tenant, &self.pin, self)
    }

    /// Reads what [`State::encode`] wrote. Memory: at most a small multiple of the bytes.
    ///
    /// # Errors
    /// [`StateError::Corrupt`] for anything else, to the last byte; [`StateError::Foreign`] for
    /// another pin or tenant; [`StateError::NewerVersion`].
    pub fn decode(bytes: &[u8], binding: &Binding) -> Result<Self, StateError> {
        let wire::Opened { tenant, body: mut input, .. } = wire::open(bytes, Kind::Core, binding)?;
        let state = Self {
            tenant,
            pin: binding.pin,
            local: LocalSecret(input.array()?),
            manifest: decode_manifest(&mut input)?,
            epochs: decode_epochs(&mut input)?,
            matches: decode_matches(&mut input)?,
        };
        input.finish()?;
        // What was saved has passed it.
        check(&state).map_err(|_| StateError::Corrupt)?;
        Ok(state)
    }
}

/// What both directions demand beyond the layout.
fn check(state: &State) -> Result<(), StateError> {
    if let Some(manifest) = &state.manifest {
        within(manifest.epochs.len() as u64, STATE_EPOCHS_MAX as u64)?;
        within(manifest.signed.content.len() as u64, MANIFEST_BYTES_MAX as u64)?;
    }
    within(state.epochs.len() as u64, STATE_EPOCHS_MAX as u64)?;
    for epoch in &state.epochs {
        within(epoch.evaluations.len() as u64, STATE_CONTACTS_MAX as u64)?;
        let overlay_bytes = epoch.held.as_ref().map_or(0, |held| held.overlay.len());
        within(overlay_bytes as u64, STATE_OVERLAY_BYTES_MAX as u64)?;
    }
    within(state.matches.len() as u64, STATE_CONTACTS_MAX as u64)
}

impl Body for State {
    const KIND: Kind = Kind::Core;
    const BYTES_MAX: u64 = STATE_CORE_BYTES_MAX;

    fn write(&self, out: &mut impl Output) -> Result<(), StateError> {
        out.bytes(&self.local.0);
        out.flag(self.manifest.is_some());
        if let Some(manifest) = &self.manifest {
            write_manifest(out, manifest)?;
        }
        out.count_u8(self.epochs.len())?;
        for epoch in &self.epochs {
            write_epoch(out, epoch)?;
        }
        out.count(self.matches.len())?;
        for found in self.matches.iter() {
            out.bytes(&found.contact.0);
            out.bytes(&found.label.0);
        }
        Ok(())
    }
}

fn write_manifest(out: &mut impl Output, manifest: &AcceptedManifest) -> Result<(), StateError> {
    out.u64(manifest.number);
    out.count_u8(manifest.epochs.len())?;
    for epoch in &manifest.epochs {
        out.u32(*epoch);
    }
    out.bytes(&manifest.signed.signature);
    out.counted(&manifest.signed.content)
}

fn write_epoch(out: &mut impl Output, epoch: &EpochState) -> Result<(), StateError> {
    out.u32(epoch.epoch);
    out.bytes(epoch.public_key.as_bytes());
    out.flag(epoch.held.is_some());
    if let Some(held) = &epoch.held {
        held.id.write_reference(out);
        out.u64(held.snapshot_version);
        out.u64(held.version);
        out.counted(&held.overlay)?;
    }
    out.count(epoch.evaluations.len())?;
    for evaluation in epoch.evaluations.iter() {
        out.bytes(&evaluation.contact.0);
        out.bytes(&evaluation.tag);
        out.bytes(&evaluation.label_key);
    }
    Ok(())
}

fn decode_manifest(input: &mut Reader<'_>) -> Result<Option<AcceptedManifest>, StateError> {
    if !input.flag()? {
        return Ok(None);
    }
    let number = input.u64()?;
    let [n_epochs] = input.array()?;
    let epochs: Vec<u32> = (0..n_epochs).map(|_| input.u32()).collect::<Result<_, _>>()?;
    let signature = input.array()?;
    let content = input.counted()?.to_vec();
    Ok(Some(AcceptedManifest { number, epochs, signed: SignedManifest { content, signature } }))
}

fn decode_epochs(input: &mut Reader<'_>) -> Result<Vec<EpochState>, StateError> {
    let [n_epochs] = input.array()?;
    let epochs: Vec<EpochState> =
        (0..n_epochs).map(|_| decode_epoch(input)).collect::<Result<_, _>>()?;
    ascending(&epochs, |a, b| a.epoch < b.epoch)?;
    Ok(epochs)
}

fn decode_epoch(input: &mut Reader<'_>) -> Result<EpochState, StateError> {
    let epoch = input.u32()?;
    let public_key = PublicKey::try_from(&input.array()?).map_err(|_| StateError::Corrupt)?;
    let mut state = EpochState::new(epoch, public_key);
    if input.flag()? {
        state.held = Some(HeldSnapshot {
            id: SnapshotId::read_reference(epoch, input)?,
            snapshot_version: input.u64()?,
            version: input.u64()?,
            overlay: input.counted()?.to_vec(),
        });
    }
    state.evaluations = decode_evaluations(input)?;
    Ok(state)
}

fn decode_evaluations(
    input: &mut Reader<'_>,
) -> Result<Zeroizing<Vec<SavedEvaluation>>, StateError> {
    let n_evaluations = input.count(EVALUATION_BYTES)?;
    let mut evaluations = Zeroizing::new(Vec::with_capacity(n_evaluations));
    for _ in 0..n_evaluations {
        evaluations.push(SavedEvaluation {
            contact: LocalKey(input.array()?),
            tag: input.array()?,
            label_key: input.array()?,
        });
    }
    ascending(&evaluations, |a, b| a.contact < b.contact)?;
    Ok(evaluations)
}

fn decode_matches(input: &mut Reader<'_>) -> Result<Zeroizing<Vec<SavedMatch>>, StateError> {
    let n_matches = input.count(MATCH_BYTES)?;
    let mut matches = Zeroizing::new(Vec::with_capacity(n_matches));
    for _ in 0..n_matches {
        let contact = LocalKey(input.array()?);
        matches.push(SavedMatch { contact, label: Label(input.array()?) });
    }
    ascending(&matches, |a, b| a.contact < b.contact)?;
    Ok(matches)
}

/// Lookups search by halves, and equal content has equal bytes: order is part of the format.
fn ascending<T>(entries: &[T], is_before: impl Fn(&T, &T) -> bool) -> Result<(), StateError> {
    let ascends = entries.windows(2).all(|pair| match pair {
        [a, b] => is_before(a, b),
        _ => true,
    });
    if ascends { Ok(()) } else { Err(StateError::Corrupt) }
}
