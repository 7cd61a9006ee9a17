//! Rows: put, removed, carried from one epoch to another.

use std::ops::Bound;

use redb::{ReadTransaction, ReadableTable};

use super::super::error::Fault;
use super::super::tables::{self, Operation};
use super::super::{Applied, Change, Copied, CopiedRow, Handle, StoreError};
use super::{Execution, Outcome, read_epoch};

/// The part of a transaction that concerns the rows of one epoch.
struct Part {
    epoch: u32,
    at_unix_s: u64,
    /// What was effective so far; the version is not kept here.
    applied: Applied,
}

impl Part {
    fn new(epoch: u32, at_unix_s: u64) -> Self {
        Self { epoch, at_unix_s, applied: Applied::default() }
    }
}

impl Execution<'_> {
    pub(super) fn apply(
        &mut self,
        parts: Vec<(u32, Vec<Change>)>,
        at_unix_s: u64,
    ) -> Outcome<Applied> {
        for (epoch, _) in &parts {
            if read_epoch(&self.epochs, *epoch)?.dropped {
                return Ok(Err(StoreError::EpochDropped));
            }
        }
        let mut counted = None;
        for (epoch, changes) in parts {
            let applied = self.apply_part(epoch, changes, at_unix_s)?;
            counted.get_or_insert(applied);
        }
        Ok(Ok(Applied { version: self.head.version, ..counted.unwrap_or_default() }))
    }

    fn apply_part(
        &mut self,
        epoch: u32,
        mut changes: Vec<Change>,
        at_unix_s: u64,
    ) -> Result<Applied, Fault> {
        // In key order a bulk load fills pages one after the other: four times as fast, and the
        // file a third smaller. The sort is stable: of two changes to one row the later stands.
        changes.sort_by_key(|change| *change.handle());
        let mut part = Part::new(epoch, at_unix_s);
        for change in &changes {
            match change {
                Change::Put { handle, sealed } => self.put(&mut part, handle, sealed)?,
                Change::Remove { handle } => self.remove(&mut part, handle)?,
            }
        }
        self.count(&part)?;
        Ok(part.applied)
    }

    pub(super) fn copy_rows(
        &mut self,
        to_epoch: u32,
        from_epoch: u32,
        mut rows: Vec<CopiedRow>,
        at_unix_s: u64,
    ) -> Outcome<Copied> {
        for epoch in [to_epoch, from_epoch] {
            if read_epoch(&self.epochs, epoch)?.dropped {
                return Ok(Err(StoreError::EpochDropped));
            }
        }
        rows.sort_by_key(|row| row.handle);
        let (mut part, mut copied) = (Part::new(to_epoch, at_unix_s), Copied::default());
        for CopiedRow { source, expected, handle, sealed } in &rows {
            let found = self.rows.get(&tables::row_key(from_epoch, source))?;
            if found.is_some_and(|row| row.value() == expected) {
                self.put(&mut part, handle, sealed)?;
                copied.copied = copied.copied.saturating_add(1);
            } else {
                copied.stale = copied.stale.saturating_add(1);
            }
        }
        self.count(&part)?;
        Ok(Ok(Copied { version: self.head.version, ..copied }))
    }

    fn put(&mut self, part: &mut Part, handle: &Handle, sealed: &[u8]) -> Result<(), Fault> {
        let key = tables::row_key(part.epoch, handle);
        let before = self.rows.get(&key)?.map(|row| row.value().to_vec());
        let (count, operation) = match &before {
            Some(before) if before == sealed => return Ok(()),
            Some(_) => (&mut part.applied.updated, Operation::Update),
            None => (&mut part.applied.added, Operation::Add),
        };
        *count = count.saturating_add(1);
        self.rows.insert(&key, sealed)?;
        self.log(part, operation, handle, &before.unwrap_or_default())
    }

    fn remove(&mut self, part: &mut Part, handle: &Handle) -> Result<(), Fault> {
        let key = tables::row_key(part.epoch, handle);
        let before = self.rows.remove(&key)?.map(|row| row.value().to_vec());
        let Some(before) = before else { return Ok(()) };
        part.applied.removed = part.applied.removed.saturating_add(1);
        self.log(part, Operation::Remove, handle, &before)
    }

    fn log(
        &mut self,
        part: &Part,
        operation: Operation,
        handle: &Handle,
        before: &[u8],
    ) -> Result<(), Fault> {
        self.head.version = super::step(self.head.version.checked_add(1))?;
        self.head.changed_at = part.at_unix_s;
        let key = tables::change_key(part.epoch, self.head.version);
        let record = tables::encode_change(operation, handle, part.at_unix_s, before);
        self.changes.insert(&key, record.as_slice())?;
        Ok(())
    }

    /// Enters the rows that came and went into the counters.
    fn count(&mut self, part: &Part) -> Result<(), Fault> {
        let (added, removed) = (u64::from(part.applied.added), u64::from(part.applied.removed));
        if added == removed {
            return Ok(());
        }
        let counted = |entries: u64| {
            super::step(entries.checked_add(added).and_then(|sum| sum.checked_sub(removed)))
        };
        let mut record = read_epoch(&self.epochs, part.epoch)?;
        record.entries = counted(record.entries)?;
        self.head.entries = counted(self.head.entries)?;
        self.write_epoch(part.epoch, &record)
    }
}

/// At most `limit` rows of an epoch in the order of handles, after `after` or from the start.
pub(in super::super) fn scan_after(
    snapshot: &ReadTransaction,
    epoch: u32,
    after: Option<Handle>,
    limit: usize,
) -> Result<Vec<(Handle, Vec<u8>)>, Fault> {
    if read_epoch(&snapshot.open_table(tables::EPOCHS)?, epoch)?.dropped {
        return Ok(Vec::new());
    }
    let keys = tables::keys_of(epoch);
    let after = after.map(|handle| tables::row_key(epoch, &handle));
    let from = after.as_ref().map_or(Bound::Included(keys.start()), Bound::Excluded);
    let rows = snapshot.open_table(tables::ROWS)?;
    rows.range::<&[u8; 36]>((from, Bound::Included(keys.end())))?
        .take(limit)
        .map(|row| {
            let (key, sealed) = row?;
            let handle = tables::row_handle(key.value()).ok_or(StoreError::Corrupt)?;
            Ok((handle, sealed.value().to_vec()))
        })
        .collect()
}
