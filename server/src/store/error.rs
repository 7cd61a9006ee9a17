//! What can go wrong in a store, and the translation of redb's errors.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Why a store did not do what it was asked to. Each text names the remedy.
///
/// Whatever the variant, a write that returned an error has not been acknowledged: it happened
/// wholly or not at all, and a caller treats it as not done. The texts hold no row, handle,
/// account or key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process, or another handle of this process, has the store open.
    #[error("the store is already open: stop the other process that uses it")]
    AlreadyOpen,
    /// The store was written under another storage key.
    #[error("the store belongs to another storage key: start with the key directory it came with")]
    WrongKey,
    /// The store was written by another version of this program.
    #[error("the store has schema {found}, this program needs {supported}: use a matching release")]
    SchemaVersion {
        /// The version found in the store.
        found: u32,
        /// The version this program reads and writes.
        supported: u32,
    },
    /// The store is damaged.
    #[error(
        "the store is damaged: restore the latest backup; \
         a file left by an interrupted first start may simply be removed"
    )]
    Corrupt,
    /// The operating system refused to open or read the store.
    #[error(
        "the store {} cannot be opened or read ({kind}): check path and permissions",
        .path.display()
    )]
    Io {
        /// What the operating system reported.
        kind: ErrorKind,
        /// The store's file.
        path: PathBuf,
    },
    /// No space is left for the write; nothing was acknowledged.
    #[error("the disk of the store is full: free some space; writing then resumes by itself")]
    Full,
    /// The operating system refused the write; nothing was acknowledged.
    #[error("the store cannot be written ({kind}): check the disk; writing then resumes by itself")]
    WriteFailed {
        /// What the operating system reported.
        kind: ErrorKind,
    },
    /// The operation was abandoned after an internal fault; nothing was acknowledged.
    #[error("the operation was abandoned after an internal fault: retry, and report a repetition")]
    Interrupted,
    /// The store was closed, or is being reopened after a failed write.
    #[error("the store is closed: open it again, or retry if it is recovering")]
    Closed,
    /// A publication whose sequence number does not follow the last one.
    #[error("the publication does not follow the last one: read the last one and publish again")]
    OutOfOrder,
    /// Rows for an epoch that was dropped; nothing was written.
    #[error("the epoch was dropped from the store: use the current one")]
    EpochDropped,
    /// A named value that is longer than the store keeps; nothing was written.
    #[error("the value is longer than the store keeps under a name: report this as a bug")]
    MetaLength,
}

/// An error inside a store operation, before it is known what the operation was.
pub(super) enum Fault {
    /// Already an error of ours.
    Store(StoreError),
    /// An error of redb's, to be translated by what was attempted.
    Redb(redb::Error),
}

impl Fault {
    /// Translates the failure of opening or reading the store at `path`.
    pub(super) fn reading(self, path: &Path) -> StoreError {
        self.translate(|kind| StoreError::Io { kind, path: path.to_owned() })
    }

    /// Translates the failure of a write.
    pub(super) fn writing(self) -> StoreError {
        self.translate(|kind| StoreError::WriteFailed { kind })
    }

    fn translate(self, io: impl Fn(ErrorKind) -> StoreError) -> StoreError {
        let error = match self {
            Self::Store(error) => return error,
            Self::Redb(error) => error,
        };
        match error {
            redb::Error::DatabaseAlreadyOpen | redb::Error::LockProtocolMismatch => {
                StoreError::AlreadyOpen
            }
            redb::Error::Io(error) => match error.kind() {
                // How redb reports a file that is too short or is none of its own.
                ErrorKind::InvalidData | ErrorKind::UnexpectedEof => StoreError::Corrupt,
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => {
                    StoreError::Full
                }
                kind => io(kind),
            },
            redb::Error::ValueTooLarge(_) => io(ErrorKind::InvalidInput),
            redb::Error::Backend(_) | redb::Error::Unsupported | redb::Error::PreviousIo => {
                io(ErrorKind::Other)
            }
            redb::Error::DatabaseClosed => StoreError::Closed,
            redb::Error::LockPoisoned(_) | redb::Error::TransactionPoisoned => {
                StoreError::Interrupted
            }
            // A table of another type or none at all, an unknown file format, a failed checksum:
            // redb wrote none of these for us.
            _ => StoreError::Corrupt,
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

macro_rules! fault_from {
    ($($error:ty),*) => {
        $(impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self::Redb(error.into())
            }
        })*
    };
}

fault_from!(
    redb::StorageError,
    redb::TableError,
    redb::TransactionError,
    redb::CommitError,
    redb::DatabaseError,
    redb::SetDurabilityError,
    std::io::Error
);
