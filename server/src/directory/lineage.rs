//! The snapshots of an epoch that clients may still hold, and the way from each to the next.

use std::{collections::VecDeque, fmt, sync::Arc};

use acquaint_core::{
    limits::WAY_STEPS_MAX,
    set::{Delta, DeltaVersions, Overlay, OverlayError, Universe},
};
use bytes::Bytes;

use super::{
    named::{Kept, Named},
    snapshot::{Snapshot, SnapshotError},
    timeline::{RecordChange, Timeline},
};

/// Snapshots whose way to the newest one is kept, the newest included.
pub(super) const SNAPSHOTS_MAX: usize = 8;

/// Snapshots whose files are kept: the newest, and the one before for downloads that had begun.
const FILES_MAX: usize = 2;

const _: () = assert!(SNAPSHOTS_MAX <= WAY_STEPS_MAX, "every way fits its file");

const NEVER_EMPTY: &str = "a history has a newest snapshot";

/// The history of an epoch's directory, as far as deltas reach. A clone shares what does not
/// change; it copies the newest timeline when something is recorded.
#[derive(Clone)]
pub(super) struct Lineage {
    /// Oldest first; never empty.
    links: VecDeque<Link>,
    /// A snapshot that no way leads from.
    retired: Option<Arc<Snapshot>>,
    /// Position in the change log up to which everything is recorded.
    version: u64,
}

/// Where a snapshot came from: what is kept of it across restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// Number of the snapshot.
    pub(super) number: u64,
    /// Position in the change log that it includes.
    pub(super) version: u64,
    /// When it was made, in seconds since 1970.
    pub(super) made_at: u64,
}

/// A snapshot, and what changed until the next.
#[derive(Clone)]
struct Link {
    origin: Origin,
    files: Option<Arc<Snapshot>>,
    timeline: Arc<Timeline>,
    /// Versions over it that manifests named.
    named: Named,
}

/// The way from a version to the end of one snapshot's time.
#[derive(Clone)]
pub struct Step {
    /// The snapshot whose overlay changes.
    pub snapshot: u64,
    /// The version that it leads to.
    pub version: u64,
    /// The encoded delta; empty if nothing changed.
    pub delta: Bytes,
}

impl Lineage {
    /// A history that begins with a snapshot, made at a time in seconds since 1970. The files of
    /// the snapshot before can still be had, but no way leads from it.
    pub(super) fn after(
        retired: Option<Arc<Snapshot>>,
        snapshot: Arc<Snapshot>,
        made_at: u64,
    ) -> Self {
        let version = snapshot.info().version;
        Self { links: VecDeque::from([Link::new(snapshot, made_at)]), retired, version }
    }

    /// Position in the change log up to which everything is recorded.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// When the newest snapshot was made, in seconds since 1970.
    pub(super) fn made_at(&self) -> u64 {
        self.back().origin.made_at
    }

    /// Members of the newest snapshot.
    pub(super) fn members(&self) -> u64 {
        u64::from(self.back().timeline.snapshot().members)
    }

    /// The universe of all its snapshots.
    pub(super) fn universe(&self) -> Universe {
        self.back().timeline.snapshot().universe
    }

    /// The newest snapshot.
    pub(super) fn newest(&self) -> Arc<Snapshot> {
        let files = self.back().files.as_ref();
        Arc::clone(files.expect("the files of the newest snapshot are kept"))
    }

    /// A snapshot by number, while its files are kept.
    pub(super) fn snapshot(&self, number: u64) -> Option<Arc<Snapshot>> {
        let kept = self.links.iter().filter_map(|link| link.files.as_ref()).chain(&self.retired);
        kept.into_iter().find(|snapshot| snapshot.info().number == number).cloned()
    }

    /// The snapshots whose files are kept.
    pub(super) fn kept(&self) -> Vec<Arc<Snapshot>> {
        let linked = self.links.iter().filter_map(|link| link.files.as_ref());
        linked.chain(&self.retired).cloned().collect()
    }

    /// Its snapshots, oldest first.
    pub(super) fn origins(&self) -> Vec<Origin> {
        self.links.iter().map(|link| link.origin).collect()
    }

    /// Records changes over the newest snapshot, up to a version that a manifest is going to name.
    ///
    /// # Errors
    /// [`OverlayError`] if they contradict what is recorded; this history is unusable then.
    pub(super) fn record(
        &mut self,
        changes: &[RecordChange],
        version: u64,
    ) -> Result<(), OverlayError> {
        let newest = self.newest();
        let link = self.links.back_mut().expect(NEVER_EMPTY);
        Arc::make_mut(&mut link.timeline).record(newest.view(), changes)?;
        link.named.add(version);
        self.version = version;
        Ok(())
    }

