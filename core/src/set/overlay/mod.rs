//! The overlay: what separates an immutable snapshot from the directory as it is now.
//!
//! Ranks locate labels, so they must never shift: a client keeps one snapshot and, over it, an
//! [`Overlay`] of removed ranks and added records. A [`Delta`] leads from the overlay of one
//! version to that of a later one. When overlays grow large, the server makes a new snapshot, and
//! the client computes the same one with [`compact`].
//!
//! Guarantee: an overlay is a function of the snapshot and the present members alone, whatever
//! path led there, and so are its bytes. A signed digest of them vouches for the deltas as well.
//!
//! Source: ours.

mod additions;
mod advance;
mod changes;
mod codec;
mod compact;
mod delta;
mod error;
mod fields;
mod list;

use std::fmt;
use std::ops::Range;

pub use compact::{Compaction, compact};
pub use delta::{Delta, DeltaVersions};
pub use error::OverlayError;

use super::{Entry, SnapshotIdentity};
use crate::limits::{DIRECTORY_MEMBERS_MAX, OVERLAY_ENTRIES_MAX};
use fields::check;

/// The canonical difference between a snapshot and the directory now.
///
/// Guarantee: `removed` are different ranks of the snapshot, `added` ascend and lie in the
/// universe, both together have at most `limits::OVERLAY_ENTRIES_MAX` entries, and the directory
/// has at most `limits::DIRECTORY_MEMBERS_MAX` members.
///
/// *Canonical* means besides: no record is both removed and added, and of equal records of the
/// snapshot the lowest ranks are removed first. [`Overlay::advance`] keeps this. For decoded
/// bytes only the server's signature stands for it, since it takes the labels to check.
///
/// Memory: 4 bytes per removal, 40 per addition.
///
/// ```
/// use acquaint_core::set::{
///     Delta, DeltaVersions, Entry, Overlay, Record, SnapshotSegment, SnapshotView, Universe, build,
/// };
///
/// let universe = Universe::for_members(1)?;
/// let (leaves, comes) = ([Record { tag: 7, sealed_label: [1; 32] }], u64::MAX);
/// let published: Vec<_> = build(&universe, 1, &mut leaves.clone()).collect::<Result<_, _>>()?;
/// let segments = published.iter().map(SnapshotSegment::from).collect();
/// let view = SnapshotView::new(&universe, 9, 1, segments)?;
///
/// // Server: the member leaves, another comes.
/// let before = Overlay::empty(*view.identity());
/// let gone = Entry::new(&universe, &leaves[0]);
/// let new = Entry::new(&universe, &Record { tag: comes, sealed_label: [2; 32] });
/// let after = before.advance(&view, &[gone], &[new])?;
/// let versions = DeltaVersions { from: 1, to: 3 };
/// let bytes = Delta::between(versions, &before, &after)?.encode();
///
/// // Client: the same overlay, so the digest of `encode` is the one in the manifest.
/// let now = Delta::decode(view.identity(), versions, &bytes)?.apply(&before)?;
/// assert_eq!(now.encode(), after.encode());
/// assert!(now.lookup(7, view.ranks_of(universe.scaled(7))?).is_empty());
/// assert_eq!(now.lookup(comes, view.ranks_of(universe.scaled(comes))?).added, 0..1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Overlay {
    snapshot: SnapshotIdentity,
    removed: Vec<u32>,
    added: Vec<Entry>,
}

impl Overlay {
    /// The overlay of the snapshot itself: nothing removed, nothing added.
    #[must_use]
    pub fn empty(snapshot: SnapshotIdentity) -> Self {
        Self { snapshot, removed: Vec::new(), added: Vec::new() }
    }

