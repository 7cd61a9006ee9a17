//! What changed since a snapshot, and when: from it follows the overlay at every version.
//!
//! A client asks for the difference between the version it has and the newest. Keeping an overlay
//! for each version would take their number times their size. Kept instead is, for each rank and
//! each added entry, at which versions it left and came back: as much as there were changes.

use std::{collections::BTreeMap, fmt, ops::Range};

use acquaint_core::set::{Entry, Overlay, OverlayError, SnapshotIdentity, SnapshotView};

/// A change of one published record; a changed label is both at once.
#[derive(Clone, Copy)]
pub(super) struct RecordChange {
    /// Position in the change log.
    pub(super) version: u64,
    /// The entry that left.
    pub(super) gone: Option<Entry>,
    /// The entry that came.
    pub(super) new: Option<Entry>,
}

/// Everything that happened to the members of a snapshot, and to those that came later.
#[derive(Clone)]
pub(super) struct Timeline {
    snapshot: SnapshotIdentity,
    /// When a member of the snapshot left, came back, left, ...
    ranks: BTreeMap<u32, Flips>,
    /// When an entry came, left, came, ... The number tells equal entries apart.
    entries: BTreeMap<(Entry, u32), Flips>,
}

/// Ascending versions. At a version the state is the opposite of the one in the snapshot exactly
/// if an odd number of them came by then.
#[derive(Clone, Default)]
struct Flips(Vec<u64>);

impl Flips {
    fn is_odd(&self) -> bool {
        self.0.len() % 2 == 1
    }

    fn is_odd_at(&self, version: u64) -> bool {
        self.0.partition_point(|flip| *flip <= version) % 2 == 1
    }

    /// Two flips at one version are none.
    fn flip(&mut self, version: u64) {
        if self.0.pop_if(|last| *last == version).is_none() {
            self.0.push(version);
        }
    }
}

impl Timeline {
    /// Nothing has changed yet.
    pub(super) fn new(snapshot: SnapshotIdentity) -> Self {
        Self { snapshot, ranks: BTreeMap::new(), entries: BTreeMap::new() }
    }

    /// The snapshot that all of this is about.
    pub(super) fn snapshot(&self) -> &SnapshotIdentity {
        &self.snapshot
    }

    /// Records changes, in the order of their versions.
    ///
    /// # Errors
    /// [`OverlayError`] if an entry leaves that is not there: the log and what is published
    /// contradict each other.
    pub(super) fn record<B: AsRef<[u8]>>(
        &mut self,
        view: &SnapshotView<B>,
        changes: &[RecordChange],
    ) -> Result<(), OverlayError> {
        let ranks = Ranks::of(view, changes)?;
        for RecordChange { version, gone, new } in changes {
            if let Some(entry) = gone {
                self.leave(*version, entry, ranks.of_entry(view, entry))?;
            }
            if let Some(entry) = new {
                self.come(*version, entry, ranks.of_entry(view, entry));
            }
        }
        Ok(())
    }

    /// The overlay at a version.
    ///
    /// # Errors
    /// [`OverlayError::TooLarge`], [`OverlayError::Capacity`].
    pub(super) fn overlay_at(&self, version: u64) -> Result<Overlay, OverlayError> {
        let at = |flips: &Flips| flips.is_odd_at(version);
        let removed = self.ranks.iter().filter(|(_, flips)| at(flips)).map(|(rank, _)| *rank);
        let entries = self.entries.iter().filter(|(_, flips)| at(flips));
        let added = entries.map(|((entry, _), _)| *entry);
        Overlay::new(self.snapshot, removed.collect(), added.collect())
    }

    /// An added entry goes if there is one; else the lowest rank that has not gone yet.
    fn leave(
        &mut self,
        version: u64,
        entry: &Entry,
        mut ranks: impl Iterator<Item = u32>,
    ) -> Result<(), OverlayError> {
        let equal = self.entries.range_mut((*entry, 0)..=(*entry, u32::MAX));
        if let Some((_, flips)) = equal.rev().find(|(_, flips)| flips.is_odd()) {
            flips.flip(version);
            return Ok(());
        }
        let is_there = |rank: &u32| self.ranks.get(rank).is_none_or(|flips| !flips.is_odd());
        let rank = ranks.find(is_there).ok_or(OverlayError::NotAMember)?;
        self.ranks.entry(rank).or_default().flip(version);
        Ok(())
    }

    /// The highest rank that had gone comes back if there is one; else the entry is added.
    fn come(&mut self, version: u64, entry: &Entry, ranks: impl DoubleEndedIterator<Item = u32>) {
        let had_gone = |rank: &u32| self.ranks.get(rank).is_some_and(Flips::is_odd);
        if let Some(rank) = ranks.rev().find(had_gone) {
            self.ranks.entry(rank).or_default().flip(version);
            return;
        }
        let equal = self.entries.range((*entry, 0)..=(*entry, u32::MAX));
        let n_present = equal.take_while(|(_, flips)| flips.is_odd()).count();
        let number = u32::try_from(n_present).unwrap_or(u32::MAX);
        self.entries.entry((*entry, number)).or_default().flip(version);
    }
}

/// The ranks of all values that some changes are about, found with one pass over the segments.
struct Ranks {
    values: Vec<u64>,
    ranks: Vec<Range<u32>>,
}

impl Ranks {
    fn of<B: AsRef<[u8]>>(
        view: &SnapshotView<B>,
        changes: &[RecordChange],
    ) -> Result<Self, OverlayError> {
        let entries = changes.iter().flat_map(|change| change.gone.iter().chain(&change.new));
        let mut values: Vec<u64> = entries.map(|entry| entry.value).collect();
        values.sort_unstable();
        values.dedup();
        let ranks = view.ranks_of_sorted(&values)?;
        Ok(Self { values, ranks })
    }

    /// Ranks of the snapshot's members that equal an entry, ascending.
    fn of_entry<B: AsRef<[u8]>>(
        &self,
        view: &SnapshotView<B>,
        entry: &Entry,
    ) -> impl DoubleEndedIterator<Item = u32> {
        let found = self.values.binary_search(&entry.value).ok();
        let ranks = found.and_then(|at| self.ranks.get(at)).cloned().unwrap_or(0..0);
        ranks.filter(|rank| view.label(*rank) == Some(&entry.sealed_label))
    }
}

impl fmt::Debug for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeline")
            .field("snapshot", &self.snapshot)
            .field("changes", &(self.ranks.len() + self.entries.len()))
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
