//! What is kept about an epoch, and how one ends.

use redb::ReadableTable;

use super::super::error::Fault;
use super::super::tables::{self, EpochRecord};
use super::{Execution, STEP_RECORDS_MAX, remove_lowest, step};

impl Execution<'_> {
    /// One step of dropping an epoch; says whether it was the last.
    ///
    /// The first marks the epoch: nobody reads or writes it from then on, whatever is still there.
    pub(super) fn drop_epoch(&mut self, epoch: u32) -> Result<bool, Fault> {
        let before = read_epoch(&self.epochs, epoch)?;
        let mut record = EpochRecord { dropped: true, ..before };
        let mut room = STEP_RECORDS_MAX;

        let rows = tables::keys_of(epoch);
        let removed = remove_lowest(&mut self.rows, rows.start(), rows.end(), room)?;
        record.entries = step(record.entries.checked_sub(removed as u64))?;
        self.head.entries = step(self.head.entries.checked_sub(removed as u64))?;
        room -= removed;

        let changes = tables::keys_of(epoch);
        room -= remove_lowest(&mut self.changes, changes.start(), changes.end(), room)?;
        let credits = tables::keys_of(epoch);
        room -= remove_lowest(&mut self.credits, credits.start(), credits.end(), room)?;

        if room < STEP_RECORDS_MAX || record != before {
            self.write_epoch(epoch, &record)?;
        }
        Ok(room > 0)
    }

    pub(super) fn write_epoch(&mut self, epoch: u32, record: &EpochRecord) -> Result<(), Fault> {
        self.epochs.insert(&epoch.to_be_bytes(), &tables::encode_epoch(record))?;
        self.written = true;
        Ok(())
    }
}

/// The record of an epoch, the default if it was never used.
pub(in super::super) fn read_epoch(
    epochs: &impl ReadableTable<&'static [u8; 4], &'static [u8; 9]>,
    epoch: u32,
) -> Result<EpochRecord, Fault> {
    let record = epochs.get(&epoch.to_be_bytes())?;
    Ok(record.map_or(Ok(EpochRecord::default()), |bytes| tables::decode_epoch(bytes.value()))?)
}
