//! The directory of a tenant: keys, rows, and what of them is published.
//!
//! It meets the core's types and the store; it knows neither the wire nor credentials. Whoever
//! calls it has been admitted.

mod batch;
mod changes;
mod files;
mod line;
mod lineage;
mod lines;
mod named;
mod opening;
mod phase;
mod publication;
mod publisher;
mod rotation;
mod rows;
pub mod snapshot;
mod timeline;

use std::{fmt, sync::Arc};

use acquaint_core::{
    keys::RowError,
    manifest::{Policy, TenantName},
    oprf::{self, ElementError},
    set::OverlayError,
};
use arc_swap::ArcSwap;
use tokio::sync::Notify;

use self::{
    lines::{Lines, Parts},
    opening::LineMaker,
    publication::Press,
    rotation::Turns,
    snapshot::SnapshotError,
};
use crate::{
    clock::Clock,
    evaluator::{Evaluator, EvaluatorError, Reservation},
    keystore::{KeyFileError, Keys, SeedFiles},
    store::{Applied, Head, Store, StoreError},
};

pub use batch::{Batch, EpochKey};
pub use changes::Entries;
pub use files::Listing;
pub use line::CompactionPolicy;
pub use lineage::Step;
pub use phase::{Epochs, Phase};
pub use publication::Published;
pub use publisher::{PublishHandle, Publisher};
pub use rotation::{KeyPhase, RotateHandle, Rotator};
pub use rows::record;

/// A tenant's directory. Shared by all requests.
pub struct Directory {
    press: Arc<Press>,
    maker: LineMaker,
    seeds: SeedFiles,
    /// Changed by the rotator alone, and the phase with them.
    lines: ArcSwap<Lines>,
    phase: ArcSwap<Phase>,
    turns: Turns,
    entries_max: u64,
    store: Arc<dyn Store>,
    evaluator: Evaluator,
    clock: Arc<dyn Clock>,
    published: ArcSwap<Published>,
    changed: Notify,
}

