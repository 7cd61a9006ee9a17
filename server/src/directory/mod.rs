//! The directory of a tenant: keys, rows, and what of them is published.
//!
//! It meets the core's types and the store; it knows neither the wire nor credentials. Whoever
//! calls it has been admitted.

mod line;
mod lineage;
mod publication;
mod publisher;
mod rows;
pub mod snapshot;
mod timeline;

use std::{fmt, sync::Arc};

use acquaint_core::{
    keys::{RowError, Vault},
    limits::DIRECTORY_MEMBERS_MAX,
    manifest::{Policy, TenantName},
    oprf::{self, BlindedBatch, ElementError, Evaluation, Mode},
    set::OverlayError,
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::Notify;

use self::{line::Line, publication::Press, rows::Rows, snapshot::SnapshotError};
use crate::{
    clock::Clock,
    evaluator::{Evaluator, EvaluatorError, Reservation},
    keystore::Keys,
    store::{Applied, Change, Head, Store, StoreError},
};

pub use line::CompactionPolicy;
pub use lineage::Step;
pub use publication::Published;
pub use publisher::{PublishHandle, Publisher};
pub use rows::record;

/// The epoch of a directory that was never rotated.
pub const FIRST_EPOCH: u32 = 1;

/// A tenant's directory. Shared by all requests.
pub struct Directory {
    press: Arc<Press>,
    line: Arc<Line>,
    store: Arc<dyn Store>,
    evaluator: Evaluator,
    clock: Arc<dyn Clock>,
    published: ArcSwap<Published>,
    changed: Notify,
}

/// Entries to register: parallel arrays as they came over the wire.
pub struct Entries {
    /// OPRF outputs, 32 bytes each.
    pub elements: Bytes,
    /// Labels, 16 bytes each.
    pub labels: Bytes,
    /// Keep, but do not publish.
    pub hidden: bool,
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
    /// No key can be derived from the seed.
    #[error(transparent)]
    Key(#[from] oprf::KeyError),
}

impl Directory {
    /// Opens a directory over a store and publishes what the store holds, unless exactly that was
    /// published last.
    ///
    /// # Errors
    /// [`DirectoryError::ForeignKeys`] if the last manifest of the store is not by these keys;
    /// else whatever keeps it from publishing.
    pub async fn open(
        tenant: TenantName,
        keys: &Keys,
        (policy, compaction): (Policy, CompactionPolicy),
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        evaluator: Evaluator,
    ) -> Result<Arc<Self>, DirectoryError> {
        let vault: Arc<Vault> = Arc::new(keys.storage.vault());
        let (secret, public) = keys.oprf_seed.epoch_key(FIRST_EPOCH)?;
        let rows = Rows { epoch: FIRST_EPOCH, vault, store: Arc::clone(&store) };
        let line = Arc::new(Line::new(FIRST_EPOCH, secret, public, rows));
        let press = Arc::new(Press {
            tenant,
            manifest_key: keys.manifest.clone(),
            policy,
            compaction,
            store: Arc::clone(&store),
        });
        let (lines, now_s) = (vec![Arc::clone(&line)], clock.now_s());
        let restoring = Arc::clone(&press);
        let draft = evaluator
            .run_at_start(move || {
                restoring.restore(&lines)?;
                restoring.draft(&lines, now_s)
            })
            .await??;
        let published = ArcSwap::from_pointee(press.record(draft).await?);
        let changed = Notify::new();
        Ok(Arc::new(Self { press, line, store, evaluator, clock, published, changed }))
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &TenantName {
        &self.press.tenant
    }

    /// The epoch that is served.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.line.epoch
    }

    /// What is promised to clients.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.press.policy
    }

    /// Refuses an epoch that is not served.
    ///
    /// # Errors
    /// [`DirectoryError::Epoch`].
    pub fn check_epoch(&self, epoch: u32) -> Result<(), DirectoryError> {
        if epoch == self.line.epoch { Ok(()) } else { Err(DirectoryError::Epoch) }
    }

    /// Reads a batch of blinded elements, on the evaluator's pool.
    ///
    /// # Errors
    /// [`DirectoryError::Element`], [`DirectoryError::Evaluator`].
    pub async fn parse_batch(
        &self,
        reservation: &Reservation,
        elements: Bytes,
    ) -> Result<BlindedBatch, DirectoryError> {
        let parsed = reservation.run(move || BlindedBatch::try_from(&elements[..])).await?;
        Ok(parsed?)
    }

    /// Evaluates a batch under the served epoch's key, with its proof, on the evaluator's pool.
    ///
    /// # Errors
    /// [`DirectoryError::Evaluator`].
    pub async fn evaluate(
        &self,
        reservation: &Reservation,
        batch: BlindedBatch,
    ) -> Result<Evaluation, DirectoryError> {
        let secret = Arc::clone(&self.line.secret);
        let n_elements = batch.len() as u64;
        let evaluation = reservation
            .run(move || oprf::blind_evaluate(Mode::Voprf, &secret, &batch, &mut rand::rng()))
            .await?;
        self.evaluator.count_evaluated(n_elements);
        Ok(evaluation)
    }

    /// Stores entries durably, all or none; known elements get the new label and visibility.
    ///
    /// # Errors
    /// [`DirectoryError`]; nothing of these entries is stored then, as far as anyone was told.
    pub async fn register(
        &self,
        reservation: &Reservation,
        entries: Entries,
    ) -> Result<Applied, DirectoryError> {
        let line = Arc::clone(&self.line);
        let changes = reservation.run(move || line.rows.puts(&entries)).await??;
        if self.store.entries(self.line.epoch)? + changes.len() as u64 > DIRECTORY_MEMBERS_MAX {
            return Err(DirectoryError::Full);
        }
        self.apply(changes).await
    }

    /// Removes entries durably, all or none; unknown elements are passed over.
    ///
    /// # Errors
    /// [`DirectoryError`]; nothing is removed then, as far as anyone was told.
    pub async fn unregister(
        &self,
        reservation: &Reservation,
        elements: Bytes,
    ) -> Result<Applied, DirectoryError> {
        let line = Arc::clone(&self.line);
        let changes = reservation.run(move || line.rows.removals(&elements)).await??;
        self.apply(changes).await
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
        let before = self.published();
        if self.head()?.version == before.version() {
            return Ok(before);
        }
        let (press, lines) = (Arc::clone(&self.press), vec![Arc::clone(&self.line)]);
        let now_s = self.clock.now_s();
        let draft = self.evaluator.run_background(move || press.draft(&lines, now_s)).await??;
        let published = Arc::new(self.press.record(draft).await?);
        self.published.store(Arc::clone(&published));
        if let Err(error) = self.press.prune(&published).await {
            tracing::warn!(%error, "what is no longer needed could not be removed; tried again");
        }
        Ok(published)
    }

    async fn apply(&self, changes: Vec<Change>) -> Result<Applied, DirectoryError> {
        let parts = vec![(self.line.epoch, changes)];
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
            .field("epoch", &self.line.epoch)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entries({} bytes REDACTED)", self.elements.len())
    }
}
