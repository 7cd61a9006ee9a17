//! The difference of two overlays of one snapshot, and its application.

use std::iter::Peekable;

use super::fields::check;
use super::list::narrow;
use super::{Overlay, OverlayError};
use crate::set::Entry;

/// What leads from one overlay to another. All lists ascend; only `added` may have equal items.
///
/// Canonical: of equal additions the ones with the lowest ordinals are dropped first, no addition
/// is dropped and added in one go, and no rank is restored and removed in one go. Then the changes
/// are a function of the two overlays.
#[derive(Clone, PartialEq, Eq, Default)]
pub(super) struct Changes {
    /// Ranks that are removed before, but not after.
    pub(super) restored: Vec<u32>,
    /// Ranks that are removed after, but not before.
    pub(super) removed: Vec<u32>,
    /// Ordinals of the additions before that are none after.
    pub(super) dropped: Vec<u32>,
    /// Additions after that were none before.
    pub(super) added: Vec<Entry>,
}

impl Changes {
    /// The changes from one overlay to another; that both are of one snapshot is the caller's.
    pub(super) fn between(from: &Overlay, to: &Overlay) -> Self {
        Self {
            restored: reversed(surplus(&from.removed, &to.removed).map(|(_, rank)| *rank)),
            removed: reversed(surplus(&to.removed, &from.removed).map(|(_, rank)| *rank)),
            dropped: reversed(surplus(&from.added, &to.added).map(|(ordinal, _)| ordinal)),
            added: reversed(surplus(&to.added, &from.added).map(|(_, entry)| *entry)),
        }
    }

    /// The overlay to which the changes lead; ordinals lie below its number of additions.
    ///
    /// Accepts exactly what [`Changes::between`] the two overlays gives.
    ///
    /// # Errors
    /// [`OverlayError::NotRemoved`], [`OverlayError::RemovedTwice`],
    /// [`OverlayError::NotCanonical`]; for the result [`OverlayError::TooLarge`] and
    /// [`OverlayError::Capacity`].
    pub(super) fn apply(&self, from: &Overlay) -> Result<Overlay, OverlayError> {
        let removed = self.apply_to_removed(&from.removed)?;
        let added = self.apply_to_added(&from.added)?;
        Overlay::within_limits(from.snapshot, removed, added)
    }

    fn apply_to_removed(&self, before: &[u32]) -> Result<Vec<u32>, OverlayError> {
        let mut after = Vec::with_capacity(before.len() + self.removed.len());
        let mut removed = self.removed.iter().copied().peekable();
        let mut restored = self.restored.iter().peekable();
        for rank in before {
            after.extend(taking_below(&mut removed, rank));
            check(removed.peek() != Some(rank), OverlayError::RemovedTwice)?;
            if restored.next_if_eq(&rank).is_none() {
                after.push(*rank);
            }
        }
        check(restored.next().is_none(), OverlayError::NotRemoved)?;
        after.extend(removed);
        Ok(after)
    }

    fn apply_to_added(&self, before: &[Entry]) -> Result<Vec<Entry>, OverlayError> {
        let mut after = Vec::with_capacity(before.len() + self.added.len());
        let mut added = self.added.iter().copied().peekable();
        let mut dropped = self.dropped.iter().peekable();
        for (ordinal, entry) in (0u32..).zip(before) {
            after.extend(taking_below(&mut added, entry));
            if dropped.next_if_eq(&&ordinal).is_none() {
                after.push(*entry);
            } else {
                let kept_or_added = after.last() == Some(entry) || added.peek() == Some(entry);
                check(!kept_or_added, OverlayError::NotCanonical)?;
            }
        }
        // No ordinal is left over: they lie below the number of additions that both sides have.
        after.extend(added);
        Ok(after)
    }
}

/// The items of `all` that `others` does not have as often, descending, with their positions.
///
/// Both ascend. Of equal items those at the lowest positions are surplus, which is why the walk
/// starts at the end.
fn surplus<'a, T: Ord>(all: &'a [T], others: &'a [T]) -> impl Iterator<Item = (u32, &'a T)> {
    let mut others = others.iter().rev().peekable();
    let positions = (0..narrow(all.len() as u64)).zip(all).rev();
    positions.filter(move |(_, item)| {
        while others.next_if(|other| other > item).is_some() {}
        others.next_if_eq(item).is_none()
    })
}

fn reversed<T>(descending: impl Iterator<Item = T>) -> Vec<T> {
    let mut ascending: Vec<T> = descending.collect();
    ascending.reverse();
    ascending
}

/// Takes the items below a bound.
fn taking_below<'a, T: Ord + 'a, I: Iterator<Item = T>>(
    items: &'a mut Peekable<I>,
    bound: &'a T,
) -> impl Iterator<Item = T> + 'a {
    std::iter::from_fn(move || items.next_if(|item| item < bound))
}
