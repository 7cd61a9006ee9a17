//! From one version's overlay to the next, by the entries that left and came.

use std::cmp::Ordering;
use std::ops::Range;

use super::changes::Changes;
use super::fields::check;
use super::list::narrow_range;
use super::{Overlay, OverlayError, equal_range};
use crate::set::{Entry, SnapshotView};

impl Overlay {
    /// The overlay after some entries left and others came; `self` is not changed.
    ///
    /// Guarantee: the result is the canonical difference between the snapshot and the members
    /// then, whatever the order of the slices and however the changes were split into steps. An
    /// entry that left and came as often changes nothing, even if it was never a member.
    ///
    /// `view` is the snapshot of this overlay, its bytes verified. Cost: sorting the changes, a
    /// pass over the overlay, and decoding each segment that a change lies in (0.1 ms).
    ///
    /// # Errors
    /// [`OverlayError::OtherSnapshot`] for another view; [`OverlayError::ValueRange`] for an
    /// entry outside the universe; [`OverlayError::NotAMember`] if an entry left more often than
    /// it was there; [`OverlayError::NotCanonical`] if this overlay is not canonical;
    /// [`OverlayError::TooLarge`], [`OverlayError::Capacity`] if the result passes a limit;
    /// [`OverlayError::Segment`] if the snapshot is malformed.
    pub fn advance<B: AsRef<[u8]>>(
        &self,
        view: &SnapshotView<B>,
        gone: &[Entry],
        new: &[Entry],
    ) -> Result<Self, OverlayError> {
        check(*view.identity() == self.snapshot, OverlayError::OtherSnapshot)?;
        let width = self.snapshot.universe.width();
        let inside = |entry: &Entry| entry.value < width;
        check(gone.iter().chain(new).all(inside), OverlayError::ValueRange)?;

        let net = net_changes(gone, new);
        let values: Vec<u64> = net.iter().map(|change| change.entry.value).collect();
        let ranks = view.ranks_of_sorted(&values)?;
        let mut changes = Changes::default();
        for (change, ranks) in net.iter().zip(ranks) {
            let ranks = view.ranks_of_entry(&change.entry, ranks);
            self.plan(change, ranks, &mut changes)?;
        }
        changes.apply(self)
    }

    /// Splits one net change between the overlay's two lists.
    ///
    /// `ranks` are those of the snapshot's members with this entry; the lowest of them are
    /// removed, and then there are no such additions, or the other way round.
    fn plan(
        &self,
        change: &NetChange,
        ranks: Range<u32>,
        changes: &mut Changes,
    ) -> Result<(), OverlayError> {
        let added = narrow_range(equal_range(&self.added, |entry| entry.cmp(&change.entry)));
        let removed = self.removed_of(&ranks)?;
        check(added.is_empty() || removed.is_empty(), OverlayError::NotCanonical)?;
        let split = removed.end;
        if change.came {
            let restored = change.count.min(narrow_len(&removed));
            changes.restored.extend(split - restored..split);
            let copies = change.count - restored;
            changes.added.extend(std::iter::repeat_n(change.entry, copies as usize));
        } else {
            let dropped = change.count.min(narrow_len(&added));
            changes.dropped.extend(added.start..added.start + dropped);
            let left = change.count - dropped;
            check(left <= ranks.end - split, OverlayError::NotAMember)?;
            changes.removed.extend(split..split + left);
        }
        Ok(())
    }

    /// Which of the ranks of equal members are removed: the first ones.
    fn removed_of(&self, ranks: &Range<u32>) -> Result<Range<u32>, OverlayError> {
        let first = self.removed.partition_point(|rank| *rank < ranks.start);
        let after = self.removed.partition_point(|rank| *rank < ranks.end);
        let count = narrow_len(&narrow_range(first..after));
        let removed = ranks.start..ranks.start + count;
        let lowest = self.removed.iter().skip(first).take(after - first).copied();
        check(lowest.eq(removed.clone()), OverlayError::NotCanonical)?;
        Ok(removed)
    }
}

fn narrow_len(range: &Range<u32>) -> u32 {
    range.end - range.start
}

/// How often an entry came, or left, on balance: at least once.
struct NetChange {
    entry: Entry,
    came: bool,
    count: u32,
}

/// The balance of each entry, ascending by entry.
fn net_changes(gone: &[Entry], new: &[Entry]) -> Vec<NetChange> {
    let (mut gone, mut new) = (gone.to_vec(), new.to_vec());
    gone.sort_unstable();
    new.sort_unstable();
    let mut net: Vec<NetChange> = Vec::with_capacity(gone.len() + new.len());
    let (mut gone, mut new) = (gone.into_iter().peekable(), new.into_iter().peekable());
    loop {
        let order = match (gone.peek(), new.peek()) {
            (Some(left), Some(came)) => left.cmp(came),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return net,
        };
        let left = if order.is_le() { gone.next() } else { None };
        let came = if order.is_ge() { new.next() } else { None };
        match (left, came) {
            (Some(entry), None) => push(&mut net, entry, false),
            (None, Some(entry)) => push(&mut net, entry, true),
            // Equal ones cancel; both none does not happen.
            _ => {}
        }
    }
}

fn push(net: &mut Vec<NetChange>, entry: Entry, came: bool) {
    match net.last_mut() {
        Some(last) if last.entry == entry && last.came == came => last.count += 1,
        _ => net.push(NetChange { entry, came, count: 1 }),
    }
}
