//! The publication as files in a directory, for any web server.
//!
//! The exporter asks the running server over its admin socket, and needs neither keys nor store.
//! Whoever reads the directory at any moment, also after a power failure, finds a manifest and
//! everything that it names: files appear whole and durable, the manifest comes last, and what no
//! manifest needs any more goes only after a while.

mod ledger;
mod remote;
mod tree;

use std::{collections::BTreeMap, io, path::Path, time::Duration};

use acquaint_core::{
    manifest::SignedManifest,
    publication::{DirectoryVersion, FileName},
};
use tonic::Code;

use ledger::Ledger;
use tree::Tree;

pub use remote::{Published, Remote};

/// How often an export starts over because files were replaced under it.
const RESTARTS_MAX: usize = 2;

/// What an export did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// Files that the publication consists of, the manifest included.
    pub files: u64,
    /// Bytes of these.
    pub bytes: u64,
    /// Files that were not there yet.
    pub files_written: u64,
    /// Bytes of these.
    pub bytes_written: u64,
    /// Files that were removed.
    pub files_removed: u64,
}

/// Why an export ended early. What is in the directory stays usable; the next export goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// Nobody answers on the socket.
    #[error("no server answers on the admin socket: start it, or name its configuration")]
    Unreachable,
    /// The server refused a call.
    #[error("the server refused: {}", .0.message())]
    Refused(#[source] Box<tonic::Status>),
    /// The server sent something else than it announced.
    #[error("the server sent a file that is not the one it announced: see its log")]
    Answer,
    /// The directory cannot be read or written.
    #[error("the directory cannot be written ({0}): check its permissions and the disk")]
    Disk(io::ErrorKind),
    /// Another export writes to the same directory.
    #[error("another export writes to this directory: wait for its end")]
    Busy,
}

impl From<io::Error> for ExportError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error.kind())
    }
}

/// Brings a directory up to date with what a server has published.
///
/// `now_s` is the time in seconds since 1970; what the publication no longer needs is removed once
/// it has been so for `keep`. Waits for the disk on the thread that it runs on. `progress` is told the files done, and of how many.
///
/// # Errors
/// [`ExportError`].
pub async fn export(
    remote: &Remote,
    to: &Path,
    keep: Duration,
    now_s: u64,
    progress: impl Fn(u64, u64),
) -> Result<Exported, ExportError> {
    let tree = Tree::open(to)?;
    let mut ledger = Ledger::parse(&tree.read_ledger()?);
    let mut n_restarts = 0;
    let (listing, mut exported) = loop {
        match fill(remote, &tree, &ledger, &progress).await {
            // So much was published meanwhile that a file is gone.
            Err(ExportError::Refused(status))
                if status.code() == Code::NotFound && n_restarts < RESTARTS_MAX =>
            {
                n_restarts += 1;
            }
            filled => break filled?,
        }
    };

    let is_listed = |name: &FileName| listing.files.contains_key(name);
    let unlisted = tree.files()?.into_iter().filter(|name| !is_listed(name)).collect();
    let due = ledger.note(now_s, &listing.versions, unlisted, keep);
    // Before the manifest: a version that is noted and was never shown costs a delta, one that was
    // shown and is not noted costs its clients a download.
    tree.write_ledger(&ledger.to_text())?;
    let manifest = listing.manifest.to_file();
    exported.count(manifest.len() as u64);
    if tree.read(&FileName::Manifest)?.as_deref() != Some(&manifest) {
        tree.put(&FileName::Manifest, &manifest)?;
        tree.sync()?;
        exported.count_written(manifest.len() as u64);
    }
    for name in &due {
        tree.remove(name)?;
        exported.files_removed += 1;
    }
    progress(exported.files, exported.files);
    Ok(exported)
}

/// Writes everything that the newest manifest names and that is not there, durably.
async fn fill(
    remote: &Remote,
    tree: &Tree,
    ledger: &Ledger,
    progress: &impl Fn(u64, u64),
) -> Result<(Listing, Exported), ExportError> {
    let listing = remote.list(&ledger.versions()).await?;
    let of = listing.files.len() as u64 + 1;
    let mut exported = Exported::default();
    for (name, bytes) in &listing.files {
        progress(exported.files, of);
        if !tree.has(name, *bytes) {
            tree.put(name, &remote.fetch(name, *bytes).await?)?;
            exported.count_written(*bytes);
        }
        exported.count(*bytes);
    }
    tree.sync()?;
    Ok((listing, exported))
}

impl Exported {
    fn count(&mut self, bytes: u64) {
        self.files += 1;
        self.bytes += bytes;
    }

    fn count_written(&mut self, bytes: u64) {
        self.files_written += 1;
        self.bytes_written += bytes;
    }
}

/// What a publication consists of, as the server lists it.
#[derive(Debug)]
struct Listing {
    manifest: SignedManifest,
    versions: Vec<DirectoryVersion>,
    files: BTreeMap<FileName, u64>,
}