/// Why the directory did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirectoryError {
    /// The epoch is not served.
    #[error("the epoch is not served")]
    Epoch,
    /// The elements are not a batch.
    #[error(transparent)]
    Element(#[from] ElementError),
    /// Not one label of the right length for each element.
    #[error("there is not one label of 16 bytes for each element")]
    LabelLength,
    /// The directory is full.
    #[error("the directory holds as many entries as it can")]
    Full,
    /// The evaluator refused or lost the work.
    #[error(transparent)]
    Evaluator(#[from] EvaluatorError),
    /// The store failed; nothing is acknowledged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A stored row does not open.
    #[error(transparent)]
    Row(#[from] RowError),
    /// Nothing can be published.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// The change log contradicts what is published, or there are too many changes.
    #[error("the changes do not fit what is published")]
    Overlay(#[from] OverlayError),
    /// The store belongs to another OPRF seed or manifest key.
    #[error(
        "the store was published under other keys or for another tenant: start with the key \
         directory and the tenant it was made with"
    )]
    ForeignKeys,
    /// What the store keeps of a rotation is not in a layout that this version reads.
    #[error("the store keeps a rotation that this version does not read: use a matching release")]
    Phase,
    /// A rotation is under way; there is one at a time.
    #[error("a rotation of the key is under way")]
    RotationRunning,
    /// A seed cannot be read, written or destroyed.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
    /// No key can be derived from the seed.
    #[error(transparent)]
    Key(#[from] oprf::KeyError),
}

impl Directory {
    /// Opens a directory over a store and publishes what the store holds, unless exactly that was
    /// published last. It takes at most `entries_max` entries. A rotation that was begun goes on
    /// when a [`Rotator`] runs.
    ///
    /// # Errors
    /// [`DirectoryError::ForeignKeys`] if the last manifest of the store is not by these keys, or
    /// the key of an epoch is missing; else whatever keeps it from publishing.
    pub async fn open(
        tenant: TenantName,
        (keys, seeds): (&Keys, SeedFiles),
        (policy, compaction, entries_max): (Policy, CompactionPolicy, u64),
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        evaluator: Evaluator,
    ) -> Result<Arc<Self>, DirectoryError> {
        let maker = LineMaker { vault: Arc::new(keys.storage.vault()), store: Arc::clone(&store) };
        let press = Arc::new(Press {
            tenant,
            manifest_key: keys.manifest.clone(),
            policy,
            compaction,
            store: Arc::clone(&store),
        });
        let (opening, restoring) = (maker.clone(), Arc::clone(&press));
        let (epoch_seeds, now_s) = (keys.oprf_seeds.clone(), clock.now_s());
        let (phase, lines, draft) = evaluator
            .run_background(move || {
                let (phase, lines) = opening.lines(&epoch_seeds, &restoring)?;
                restoring.restore(lines.live())?;
                let draft = restoring.draft(lines.live(), now_s)?;
                Ok::<_, DirectoryError>((phase, lines, draft))
            })
            .await??;
        let published = ArcSwap::from_pointee(press.record(draft).await?);
        Ok(Arc::new(Self {
            press,
            maker,
            seeds,
            lines: ArcSwap::from_pointee(lines),
            phase: ArcSwap::from_pointee(phase),
            turns: Turns::new(),
            entries_max,
            store,
            evaluator,
            clock,
            published,
            changed: Notify::new(),
        }))
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &TenantName {
        &self.press.tenant
    }

    /// The newest epoch that is served.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.lines.load().newest().epoch
    }

    /// What is promised to clients.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.press.policy
    }

    /// Whether evaluations under an epoch repeat what accounts were charged for under the one
    /// before: it is the newest, and the one before is still served.
    #[must_use]
    pub fn is_successor(&self, epoch: u32) -> bool {
        let lines = self.lines.load();
        lines.live().len() > 1 && lines.newest().epoch == epoch
    }

    /// Entries of the newest epoch that is served, hidden ones included.
    ///
    /// # Errors
    /// [`DirectoryError::Store`].
    pub fn entries(&self) -> Result<u64, DirectoryError> {
        Ok(self.store.entries(self.epoch())?)
    }

    /// Where rows and change log stand.
    ///
    /// # Errors
    /// [`DirectoryError::Store`].
    pub fn head(&self) -> Result<Head, DirectoryError> {
        Ok(self.store.head()?)
    }

    /// What clients see now.
    #[must_use]
    pub fn published(&self) -> Arc<Published> {
        self.published.load_full()
    }

    /// The way from one version to another, each over a snapshot (number, version), on the
    /// evaluator's pool; `None` if one of them is unknown or too old.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub async fn steps(
        &self,
        reservation: &Reservation,
        from: (u64, u64),
        to: (u64, u64),
    ) -> Result<Option<Arc<[Step]>>, DirectoryError> {
        let published = self.published();
        reservation.run(move || published.steps(from, to)).await?
    }

    /// Whether there are changes that are not published.
    fn is_behind(&self) -> bool {
        self.head().is_ok_and(|head| head.version != self.published.load().version())
    }

    /// Publishes what is registered now, if it is not published yet. Only the publisher calls it,
    /// one call at a time.
    async fn publish(&self) -> Result<Arc<Published>, DirectoryError> {
        let (before, lines) = (self.published(), self.lines.load_full());
        let epochs = before.manifest.epochs.iter().map(|info| info.epoch);
        let same_epochs = epochs.eq(lines.live().iter().map(|line| line.epoch));
        if same_epochs && self.head()?.version == before.version() {
            return Ok(before);
        }
        let (press, now_s) = (Arc::clone(&self.press), self.clock.now_s());
        let draft =
            self.evaluator.run_background(move || press.draft(lines.live(), now_s)).await??;
        let published = Arc::new(self.press.record(draft).await?);
        self.published.store(Arc::clone(&published));
        if let Err(error) = self.press.prune(&published).await {
            tracing::warn!(%error, "what is no longer needed could not be removed; tried again");
        }
        Ok(published)
    }

    async fn apply(&self, parts: Parts) -> Result<Applied, DirectoryError> {
        let applied = self.store.apply(parts, self.clock.now_s()).await?;
        // Not "if it changed something": a repetition of a call whose first attempt nobody waited
        // for changes nothing, and what that attempt stored is still to be published.
        if applied.version != self.published.load().version() {
            self.changed.notify_one();
        }
        Ok(applied)
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("tenant", &self.press.tenant)
            .field("epoch", &self.epoch())
            .finish_non_exhaustive()
    }
}
