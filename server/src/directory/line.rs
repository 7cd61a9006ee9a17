//! A live epoch: its key, its rows, and what of them clients can download.

use std::{fmt, sync::Arc};

use acquaint_core::{
    limits::OVERLAY_ENTRIES_MAX,
    manifest::{EpochInfo, OverlayInfo},
    oprf::{PublicKey, SecretKey},
    set::{Overlay, Universe},
};
use arc_swap::ArcSwapOption;

use super::{
    DirectoryError,
    lineage::{Lineage, Origin, Step},
    named::Kept,
    rows::Rows,
    snapshot::{Snapshot, SnapshotError, universe_for},
};
use crate::store::History;

/// When the overlay of a snapshot is made the next snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompactionPolicy {
    /// Changes, in percent of the members.
    pub share_percent: u64,
    /// Seconds since the snapshot was made, if anything changed at all.
    pub age_s: u64,
    /// Seconds for which the way from an older snapshot is kept.
    pub retention_s: u64,
}

/// Changes for which no snapshot is made, unless they are half of the directory.
const CHANGES_MIN: u64 = 1_000;

impl CompactionPolicy {
    fn wants(&self, overlay: &Overlay, age_s: u64) -> bool {
        let changes = (overlay.removed().len() + overlay.added().len()) as u64;
        let few = CHANGES_MIN.min(overlay.members() / 2);
        let most = few.max(overlay.members() / 100 * self.share_percent);
        changes > most.min(OVERLAY_ENTRIES_MAX as u64 / 2) || (changes > 0 && age_s >= self.age_s)
    }

    /// Changes since the last publication up to which they are worth telling one by one; past
    /// them the snapshot is built anew from all rows.
    fn changes_max(&self, members: u64) -> usize {
        let most = CHANGES_MIN.max(members / 100 * self.share_percent.saturating_mul(2));
        usize::try_from(most).unwrap_or(usize::MAX).min(OVERLAY_ENTRIES_MAX / 2)
    }
}

/// An epoch that is served.
pub(super) struct Line {
    pub(super) epoch: u32,
    pub(super) secret: Arc<SecretKey>,
    pub(super) public: PublicKey,
    pub(super) rows: Rows,
    /// `None` before the first publication. Replaced as a whole: readers never wait for the
    /// making of a snapshot, nor see half of a change.
    lineage: ArcSwapOption<Lineage>,
}

/// The state of a line after an update.
pub(super) struct Updated {
    pub(super) info: EpochInfo,
    /// Time of the last change, in seconds since 1970.
    pub(super) changed_at: u64,
}

impl Line {
    pub(super) fn new(epoch: u32, secret: SecretKey, public: PublicKey, rows: Rows) -> Self {
        let lineage = ArcSwapOption::empty();
        Self { epoch, secret: Arc::new(secret), public, rows, lineage }
    }

    /// A snapshot by number, while its files are kept.
    pub(super) fn snapshot(&self, number: u64) -> Option<Arc<Snapshot>> {
        self.lineage.load().as_ref()?.snapshot(number)
    }

    /// The snapshots whose files are kept.
    pub(super) fn kept(&self) -> Vec<Arc<Snapshot>> {
        self.lineage.load().as_ref().map(|lineage| lineage.kept()).unwrap_or_default()
    }

    /// The snapshots that are known, oldest first.
    pub(super) fn origins(&self) -> Vec<Origin> {
        self.lineage.load().as_ref().map(|lineage| lineage.origins()).unwrap_or_default()
    }

    /// See [`Lineage::steps`].
    pub(super) fn steps(
        &self,
        from: (u64, u64),
        to: (u64, u64),
    ) -> Result<Option<Vec<Step>>, DirectoryError> {
        let Some(lineage) = self.lineage.load_full() else { return Ok(None) };
        Ok(lineage.steps(from, to)?)
    }

    /// Rebuilds what was published before the process started, from rows and log.
    ///
    /// `origins` are the snapshots that were known then, `kept` the versions that are known to have
    /// been named. If the log does not reach back, or gives
    /// another snapshot than the one published, nothing is restored: the next update makes a new
    /// snapshot, and clients download it.
    ///
    /// # Errors
    /// [`DirectoryError`] if rows cannot be read or opened.
    pub(super) fn restore(
        &self,
        published: &EpochInfo,
        origins: &[Origin],
        kept: &Kept,
    ) -> Result<(), DirectoryError> {
        for (i, first) in origins.iter().enumerate() {
            let changes_max = OVERLAY_ENTRIES_MAX;
            let Some(history) = self.rows.store.history(self.epoch, first.version, changes_max)?
            else {
                continue;
            };
            let origins = origins.get(i..).unwrap_or_default();
            match self.replay(&published.snapshot.universe, origins, &history) {
                Ok(mut lineage) if self.info(&lineage, published.version)? == *published => {
                    lineage.take_names(kept);
                    self.lineage.store(Some(Arc::new(lineage)));
                }
                Ok(_) | Err(DirectoryError::Overlay(_) | DirectoryError::Snapshot(_)) => {
                    tracing::warn!(
                        "rows and log do not give what was published: a new snapshot follows"
                    );
                }
                Err(error) => return Err(error),
            }
            return Ok(());
        }
        Ok(())
    }

