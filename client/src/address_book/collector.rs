//! Where the readers put what they find: merges equal identifiers and keeps the limits.

use std::collections::HashSet;
use std::collections::hash_map::{Entry, HashMap};

use acquaint_core::identifier::Identifier;
use unicode_normalization::UnicodeNormalization;

use super::{AddressBook, Contact, ImportError, SkipReason, Skipped};
use crate::limits;

pub(super) struct Collector {
    index: HashMap<Identifier, usize>,
    contacts: Vec<Contact>,
    skipped: Vec<Skipped>,
    entries_max: usize,
}

impl Collector {
    pub(super) fn new() -> Self {
        Self::with_limit(limits::IMPORT_CONTACTS_MAX)
    }

    pub(super) fn unlimited() -> Self {
        Self::with_limit(usize::MAX)
    }

    pub(super) fn with_limit(entries_max: usize) -> Self {
        Self { index: HashMap::new(), contacts: Vec::new(), skipped: Vec::new(), entries_max }
    }

    /// Adds what a normalizer said about one field.
    pub(super) fn record(
        &mut self,
        outcome: Result<Identifier, SkipReason>,
        name: &str,
        line: usize,
    ) -> Result<(), ImportError> {
        match outcome {
            Ok(identifier) => self.add(identifier, name, line),
            Err(reason) => self.skipped.push(Skipped { line, reason }),
        }
        self.check_limit()
    }

    pub(super) fn skip(&mut self, line: usize, reason: SkipReason) -> Result<(), ImportError> {
        self.skipped.push(Skipped { line, reason });
        self.check_limit()
    }

    pub(super) fn add(&mut self, identifier: Identifier, name: &str, line: usize) {
        let position = match self.index.entry(identifier) {
            Entry::Occupied(entry) => *entry.get(),
            Entry::Vacant(entry) => {
                let identifier = entry.key().clone();
                let position = self.contacts.len();
                self.contacts.push(Contact { identifier, names: Vec::new(), lines: Vec::new() });
                *entry.insert(position)
            }
        };
        if let Some(contact) = self.contacts.get_mut(position) {
            let name = printable(name);
            if !name.is_empty() && contact.names.last() != Some(&name) {
                contact.names.push(name);
            }
            contact.lines.push(line);
        }
    }

    pub(super) fn finish(mut self) -> AddressBook {
        for contact in &mut self.contacts {
            // Once at the end: comparing on every addition would be quadratic in a hostile file.
            let mut seen = HashSet::with_capacity(contact.names.len());
            contact.names.retain(|name| seen.insert(name.clone()));
            contact.lines.sort_unstable();
            contact.lines.dedup();
        }
        self.skipped.sort_by_key(|skipped| skipped.line);
        AddressBook { contacts: self.contacts, skipped: self.skipped }
    }

    fn check_limit(&self) -> Result<(), ImportError> {
        if self.contacts.len() > self.entries_max || self.skipped.len() > self.entries_max {
            return Err(ImportError::TooManyContacts);
        }
        Ok(())
    }
}

/// A name that a terminal can show: no control characters, single spaces, composed.
fn printable(name: &str) -> String {
    let spaced: String = name.nfc().map(|c| if c.is_control() { ' ' } else { c }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}