    /// The overlay over the newest snapshot, of everything recorded.
    ///
    /// # Errors
    /// [`OverlayError`] if it is too large.
    pub(super) fn overlay(&self) -> Result<Overlay, OverlayError> {
        self.overlay_at(self.version)
    }

    /// The overlay over the newest snapshot at a version.
    ///
    /// # Errors
    /// [`OverlayError`] if it is too large.
    pub(super) fn overlay_at(&self, version: u64) -> Result<Overlay, OverlayError> {
        self.back().timeline.overlay_at(version)
    }

    /// Makes the newest snapshot with its overlay the next snapshot.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub(super) fn compact(&mut self, number: u64, made_at: u64) -> Result<(), SnapshotError> {
        let next = self.newest().compact(&self.overlay()?, number, self.version)?;
        self.links.push_back(Link::new(Arc::new(next), made_at));
        self.retired = None;
        let n_forgotten = self.links.len().saturating_sub(SNAPSHOTS_MAX);
        self.links.drain(..n_forgotten);
        let n_without = self.links.len().saturating_sub(FILES_MAX);
        self.links.iter_mut().take(n_without).for_each(|link| link.files = None);
        Ok(())
    }

    /// Forgets the way from snapshots that were followed by another before a time.
    pub(super) fn forget_ended_before(&mut self, time: u64) {
        while self.links.get(1).is_some_and(|next| next.origin.made_at < time) {
            self.links.pop_front();
        }
    }

    /// After a restart: which versions manifests named, as far as they are kept.
    pub(super) fn take_names(&mut self, kept: &Kept) {
        for link in &mut self.links {
            link.named = Named::of(&kept.from(link.origin.version));
        }
        // What is recorded beyond is named next.
        if let Some(newest) = self.links.back_mut() {
            newest.named.add(self.version);
        }
    }

    fn back(&self) -> &Link {
        self.links.back().expect(NEVER_EMPTY)
    }

    /// The way from one version to another, each over a snapshot (number, version). `None` if a
    /// version is not one that a manifest has named, as far as that is known, is too old, or lies
    /// the other way.
    ///
    /// Cost: in proportion to what changed since the first snapshot.
    ///
    /// # Errors
    /// [`OverlayError`] if an overlay is too large.
    pub(super) fn steps(
        &self,
        (first, mut version): (u64, u64),
        (last, last_version): (u64, u64),
    ) -> Result<Option<Vec<Step>>, OverlayError> {
        let ends = self.links.iter().skip(1).map(|next| next.origin.version);
        let passed = self.links.iter().zip(ends.chain([self.version]));
        let mut steps = Vec::new();
        for (link, end) in passed.skip_while(|(link, _)| link.origin.number != first) {
            let is_last = link.origin.number == last;
            let until = if is_last { last_version } else { end };
            let in_order = link.origin.version <= version && version <= until && until <= end;
            let named = link.named.holds(version) && (until == end || link.named.holds(until));
            if !in_order || !named {
                return Ok(None);
            }
            steps.push(link.step(version, until)?);
            if is_last {
                return Ok(Some(steps));
            }
            version = until;
        }
        Ok(None)
    }
}

impl Link {
    fn new(snapshot: Arc<Snapshot>, made_at: u64) -> Self {
        let (number, version) = (snapshot.info().number, snapshot.info().version);
        let timeline = Arc::new(Timeline::new(*snapshot.view().identity()));
        let named = Named::since(version);
        Self { origin: Origin { number, version, made_at }, files: Some(snapshot), timeline, named }
    }

    fn step(&self, from: u64, to: u64) -> Result<Step, OverlayError> {
        let [before, after] = [from, to].map(|version| self.timeline.overlay_at(version));
        let (before, after) = (before?, after?);
        let delta = if from == to {
            Bytes::new()
        } else {
            Delta::between(DeltaVersions { from, to }, &before, &after)?.encode().into()
        };
        Ok(Step { snapshot: self.origin.number, version: to, delta })
    }
}

impl fmt::Debug for Lineage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lineage")
            .field("snapshots", &self.links.len())
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step")
            .field("snapshot", &self.snapshot)
            .field("version", &self.version)
            .field("delta_bytes", &self.delta.len())
            .finish()
    }
}
