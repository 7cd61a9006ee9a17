//! A disk that loses what was not flushed, and a process that dies after any operation.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use super::super::disk::Disk;

/// What is left of an unflushed write after a power failure.
#[derive(Clone, Copy, Debug)]
pub(super) enum Torn {
    Lost,
    Half,
    Whole,
}

/// Flushes that this disk forgets: what a writer without them would see.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Forgets {
    pub(super) content: bool,
    pub(super) names: bool,
}

/// A directory of files. Clones share it.
#[derive(Clone, Default)]
pub(super) struct SimulatedDisk(Arc<Mutex<Inner>>);

#[derive(Clone, Default)]
struct Inner {
    files: Vec<Content>,
    /// What a process sees.
    names: BTreeMap<String, usize>,
    /// What certainly survives, and the changes since of which any may.
    durable: BTreeMap<String, usize>,
    pending: Vec<Change>,
    /// Operations done, and how many the process lives to do.
    operations: usize,
    stop_after: Option<usize>,
    forgets: Forgets,
}

#[derive(Clone, Default)]
struct Content {
    written: Vec<u8>,
    flushed: Option<Vec<u8>>,
}

#[derive(Clone)]
enum Change {
    Create(String, usize),
    Rename(String, String, usize),
    Remove(String),
}

impl SimulatedDisk {
    /// A disk with the same files, all of them durable, for a process that lives that long.
    pub(super) fn restarted(&self, forgets: Forgets, stop_after: Option<usize>) -> Self {
        let mut inner = self.lock().clone();
        inner.durable = inner.names.clone();
        inner.pending.clear();
        for file in &mut inner.files {
            file.flushed = Some(file.written.clone());
        }
        (inner.operations, inner.stop_after, inner.forgets) = (0, stop_after, forgets);
        Self(Arc::new(Mutex::new(inner)))
    }

    /// Every disk that a power failure at this moment can leave: any of the unflushed changes of
    /// names, and unflushed content lost, half there, or there.
    pub(super) fn outcomes(&self) -> impl Iterator<Item = Self> {
        let inner = self.lock().clone();
        let subsets = 0..1_u32 << inner.pending.len();
        subsets
            .flat_map(|subset| [Torn::Lost, Torn::Half, Torn::Whole].map(|torn| (subset, torn)))
            .map(move |(subset, torn)| {
                Self(Arc::new(Mutex::new(inner.after_failure(subset, torn))))
            })
    }

    pub(super) fn operations(&self) -> usize {
        self.lock().operations
    }

    pub(super) fn file_names(&self) -> Vec<String> {
        self.lock().names.keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    /// Takes one step, if the process still lives.
    fn step(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let mut inner = self.lock();
        if inner.stop_after.is_some_and(|n| inner.operations >= n) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        inner.operations += 1;
        Ok(inner)
    }
}

impl Inner {
    fn after_failure(&self, subset: u32, torn: Torn) -> Self {
        let mut names = self.durable.clone();
        for (i, change) in self.pending.iter().enumerate() {
            if subset & (1 << i) != 0 {
                change.apply(&mut names);
            }
        }
        let files = self.files.iter().map(|file| file.after_failure(torn)).collect();
        Self { files, durable: names.clone(), names, ..Self::default() }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }
}

impl Content {
    fn after_failure(&self, torn: Torn) -> Self {
        let content = match (&self.flushed, torn) {
            (Some(flushed), _) if flushed == &self.written => flushed.clone(),
            (flushed, Torn::Lost) => flushed.clone().unwrap_or_default(),
            (_, Torn::Half) => self.written[..self.written.len() / 2].to_vec(),
            (_, Torn::Whole) => self.written.clone(),
        };
        Self { written: content.clone(), flushed: Some(content) }
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, usize>) {
        match self {
            Self::Create(name, file) => {
                names.insert(name.clone(), *file);
            }
            Self::Rename(from, to, file) => {
                names.remove(from);
                names.insert(to.clone(), *file);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
        }
    }
}

impl Disk for SimulatedDisk {
    type File = usize;

    fn read(&self, name: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        let inner = self.lock();
        let Some(file) = inner.names.get(name) else { return Ok(None) };
        let content = inner.files[*file].written.clone();
        if content.len() as u64 > bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        Ok(Some(content))
    }

    fn create(&self, name: &str) -> io::Result<usize> {
        let mut inner = self.step()?;
        if inner.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let file = inner.files.len();
        inner.files.push(Content::default());
        inner.change(Change::Create(name.to_owned(), file));
        Ok(file)
    }

    fn write(&self, file: &mut usize, bytes: &[u8]) -> io::Result<()> {
        self.step()?.files[*file].written.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&self, file: &usize) -> io::Result<()> {
        let mut inner = self.step()?;
        if !inner.forgets.content {
            let content = &mut inner.files[*file];
            content.flushed = Some(content.written.clone());
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut inner = self.step()?;
        let file = *inner.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        inner.change(Change::Rename(from.to_owned(), to.to_owned(), file));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.step()?;
        if inner.names.contains_key(name) {
            inner.change(Change::Remove(name.to_owned()));
        }
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut inner = self.step()?;
        if !inner.forgets.names {
            inner.durable = inner.names.clone();
            inner.pending.clear();
        }
        Ok(())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.file_names())
    }
}
