//! The file operations that saving is made of, so that tests can stop after any of them.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

/// A directory of files, by name. Nothing is durable before it is flushed: content by `sync`,
/// names by `sync_directory`.
pub(super) trait Disk {
    type File;

    /// The content of a file, or nothing if there is none.
    ///
    /// # Errors
    /// `FileTooLarge`, without reading, for a file longer than that.
    fn read(&self, name: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>>;

    /// Creates a file for its owner only; `AlreadyExists` if there is one.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    fn write(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;

    fn sync(&self, file: &Self::File) -> io::Result<()>;

    /// Renames a file, replacing one of the new name, in one step.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file, if it is there.
    fn remove(&self, name: &str) -> io::Result<()>;

    fn sync_directory(&self) -> io::Result<()>;

    /// The names of all files. One that is no text is none of ours and left out.
    fn names(&self) -> io::Result<Vec<String>>;
}

/// A directory of the file system.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Opens a directory; creates it, for its owner only, with the ones above if they are missing.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        create_durably(path)?;
        Ok(Self { path: path.to_owned() })
    }

    /// Opens a file for its owner only that exists for being locked.
    pub(super) fn lock_file(&self, name: &str) -> io::Result<File> {
        private_options().create(true).truncate(false).open(self.path.join(name))
    }
}

impl Disk for Directory {
    type File = File;

    fn read(&self, name: &str, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
        let file = match File::open(self.path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            file => file?,
        };
        let length = file.metadata()?.len();
        if length > bytes_max {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let capacity = usize::try_from(length).map_err(|_| io::ErrorKind::FileTooLarge)?;
        // Room for everything at once, for growing would leave copies of secrets behind; `take`
        // in case the file grows meanwhile.
        let mut bytes = Vec::with_capacity(capacity);
        file.take(length).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    }

    fn create(&self, name: &str) -> io::Result<File> {
        private_options().create_new(true).open(self.path.join(name))
    }

    fn write(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }

    fn sync_directory(&self) -> io::Result<()> {
        flush_names(&self.path)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let names: Vec<OsString> = fs::read_dir(&self.path)?
            .map(|entry| entry.map(|entry| entry.file_name()))
            .collect::<Result<_, _>>()?;
        Ok(names.into_iter().filter_map(|name| name.into_string().ok()).collect())
    }
}

/// Creates missing directories and makes each entry durable: a state that was saved must not go
/// with its directory.
fn create_durably(path: &Path) -> io::Result<()> {
    if path.as_os_str().is_empty() || path.is_dir() {
        return Ok(());
    }
    let parent = path.parent().unwrap_or(Path::new(""));
    create_durably(parent)?;
    match create_private_directory(path) {
        // Another process was faster, or something else is in the way; then opening fails.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => flush_names(parent),
    }
}

#[cfg(unix)]
fn create_private_directory(path: &Path) -> io::Result<()> {
    std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(path)
}

#[cfg(not(unix))]
fn create_private_directory(path: &Path) -> io::Result<()> {
    fs::create_dir(path)
}

#[cfg(unix)]
fn flush_names(directory: &Path) -> io::Result<()> {
    let is_here = directory.as_os_str().is_empty();
    File::open(if is_here { Path::new(".") } else { directory })?.sync_all()
}

/// Elsewhere a directory cannot be flushed.
#[cfg(not(unix))]
fn flush_names(_directory: &Path) -> io::Result<()> {
    Ok(())
}

fn private_options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}
