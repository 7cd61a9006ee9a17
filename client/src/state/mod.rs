//! What an app keeps between lookups, so that the next one costs little: durable, bound to one
//! operator, and never half written.
//!
//! A [`State`] holds the accepted manifest, what the contacts were evaluated to, and the matches;
//! a [`Snapshot`] holds the published set, and the sealed labels if the app keeps them. A
//! [`StateKeeper`] writes them through a [`StateStore`]: [`FileStateStore`], or the app's own.
//!
//! # What it guarantees
//!
//! - **The old state or the new one.** Each part is replaced as a whole. A snapshot never changes
//!   under its name, and the core, which names snapshots by digest, is written last: after a power
//!   failure at any moment the core of before or the one of after is there, with everything that
//!   it names. What no core names is removed after the next save.
//! - **What was saved is durable** once [`StateKeeper::save`] has returned.
//! - **What does not belong is not used.** A state that is damaged, or written by a newer version,
//!   is reported and replaced by the next save: nothing is lost but the work of a full lookup, and
//!   the memory of the last manifest. One that belongs to another operator is refused and left
//!   alone.
//! - **Deleted contacts are gone** from what is saved after [`State::retain_contacts`].
//!
//! # What it does not
//!
//! - **The files are as private as the address book.** No identifier stands in them in clear, but
//!   whoever reads them can test guesses: the key of the local keys is in the same file, and tags
//!   can be compared with the published set. Keep them where the app keeps its messages.
//! - Blocks that a file system or a flash drive no longer uses are not overwritten.
//! - A state that was put back from a backup is taken for the current one; the server's manifest
//!   then follows an older head, which is allowed.
//!
//! # Format
//!
//! Integers are little endian; nothing is optional but by a flag, and everything listed ascends
//! without repetition: equal content has equal bytes. Each part is a preamble, a body and a
//! trailer. Preamble and trailer stay the same in all versions.
//!
//! | part | field | bytes |
//! |---|---|---|
//! | preamble | `ACQS` | 4 |
//! | | format version, 1 | 1 |
//! | | kind: 0 core, 1 snapshot | 1 |
//! | | tenant: length, then text | 1 + n |
//! | | digest of the pin, `BLAKE3-derive_key("acquaint v1 state pin", hexadecimal pin)` | 32 |
//! | core | key of the local keys | 32 |
//! | | manifest: flag | 1 |
//! | | … if set: number; number of epochs, each epoch | 8 + 1 + 4·n |
//! | | … signature; length, then content | 64 + 4 + n |
//! | | number of live epochs, at most 2, then each: | 1 |
//! | | … epoch, public key | 4 + 32 |
//! | | … snapshot: flag | 1 |
//! | | … if set: number, digest and length of the part, version of the snapshot | 8 + 32 + 8 + 8 |
//! | | … version with the overlay; length, then overlay | 8 + 8 + n |
//! | | … number of evaluations, then each: local key, tag, label key | 4 + n·(32 + 8 + 32) |
//! | | number of matches, then each: local key, label | 4 + n·(32 + 16) |
//! | snapshot | epoch, number | 4 + 8 |
//! | | flag: labels are kept | 1 |
//! | | number of segments, then each: | 4 |
//! | | … length, then coded set; with labels: length, then sealed labels | 4 + n, 4 + n |
//! | trailer | BLAKE3 of everything before; the digest by which a core names a snapshot | 32 |

mod binding;
mod changes;
mod codec;
mod disk;
mod epoch;
mod file;
mod keeper;
mod model;
mod snapshot;
mod store;
#[cfg(test)]
mod tests;
mod wire;

pub use binding::Binding;
pub use changes::Changes;
pub use epoch::{EpochState, HeldSnapshot, LocalKey, SavedEvaluation};
pub use file::FileStateStore;
pub use keeper::{Loaded, StateKeeper};
pub use model::{AcceptedManifest, State};
pub use snapshot::{Snapshot, SnapshotId};
pub use store::{
    MemoryStateStore, PartBytes, StateFuture, StatePart, StateStore, StateUnavailable,
};

/// Why a state cannot be used or saved. The texts are constants and say what to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// Not what was saved: truncated, altered, or not a state at all.
    #[error("the saved state is damaged: look up again, which replaces it")]
    Corrupt,
    /// Written by a newer version of the SDK.
    #[error("the saved state is of a newer version: update the app, or look up again")]
    NewerVersion,
    /// It belongs to another tenant, or to another pin. It is left as it is.
    #[error("the saved state belongs to another operator: use another place, or remove it")]
    Foreign,
    /// Longer than the limits of [`crate::limits`].
    #[error("the state is too large to be saved: look up a part of the address book")]
    TooLarge,
    /// The state names a snapshot that this keeper has not saved, or no longer has.
    #[error("the state names a snapshot that is not saved: save the snapshot first")]
    UnknownSnapshot,
    /// The store failed.
    #[error("the state cannot be read or written: {0}")]
    Unavailable(#[from] StateUnavailable),
    /// The SDK had a fault.
    #[error("the client failed: report it to the developers of the SDK")]
    Internal,
}
