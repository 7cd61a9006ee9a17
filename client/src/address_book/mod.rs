//! Address books: from vCard, CSV or plain lines to one contact per distinct identifier.
//!
//! Nothing is dropped silently: an entry becomes part of a [`Contact`] or is listed in
//! [`AddressBook::skipped`] with its line and the remedy.

mod collector;
mod columns;
mod email;
mod error;
mod import;
mod lines;
mod normalizer;
mod region;
mod skipped;
mod table;
mod text;
mod vcard;

#[cfg(test)]
mod normalizer_tests;
#[cfg(test)]
mod property_tests;
#[cfg(test)]
mod sample_tests;
#[cfg(test)]
mod tests;

use std::fmt;

use acquaint_core::identifier::Identifier;

pub use error::ImportError;
pub use import::{Format, Import};
pub use normalizer::{Normalizer, PhoneNumberNormalizer};
pub use region::{Region, RegionError};
pub use skipped::{SkipReason, Skipped};

use collector::Collector;

/// The people of an address book, and what of it could not be read.
///
/// `Debug` prints counts only.
#[derive(Clone)]
pub struct AddressBook {
    contacts: Vec<Contact>,
    skipped: Vec<Skipped>,
}

/// One distinct identifier, with everything the source says about it.
///
/// Somebody with two numbers is two contacts of the same name. `Debug` prints counts only.
#[derive(Clone)]
pub struct Contact {
    identifier: Identifier,
    names: Vec<String>,
    lines: Vec<usize>,
}

impl AddressBook {
    /// An address book of identifiers that a program already has, each with a display name.
    ///
    /// Equal identifiers become one contact. Lines are positions in `entries`, counted from 1;
    /// an empty name counts as none. Nothing is skipped.
    pub fn from_identifiers<N: Into<String>>(
        entries: impl IntoIterator<Item = (N, Identifier)>,
    ) -> Self {
        let mut collector = Collector::unlimited();
        for (i, (name, identifier)) in entries.into_iter().enumerate() {
            collector.add(identifier, &name.into(), i + 1);
        }
        collector.finish()
    }

    /// The contacts: one per distinct identifier, in order of first appearance.
    #[must_use]
    pub fn contacts(&self) -> &[Contact] {
        &self.contacts
    }

    /// The entries that could not be read, ascending by line.
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }
}

impl Contact {
    /// The canonical identifier.
    #[must_use]
    pub fn identifier(&self) -> &Identifier {
        &self.identifier
    }

    /// The distinct display names, in order of appearance; empty if the source has none.
    ///
    /// Composed (NFC) and without control characters, so that they can be printed.
    #[must_use]
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The distinct lines of the source that name the identifier, ascending, counted from 1.
    #[must_use]
    pub fn lines(&self) -> &[usize] {
        &self.lines
    }
}

impl fmt::Debug for AddressBook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AddressBook")
            .field("n_contacts", &self.contacts.len())
            .field("n_skipped", &self.skipped.len())
            .finish()
    }
}

impl fmt::Debug for Contact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Contact")
            .field("n_names", &self.names.len())
            .field("n_lines", &self.lines.len())
            .finish_non_exhaustive()
    }
}
