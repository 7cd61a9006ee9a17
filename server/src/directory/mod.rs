//! The directory of a tenant: keys, rows, and what of them is published.
//!
//! It meets the core's types and the store; it knows neither the wire nor credentials. Whoever
//! calls it has been admitted.

mod publication;
mod publisher;
pub mod snapshot;

use std::{fmt, sync::Arc};

use acquaint_core::{
    keys::{ManifestKey, Row, RowError, Vault},
    limits::{DIRECTORY_MEMBERS_MAX, LABEL_BYTES},
    manifest::{Policy, TenantName},
    oprf::{self, BlindedBatch, ElementError, Evaluation, Mode, OprfElement, PublicKey, SecretKey},
    tag::Label,
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use tokio::sync::Notify;

use self::snapshot::{Snapshot, SnapshotError};
use crate::{
    clock::Clock,
    evaluator::{Evaluator, EvaluatorError, Reservation},
    keystore::Keys,
    store::{Applied, Change, Handle, Head, Store, StoreError},
};

pub use publisher::{PublishHandle, Publisher};

/// The epoch of a directory that was never rotated.
pub const FIRST_EPOCH: u32 = 1;

/// A tenant's directory. Shared by all requests.
pub struct Directory {
    rows: Arc<Rows>,
    secret: Arc<SecretKey>,
    evaluator: Evaluator,
    clock: Arc<dyn Clock>,
    published: ArcSwap<Published>,
    changed: Notify,
}

/// Rows and the keys to them: what a publication is made from.
struct Rows {
    tenant: TenantName,
    epoch: u32,
    public: PublicKey,
    vault: Vault,
    manifest_key: ManifestKey,
    policy: Policy,
    store: Arc<dyn Store>,
}

/// The snapshot that the newest manifest names, and the one before it, for downloads that had
/// begun.
struct Published {
    current: Arc<Snapshot>,
    previous: Option<Arc<Snapshot>>,
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
        policy: Policy,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        evaluator: Evaluator,
    ) -> Result<Arc<Self>, DirectoryError> {
        let (secret, public) = keys.oprf_seed.epoch_key(FIRST_EPOCH)?;
        let rows = Arc::new(Rows {
            tenant,
            epoch: FIRST_EPOCH,
            public,
            vault: keys.storage.vault(),
            manifest_key: keys.manifest.clone(),
            policy,
            store,
        });
        let current = Arc::new(publication::publish(&rows, &evaluator).await?);
        Ok(Arc::new(Self {
            rows,
            secret: Arc::new(secret),
            evaluator,
            clock,
            published: ArcSwap::from_pointee(Published { current, previous: None }),
            changed: Notify::new(),
        }))
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &TenantName {
        &self.rows.tenant
    }

    /// The epoch that is served.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.rows.epoch
    }

    /// What is promised to clients.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.rows.policy
    }

    /// Refuses an epoch that is not served.
    ///
    /// # Errors
    /// [`DirectoryError::Epoch`].
    pub fn check_epoch(&self, epoch: u32) -> Result<(), DirectoryError> {
        if epoch == self.rows.epoch { Ok(()) } else { Err(DirectoryError::Epoch) }
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
        let secret = Arc::clone(&self.secret);
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
        let rows = Arc::clone(&self.rows);
        let changes = reservation.run(move || rows.seal(&entries)).await??;
        let entries = self.rows.store.entries(self.rows.epoch)?;
        if entries + changes.len() as u64 > DIRECTORY_MEMBERS_MAX {
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
        let rows = Arc::clone(&self.rows);
        let changes = reservation.run(move || rows.removals(&elements)).await??;
        self.apply(changes).await
    }

    /// Where rows and change log stand.
    ///
    /// # Errors
    /// [`DirectoryError::Store`].
    pub fn head(&self) -> Result<Head, DirectoryError> {
        Ok(self.rows.store.head()?)
    }

    /// The snapshot that the newest manifest names.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        Arc::clone(&self.published.load().current)
    }

    /// A snapshot by number: the current one or the one before.
    #[must_use]
    pub fn snapshot(&self, number: u64) -> Option<Arc<Snapshot>> {
        let published = self.published.load();
        std::iter::once(&published.current)
            .chain(&published.previous)
            .find(|snapshot| snapshot.manifest.snapshot == number)
            .map(Arc::clone)
    }

    /// Whether there are changes that are not published.
    fn is_behind(&self) -> bool {
        self.head().is_ok_and(|head| head.version != self.current().manifest.version)
    }

    /// Publishes what is registered now, if it is not published yet. Only the publisher calls it,
    /// one call at a time.
    async fn publish(&self) -> Result<Arc<Snapshot>, DirectoryError> {
        let current = self.current();
        if self.head()?.version == current.manifest.version {
            return Ok(current);
        }
        let next = Arc::new(publication::publish(&self.rows, &self.evaluator).await?);
        let published = Published { current: Arc::clone(&next), previous: Some(current) };
        self.published.store(Arc::new(published));
        Ok(next)
    }

    async fn apply(&self, changes: Vec<Change>) -> Result<Applied, DirectoryError> {
        let parts = vec![(self.rows.epoch, changes)];
        let applied = self.rows.store.apply(parts, self.clock.now_s()).await?;
        // Not "if it changed something": a repetition of a call whose first attempt nobody waited
        // for changes nothing, and what that attempt stored is still to be published.
        if applied.version != self.current().manifest.version {
            self.changed.notify_one();
        }
        Ok(applied)
    }
}

impl Rows {
    fn seal(&self, entries: &Entries) -> Result<Vec<Change>, DirectoryError> {
        let elements = OprfElement::parse_batch(&entries.elements)?;
        let (labels, rest) = entries.labels.as_chunks::<LABEL_BYTES>();
        if labels.len() != elements.len() || !rest.is_empty() {
            return Err(DirectoryError::LabelLength);
        }
        let put = |(element, label): (OprfElement, &[u8; LABEL_BYTES])| {
            let handle = self.vault.handle(&element);
            let row = Row { element, label: Label(*label), hidden: entries.hidden };
            let sealed = self.vault.seal(self.epoch, &handle, &row);
            Change::Put { handle: Handle::new(handle), sealed }
        };
        Ok(elements.into_iter().zip(labels).map(put).collect())
    }

    fn removals(&self, elements: &[u8]) -> Result<Vec<Change>, DirectoryError> {
        let elements = OprfElement::parse_batch(elements)?;
        let remove = |element| Change::Remove { handle: Handle::new(self.vault.handle(element)) };
        Ok(elements.iter().map(remove).collect())
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Directory")
            .field("tenant", &self.rows.tenant)
            .field("epoch", &self.rows.epoch)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entries({} bytes REDACTED)", self.elements.len())
    }
}
