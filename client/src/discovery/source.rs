//! Where what is published comes from: the server, or files of any web server.
//!
//! The one place that knows of both. Whatever it gives is checked afterward by the same code, so
//! neither of the two is trusted.

mod files;
mod server;

use acquaint_core::{
    manifest::{DIGEST_BYTES, SignedManifest, SnapshotInfo},
    publication::DirectoryVersion,
};
use bytes::Bytes;

use super::{chunks::Assembler, delta::Step, files::Files};
use crate::{
    builder::Core, connection::Connection, error::ClientError, static_files::StaticFiles,
    traffic::Meter,
};

/// The files of a snapshot's segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Set,
    Labels,
}

/// Length and digest of a segment's file, from a verified index.
pub(super) type SegmentFile = (u32, [u8; DIGEST_BYTES]);

/// Where to get what a manifest names, and the manifest.
#[derive(Clone, Copy)]
pub(super) enum Source<'a> {
    Server(&'a Connection),
    Files(&'a StaticFiles),
}

impl<'a> Source<'a> {
    /// The place that the app chose.
    pub(super) fn of(core: &'a Core) -> Self {
        core.static_files.as_ref().map_or(Self::Server(&core.connection), Self::Files)
    }

    /// The newest manifest, not verified; `None` if it is the one with a known digest.
    pub(super) async fn manifest(
        self,
        known_digest: Vec<u8>,
        meter: &Meter,
    ) -> Result<Option<SignedManifest>, ClientError> {
        match self {
            Self::Server(connection) => server::manifest(connection, known_digest, meter).await,
            Self::Files(files) => files::manifest(files, &known_digest, meter).await,
        }
    }

    /// The segment index of a snapshot, not verified.
    pub(super) async fn index(
        self,
        snapshot: &SnapshotInfo,
        meter: &Meter,
    ) -> Result<Bytes, ClientError> {
        match self {
            Self::Server(connection) => server::index(connection, snapshot.number, meter).await,
            Self::Files(files) => files::index(files, snapshot.index_digest, meter).await,
        }
    }

    /// The files of all segments, each with its length and digest. `progress` is told the bytes
    /// that are there.
    pub(super) async fn segments(
        self,
        part: Part,
        snapshot: u64,
        wanted: Vec<SegmentFile>,
        meter: &Meter,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Vec<Bytes>, ClientError> {
        let (lengths, digests) = wanted.iter().copied().unzip();
        let assembler = Assembler::new(lengths, Files::new(digests));
        let files = match self {
            Self::Server(connection) => {
                server::segments(connection, part, snapshot, assembler, meter, progress).await
            }
            Self::Files(files) => {
                files::segments(files, part, wanted, assembler, meter, progress).await
            }
        }?;
        Ok(files.complete())
    }

    /// The way from one version to another, not verified.
    ///
    /// # Errors
    /// [`ClientError::DirectoryChanged`] if there is none.
    pub(super) async fn steps(
        self,
        from: DirectoryVersion,
        to: DirectoryVersion,
        meter: &Meter,
        progress: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Vec<Step>, ClientError> {
        match self {
            Self::Server(connection) => server::steps(connection, from, to, meter, progress).await,
            Self::Files(files) => files::steps(files, from, to, meter, progress).await,
        }
    }
}
