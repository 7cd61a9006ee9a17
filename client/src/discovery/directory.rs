//! Getting what a manifest names: by what changed, or by downloading a snapshot.

use std::sync::Arc;

use acquaint_core::{
    manifest::{EpochInfo, ManifestError, SegmentIndex, SegmentInfo},
    publication::DirectoryVersion,
};
use bytes::Bytes;
use futures_util::future::try_join;

use super::{
    Phase,
    holding::Holding,
    source::{Part, SegmentFile, Source},
};
use crate::{builder::Core, error::ClientError, outcome::Progress, traffic::Meter};

/// One epoch of a verified manifest, to be got.
pub(super) struct Wanted<'a> {
    pub(super) core: &'a Arc<Core>,
    pub(super) info: &'a EpochInfo,
    pub(super) progress: &'a (dyn Fn(Progress) + Send + Sync),
    pub(super) set: &'a Phase,
    pub(super) labels: &'a Phase,
}

impl Wanted<'_> {
    /// The version that the manifest names, from what is held if there is a way.
    ///
    /// If the way of the server does not lead to what the manifest names, the whole snapshot is
    /// downloaded; what is asked depends on public bytes alone, never on contacts.
    ///
    /// # Errors
    /// [`ClientError`]. What was downloaded before it stays in `held`.
    pub(super) async fn get(&self, held: &mut Option<Holding>) -> Result<Holding, ClientError> {
        // Cloned, not taken: what is held stays if this future is dropped.
        if let Some(holding) = held.clone().filter(|holding| holding.fits(self.info)) {
            match self.follow(holding).await {
                Ok(holding) => return Ok(held.insert(holding).clone()),
                // Too old, or not what the manifest names.
                Err(ClientError::DirectoryChanged | ClientError::ServerMisbehaved(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let snapshot = held.insert(self.download().await?).clone();
        let holding = self.follow(snapshot).await?;
        Ok(held.insert(holding).clone())
    }

    /// Follows the changes to the version that the manifest names.
    async fn follow(&self, holding: Holding) -> Result<Holding, ClientError> {
        if holding.is_at(self.info) {
            holding.check_overlay(self.info)?;
            return Ok(holding);
        }
        let from = DirectoryVersion { snapshot: holding.snapshot(), version: holding.version() };
        let to =
            DirectoryVersion { snapshot: self.info.snapshot.number, version: self.info.version };
        let progress = |bytes| (self.progress)(Progress::Delta { bytes });
        let source = Source::of(self.core);
        let steps = source.steps(from, to, &self.set.meter, &progress).await?;
        let info = self.info.clone();
        Ok(self.core.cpu.run(move || holding.follow(&steps, &info)).await??)
    }

    /// Downloads set and labels of the snapshot, all of both, at the same time.
    async fn download(&self) -> Result<Holding, ClientError> {
        let index = self.fetch_index().await?;
        let set_progress = |bytes, total| (self.progress)(Progress::Set { bytes, total });
        let set = index.segments().iter().map(|info| (info.set_bytes, info.set_digest)).collect();
        let set = self.fetch(Part::Set, set, &self.set.meter, &set_progress);
        let labels_progress = |bytes, total| (self.progress)(Progress::Labels { bytes, total });
        let labels = index.segments().iter().map(labels_file).collect::<Result<_, _>>()?;
        let labels = self.fetch(Part::Labels, labels, &self.labels.meter, &labels_progress);
        let (set, labels) = try_join(set, self.labels.timed(labels)).await?;
        Ok(Holding::of_snapshot(self.info, &index, set, labels)?)
    }

    async fn fetch_index(&self) -> Result<SegmentIndex, ClientError> {
        let snapshot = &self.info.snapshot;
        let index = Source::of(self.core).index(snapshot, &self.set.meter).await?;
        Ok(SegmentIndex::decode(&index, snapshot)?)
    }

    async fn fetch(
        &self,
        part: Part,
        files: Vec<SegmentFile>,
        meter: &Meter,
        progress: &(dyn Fn(u64, u64) + Send + Sync),
    ) -> Result<Vec<Bytes>, ClientError> {
        let total = files.iter().map(|(bytes, _)| u64::from(*bytes)).sum();
        let progress = |bytes| progress(bytes, total);
        let (source, number) = (Source::of(self.core), self.info.snapshot.number);
        source.segments(part, number, files, meter, &progress).await
    }
}

/// Length and digest of a segment's labels.
///
/// # Errors
/// [`ManifestError::Content`] for more members than positions on the wire can count.
fn labels_file(info: &SegmentInfo) -> Result<SegmentFile, ManifestError> {
    let bytes = u32::try_from(info.labels_bytes()).map_err(|_| ManifestError::Content)?;
    Ok((bytes, info.labels_digest))
}
