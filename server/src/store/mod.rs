//! What the service keeps on disk: sealed rows, their change log, publications and quotas.
//!
//! A store sees neither identifiers nor the content of rows. A row is an opaque sealed value under
//! a [`Handle`], which nobody can compute without the storage key. A store guarantees that an
//! acknowledged write survives a crash, that a write is done wholly or not at all, and that no
//! quota is granted twice. It does not guarantee secrecy: sizes, times and row counts are visible
//! to whoever holds the file, and a restored old copy is a valid store.
//!
//! [`Store`] is the seam; [`RedbStore`] is the embedded implementation.

mod charge;
mod connection;
mod error;
mod execute;
mod migration;
mod publication;
mod redb;
mod row;
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

use std::ops::ControlFlow;

use async_trait::async_trait;

use crate::admission::bucket::{QuotaPolicy, QuotaState};

pub use self::charge::{ChargeOutcome, ChargeRequest, Credit, REPEAT_FREE_MS};
pub use self::error::StoreError;
pub use self::publication::Publication;
pub use self::redb::RedbStore;
pub use self::row::{Applied, Change, Copied, CopiedRow, Handle, Head, History, LoggedChange};

/// Longest value of [`Store::set_meta`] in bytes: state, not data.
pub const META_BYTES_MAX: usize = 4_096;

/// Names of the small values that a store keeps for its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetaName {
    /// How far a rotation of the key has come.
    Rotation,
    /// The snapshots from which a delta leads to the newest one.
    Snapshots,
}

