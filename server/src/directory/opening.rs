//! From keys and store to the epochs that a directory starts with.

use std::sync::Arc;

use acquaint_core::keys::Vault;

use super::{
    DirectoryError,
    line::Line,
    lines::Lines,
    phase::{Epochs, Phase},
    publication::Press,
    rows::Rows,
};
use crate::{
    keystore::EpochSeeds,
    store::{MetaName, Store},
};

/// What lines are made from.
#[derive(Clone)]
pub(super) struct LineMaker {
    pub(super) vault: Arc<Vault>,
    pub(super) store: Arc<dyn Store>,
}

impl LineMaker {
    /// The line of an epoch, whose key comes from a seed.
    ///
    /// # Errors
    /// [`DirectoryError::Key`].
    pub(super) fn line(
        &self,
        epoch: u32,
        seed: &acquaint_core::keys::OprfSeed,
    ) -> Result<Arc<Line>, DirectoryError> {
        let (secret, public) = seed.epoch_key(epoch)?;
        let (vault, store) = (Arc::clone(&self.vault), Arc::clone(&self.store));
        Ok(Arc::new(Line::new(epoch, secret, public, Rows { epoch, vault, store })))
    }

    /// The phase that the store is in, and the lines that belong to it. Blocks.
    ///
    /// # Errors
    /// [`DirectoryError::ForeignKeys`] if the key of an epoch that the store needs is not there;
    /// [`DirectoryError::Phase`]; [`DirectoryError::Store`].
    pub(super) fn lines(
        &self,
        seeds: &EpochSeeds,
        press: &Press,
    ) -> Result<(Phase, Lines), DirectoryError> {
        let kept = self.store.meta(MetaName::Rotation)?.unwrap_or_default();
        let phase = self.startable(Phase::decode(&kept)?, seeds)?;
        let line = |epoch| {
            let seed = seeds.get(epoch).ok_or(DirectoryError::ForeignKeys)?;
            self.line(epoch, seed)
        };
        let lines = match &phase {
            Phase::Settled => {
                let epoch = press.last_epoch()?.or_else(|| seeds.newest());
                Lines::one(line(epoch.ok_or(DirectoryError::ForeignKeys)?)?, None)
            }
            Phase::Moving { epochs, .. } => {
                Lines::one(line(epochs.from)?, Some(self.next(epochs, seeds)?))
            }
            Phase::Grace { epochs, .. } => {
                Lines::two(line(epochs.from)?, self.next(epochs, seeds)?)
            }
            Phase::Retiring { epochs } => Lines::one(self.next(epochs, seeds)?, None),
        };
        Ok((phase, lines))
    }

    /// A rotation that has not moved a row yet is not begun if its seed is another one: its
    /// beginning was given up half-way, and nothing depends on it.
    fn startable(&self, phase: Phase, seeds: &EpochSeeds) -> Result<Phase, DirectoryError> {
        let Phase::Moving { epochs, after: None } = &phase else { return Ok(phase) };
        if self.next(epochs, seeds).is_ok() || self.store.entries(epochs.to)? > 0 {
            return Ok(phase);
        }
        tracing::warn!(epoch = epochs.to, "a rotation that never began is forgotten");
        Ok(Phase::Settled)
    }

    /// The line of the second epoch, with the key that rows were moved to and no other.
    fn next(&self, epochs: &Epochs, seeds: &EpochSeeds) -> Result<Arc<Line>, DirectoryError> {
        let line =
            self.line(epochs.to, seeds.get(epochs.to).ok_or(DirectoryError::ForeignKeys)?)?;
        let same = *line.public.as_bytes() == epochs.to_key;
        if same { Ok(line) } else { Err(DirectoryError::ForeignKeys) }
    }
}
