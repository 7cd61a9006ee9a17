//! Limits of what the client reads, with their reasons. Protocol limits are in `acquaint_core`.

use acquaint_core::limits;

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

/// Contacts of which a saved state knows something in one epoch: those of the largest import.
pub const STATE_CONTACTS_MAX: usize = IMPORT_CONTACTS_MAX;

/// Epochs of which a saved state knows something: the current one, and the next or the last
/// during a rotation of the key.
pub const STATE_EPOCHS_MAX: usize = 2;

/// Length of a saved overlay in bytes.
///
/// A directory of 10 million users of which 1 % change daily makes 1.9 MB a day; more than a
/// month of that is downloaded again as a snapshot.
pub const STATE_OVERLAY_BYTES_MAX: usize = 64 * 1_024 * 1_024;

/// Segments of a saved snapshot: `k = 13` of the largest universe.
pub const STATE_SEGMENTS_MAX: usize = 8_192;

/// Length of the core of a saved state in bytes; a longer file is not read.
///
/// An ordinary one has some 100 bytes per contact; the bound is that of all limits together.
pub const STATE_CORE_BYTES_MAX: u64 = 384 * 1_024 * 1_024;

/// Length of a saved snapshot in bytes; a longer one is not kept, and a longer file is not read.
///
/// The set of 200 million users takes 0.6 GB; set and labels of 60 million take 2.1 GB, which no
/// phone should keep.
pub const STATE_SNAPSHOT_BYTES_MAX: u64 = 2 * 1_024 * 1_024 * 1_024;

const _: () = {
    let per_epoch = STATE_CONTACTS_MAX * (32 + 8 + 32) + STATE_OVERLAY_BYTES_MAX + 256;
    let matches = STATE_CONTACTS_MAX * (32 + 16);
    let core = STATE_EPOCHS_MAX * per_epoch + matches + limits::MANIFEST_BYTES_MAX + 1_024;
    assert!(core as u64 <= STATE_CORE_BYTES_MAX, "a state within the limits can be saved");
};
