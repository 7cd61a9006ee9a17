//! The state in a directory: a file for each part, replaced as a whole.

use std::{
    fmt,
    fs::{File, TryLockError},
    io,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    PartBytes, StateFuture, StatePart, StateStore, StateUnavailable,
    disk::{Directory, Disk},
};
use crate::cpu::Cpu;

/// Locked by the store that is open.
const LOCK: &str = "lock";
/// What the name of a part ends with.
const PART_SUFFIX: &str = ".state";
/// Appended to the name of a part while it is written.
const TEMPORARY_SUFFIX: &str = ".tmp";

/// Keeps the parts of one state as files of a directory of their own, readable by their owner
/// only.
///
/// A part is written to a temporary file, flushed, renamed over the old one, and the directory is
/// flushed: whatever happens, one of the two is there. Temporary files that a crash left behind
/// are removed when the store is opened.
///
/// **One at a time.** The directory is locked while a store is open, against other processes and
/// other stores of this one; the lock ends with the process, however it ends. Where the file
/// system has no locks the last writer wins; a core may then name a snapshot that another process
/// removed, which is noticed when it is loaded.
///
/// Files are read and written on a thread of the store's own, in the order in which the futures
/// are first polled.
pub struct FileStateStore {
    parts: Arc<Mutex<Parts<Directory>>>,
    thread: Cpu,
    /// Shared with what still runs when the store is dropped: nobody else may write before.
    lock: Arc<File>,
}

impl FileStateStore {
    /// Opens the store; creates the directory if it is missing. Blocks for a few file operations.
    ///
    /// # Errors
    /// [`StateUnavailable::InUse`] if another store has the directory open;
    /// [`StateUnavailable::Io`] if it cannot be created, read or written.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, StateUnavailable> {
        let disk = Directory::open(directory.as_ref())?;
        let lock = Arc::new(lock(&disk)?);
        let parts = Arc::new(Mutex::new(Parts::open(disk)?));
        let thread = Cpu::new(Some(1)).map_err(|_| StateUnavailable::Io(io::ErrorKind::Other))?;
        Ok(Self { parts, thread, lock })
    }

    /// Runs a job on the store's thread.
    fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Parts<Directory>) -> Result<T, StateUnavailable> + Send + 'static,
    ) -> StateFuture<'_, T> {
        let (parts, lock) = (Arc::clone(&self.parts), Arc::clone(&self.lock));
        Box::pin(async move {
            let result = self.thread.run(move || {
                let result = job(&parts.lock().unwrap_or_else(PoisonError::into_inner));
                drop(lock);
                result
            });
            // Only a panic gives no result.
            result.await.unwrap_or(Err(StateUnavailable::Io(io::ErrorKind::Other)))
        })
    }
}

impl StateStore for FileStateStore {
    fn load(&self, part: StatePart) -> StateFuture<'_, Option<PartBytes>> {
        self.run(move |parts| parts.load(part))
    }

    fn save(&self, part: StatePart, bytes: PartBytes) -> StateFuture<'_, ()> {
        self.run(move |parts| parts.save(part, &bytes))
    }

    fn retain(&self, kept: Vec<StatePart>) -> StateFuture<'_, ()> {
        self.run(move |parts| parts.retain(&kept))
    }
}

impl fmt::Debug for FileStateStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileStateStore").finish_non_exhaustive()
    }
}

fn lock(disk: &Directory) -> Result<File, StateUnavailable> {
    let file = disk.lock_file(LOCK)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StateUnavailable::InUse),
        // A file system without locks.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(error)) => Err(error.into()),
    }
}

/// The parts as files of a disk.
pub(super) struct Parts<D> {
    disk: D,
}

impl<D: Disk> Parts<D> {
    /// Removes what a crash left half written: it may be about contacts that are deleted since.
    pub(super) fn open(disk: D) -> io::Result<Self> {
        for name in disk.names()? {
            if is_temporary(&name) {
                disk.remove(&name)?;
            }
        }
        Ok(Self { disk })
    }

    pub(super) fn load(&self, part: StatePart) -> Result<Option<PartBytes>, StateUnavailable> {
        match self.disk.read(&part.name(), part.bytes_max()) {
            Ok(bytes) => Ok(bytes.map(PartBytes::from)),
            Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
                Err(StateUnavailable::TooLarge)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Every step in this order: content before the name, the name before success.
    pub(super) fn save(&self, part: StatePart, bytes: &[u8]) -> Result<(), StateUnavailable> {
        let name = part.name();
        let temporary = format!("{name}{TEMPORARY_SUFFIX}");
        self.disk.remove(&temporary)?;
        if let Err(error) = self.write_durably(&temporary, bytes) {
            // The disk may be full: what could be written is of no use. If even this fails,
            // opening removes it.
            let _ = self.disk.remove(&temporary);
            return Err(error.into());
        }
        self.disk.rename(&temporary, &name)?;
        Ok(self.disk.sync_directory()?)
    }

    fn write_durably(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.disk.create(name)?;
        self.disk.write(&mut file, bytes)?;
        self.disk.sync(&file)
    }

    /// Files of other names are none of ours and stay.
    pub(super) fn retain(&self, kept: &[StatePart]) -> Result<(), StateUnavailable> {
        let kept: Vec<String> = kept.iter().map(StatePart::name).collect();
        for name in self.disk.names()? {
            if is_temporary(&name) || (is_part(&name) && !kept.contains(&name)) {
                self.disk.remove(&name)?;
            }
        }
        Ok(())
    }
}

fn is_part(name: &str) -> bool {
    name.ends_with(PART_SUFFIX)
}

fn is_temporary(name: &str) -> bool {
    name.strip_suffix(TEMPORARY_SUFFIX).is_some_and(is_part)
}