    /// An overlay from its lists. That it is canonical is for the caller to see to: it takes the
    /// labels of the snapshot to check.
    ///
    /// # Errors
    /// [`OverlayError::Order`] unless ranks ascend strictly and entries ascend;
    /// [`OverlayError::RankRange`], [`OverlayError::ValueRange`]; [`OverlayError::TooLarge`],
    /// [`OverlayError::Capacity`].
    pub fn new(
        snapshot: SnapshotIdentity,
        removed: Vec<u32>,
        added: Vec<Entry>,
    ) -> Result<Self, OverlayError> {
        check(removed.is_sorted_by(|a, b| a < b) && added.is_sorted(), OverlayError::Order)?;
        let rank_fits = removed.last().is_none_or(|rank| *rank < snapshot.members);
        check(rank_fits, OverlayError::RankRange)?;
        let universe = &snapshot.universe;
        let width = universe.segment_width() << universe.segment_bits();
        let value_fits = added.last().is_none_or(|entry| entry.value < width);
        check(value_fits, OverlayError::ValueRange)?;
        Self::within_limits(snapshot, removed, added)
    }

    /// Joins lists that are in order and in range already.
    ///
    /// # Errors
    /// [`OverlayError::TooLarge`], [`OverlayError::Capacity`].
    fn within_limits(
        snapshot: SnapshotIdentity,
        removed: Vec<u32>,
        added: Vec<Entry>,
    ) -> Result<Self, OverlayError> {
        check(removed.len() + added.len() <= OVERLAY_ENTRIES_MAX, OverlayError::TooLarge)?;
        let overlay = Self { snapshot, removed, added };
        check(overlay.members() <= DIRECTORY_MEMBERS_MAX, OverlayError::Capacity)?;
        Ok(overlay)
    }

    /// Where a tag's member may be now: ranks of the snapshot, and ordinals of the additions.
    ///
    /// Shape: `snapshot_ranks` are the ranks of the tag's value over the whole snapshot, as from
    /// [`Set::lookup`](super::Set::lookup) or
    /// [`SnapshotView::ranks_of`](super::SnapshotView::ranks_of), or an empty range. The hit is
    /// empty if nobody with that value is left. Each place may be the member or not: only a
    /// label that opens proves it. Cost: two binary searches.
    #[must_use]
    pub fn lookup(&self, tag: u64, snapshot_ranks: Range<u32>) -> OverlayHit {
        let first = self.removed.partition_point(|rank| *rank < snapshot_ranks.start);
        let mut removed = self.removed.iter().skip(first).peekable();
        let ranks = snapshot_ranks.filter(|rank| removed.next_if_eq(&rank).is_none()).collect();
        let value = self.snapshot.universe.scaled(tag);
        let added = list::narrow_range(equal_range(&self.added, |entry| entry.value.cmp(&value)));
        OverlayHit { ranks, added }
    }

    /// The snapshot that the ranks refer to.
    #[must_use]
    pub fn snapshot(&self) -> &SnapshotIdentity {
        &self.snapshot
    }

    /// The ranks of the snapshot's members that left, ascending.
    #[must_use]
    pub fn removed(&self) -> &[u32] {
        &self.removed
    }

    /// The records that came, in canonical order; a position in it is an ordinal.
    #[must_use]
    pub fn added(&self) -> &[Entry] {
        &self.added
    }

    /// The number of members of the directory now.
    #[must_use]
    pub fn members(&self) -> u64 {
        // Different ranks are never more than the snapshot has.
        u64::from(self.snapshot.members) - self.removed.len() as u64 + self.added.len() as u64
    }
}

/// Sizes only.
impl fmt::Debug for Overlay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Overlay")
            .field("snapshot", &self.snapshot)
            .field("removed_len", &self.removed.len())
            .field("added_len", &self.added.len())
            .finish()
    }
}

/// Where a tag's member may be; see [`Overlay::lookup`].
#[derive(Clone, PartialEq, Eq)]
pub struct OverlayHit {
    /// Ranks of the snapshot that are not removed, ascending.
    pub ranks: Vec<u32>,
    /// Positions in [`Overlay::added`].
    pub added: Range<u32>,
}

impl OverlayHit {
    /// Whether no member can be behind the tag.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ranks.is_empty() && self.added.is_empty()
    }
}

/// Redacted: it says who is in somebody's address book.
impl fmt::Debug for OverlayHit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OverlayHit(REDACTED)")
    }
}

/// The positions in an ascending slice of the items that compare equal.
fn equal_range<T>(sorted: &[T], compare: impl Fn(&T) -> std::cmp::Ordering) -> Range<usize> {
    let start = sorted.partition_point(|item| compare(item).is_lt());
    let end = sorted.partition_point(|item| compare(item).is_le());
    start..end
}
