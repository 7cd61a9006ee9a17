//! Limits of what the client reads, with their reasons. Protocol limits are in `acquaint_core`.

/// Length of an imported address book in bytes.
///
/// Photos inside vCards make large files: 64 MiB hold about 1,000 cards with photos or 500,000
/// without. The reader keeps the whole text in memory, so there must be an end.
pub const IMPORT_BYTES_MAX: u64 = 64 * 1_024 * 1_024;

/// Distinct contacts of an address book, and likewise entries skipped while reading one.
///
/// Far above any phone's address book (the largest deployed quota is 50,000) and low enough that
/// a hostile file cannot make the lists larger than a few hundred megabytes.
pub const IMPORT_CONTACTS_MAX: usize = 1_000_000;

/// Length of one row of a user list in bytes, line end excluded.
///
/// An identifier (at most 259 bytes), a label (36) and a flag fit many times over. The bound
/// keeps the reader's memory constant whatever the file holds.
pub const USER_ROW_BYTES_MAX: usize = 4_096;
