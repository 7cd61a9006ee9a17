//! Files of older schemas are brought up to date when they are opened, in one transaction.

use std::collections::BTreeMap;

use redb::{Database, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::error::Fault;
use super::tables::{self, EpochRecord};
use super::{StoreError, execute};

/// The change log of schema 1: version → operation, epoch, handle, Unix seconds.
const CHANGES_1: TableDefinition<'_, &[u8; 8], &[u8; 45]> = TableDefinition::new("changes");

/// Brings a file of schema 1 to schema 2.
///
/// The old log does not say what rows held before a change, so it can tell no history: it is
/// forgotten, and the new one starts at the head. Everything else stays.
pub(super) fn from_schema_1(database: &Database) -> Result<(), Fault> {
    let mut txn = database.begin_write()?;
    txn.set_two_phase_commit(true);
    txn.delete_table(CHANGES_1)?;
    txn.open_table(tables::CHANGES)?;
    txn.open_table(tables::CREDITS)?;
    count_epochs(&txn)?;
    {
        let mut counters = txn.open_table(tables::COUNTERS)?;
        let start = execute::read_head(&counters)?.version.to_be_bytes();
        counters.insert(tables::COUNTERS_LOG_START, start.as_slice())?;
        let mut meta = txn.open_table(tables::META)?;
        meta.insert(tables::META_SCHEMA, tables::SCHEMA.to_be_bytes().as_slice())?;
    }
    Ok(txn.commit()?)
}

/// Makes the table of epochs from the rows.
fn count_epochs(txn: &WriteTransaction) -> Result<(), Fault> {
    let (counters, rows) = (txn.open_table(tables::COUNTERS)?, txn.open_table(tables::ROWS)?);
    let counts = count_rows(&rows)?;
    if counts.values().sum::<u64>() != execute::read_head(&counters)?.entries {
        return Err(StoreError::Corrupt.into());
    }
    let mut epochs = txn.open_table(tables::EPOCHS)?;
    for (epoch, entries) in counts {
        let record = EpochRecord { entries, ..EpochRecord::default() };
        epochs.insert(&epoch.to_be_bytes(), &tables::encode_epoch(&record))?;
    }
    Ok(())
}

fn count_rows(
    rows: &Table<'_, &'static [u8; 36], &'static [u8]>,
) -> Result<BTreeMap<u32, u64>, Fault> {
    let mut counts = BTreeMap::new();
    for row in rows.iter()? {
        let (key, _) = row?;
        let epoch = key.value().first_chunk().ok_or(StoreError::Corrupt)?;
        *counts.entry(u32::from_be_bytes(*epoch)).or_default() += 1;
    }
    Ok(counts)
}
