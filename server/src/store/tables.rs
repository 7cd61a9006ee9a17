//! The layout of the redb file: tables, keys and records.
//!
//! Keys and values are plain bytes only, integers big-endian: the layout then depends on no
//! type encoding of redb's, and the order of keys is the order of numbers.

use std::ops::RangeInclusive;

use redb::TableDefinition;

use super::{Handle, Head, LoggedChange, MetaName, Publication, REPEAT_FREE_MS, StoreError};

/// Version of everything in this file; a change of layout increments it.
pub(super) const SCHEMA: u32 = 3;

/// [`META_SCHEMA`], [`META_KEY_CHECK`], and what [`meta_key`] names.
pub(super) const META: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("meta");
/// [`COUNTERS_HEAD`] and [`COUNTERS_LOG_START`].
pub(super) const COUNTERS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("counters");
/// Epoch → number of rows, whether it was dropped.
pub(super) const EPOCHS: TableDefinition<'_, &[u8; 4], &[u8; 9]> = TableDefinition::new("epochs");
/// Epoch, handle → sealed row.
pub(super) const ROWS: TableDefinition<'_, &[u8; 36], &[u8]> = TableDefinition::new("rows");
/// Epoch, version → operation, handle, Unix seconds, sealed row before. By epoch first: the
/// history of an epoch and its end are then one range each, whatever other epochs do.
pub(super) const CHANGES: TableDefinition<'_, &[u8; 12], &[u8]> = TableDefinition::new("changes");
/// Sequence → version, signature, manifest.
pub(super) const PUBLICATIONS: TableDefinition<'_, &[u8; 8], &[u8]> =
    TableDefinition::new("publications");
/// Account → bucket.
pub(super) const QUOTAS: TableDefinition<'_, &[u8; 16], &[u8; 24]> = TableDefinition::new("quotas");
/// Epoch, account → elements used of the credit.
pub(super) const CREDITS: TableDefinition<'_, &[u8; 20], &[u8; 8]> =
    TableDefinition::new("credits");
/// Period, account, digest → milliseconds of the charge.
///
/// A period is [`REPEAT_FREE_MS`] long. A charge whose repeat is free lies in the period of the
/// repeat or next to it, and periods end as ranges of keys: no second table has to know the charges
/// in the order of their times, and a charge writes to as few pages as there can be.
pub(super) const CHARGES: TableDefinition<'_, &[u8; 56], &[u8; 8]> =
    TableDefinition::new("charge_periods");

pub(super) const META_SCHEMA: &[u8] = b"schema";
pub(super) const META_KEY_CHECK: &[u8] = b"key_check";
pub(super) const COUNTERS_HEAD: &[u8] = b"head";
/// The version up to which the log was forgotten.
pub(super) const COUNTERS_LOG_START: &[u8] = b"log_start";

/// What a record of the change log says was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Add = 1,
    Update = 2,
    Remove = 3,
}

/// What is kept about an epoch; the default is an epoch that was never used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct EpochRecord {
    pub(super) entries: u64,
    pub(super) dropped: bool,
}

pub(super) const fn meta_key(name: MetaName) -> &'static [u8] {
    match name {
        MetaName::Rotation => b"rotation",
        MetaName::Snapshots => b"snapshots",
    }
}

pub(super) fn row_key(epoch: u32, handle: &Handle) -> [u8; 36] {
    concat([&epoch.to_be_bytes(), handle.as_bytes()])
}

pub(super) fn row_handle(key: &[u8; 36]) -> Option<Handle> {
    key.last_chunk().map(|bytes| Handle::new(*bytes))
}

pub(super) fn change_key(epoch: u32, version: u64) -> [u8; 12] {
    concat([&epoch.to_be_bytes(), &version.to_be_bytes()])
}

/// Splits a key of [`CHANGES`] into epoch and version.
pub(super) fn split_change_key(key: &[u8; 12]) -> Option<(u32, u64)> {
    Some((u32::from_be_bytes(*key.first_chunk()?), u64::from_be_bytes(*key.last_chunk()?)))
}

pub(super) fn encode_change(
    operation: Operation,
    handle: &Handle,
    at_unix_s: u64,
    before: &[u8],
) -> Vec<u8> {
    [&[operation as u8], handle.as_bytes().as_slice(), &at_unix_s.to_be_bytes(), before].concat()
}

