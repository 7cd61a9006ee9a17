//! What is new since the last lookup.

use acquaint_core::tag::Label;

use super::State;
use crate::{address_book::AddressBook, outcome::Match};

/// How the matches of a lookup differ from those of the last one.
///
/// Positions in [`AddressBook::contacts`] of the address book that was looked up, ascending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Changes {
    /// Contacts that are registered and were not, or were not in the address book.
    pub joined: Vec<usize>,
    /// Contacts that were registered and no longer are. Those that left the address book are not
    /// contacts any more.
    pub left: Vec<usize>,
    /// Contacts that are registered with another label than before.
    pub label_changed: Vec<usize>,
}

impl Changes {
    /// Whether nothing changed.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.joined.is_empty() && self.left.is_empty() && self.label_changed.is_empty()
    }
}

impl State {
    /// Compares the matches of a lookup of this address book with the saved ones.
    ///
    /// To be called before [`State::set_matches`]. Positions that the address book does not have
    /// are left out; of several matches of one contact the last counts.
    #[must_use]
    pub fn changes(&self, address_book: &AddressBook, matches: &[Match]) -> Changes {
        let mut labels: Vec<Option<&Label>> = vec![None; address_book.contacts().len()];
        for found in matches {
            if let Some(label) = labels.get_mut(found.contact) {
                *label = Some(&found.label);
            }
        }
        let mut changes = Changes::default();
        for (i, (contact, label)) in address_book.contacts().iter().zip(labels).enumerate() {
            let before = self.matched(&self.local_key(contact.identifier()));
            match (before.map(|found| &found.label), label) {
                (None, Some(_)) => changes.joined.push(i),
                (Some(_), None) => changes.left.push(i),
                (Some(before), Some(now)) if before != now => changes.label_changed.push(i),
                _ => {}
            }
        }
        changes
    }
}
