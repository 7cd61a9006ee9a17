//! Files of older schemas are brought up to date when they are opened, in one transaction.

use std::collections::BTreeMap;

use redb::{Database, ReadableTable, Table, TableDefinition, WriteTransaction};

use super::error::Fault;
use super::tables::{self, EpochRecord};
use super::{StoreError, execute};

/// The change log of schema 1: version → operation, epoch, handle, Unix seconds.
const CHANGES_1: TableDefinition<'_, &[u8; 8], &[u8; 45]> = TableDefinition::new("changes");

/// The charges of schemas 1 and 2: account, digest → milliseconds of the charge; and the same the
/// other way round.
const CHARGES_2: TableDefinition<'_, &[u8; 48], &[u8; 8]> = TableDefinition::new("charges");
const CHARGE_TIMES_2: TableDefinition<'_, &[u8; 56], &[u8]> = TableDefinition::new("charge_times");

/// Brings a file of an older schema to the present one.
pub(super) fn migrate(database: &Database, from: u32) -> Result<(), Fault> {
    let mut txn = database.begin_write()?;
    txn.set_two_phase_commit(true);
    if from < 2 {
        to_schema_2(&txn)?;
    }
    to_schema_3(&txn)?;
    txn.open_table(tables::META)?
        .insert(tables::META_SCHEMA, tables::SCHEMA.to_be_bytes().as_slice())?;
    Ok(txn.commit()?)
}

/// The old log does not say what rows held before a change, so it can tell no history: it is
/// forgotten, and the new one starts at the head. Everything else stays.
fn to_schema_2(txn: &WriteTransaction) -> Result<(), Fault> {
    txn.delete_table(CHANGES_1)?;
    txn.open_table(tables::CHANGES)?;
    txn.open_table(tables::CREDITS)?;
    count_epochs(txn)?;
    let mut counters = txn.open_table(tables::COUNTERS)?;
    let start = execute::read_head(&counters)?.version.to_be_bytes();
    counters.insert(tables::COUNTERS_LOG_START, start.as_slice())?;
    Ok(())
}

/// Charges are kept by periods. What was charged stays free to repeat.
fn to_schema_3(txn: &WriteTransaction) -> Result<(), Fault> {
    let mut charges = txn.open_table(tables::CHARGES)?;
    for charge in txn.open_table(CHARGES_2)?.iter()? {
        let (key, at_ms) = charge?;
        let (account, digest) = key.value().split_first_chunk().ok_or(StoreError::Corrupt)?;
        let digest = digest.first_chunk().ok_or(StoreError::Corrupt)?;
        let period = tables::charge_period(u64::from_be_bytes(*at_ms.value()));
        charges.insert(&tables::charge_key(period, account, digest), at_ms.value())?;
    }
    txn.delete_table(CHARGES_2)?;
    txn.delete_table(CHARGE_TIMES_2)?;
    Ok(())
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
