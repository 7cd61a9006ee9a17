//! What the service keeps on disk: sealed rows, their change log, publications and quotas.
//!
//! A store sees neither identifiers nor the content of rows. A row is an opaque sealed value under
//! a [`Handle`], which nobody can compute without the storage key. A store guarantees that an
//! acknowledged write survives a crash, that a write is done wholly or not at all, and that no
//! quota is granted twice. It does not guarantee secrecy: sizes, times and row counts are visible
//! to whoever holds the file, and a restored old copy is a valid store.
//!
//! [`Store`] is the seam; [`RedbStore`] is the embedded implementation.

mod connection;
mod error;
mod execute;
mod redb;
mod tables;
mod writer;

// Tests may unwrap, index, panic and print figures: that is how they fail and report.
#[cfg(test)]
#[allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::cast_possible_truncation
)]
mod tests;

use std::fmt;
use std::ops::ControlFlow;

use async_trait::async_trait;

use crate::admission::bucket::{QuotaPolicy, QuotaState};

pub use self::error::StoreError;
pub use self::redb::RedbStore;

/// How long a repeated batch is free after its first charge, in milliseconds, inclusive.
///
/// Long enough for a client that lost an answer to ask again, short enough for the table of
/// charges to stay small.
pub const REPEAT_FREE_MS: u64 = 600_000;

/// A row's key: keyed BLAKE3 of the stored element under the storage key.
///
/// The order is that of the bytes, the order of [`Store::scan`].
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

/// What an [`apply`](Store::apply) did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Position of the change log afterward.
    pub version: u64,
    /// Rows created.
    pub added: u32,
    /// Rows whose content changed.
    pub updated: u32,
    /// Rows removed.
    pub removed: u32,
}

/// Where the rows and the change log stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Position of the change log: the number of effective changes so far.
    pub version: u64,
    /// Rows of all epochs together.
    pub entries: u64,
    /// Time of the last effective change in Unix seconds, as its caller stated it; 0 if none.
    pub changed_at: u64,
}

/// A signed manifest, as it was published.
#[derive(Clone, PartialEq, Eq)]
pub struct Publication {
    /// Number of the snapshot; the first is 1.
    pub snapshot: u64,
    /// Position of the change log that it publishes.
    pub version: u64,
    /// The exact bytes of the manifest.
    pub manifest: Vec<u8>,
    /// The Ed25519 signature over them.
    pub signature: [u8; 64],
}

impl fmt::Debug for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publication")
            .field("snapshot", &self.snapshot)
            .field("version", &self.version)
            .field("manifest_bytes", &self.manifest.len())
            .finish_non_exhaustive()
    }
}

/// A request to draw on an account's quota.
#[derive(Clone, Copy)]
pub struct ChargeRequest {
    /// The account's pseudonym.
    pub account: [u8; 16],
    /// Elements to charge.
    pub cost: u64,
    /// Digest of epoch and batch: the same digest again is a repeat.
    pub digest: [u8; 32],
    /// The time in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// What the account may use.
    pub policy: QuotaPolicy,
}

impl fmt::Debug for ChargeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChargeRequest")
            .field("cost", &self.cost)
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

/// The answer to a [`ChargeRequest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChargeOutcome {
    /// The batch may be answered.
    Granted {
        /// Elements charged: the cost, or 0 for a repeat within [`REPEAT_FREE_MS`].
        charged: u64,
        /// What is left.
        quota: QuotaState,
    },
    /// The batch must not be answered. Nothing was charged.
    Refused {
        /// Milliseconds after which the batch would fit; `None` if no waiting helps.
        wait_ms: Option<u64>,
        /// What is left.
        quota: QuotaState,
    },
}

/// The persistent state of one tenant's directory.
///
/// An asynchronous method may be dropped at any time; what it asked for may then still happen,
/// wholly or not at all. Writes take effect one after the other, in the order in which they were
/// accepted. Every method may also fail with [`StoreError::Closed`], [`StoreError::Corrupt`],
/// [`StoreError::Interrupted`] or [`StoreError::Io`]; writes with [`StoreError::Full`] or
/// [`StoreError::WriteFailed`].
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Applies changes to an epoch atomically, and durably before it returns.
    ///
    /// Each effective change is appended to the change log, in the order of handles and, for one
    /// handle, in the given order. A put that changes nothing and a removal of an absent row are
    /// not effective. `at_unix_s` is recorded as the time of the changes.
    ///
    /// # Errors
    /// Only those common to all writes. Nothing has been applied then, as far as anyone was told.
    async fn apply(
        &self,
        epoch: u32,
        changes: Vec<Change>,
        at_unix_s: u64,
    ) -> Result<Applied, StoreError>;

    /// Draws on a quota in one transaction, durable before it returns.
    ///
    /// A request with the account and digest of one granted at most [`REPEAT_FREE_MS`] earlier is
    /// granted again at no charge; so is a request that costs nothing. A clock that jumps by more
    /// than that, either way, makes a repeat cost what a new request costs; it never makes a new
    /// request free.
    ///
    /// # Errors
    /// Only those common to all writes. The caller must refuse what the charge was for.
    async fn charge(&self, request: ChargeRequest) -> Result<ChargeOutcome, StoreError>;

    /// What is left of an account's quota at `now_ms`, without drawing on it.
    ///
    /// # Errors
    /// Only those common to all methods.
    async fn quota(
        &self,
        account: &[u8; 16],
        policy: &QuotaPolicy,
        now_ms: u64,
    ) -> Result<QuotaState, StoreError>;

    /// Records a publication, durable before it returns.
    ///
    /// After an error of the disk it may have been recorded all the same: ask for the last one
    /// before trying again.
    ///
    /// # Errors
    /// [`StoreError::OutOfOrder`] if the snapshot number is not the last one plus one, or 1 for
    /// the first; and those common to all writes.
    async fn record_publication(&self, publication: Publication) -> Result<(), StoreError>;

    /// The publication recorded last, if any.
    ///
    /// # Errors
    /// Only those common to all methods.
    fn last_publication(&self) -> Result<Option<Publication>, StoreError>;

    /// Where the rows and the change log stand.
    ///
    /// # Errors
    /// Only those common to all methods.
    fn head(&self) -> Result<Head, StoreError>;

    /// Calls `row` for each row of an epoch in the order of handles, until it breaks, and returns
    /// the [`Head`] of the very snapshot that was read.
    ///
    /// Writes that happen meanwhile are not seen and not held up. Blocks for as long as the rows
    /// take: to be called off the async runtime.
    ///
    /// # Errors
    /// Only those common to all methods; rows seen before an error are valid.
    fn scan(
        &self,
        epoch: u32,
        row: &mut dyn FnMut(&Handle, &[u8]) -> ControlFlow<()>,
    ) -> Result<Head, StoreError>;

    /// Finishes the writes already accepted and releases the store; a second call does nothing.
    ///
    /// Everything called afterward returns [`StoreError::Closed`].
    ///
    /// # Errors
    /// Those of a failed flush. Nothing acknowledged is lost even then.
    async fn close(&self) -> Result<(), StoreError>;
}
