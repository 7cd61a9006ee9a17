//! The directory that an export fills: files appear whole and durable, or not at all.

use std::{
    fs::{self, File, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

use acquaint_core::publication::FileName;

use super::ExportError;

/// Folders of a publication, relative to its root; deltas have one more level below.
const FOLDERS: [&str; 5] = ["index", "set", "labels", "delta", "way"];

/// What is not part of the publication; a web server need not serve it, but it holds no secret.
const LOCK: &str = ".lock";
const LEDGER: &str = ".exports";
const INCOMING: &str = ".incoming";

/// A directory, locked against other exports until dropped.
#[derive(Debug)]
pub(super) struct Tree {
    root: PathBuf,
    _lock: File,
}

impl Tree {
    /// Opens a directory, or makes it. What an interrupted export left half written is removed.
    ///
    /// # Errors
    /// [`ExportError::Busy`], [`ExportError::Disk`].
    pub(super) fn open(root: &Path) -> Result<Self, ExportError> {
        for folder in FOLDERS {
            fs::create_dir_all(root.join(folder))?;
        }
        let lock =
            File::options().create(true).truncate(false).write(true).open(root.join(LOCK))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(ExportError::Busy),
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
        match fs::remove_file(root.join(INCOMING)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
        Ok(Self { root: root.to_owned(), _lock: lock })
    }

    /// Whether a file is there. One that is has been written whole, so its length tells it from
    /// what is no file of ours.
    pub(super) fn has(&self, name: &FileName, bytes: u64) -> bool {
        let metadata = fs::symlink_metadata(self.path(name));
        metadata.is_ok_and(|metadata| metadata.is_file() && metadata.len() == bytes)
    }

    /// The content of a file, if it is there.
    ///
    /// # Errors
    /// [`ExportError::Disk`].
    pub(super) fn read(&self, name: &FileName) -> Result<Option<Vec<u8>>, ExportError> {
        read(&self.path(name))
    }

    /// Writes a file: under another name, flushed, then renamed.
    ///
    /// # Errors
    /// [`ExportError::Disk`]; what was there before stays.
    pub(super) fn put(&self, name: &FileName, content: &[u8]) -> Result<(), ExportError> {
        let path = self.path(name);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        self.replace(&path, content)
    }

    fn replace(&self, path: &Path, content: &[u8]) -> Result<(), ExportError> {
        let incoming = self.root.join(INCOMING);
        let mut file = File::create(&incoming)?;
        file.write_all(content)?;
        file.sync_all()?;
        Ok(fs::rename(incoming, path)?)
    }

    /// Flushes the names of all files.
    ///
    /// # Errors
    /// [`ExportError::Disk`].
    pub(super) fn sync(&self) -> Result<(), ExportError> {
        for folder in self.folders()? {
            File::open(folder)?.sync_all()?;
        }
        Ok(File::open(&self.root)?.sync_all()?)
    }

    /// The files that are there, without the manifest. What has another name than those of a
    /// publication is nobody's business.
    ///
    /// # Errors
    /// [`ExportError::Disk`].
    pub(super) fn files(&self) -> Result<Vec<FileName>, ExportError> {
        let mut files = Vec::new();
        for folder in self.folders()? {
            for entry in fs::read_dir(folder)? {
                let entry = entry?;
                let path = entry.path();
                let relative = path.strip_prefix(&self.root).ok().and_then(Path::to_str);
                let name = relative.and_then(|path| path.parse::<FileName>().ok());
                if entry.file_type()?.is_file() {
                    files.extend(name);
                }
            }
        }
        Ok(files)
    }

    /// Removes a file.
    ///
    /// # Errors
    /// [`ExportError::Disk`].
    pub(super) fn remove(&self, name: &FileName) -> Result<(), ExportError> {
        fs::remove_file(self.path(name))?;
        if let FileName::Delta { .. } = name
            && let Some(folder) = self.path(name).parent()
        {
            // The folder of a snapshot goes with its last delta, and stays while it has others.
            let _ = fs::remove_dir(folder);
        }
        Ok(())
    }

    /// What earlier exports noted; empty if they did not, or if it cannot be read as text.
    ///
    /// # Errors
    /// [`ExportError::Disk`].
    pub(super) fn read_ledger(&self) -> Result<String, ExportError> {
        let bytes = read(&self.root.join(LEDGER))?.unwrap_or_default();
        Ok(String::from_utf8(bytes).unwrap_or_default())
    }

    /// Writes the notes for later exports.
    ///
    /// # Errors
    /// [`ExportError::Disk`].
    pub(super) fn write_ledger(&self, text: &str) -> Result<(), ExportError> {
        self.replace(&self.root.join(LEDGER), text.as_bytes())
    }

    /// The folders that hold files, those of single snapshots included.
    fn folders(&self) -> Result<Vec<PathBuf>, ExportError> {
        let mut folders: Vec<_> = FOLDERS.iter().map(|folder| self.root.join(folder)).collect();
        for entry in fs::read_dir(self.root.join("delta"))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                folders.push(entry.path());
            }
        }
        Ok(folders)
    }

    fn path(&self, name: &FileName) -> PathBuf {
        self.root.join(name.to_string())
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, ExportError> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DELTA: FileName = FileName::Delta { snapshot: 3, from: 1, to: 2 };

    fn place() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }

    #[test]
    fn files_are_found_under_their_names() {
        let place = place();
        let tree = Tree::open(&place.path().join("new/tree")).unwrap();
        let set = FileName::Set([7; 32]);
        assert!(!tree.has(&DELTA, 3));
        tree.put(&DELTA, b"abc").unwrap();
        tree.put(&set, b"set").unwrap();
        tree.put(&FileName::Manifest, b"manifest").unwrap();
        tree.sync().unwrap();
        assert!(tree.has(&DELTA, 3) && !tree.has(&DELTA, 4));
        assert_eq!(tree.read(&set).unwrap().unwrap(), b"set");
        let mut files = tree.files().unwrap();
        files.sort();
        assert_eq!(files, [set, DELTA]);
        assert_eq!(fs::read(place.path().join("new/tree/delta/3/1-2")).unwrap(), b"abc");
    }

    #[test]
    fn what_an_interrupted_export_left_is_neither_served_nor_kept() {
        let place = place();
        drop(Tree::open(place.path()).unwrap());
        fs::write(place.path().join(INCOMING), b"half").unwrap();
        let tree = Tree::open(place.path()).unwrap();
        assert!(tree.files().unwrap().is_empty());
        assert!(!place.path().join(INCOMING).exists());
    }

    #[test]
    fn a_failed_write_leaves_what_was_there() {
        let place = place();
        let tree = Tree::open(place.path()).unwrap();
        tree.put(&FileName::Manifest, b"before").unwrap();
        // Nothing can be written under the name that is taken by a folder.
        fs::create_dir(place.path().join(INCOMING)).unwrap();
        assert!(matches!(tree.put(&FileName::Manifest, b"after"), Err(ExportError::Disk(_))));
        assert_eq!(tree.read(&FileName::Manifest).unwrap().unwrap(), b"before");
    }

    #[test]
    fn one_export_at_a_time() {
        let place = place();
        let first = Tree::open(place.path()).unwrap();
        assert!(matches!(Tree::open(place.path()), Err(ExportError::Busy)));
        drop(first);
        assert!(Tree::open(place.path()).is_ok());
    }

    #[test]
    fn only_files_of_a_publication_are_ever_removed() {
        let place = place();
        let tree = Tree::open(place.path()).unwrap();
        for foreign in ["index.html", "set/readme", "delta/3-1", ".well-known"] {
            fs::write(place.path().join(foreign), b"foreign").unwrap();
        }
        tree.put(&DELTA, b"abc").unwrap();
        assert_eq!(tree.files().unwrap(), [DELTA]);
        tree.remove(&DELTA).unwrap();
        assert!(!place.path().join("delta/3").exists());
        assert!(place.path().join("delta/3-1").exists());
    }
}
