//! Where parts of a state are kept: the trait, and a store in memory.

use std::{
    collections::BTreeMap,
    fmt,
    future::{Future, ready},
    io,
    ops::Deref,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use zeroize::Zeroizing;

use super::SnapshotId;
use crate::limits::{STATE_CORE_BYTES_MAX, STATE_SNAPSHOT_BYTES_MAX};

/// Keeps the parts of one state, each replaced as a whole.
///
/// Several calls at once are allowed; they take effect in the order in which their futures are
/// first polled. A future that is dropped leaves its parts as they were, or as they were to become.
pub trait StateStore: Send + Sync {
    /// A part as it was last saved; nothing if it is not there.
    ///
    /// # Errors
    /// [`StateUnavailable`]. A part longer than [`StatePart::bytes_max`] is not read.
    fn load(&self, part: StatePart) -> StateFuture<'_, Option<PartBytes>>;

    /// Saves a part, atomically: after a power failure the part is there as before or as after,
    /// and as after once the future has completed with success.
    ///
    /// # Errors
    /// [`StateUnavailable`]; the part is then as before or as after.
    fn save(&self, part: StatePart, bytes: PartBytes) -> StateFuture<'_, ()>;

    /// Removes every part but these. A power failure may undo it.
    ///
    /// # Errors
    /// [`StateUnavailable`]; some parts are then removed, none of those to keep.
    fn retain(&self, parts: Vec<StatePart>) -> StateFuture<'_, ()>;
}

/// What a [`StateStore`] returns: boxed, so that stores can be trait objects.
pub type StateFuture<'a, T> =
    Pin<Box<dyn Future<Output = Result<T, StateUnavailable>> + Send + 'a>>;

/// A part of the state that is saved by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatePart {
    /// Manifest, evaluations, overlays and matches. Names the snapshots in use.
    Core,
    /// A snapshot of the directory. Its bytes never change.
    Snapshot(SnapshotId),
}

/// The bytes of a part: shared, wiped when the last owner drops them, redacted in `Debug`.
#[derive(Clone)]
pub struct PartBytes(Arc<Zeroizing<Vec<u8>>>);

/// A store failed. The texts name the remedy, never a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateUnavailable {
    /// Another process, or another store of this one, uses the same place.
    #[error("another process uses this state: close it, or go on without")]
    InUse,
    /// A part is longer than any that is ever written.
    #[error("the file is too large to be a state: remove it")]
    TooLarge,
    /// Reading or writing failed.
    #[error("reading or writing failed: check permissions and free space")]
    Io(io::ErrorKind),
}

impl StatePart {
    /// A name for the part that is its own alone and fit for a file or a key: lower-case letters,
    /// digits, hyphens and a dot.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Core => String::from("core.state"),
            Self::Snapshot(id) => format!("snapshot-{id}.state"),
        }
    }

    /// Length in bytes that the part never passes.
    #[must_use]
    pub const fn bytes_max(&self) -> u64 {
        match self {
            Self::Core => STATE_CORE_BYTES_MAX,
            Self::Snapshot(_) => STATE_SNAPSHOT_BYTES_MAX,
        }
    }
}

impl From<Vec<u8>> for PartBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(bytes)))
    }
}

impl Deref for PartBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for PartBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartBytes({} bytes)", self.len())
    }
}

impl From<io::Error> for StateUnavailable {
    fn from(error: io::Error) -> Self {
        Self::Io(error.kind())
    }
}

/// Keeps parts in memory: for tests, and for apps that start afresh each time.
#[derive(Debug, Default)]
pub struct MemoryStateStore {
    parts: Mutex<BTreeMap<StatePart, PartBytes>>,
}

impl MemoryStateStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Every change is one operation on the map: a panic elsewhere cannot have left half of one.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<StatePart, PartBytes>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StateStore for MemoryStateStore {
    fn load(&self, part: StatePart) -> StateFuture<'_, Option<PartBytes>> {
        Box::pin(ready(Ok(self.lock().get(&part).cloned())))
    }

    fn save(&self, part: StatePart, bytes: PartBytes) -> StateFuture<'_, ()> {
        Box::pin(async move {
            self.lock().insert(part, bytes);
            Ok(())
        })
    }

    fn retain(&self, parts: Vec<StatePart>) -> StateFuture<'_, ()> {
        Box::pin(async move {
            self.lock().retain(|part, _| parts.contains(part));
            Ok(())
        })
    }
}
