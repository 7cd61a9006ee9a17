//! Rows: sealed as they are stored, and opened as they are published.

use std::{
    collections::{HashMap, HashSet},
    ops::ControlFlow,
    sync::Arc,
};

use acquaint_core::{
    keys::{Row, RowError, Vault},
    oprf::{OprfElement, RotationFactor},
    set::{Entry, Record, Universe},
};
use rayon::prelude::*;

use super::{DirectoryError, timeline::RecordChange};
use crate::store::{Change, CopiedRow, Handle, Head, History, Store};

/// Rows of a scan that are opened together: enough for every thread, little memory.
const SCAN_ROWS: usize = 16_384;

/// The rows of one epoch, and the key to them.
pub(super) struct Rows {
    pub(super) epoch: u32,
    pub(super) vault: Arc<Vault>,
    pub(super) store: Arc<dyn Store>,
}

/// A row as the store has it.
type Sealed = (Handle, Vec<u8>);

/// The published form of a row; hidden rows have none.
pub fn record(epoch: u32, row: &Row) -> Option<Record> {
    (!row.hidden).then(|| {
        let tag = row.element.tag();
        let sealed_label = row.element.label_key().seal(&tag, epoch, &row.label).0;
        Record { tag: tag.expose_u64(), sealed_label }
    })
}

impl Rows {
    /// The change that stores a row.
    pub(super) fn put(&self, row: &Row) -> Change {
        let (handle, sealed) = self.seal(row);
        Change::Put { handle, sealed }
    }

    /// The change that removes the row of an element.
    pub(super) fn removal(&self, element: &OprfElement) -> Change {
        Change::Remove { handle: Handle::new(self.vault.handle(element)) }
    }

    /// A page of rows, as they are to be carried to another epoch. With the last handle of the
    /// page; `None` if there are no more rows.
    ///
    /// Blocks for as long as the rows take: one multiplication each.
    ///
    /// # Errors
    /// [`DirectoryError`] if rows cannot be read or opened.
    pub(super) fn page_for(
        &self,
        factor: &RotationFactor,
        to: &Self,
        after: Option<Handle>,
        limit: usize,
    ) -> Result<Option<(Handle, Vec<CopiedRow>)>, DirectoryError> {
        let page = self.store.scan_after(self.epoch, after, limit)?;
        let Some((last, _)) = page.last() else { return Ok(None) };
        let last = *last;
        let open =
            |(handle, sealed): &Sealed| self.vault.open(self.epoch, handle.as_bytes(), sealed);
        let mut rows = page.iter().map(open).collect::<Result<Vec<Row>, RowError>>()?;
        let elements: Vec<OprfElement> = rows.iter().map(|row| row.element.clone()).collect();
        for (row, element) in rows.iter_mut().zip(factor.apply(&elements)) {
            row.element = element;
        }
        let copied = page.into_iter().zip(&rows).map(|((source, expected), row)| {
            let (handle, sealed) = to.seal(row);
            CopiedRow { source, expected, handle, sealed }
        });
        Ok(Some((last, copied.collect())))
    }

    fn seal(&self, row: &Row) -> Sealed {
        let handle = self.vault.handle(&row.element);
        let sealed = self.vault.seal(self.epoch, &handle, row);
        (Handle::new(handle), sealed)
    }

    /// The published records of all rows as they were before the given changes of the log; with
    /// `None` as they are. With the head of the snapshot that was read.
    ///
    /// Blocks for as long as the rows take; opens them on all threads of the current pool.
    pub(super) fn records(
        &self,
        before: Option<&History>,
    ) -> Result<(Head, Vec<Record>), DirectoryError> {
        let changed = before.map(first_contents).unwrap_or_default();
        let mut records = Vec::new();
        let mut pending: Vec<Sealed> = Vec::with_capacity(SCAN_ROWS);
        let mut outcome = Ok(());
        let head = self.store.scan(self.epoch, &mut |handle, sealed| {
            if !changed.contains_key(handle) {
                pending.push((*handle, sealed.to_vec()));
            }
            if pending.len() < SCAN_ROWS {
                return ControlFlow::Continue(());
            }
            outcome = self.open_all(&mut pending, &mut records);
            if outcome.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        outcome?;
        let restored =
            |(handle, sealed): (Handle, Option<&Vec<u8>>)| Some((handle, sealed?.clone()));
        pending.extend(changed.into_iter().filter_map(restored));
        self.open_all(&mut pending, &mut records)?;
        Ok((head, records))
    }

    fn open_all(
        &self,
        pending: &mut Vec<Sealed>,
        records: &mut Vec<Record>,
    ) -> Result<(), RowError> {
        let opened: Result<Vec<_>, _> =
            pending.par_iter().map(|(handle, sealed)| self.open(handle, sealed)).collect();
        records.extend(opened?.into_iter().flatten());
        pending.clear();
        Ok(())
    }

    /// The published form of a row, `None` if it is hidden.
    fn open(&self, handle: &Handle, sealed: &[u8]) -> Result<Option<Record>, RowError> {
        let row = self.vault.open(self.epoch, handle.as_bytes(), sealed)?;
        Ok(record(self.epoch, &row))
    }

    /// What a history changed in the published records, in the order of the log.
    pub(super) fn record_changes(
        &self,
        universe: &Universe,
        history: &History,
    ) -> Result<Vec<RecordChange>, DirectoryError> {
        let entry = |handle: &Handle, sealed: Option<&Vec<u8>>| -> Result<_, RowError> {
            let Some(sealed) = sealed else { return Ok(None) };
            let record = self.open(handle, sealed)?;
            Ok(record.map(|record| Entry::new(universe, &record)))
        };
        // Backward: what a change led to is what the next one of the same row found.
        let mut later: HashMap<&Handle, Option<Entry>> = HashMap::new();
        for (handle, sealed) in &history.current {
            later.insert(handle, entry(handle, Some(sealed))?);
        }
        let mut changes = Vec::new();
        for change in history.changes.iter().rev() {
            let gone = entry(&change.handle, change.before.as_ref())?;
            let new = later.insert(&change.handle, gone).flatten();
            if gone != new {
                changes.push(RecordChange { version: change.version, gone, new });
            }
        }
        changes.reverse();
        Ok(changes)
    }
}

/// What each row that changed held before its first change.
fn first_contents(history: &History) -> HashMap<Handle, Option<&Vec<u8>>> {
    let mut seen = HashSet::new();
    let first = history.changes.iter().filter(|change| seen.insert(change.handle));
    first.map(|change| (change.handle, change.before.as_ref())).collect()
}
