//! What each command does inside a write transaction.

mod epoch;
mod log;
mod publication;
mod quota;
mod rows;

use redb::{ReadableTable, Table, Value, WriteTransaction};

use super::error::Fault;
use super::tables;
use super::{
    Applied, Change, ChargeOutcome, ChargeRequest, Copied, CopiedRow, Head, META_BYTES_MAX,
    MetaName, Publication, StoreError,
};

pub(super) use self::epoch::read_epoch;
pub(super) use self::log::history;
pub(super) use self::publication::{publications_after, read_last_publication};
pub(super) use self::quota::{FORGOTTEN_MAX, STEP_QUOTAS_MAX, quota};
pub(super) use self::rows::scan_after;

/// Most records that one step of a long removal takes away. A charge that comes meanwhile waits for
/// a step: 64 ms at most on a busy 2-core Zen 4, where a million rows and their log go in a second
/// (`tests/figures.rs`).
pub(super) const STEP_RECORDS_MAX: usize = 16_384;

/// Most publications that one step takes away: each may be a large fraction of a megabyte.
const STEP_PUBLICATIONS_MAX: usize = 256;

/// A write to be done.
pub(super) enum Command {
    Apply {
        parts: Vec<(u32, Vec<Change>)>,
        at_unix_s: u64,
    },
    Copy {
        to_epoch: u32,
        from_epoch: u32,
        rows: Vec<CopiedRow>,
        at_unix_s: u64,
    },
    Charge(ChargeRequest),
    Publish(Publication),
    SetMeta {
        name: MetaName,
        value: Vec<u8>,
    },
    /// One step of each; to be repeated until the reply says that it was the last.
    DropEpoch(u32),
    PruneLog(u64),
    PrunePublications(u64),
    ForgetCharges {
        now_ms: u64,
    },
    /// One step, to be repeated after the account that the reply names.
    ForgetRested {
        after: Option<[u8; 16]>,
        refill_per_day: u64,
        now_ms: u64,
    },
    #[cfg(test)]
    Panic,
}

impl Command {
    /// Records that the command may change: what it adds to a group.
    pub(super) fn changes(&self) -> usize {
        match self {
            Self::Apply { parts, .. } => parts.iter().map(|(_, changes)| changes.len()).sum(),
            Self::Copy { rows, .. } => rows.len(),
            Self::DropEpoch(_)
            | Self::PruneLog(_)
            | Self::PrunePublications(_)
            | Self::ForgetCharges { .. } => STEP_RECORDS_MAX,
            Self::ForgetRested { .. } => STEP_QUOTAS_MAX,
            _ => 0,
        }
    }
}

/// The answer to a [`Command`] that was carried out.
pub(super) enum Reply {
    Applied(Applied),
    Copied(Copied),
    Charged(ChargeOutcome),
    Done,
    /// A step of a long removal, and whether it was the last.
    Step {
        last: bool,
    },
    /// A step through the quotas, and where the next one begins; `None`: it was the last.
    Rested {
        next: Option<[u8; 16]>,
    },
}

/// An outcome in two layers. The inner error concerns one command alone, which has then written
/// nothing. The outer one leaves the transaction in an unknown state: it must be given up.
type Outcome<T> = Result<Result<T, StoreError>, Fault>;

type ByteTable<'t, const KEY: usize> = Table<'t, &'static [u8; KEY], &'static [u8]>;

/// The tables of one write transaction.
pub(super) struct Execution<'t> {
    meta: Table<'t, &'static [u8], &'static [u8]>,
    counters: Table<'t, &'static [u8], &'static [u8]>,
    epochs: Table<'t, &'static [u8; 4], &'static [u8; 9]>,
    rows: ByteTable<'t, 36>,
    changes: ByteTable<'t, 12>,
    publications: ByteTable<'t, 8>,
    quotas: Table<'t, &'static [u8; 16], &'static [u8; 24]>,
    credits: Table<'t, &'static [u8; 20], &'static [u8; 8]>,
    charges: Table<'t, &'static [u8; 56], &'static [u8; 8]>,
    head: Head,
    head_before: Head,
    /// Time of the latest charge granted in this transaction.
    charged_at_ms: Option<u64>,
    /// Whether anything was written that neither the head nor a charge tells of.
    written: bool,
}

