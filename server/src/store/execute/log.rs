//! The change log: where it starts, how it is pruned, what it tells.

use std::collections::HashMap;
use std::ops::Bound;

use redb::{ReadTransaction, ReadableTable};

use super::super::error::Fault;
use super::super::{Handle, History, LoggedChange, StoreError, tables};
use super::{Execution, STEP_RECORDS_MAX, read_epoch, read_head, remove_lowest};

impl Execution<'_> {
    /// One step of forgetting the log up to a version; says whether it was the last.
    ///
    /// The first step moves the start of the log, so that no history is told with holes.
    pub(super) fn prune_log(&mut self, up_to: u64) -> Result<bool, Fault> {
        let before = read_log_start(&self.counters)?;
        let start = before.max(up_to.min(self.head.version));
        if start != before {
            let record = start.to_be_bytes();
            self.counters.insert(tables::COUNTERS_LOG_START, record.as_slice())?;
            self.written = true;
        }
        let mut room = STEP_RECORDS_MAX;
        let mut next_epoch = Some(0);
        while let Some(epoch) = self.next_logged_epoch(next_epoch)? {
            let (first, last) = (tables::change_key(epoch, 0), tables::change_key(epoch, start));
            room -= remove_lowest(&mut self.changes, &first, &last, room)?;
            if room == 0 {
                break;
            }
            next_epoch = epoch.checked_add(1);
        }
        self.written |= room < STEP_RECORDS_MAX;
        Ok(room > 0)
    }

    /// The first epoch from `from` on that has entries in the log.
    fn next_logged_epoch(&self, from: Option<u32>) -> Result<Option<u32>, Fault> {
        let Some(from) = from else { return Ok(None) };
        let first = tables::change_key(from, 0);
        let Some(entry) = self.changes.range::<&[u8; 12]>(&first..)?.next() else {
            return Ok(None);
        };
        let (epoch, _) = tables::split_change_key(entry?.0.value()).ok_or(StoreError::Corrupt)?;
        Ok(Some(epoch))
    }
}

/// See [`Store::history`](super::super::Store::history).
pub(in super::super) fn history(
    snapshot: &ReadTransaction,
    epoch: u32,
    after: u64,
    changes_max: usize,
) -> Result<Option<History>, Fault> {
    let counters = snapshot.open_table(tables::COUNTERS)?;
    let (head, start) = (read_head(&counters)?, read_log_start(&counters)?);
    let dropped = read_epoch(&snapshot.open_table(tables::EPOCHS)?, epoch)?.dropped;
    if dropped || !(start..=head.version).contains(&after) {
        return Ok(None);
    }
    let Some(changes) = changes(snapshot, epoch, after, changes_max)? else { return Ok(None) };
    let current = current(snapshot, epoch, &changes)?;
    Ok(Some(History { head, changes, current }))
}

/// The entries of an epoch after a version; `None` if they are more than `changes_max`.
fn changes(
    snapshot: &ReadTransaction,
    epoch: u32,
    after: u64,
    changes_max: usize,
) -> Result<Option<Vec<LoggedChange>>, Fault> {
    let log = snapshot.open_table(tables::CHANGES)?;
    let (after, last) = (tables::change_key(epoch, after), tables::change_key(epoch, u64::MAX));
    let mut changes = Vec::new();
    for entry in log.range::<&[u8; 12]>((Bound::Excluded(&after), Bound::Included(&last)))? {
        if changes.len() == changes_max {
            return Ok(None);
        }
        let (key, record) = entry?;
        let (_, version) = tables::split_change_key(key.value()).ok_or(StoreError::Corrupt)?;
        changes.push(tables::decode_change(version, record.value())?);
    }
    Ok(Some(changes))
}

/// What the changed rows hold now, those that still exist.
fn current(
    snapshot: &ReadTransaction,
    epoch: u32,
    changes: &[LoggedChange],
) -> Result<HashMap<Handle, Vec<u8>>, Fault> {
    let rows = snapshot.open_table(tables::ROWS)?;
    // In the order of keys, so that rows that share a page are read together.
    let mut handles: Vec<_> = changes.iter().map(|change| change.handle).collect();
    handles.sort_unstable();
    handles.dedup();
    let mut current = HashMap::with_capacity(handles.len());
    for handle in handles {
        if let Some(row) = rows.get(&tables::row_key(epoch, &handle))? {
            current.insert(handle, row.value().to_vec());
        }
    }
    Ok(current)
}

/// The version up to which the log was forgotten.
fn read_log_start(
    counters: &impl ReadableTable<&'static [u8], &'static [u8]>,
) -> Result<u64, Fault> {
    let start = counters.get(tables::COUNTERS_LOG_START)?.ok_or(StoreError::Corrupt)?;
    let start = start.value().try_into().map_err(|_| StoreError::Corrupt)?;
    Ok(u64::from_be_bytes(start))
}