/// The persistent state of one tenant's directory.
///
/// An asynchronous method may be dropped at any time; what it asked for may then still happen,
/// wholly or not at all. Writes take effect one after the other, in the order in which they were
/// accepted. Every method may also fail with [`StoreError::Closed`], [`StoreError::Corrupt`],
/// [`StoreError::Interrupted`] or [`StoreError::Io`]; writes with [`StoreError::Full`] or
/// [`StoreError::WriteFailed`].
///
/// What removes much ([`prune_log`](Self::prune_log),
/// [`prune_publications`](Self::prune_publications), [`drop_epoch`](Self::drop_epoch)) does so in
/// steps, each a transaction of bounded size between which other writes take their turn. If the
/// call is dropped or fails, or a crash ends it, some steps are done: another call does the rest.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Applies changes to one or more epochs atomically, and durably before it returns.
    ///
    /// Each effective change is appended to the change log: part by part, within a part in the
    /// order of handles and, for one handle, in the given order. A put that changes nothing and a
    /// removal of an absent row are not effective. `at_unix_s` is recorded as the time of the
    /// changes. The counts returned are those of the first part.
    ///
    /// # Errors
    /// [`StoreError::EpochDropped`] if any of the epochs was dropped, and those common to all
    /// writes. Nothing has been applied then, as far as anyone was told.
    async fn apply(
        &self,
        parts: Vec<(u32, Vec<Change>)>,
        at_unix_s: u64,
    ) -> Result<Applied, StoreError>;

    /// Carries rows from one epoch to another, atomically, and durably before it returns.
    ///
    /// A row is put under `to_epoch` only if its source still holds exactly what was expected.
    /// Otherwise it was changed or removed meanwhile, by someone who is responsible for both
    /// epochs, and is passed over. Effective puts are logged like those of
    /// [`apply`](Self::apply), in the order of the handles under `to_epoch`.
    ///
    /// # Errors
    /// [`StoreError::EpochDropped`] if either epoch was dropped, and those common to all writes.
    async fn copy_rows(
        &self,
        to_epoch: u32,
        from_epoch: u32,
        rows: Vec<CopiedRow>,
        at_unix_s: u64,
    ) -> Result<Copied, StoreError>;

    /// Removes the rows, the log and the credits of an epoch, durably and for good: from the first
    /// step on it reads as empty and never accepts another row. An epoch that was dropped already
    /// is left as it is.
    ///
    /// The log's version stays: the end of an epoch is no change of its rows.
    ///
    /// # Errors
    /// Only those common to all writes.
    async fn drop_epoch(&self, epoch: u32) -> Result<(), StoreError>;

    /// Draws on a quota in one transaction, durable before it returns.
    ///
    /// A request with the account and digest of one granted at most [`REPEAT_FREE_MS`] earlier is
    /// granted again at no charge; so is a request that costs nothing. A clock that jumps by more
    /// than that, either way, makes a repeat cost what a new request costs; it never makes a new
    /// request free. Time has periods of that length: a charge that is granted has those of the
    /// periods before the last one forgotten, a number at a time.
    ///
    /// A request with a [`Credit`] draws on that first and on the quota for the rest; the account
    /// has it from its first such request on, and once. An epoch that was dropped gives no credit.
    ///
    /// # Errors
    /// Only those common to all writes. The caller must refuse what the charge was for.
    async fn charge(&self, request: ChargeRequest) -> Result<ChargeOutcome, StoreError>;

    /// Forgets the quotas of accounts that at `now_ms` have all of theirs again, even if no more
    /// than `refill_per_day` elements grow back, and charges as a granted charge does. What
    /// [`Store::quota`] and [`Store::charge`] say stays the same, unless the clock is set back.
    ///
    /// Many are forgotten in steps, between which others write.
    ///
    /// # Errors
    /// Only those common to all writes; some may be forgotten then.
    async fn forget_rested(&self, refill_per_day: u64, now_ms: u64) -> Result<(), StoreError>;

    /// What is left of an account's quota at `now_ms`, without credit and without drawing on it.
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
    /// [`StoreError::OutOfOrder`] if the sequence number is not the last one plus one, or 1 for
    /// the first; and those common to all writes.
    async fn record_publication(&self, publication: Publication) -> Result<(), StoreError>;

    /// The publication recorded last, if any.
    ///
    /// # Errors
    /// Only those common to all methods.
    fn last_publication(&self) -> Result<Option<Publication>, StoreError>;

    /// The publications after a sequence number that are kept, in order. Blocks while it reads
    /// them: to be called off the async runtime if they are many.
    ///
    /// # Errors
    /// Only those common to all methods.
    fn publications_after(&self, sequence: u64) -> Result<Vec<Publication>, StoreError>;

    /// Forgets the publications up to a sequence number, durably and from the oldest on, but never
    /// the last one.
    ///
    /// # Errors
    /// Only those common to all writes.
    async fn prune_publications(&self, up_to: u64) -> Result<(), StoreError>;

    /// Where the rows and the change log stand.
    ///
    /// # Errors
    /// Only those common to all methods.
    fn head(&self) -> Result<Head, StoreError>;

    /// The number of rows of an epoch; takes the same time however many there are.
    ///
    /// # Errors
    /// Only those common to all methods.
    fn entries(&self, epoch: u32) -> Result<u64, StoreError>;

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

    /// At most `limit` rows of an epoch in the order of handles, from the first one after `after`,
    /// or from the first one of all. Fewer than `limit`: there are no others.
    ///
    /// Each call reads a snapshot of its own. Blocks: to be called off the async runtime.
    ///
    /// # Errors
    /// Only those common to all methods.
    fn scan_after(
        &self,
        epoch: u32,
        after: Option<Handle>,
        limit: usize,
    ) -> Result<Vec<(Handle, Vec<u8>)>, StoreError>;

    /// What happened to the rows of an epoch after a version of the log, read in one snapshot.
    ///
    /// `None` if it cannot be told: the log was pruned past `after` or has not come that far, the
    /// epoch was dropped, or it has more than `changes_max` changes since. Blocks for as long as
    /// the changes take: to be called off the async runtime.
    ///
    /// # Errors
    /// Only those common to all methods.
    fn history(
        &self,
        epoch: u32,
        after: u64,
        changes_max: usize,
    ) -> Result<Option<History>, StoreError>;

    /// Forgets the log's entries up to a version, durably; from the first step on no history
    /// reaches further back. The [`Head`] stays as it is.
    ///
    /// # Errors
    /// Only those common to all writes.
    async fn prune_log(&self, up_to: u64) -> Result<(), StoreError>;

    /// The value kept under a name, if any.
    ///
    /// # Errors
    /// Only those common to all methods.
    fn meta(&self, name: MetaName) -> Result<Option<Vec<u8>>, StoreError>;

    /// Keeps a value under a name, in place of the one before, durable before it returns.
    ///
    /// # Errors
    /// [`StoreError::MetaLength`] if it is longer than [`META_BYTES_MAX`], and those common to all
    /// writes.
    async fn set_meta(&self, name: MetaName, value: Vec<u8>) -> Result<(), StoreError>;

    /// Finishes the writes already accepted and releases the store; a second call does nothing.
    ///
    /// Everything called afterward returns [`StoreError::Closed`].
    ///
    /// # Errors
    /// Those of a failed flush. Nothing acknowledged is lost even then.
    async fn close(&self) -> Result<(), StoreError>;
}