impl<'t> Execution<'t> {
    pub(super) fn begin(txn: &'t WriteTransaction) -> Result<Self, Fault> {
        let counters = txn.open_table(tables::COUNTERS)?;
        let head = read_head(&counters)?;
        Ok(Self {
            meta: txn.open_table(tables::META)?,
            epochs: txn.open_table(tables::EPOCHS)?,
            rows: txn.open_table(tables::ROWS)?,
            changes: txn.open_table(tables::CHANGES)?,
            publications: txn.open_table(tables::PUBLICATIONS)?,
            quotas: txn.open_table(tables::QUOTAS)?,
            credits: txn.open_table(tables::CREDITS)?,
            charges: txn.open_table(tables::CHARGES)?,
            counters,
            head,
            head_before: head,
            charged_at_ms: None,
            written: false,
        })
    }

    /// Carries out one command.
    pub(super) fn run(&mut self, command: Command) -> Outcome<Reply> {
        Ok(match command {
            Command::Apply { parts, at_unix_s } => {
                self.apply(parts, at_unix_s)?.map(Reply::Applied)
            }
            Command::Copy { to_epoch, from_epoch, rows, at_unix_s } => {
                self.copy_rows(to_epoch, from_epoch, rows, at_unix_s)?.map(Reply::Copied)
            }
            Command::Charge(request) => self.charge(&request)?.map(Reply::Charged),
            Command::Publish(publication) => self.publish(&publication)?.map(|()| Reply::Done),
            Command::SetMeta { name, value } => self.set_meta(name, &value)?.map(|()| Reply::Done),
            Command::DropEpoch(epoch) => Ok(Reply::Step { last: self.drop_epoch(epoch)? }),
            Command::PruneLog(up_to) => Ok(Reply::Step { last: self.prune_log(up_to)? }),
            Command::PrunePublications(up_to) => {
                Ok(Reply::Step { last: self.prune_publications(up_to)? })
            }
            Command::ForgetCharges { now_ms } => {
                let n_forgotten = self.forget_charges(now_ms, STEP_RECORDS_MAX)?;
                self.written |= n_forgotten > 0;
                Ok(Reply::Step { last: n_forgotten < STEP_RECORDS_MAX })
            }
            Command::ForgetRested { after, refill_per_day, now_ms } => {
                Ok(Reply::Rested { next: self.forget_rested(after, refill_per_day, now_ms)? })
            }
            #[cfg(test)]
            #[allow(clippy::panic)]
            Command::Panic => panic!("a command that panics, for the test"),
        })
    }

    /// Completes the transaction's bookkeeping; says whether there is anything to commit.
    pub(super) fn finish(mut self) -> Result<bool, Fault> {
        if let Some(now_ms) = self.charged_at_ms {
            self.forget_charges(now_ms, FORGOTTEN_MAX)?;
        }
        if self.head != self.head_before {
            let head = tables::encode_head(&self.head);
            self.counters.insert(tables::COUNTERS_HEAD, head.as_slice())?;
        }
        Ok(self.charged_at_ms.is_some() || self.written || self.head != self.head_before)
    }

    fn set_meta(&mut self, name: MetaName, value: &[u8]) -> Outcome<()> {
        if value.len() > META_BYTES_MAX {
            return Ok(Err(StoreError::MetaLength));
        }
        self.meta.insert(tables::meta_key(name), value)?;
        self.written = true;
        Ok(Ok(()))
    }
}

pub(super) fn read_head(
    counters: &impl ReadableTable<&'static [u8], &'static [u8]>,
) -> Result<Head, Fault> {
    let head = counters.get(tables::COUNTERS_HEAD)?.ok_or(StoreError::Corrupt)?;
    Ok(tables::decode_head(head.value())?)
}

/// Removes at most `limit` records of a range, the lowest keys first, and counts them.
fn remove_lowest<const KEY: usize, V: Value + 'static>(
    table: &mut Table<'_, &'static [u8; KEY], V>,
    first: &[u8; KEY],
    last: &[u8; KEY],
    limit: usize,
) -> Result<usize, Fault> {
    let (mut count, mut end) = (0, None);
    for record in table.range::<&[u8; KEY]>(first..=last)?.take(limit) {
        end = Some(*record?.0.value());
        count += 1;
    }
    if let Some(end) = end {
        // Page by page, unlike single removals.
        table.retain_in::<&[u8; KEY], _>(first..=&end, |_, _| false)?;
    }
    Ok(count)
}

/// A counter that left its range was damaged.
fn step(counter: Option<u64>) -> Result<u64, Fault> {
    counter.ok_or(Fault::Store(StoreError::Corrupt))
}
