//! What each command does inside a write transaction.

use redb::{ReadableTable, Table, WriteTransaction};

use super::error::Fault;
use super::tables::{self, Operation};
use super::{
    Applied, Change, ChargeOutcome, ChargeRequest, Head, Publication, REPEAT_FREE_MS, StoreError,
};
use crate::admission::bucket::{Bucket, QuotaPolicy, QuotaState};

/// Most charges forgotten in one transaction. More than a group can add, so that a backlog
/// shrinks; few enough for the transaction to stay short.
const PURGE_ROWS_MAX: usize = 2 * super::writer::GROUP_COMMANDS_MAX;

/// A write to be done.
pub(super) enum Command {
    Apply {
        epoch: u32,
        changes: Vec<Change>,
        at_unix_s: u64,
    },
    Charge(ChargeRequest),
    Publish(Publication),
    #[cfg(test)]
    Panic,
}

impl Command {
    /// Changes of rows that the command asks for.
    pub(super) fn changes(&self) -> usize {
        if let Self::Apply { changes, .. } = self { changes.len() } else { 0 }
    }
}

/// The answer to a [`Command`] that was carried out.
pub(super) enum Reply {
    Applied(Applied),
    Charged(ChargeOutcome),
    Published,
}

/// The tables of one write transaction.
pub(super) struct Execution<'t> {
    rows: Table<'t, &'static [u8; 36], &'static [u8]>,
    changes: Table<'t, &'static [u8; 8], &'static [u8; 45]>,
    counters: Table<'t, &'static [u8], &'static [u8]>,
    publications: Table<'t, &'static [u8; 8], &'static [u8]>,
    quotas: Table<'t, &'static [u8; 16], &'static [u8; 24]>,
    charges: Table<'t, &'static [u8; 48], &'static [u8; 8]>,
    charge_times: Table<'t, &'static [u8; 56], &'static [u8]>,
    head: Head,
    head_before: Head,
    /// Time of the latest charge granted in this transaction.
    charged_at_ms: Option<u64>,
    published: bool,
}

impl<'t> Execution<'t> {
    pub(super) fn begin(txn: &'t WriteTransaction) -> Result<Self, Fault> {
        let counters = txn.open_table(tables::COUNTERS)?;
        let head = read_head(&counters)?;
        Ok(Self {
            rows: txn.open_table(tables::ROWS)?,
            changes: txn.open_table(tables::CHANGES)?,
            publications: txn.open_table(tables::PUBLICATIONS)?,
            quotas: txn.open_table(tables::QUOTAS)?,
            charges: txn.open_table(tables::CHARGES)?,
            charge_times: txn.open_table(tables::CHARGE_TIMES)?,
            counters,
            head,
            head_before: head,
            charged_at_ms: None,
            published: false,
        })
    }

    /// Carries out one command.
    ///
    /// The inner error concerns this command alone, which has then written nothing. The outer
    /// one leaves the transaction in an unknown state: it must be given up.
    pub(super) fn run(&mut self, command: Command) -> Result<Result<Reply, StoreError>, Fault> {
        match command {
            Command::Apply { epoch, changes, at_unix_s } => {
                self.apply(epoch, changes, at_unix_s).map(|applied| Ok(Reply::Applied(applied)))
            }
            Command::Charge(request) => Ok(self.charge(&request)?.map(Reply::Charged)),
            Command::Publish(publication) => {
                Ok(self.publish(&publication)?.map(|()| Reply::Published))
            }
            #[cfg(test)]
            #[allow(clippy::panic)]
            Command::Panic => panic!("a command that panics, for the test"),
        }
    }

    /// Completes the transaction's bookkeeping; says whether there is anything to commit.
    pub(super) fn finish(mut self) -> Result<bool, Fault> {
        if let Some(now_ms) = self.charged_at_ms {
            self.purge(now_ms)?;
        }
        if self.head != self.head_before {
            let head = tables::encode_head(&self.head);
            self.counters.insert(tables::COUNTERS_HEAD, head.as_slice())?;
        }
        Ok(self.charged_at_ms.is_some() || self.published || self.head != self.head_before)
    }

    fn apply(
        &mut self,
        epoch: u32,
        mut changes: Vec<Change>,
        at_unix_s: u64,
    ) -> Result<Applied, Fault> {
        // In key order a bulk load fills pages one after the other: four times as fast, and the
        // file a third smaller. The sort is stable: of two changes to one row the later stands.
        changes.sort_by_key(|change| *change.handle());
        let mut applied = Applied::default();
        for change in &changes {
            let key = tables::row_key(epoch, change.handle());
            let operation = match change {
                Change::Put { sealed, .. } => {
                    let same = self.rows.get(&key)?.map(|row| row.value() == sealed);
                    match same {
                        Some(true) => continue,
                        Some(false) => applied.updated = applied.updated.saturating_add(1),
                        None => applied.added = applied.added.saturating_add(1),
                    }
                    self.rows.insert(&key, sealed.as_slice())?;
                    if same.is_none() {
                        self.head.entries = step(self.head.entries.checked_add(1))?;
                    }
                    Operation::Put
                }
                Change::Remove { .. } => {
                    if self.rows.remove(&key)?.is_none() {
                        continue;
                    }
                    applied.removed = applied.removed.saturating_add(1);
                    self.head.entries = step(self.head.entries.checked_sub(1))?;
                    Operation::Remove
                }
            };
            self.head.version = step(self.head.version.checked_add(1))?;
            self.head.changed_at = at_unix_s;
            let record = tables::change_record(operation, epoch, change.handle(), at_unix_s);
            self.changes.insert(&self.head.version.to_be_bytes(), &record)?;
        }
        Ok(Applied { version: self.head.version, ..applied })
    }

