//! A record as the set knows it: its scaled value and its sealed label.

use std::fmt;

use super::{Record, Universe};
use crate::limits::SEALED_LABEL_BYTES;

/// A member in the scaled form of one universe.
///
/// Several members may have equal entries: all of this is about multisets. The order is the
/// canonical one, ascending by value, then by the bytes of the sealed label.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// The scaled value `v`, below [`Universe::width`].
    pub value: u64,
    /// The sealed label.
    pub sealed_label: [u8; SEALED_LABEL_BYTES],
}

impl Entry {
    /// Scales the tag of a record.
    #[must_use]
    pub fn new(universe: &Universe, record: &Record) -> Self {
        Self { value: universe.scaled(record.tag), sealed_label: record.sealed_label }
    }
}

/// Redacted: logs carry counts, never members.
impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry(REDACTED)")
    }
}
