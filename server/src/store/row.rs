//! Rows as the store sees them, and what may be done to them.

use std::collections::HashMap;
use std::fmt;

/// A row's key: keyed BLAKE3 of the stored element under the storage key.
///
/// The order is that of the bytes, the order of [`Store::scan`](super::Store::scan).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Handle([u8; 32]);

impl Handle {
    /// Length in bytes.
    pub const BYTES: usize = 32;

    /// Wraps the 32 bytes of a keyed hash.
    #[must_use]
    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handle(REDACTED)")
    }
}

/// One change to the rows of an epoch.
#[derive(Clone, PartialEq, Eq)]
pub enum Change {
    /// Creates the row or replaces its content.
    Put {
        /// The row's key.
        handle: Handle,
        /// The row's content, sealed by the caller.
        sealed: Vec<u8>,
    },
    /// Removes the row.
    Remove {
        /// The row's key.
        handle: Handle,
    },
}

impl Change {
    /// The row concerned.
    #[must_use]
    pub const fn handle(&self) -> &Handle {
        match self {
            Self::Put { handle, .. } | Self::Remove { handle } => handle,
        }
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Put { .. } => "Put(REDACTED)",
            Self::Remove { .. } => "Remove(REDACTED)",
        })
    }
}

/// What an [`apply`](super::Store::apply) did.
///
/// The counts are those of its first part: the other parts repeat the same changes for other
/// epochs, and whoever asked for the change wants it counted once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Position of the change log afterward, all parts included.
    pub version: u64,
    /// Rows created.
    pub added: u32,
    /// Rows whose content changed.
    pub updated: u32,
    /// Rows removed.
    pub removed: u32,
}

/// A row to be carried from one epoch to another.
#[derive(Clone, PartialEq, Eq)]
pub struct CopiedRow {
    /// Key of the row that was read.
    pub source: Handle,
    /// What it held when it was read.
    pub expected: Vec<u8>,
    /// Key of the row in the other epoch.
    pub handle: Handle,
    /// Its content there, sealed by the caller.
    pub sealed: Vec<u8>,
}

impl fmt::Debug for CopiedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CopiedRow(REDACTED)")
    }
}

/// What a [`copy_rows`](super::Store::copy_rows) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Position of the change log afterward.
    pub version: u64,
    /// Rows whose source was as expected: the other epoch holds them now.
    pub copied: u32,
    /// Rows whose source was changed or removed since it was read: nothing was done.
    pub stale: u32,
}

/// Where the rows and the change log stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Position of the change log: the number of effective changes so far.
    pub version: u64,
    /// Rows of all epochs together. Those of an epoch being dropped count until they are gone.
    pub entries: u64,
    /// Time of the last effective change in Unix seconds, as its caller stated it; 0 if none.
    pub changed_at: u64,
}

/// An entry of the change log.
#[derive(Clone, PartialEq, Eq)]
pub struct LoggedChange {
    /// Its position in the log.
    pub version: u64,
    /// The row concerned.
    pub handle: Handle,
    /// What the row held before the change; `None` if the change created it.
    pub before: Option<Vec<u8>>,
}

impl fmt::Debug for LoggedChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoggedChange").field("version", &self.version).finish_non_exhaustive()
    }
}

/// How the rows of an epoch came from one position of the log to the head.
#[derive(Clone, PartialEq, Eq)]
pub struct History {
    /// The head, in the snapshot that was read.
    pub head: Head,
    /// The epoch's changes, by ascending version.
    pub changes: Vec<LoggedChange>,
    /// Content in the same snapshot of each row that changed and still exists.
    pub current: HashMap<Handle, Vec<u8>>,
}

impl fmt::Debug for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("History")
            .field("head", &self.head)
            .field("changes", &self.changes.len())
            .finish_non_exhaustive()
    }
}