pub(super) fn decode_change(version: u64, record: &[u8]) -> Result<LoggedChange, StoreError> {
    let (&[operation], rest) = record.split_first_chunk().ok_or(StoreError::Corrupt)?;
    let (handle, rest) = rest.split_first_chunk().ok_or(StoreError::Corrupt)?;
    let (_at_unix_s, before) = rest.split_first_chunk::<8>().ok_or(StoreError::Corrupt)?;
    // A row that was there may have been empty: the operation tells, not the length.
    let existed = match operation {
        o if o == Operation::Add as u8 && before.is_empty() => false,
        o if o == Operation::Update as u8 || o == Operation::Remove as u8 => true,
        _ => return Err(StoreError::Corrupt),
    };
    let before = existed.then(|| before.to_vec());
    Ok(LoggedChange { version, handle: Handle::new(*handle), before })
}

pub(super) fn credit_key(epoch: u32, account: &[u8; 16]) -> [u8; 20] {
    concat([&epoch.to_be_bytes(), account])
}

/// The period of [`CHARGES`] that a time lies in.
pub(super) const fn charge_period(at_ms: u64) -> u64 {
    at_ms / REPEAT_FREE_MS
}

pub(super) fn charge_key(period: u64, account: &[u8; 16], digest: &[u8; 32]) -> [u8; 56] {
    concat([&period.to_be_bytes(), account, digest])
}

/// All keys of [`CHARGES`] from the oldest period to this one.
pub(super) fn charges_until(period: u64) -> RangeInclusive<[u8; 56]> {
    [0; 56]..=concat([&period.to_be_bytes(), &[0xff; 48]])
}

/// All keys of an epoch, in a table whose keys begin with the epoch.
pub(super) fn keys_of<const N: usize>(epoch: u32) -> RangeInclusive<[u8; N]> {
    let bound = |filler: u8| {
        let mut key = [filler; N];
        for (to, from) in key.iter_mut().zip(epoch.to_be_bytes()) {
            *to = from;
        }
        key
    };
    bound(0)..=bound(0xff)
}

pub(super) fn encode_epoch(record: &EpochRecord) -> [u8; 9] {
    concat([&record.entries.to_be_bytes(), &[u8::from(record.dropped)]])
}

pub(super) fn decode_epoch(bytes: &[u8; 9]) -> Result<EpochRecord, StoreError> {
    let (entries, rest) = bytes.split_first_chunk().ok_or(StoreError::Corrupt)?;
    let dropped = match rest {
        [0] => false,
        [1] => true,
        _ => return Err(StoreError::Corrupt),
    };
    Ok(EpochRecord { entries: u64::from_be_bytes(*entries), dropped })
}

pub(super) fn encode_head(head: &Head) -> [u8; 24] {
    let [version, entries, changed_at] =
        [head.version, head.entries, head.changed_at].map(u64::to_be_bytes);
    concat([&version, &entries, &changed_at])
}

pub(super) fn decode_head(bytes: &[u8]) -> Result<Head, StoreError> {
    let ([version, entries, changed_at], []) = bytes.as_chunks::<8>() else {
        return Err(StoreError::Corrupt);
    };
    Ok(Head {
        version: u64::from_be_bytes(*version),
        entries: u64::from_be_bytes(*entries),
        changed_at: u64::from_be_bytes(*changed_at),
    })
}

pub(super) fn encode_publication(publication: &Publication) -> Vec<u8> {
    let version = publication.version.to_be_bytes();
    [version.as_slice(), &publication.signature, &publication.manifest].concat()
}

pub(super) fn decode_publication(sequence: u64, bytes: &[u8]) -> Result<Publication, StoreError> {
    let (version, rest) = bytes.split_first_chunk().ok_or(StoreError::Corrupt)?;
    let (signature, manifest) = rest.split_first_chunk().ok_or(StoreError::Corrupt)?;
    Ok(Publication {
        sequence,
        version: u64::from_be_bytes(*version),
        manifest: manifest.to_vec(),
        signature: *signature,
    })
}

/// Joins parts whose lengths add up to `N`, as the callers' array types state.
fn concat<const N: usize, const P: usize>(parts: [&[u8]; P]) -> [u8; N] {
    let mut joined = [0; N];
    for (to, from) in joined.iter_mut().zip(parts.into_iter().flatten()) {
        *to = *from;
    }
    joined
}
