//! The layout of the redb file: tables, keys and records.
//!
//! Keys and values are plain bytes only, integers big-endian: the layout then depends on no
//! type encoding of redb's, and the order of keys is the order of numbers.

use redb::TableDefinition;

use super::{Handle, Head, Publication, StoreError};

/// Version of everything in this file; a change of layout increments it.
pub(super) const SCHEMA: u32 = 1;

/// [`META_SCHEMA`] and [`META_KEY_CHECK`].
pub(super) const META: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("meta");
/// [`COUNTERS_HEAD`].
pub(super) const COUNTERS: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("counters");
/// Epoch, handle → sealed row.
pub(super) const ROWS: TableDefinition<'_, &[u8; 36], &[u8]> = TableDefinition::new("rows");
/// Position → operation, epoch, handle, Unix seconds.
pub(super) const CHANGES: TableDefinition<'_, &[u8; 8], &[u8; 45]> =
    TableDefinition::new("changes");
/// Snapshot → version, signature, manifest.
pub(super) const PUBLICATIONS: TableDefinition<'_, &[u8; 8], &[u8]> =
    TableDefinition::new("publications");
/// Account → bucket.
pub(super) const QUOTAS: TableDefinition<'_, &[u8; 16], &[u8; 24]> = TableDefinition::new("quotas");
/// Account, digest → milliseconds of the charge.
pub(super) const CHARGES: TableDefinition<'_, &[u8; 48], &[u8; 8]> =
    TableDefinition::new("charges");
/// Milliseconds of the charge, account, digest → nothing: the charges in the order they expire.
pub(super) const CHARGE_TIMES: TableDefinition<'_, &[u8; 56], &[u8]> =
    TableDefinition::new("charge_times");

pub(super) const META_SCHEMA: &[u8] = b"schema";
pub(super) const META_KEY_CHECK: &[u8] = b"key_check";
pub(super) const COUNTERS_HEAD: &[u8] = b"head";

/// What a record of the change log says was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Put = 1,
    Remove = 2,
}

pub(super) fn row_key(epoch: u32, handle: &Handle) -> [u8; 36] {
    concat([&epoch.to_be_bytes(), handle.as_bytes()])
}

pub(super) fn row_handle(key: &[u8; 36]) -> Option<Handle> {
    key.last_chunk().map(|bytes| Handle::new(*bytes))
}

pub(super) fn change_record(
    operation: Operation,
    epoch: u32,
    handle: &Handle,
    at_unix_s: u64,
) -> [u8; 45] {
    let epoch = epoch.to_be_bytes();
    concat([&[operation as u8], &epoch, handle.as_bytes(), &at_unix_s.to_be_bytes()])
}

pub(super) fn charge_key(account: &[u8; 16], digest: &[u8; 32]) -> [u8; 48] {
    concat([account, digest])
}

pub(super) fn charge_time_key(at_ms: u64, charge: &[u8; 48]) -> [u8; 56] {
    concat([&at_ms.to_be_bytes(), charge])
}

/// Splits a key of [`CHARGE_TIMES`] into the time and the key of [`CHARGES`].
pub(super) fn split_charge_time(key: &[u8; 56]) -> Option<(u64, [u8; 48])> {
    Some((u64::from_be_bytes(*key.first_chunk()?), *key.last_chunk()?))
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

pub(super) fn decode_publication(snapshot: u64, bytes: &[u8]) -> Result<Publication, StoreError> {
    let (version, rest) = bytes.split_first_chunk().ok_or(StoreError::Corrupt)?;
    let (signature, manifest) = rest.split_first_chunk().ok_or(StoreError::Corrupt)?;
    Ok(Publication {
        snapshot,
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