    /// The snapshots of `origins`, of which there is one at least, and what the log says since.
    fn replay(
        &self,
        universe: &Universe,
        origins: &[Origin],
        history: &History,
    ) -> Result<Lineage, DirectoryError> {
        let (_, mut records) = self.rows.records(Some(history))?;
        let changes = self.rows.record_changes(universe, history)?;
        let mut rest = changes.as_slice();
        let mut origins = origins.iter();
        let first = *origins.next().ok_or(DirectoryError::Epoch)?;
        let snapshot =
            Snapshot::build(self.epoch, first.number, first.version, *universe, &mut records)?;
        let mut lineage = Lineage::after(None, Arc::new(snapshot), first.made_at);
        for next in origins {
            let n = rest.partition_point(|change| change.version <= next.version);
            let (before, after) = rest.split_at(n);
            lineage.record(before, next.version)?;
            lineage.compact(next.number, next.made_at)?;
            rest = after;
        }
        lineage.record(rest, history.head.version)?;
        Ok(lineage)
    }

    /// Takes in what changed since the last update, and makes a new snapshot if it is time.
    ///
    /// `number` is for that snapshot. Blocks for as long as the changes take; a first update, or
    /// one after very many changes, for as long as all rows take.
    ///
    /// # Errors
    /// [`DirectoryError`]; what was known stays.
    pub(super) fn update(
        &self,
        policy: &CompactionPolicy,
        number: u64,
        now_s: u64,
    ) -> Result<Updated, DirectoryError> {
        let before = self.lineage.load_full();
        let followed = match &before {
            Some(before) => self.follow(before, policy, number, now_s),
            None => Ok(None),
        };
        match followed {
            Ok(Some(updated)) => Ok(updated),
            Ok(None) => self.rebuild(before.as_deref(), number, now_s),
            Err(DirectoryError::Overlay(error)) => {
                tracing::error!(%error, "the log contradicts what is published: a new snapshot follows");
                self.rebuild(before.as_deref(), number, now_s)
            }
            Err(error) => Err(error),
        }
    }

    /// Takes in the changes one by one; `None` if they are too many, or leave the universe.
    fn follow(
        &self,
        before: &Lineage,
        policy: &CompactionPolicy,
        number: u64,
        now_s: u64,
    ) -> Result<Option<Updated>, DirectoryError> {
        let changes_max = policy.changes_max(before.members());
        let history = self.rows.store.history(self.epoch, before.version(), changes_max)?;
        let Some(history) = history else { return Ok(None) };
        let mut lineage = before.clone();
        let changes = self.rows.record_changes(&lineage.universe(), &history)?;
        lineage.record(&changes, history.head.version)?;
        let overlay = lineage.overlay()?;
        if !lineage.universe().still_fits(overlay.members()) {
            return Ok(None);
        }
        if policy.wants(&overlay, now_s.saturating_sub(lineage.made_at())) {
            lineage.compact(number, now_s)?;
        }
        lineage.forget_ended_before(now_s.saturating_sub(policy.retention_s));
        let info = self.info(&lineage, lineage.version())?;
        self.lineage.store(Some(Arc::new(lineage)));
        Ok(Some(Updated { info, changed_at: history.head.changed_at }))
    }

    /// Makes a snapshot of all rows. The files of the one before stay, for downloads that had
    /// begun.
    fn rebuild(
        &self,
        before: Option<&Lineage>,
        number: u64,
        now_s: u64,
    ) -> Result<Updated, DirectoryError> {
        let (head, mut records) = self.rows.records(None)?;
        let universe = before.map(Lineage::universe);
        let universe = universe_for(universe, records.len() as u64).map_err(SnapshotError::from)?;
        let snapshot = Snapshot::build(self.epoch, number, head.version, universe, &mut records)?;
        let retired = before.map(Lineage::newest);
        let lineage = Lineage::after(retired, Arc::new(snapshot), now_s);
        let info = self.info(&lineage, head.version)?;
        self.lineage.store(Some(Arc::new(lineage)));
        Ok(Updated { info, changed_at: head.changed_at })
    }

    /// What a manifest says about a version over the newest snapshot.
    fn info(&self, lineage: &Lineage, version: u64) -> Result<EpochInfo, DirectoryError> {
        let overlay = lineage.overlay_at(version)?;
        let bytes = overlay.encode();
        Ok(EpochInfo {
            epoch: self.epoch,
            public_key: self.public,
            version,
            snapshot: lineage.newest().info().clone(),
            overlay: OverlayInfo {
                bytes: bytes.len() as u64,
                removed: overlay.removed().len() as u64,
                added: overlay.added().len() as u64,
                digest: *blake3::hash(&bytes).as_bytes(),
            },
        })
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