    fn charge(
        &mut self,
        request: &ChargeRequest,
    ) -> Result<Result<ChargeOutcome, StoreError>, Fault> {
        let ChargeRequest { account, cost, digest, now_ms, policy } = request;
        let Some(bucket) = read_bucket(&self.quotas, account)? else {
            return Ok(Err(StoreError::Corrupt));
        };
        let charge = tables::charge_key(account, digest);
        let earlier = self.charges.get(&charge)?.map(|at| u64::from_be_bytes(*at.value()));
        // The distance in either direction: were a charge of the future always a repeat, setting
        // the clock back would make the batch free until the clock has caught up.
        let repeat = earlier.is_some_and(|at_ms| at_ms.abs_diff(*now_ms) <= REPEAT_FREE_MS);
        if repeat || *cost == 0 {
            let quota = bucket.state(policy, *now_ms);
            return Ok(Ok(ChargeOutcome::Granted { charged: 0, quota }));
        }
        let charged = match bucket.charge(policy, *now_ms, *cost) {
            Ok(charged) => charged,
            Err(shortfall) => {
                let quota = bucket.state(policy, *now_ms);
                return Ok(Ok(ChargeOutcome::Refused { wait_ms: shortfall.wait_ms, quota }));
            }
        };
        if let Some(at_ms) = earlier {
            self.charge_times.remove(&tables::charge_time_key(at_ms, &charge))?;
        }
        self.quotas.insert(account, &charged.encode())?;
        self.charges.insert(&charge, &now_ms.to_be_bytes())?;
        let time = tables::charge_time_key(*now_ms, &charge);
        self.charge_times.insert(&time, [].as_slice())?;
        self.charged_at_ms = self.charged_at_ms.max(Some(*now_ms));
        let quota = charged.state(policy, *now_ms);
        Ok(Ok(ChargeOutcome::Granted { charged: *cost, quota }))
    }

    fn publish(&mut self, publication: &Publication) -> Result<Result<(), StoreError>, Fault> {
        let last = last_snapshot(&self.publications)?;
        if last.checked_add(1) != Some(publication.snapshot) {
            return Ok(Err(StoreError::OutOfOrder));
        }
        let record = tables::encode_publication(publication);
        self.publications.insert(&publication.snapshot.to_be_bytes(), record.as_slice())?;
        self.published = true;
        Ok(Ok(()))
    }

    /// Forgets the charges whose repeats are no longer free, the oldest first.
    fn purge(&mut self, now_ms: u64) -> Result<(), Fault> {
        let Some(horizon_ms) = now_ms.checked_sub(REPEAT_FREE_MS) else { return Ok(()) };
        for _ in 0..PURGE_ROWS_MAX {
            let Some(oldest) = self.charge_times.first()?.map(|(key, _)| *key.value()) else {
                break;
            };
            let (at_ms, charge) = tables::split_charge_time(&oldest).ok_or(StoreError::Corrupt)?;
            if at_ms >= horizon_ms {
                break;
            }
            self.charge_times.remove(&oldest)?;
            self.charges.remove(&charge)?;
        }
        Ok(())
    }
}

/// What is left of an account's quota.
pub(super) fn quota(
    quotas: &impl ReadableTable<&'static [u8; 16], &'static [u8; 24]>,
    account: &[u8; 16],
    policy: &QuotaPolicy,
    now_ms: u64,
) -> Result<QuotaState, Fault> {
    let bucket = read_bucket(quotas, account)?.ok_or(StoreError::Corrupt)?;
    Ok(bucket.state(policy, now_ms))
}

pub(super) fn read_head(
    counters: &impl ReadableTable<&'static [u8], &'static [u8]>,
) -> Result<Head, Fault> {
    let head = counters.get(tables::COUNTERS_HEAD)?.ok_or(StoreError::Corrupt)?;
    Ok(tables::decode_head(head.value())?)
}

pub(super) fn read_last_publication(
    publications: &impl ReadableTable<&'static [u8; 8], &'static [u8]>,
) -> Result<Option<Publication>, Fault> {
    let Some((key, record)) = publications.last()? else { return Ok(None) };
    let snapshot = u64::from_be_bytes(*key.value());
    Ok(Some(tables::decode_publication(snapshot, record.value())?))
}

fn last_snapshot(
    publications: &impl ReadableTable<&'static [u8; 8], &'static [u8]>,
) -> Result<u64, Fault> {
    Ok(publications.last()?.map_or(0, |(key, _)| u64::from_be_bytes(*key.value())))
}

/// The bucket of an account, a rested one if it has none; `None` if the stored one is damaged.
fn read_bucket(
    quotas: &impl ReadableTable<&'static [u8; 16], &'static [u8; 24]>,
    account: &[u8; 16],
) -> Result<Option<Bucket>, Fault> {
    let stored = quotas.get(account)?;
    Ok(stored.map_or(Some(Bucket::default()), |bytes| Bucket::decode(bytes.value())))
}

/// A counter that left its range was damaged.
fn step(counter: Option<u64>) -> Result<u64, Fault> {
    counter.ok_or(Fault::Store(StoreError::Corrupt))
}
