//! The publication as files: which there are, and what is in them.

use std::collections::BTreeMap;

use acquaint_core::{
    limits::EXPORTED_VERSIONS_MAX,
    manifest::{EpochInfo, SignedManifest},
    publication::{DirectoryVersion, FileName, Way},
};
use bytes::Bytes;

use super::{Directory, DirectoryError, lineage::Step, publication::Published};
use crate::evaluator::Reservation;

/// What a static export consists of.
#[derive(Debug)]
pub struct Listing {
    /// The newest manifest.
    pub manifest: SignedManifest,
    /// The version of each live epoch.
    pub versions: Vec<DirectoryVersion>,
    /// All other files with their lengths in bytes.
    pub files: BTreeMap<FileName, u64>,
}

impl Directory {
    /// The files of the newest publication, with the deltas from versions that were exported
    /// before; of very many the last [`EXPORTED_VERSIONS_MAX`] count. Deltas are made on the
    /// evaluator's pool. `None` if so much was published meanwhile that files are gone.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub async fn list(
        &self,
        reservation: &Reservation,
        exported: &[DirectoryVersion],
    ) -> Result<Option<Listing>, DirectoryError> {
        let published = self.published();
        let mut files = BTreeMap::new();
        for info in &published.manifest.epochs {
            let Some(snapshot) = published.snapshot(info.snapshot.number) else {
                return Ok(None);
            };
            files.extend(snapshot.files());
            let own = [DirectoryVersion {
                snapshot: info.snapshot.number,
                version: info.snapshot.version,
            }];
            let n_passed_over = exported.len().saturating_sub(EXPORTED_VERSIONS_MAX);
            for from in own.iter().chain(exported.iter().skip(n_passed_over)) {
                let to = version_of(info);
                let ends = ((from.snapshot, from.version), (to.snapshot, to.version));
                let Some(steps) = self.steps(reservation, ends.0, ends.1).await? else { continue };
                files.extend(files_of_way(*from, to, &steps));
            }
        }
        let versions = published.manifest.epochs.iter().map(version_of).collect();
        Ok(Some(Listing { manifest: published.signed.clone(), versions, files }))
    }

    /// A file of the publication by name, made or found on the evaluator's pool; `None` if there
    /// is none, or it is no longer kept.
    ///
    /// # Errors
    /// [`DirectoryError`].
    pub async fn file(
        &self,
        reservation: &Reservation,
        name: FileName,
    ) -> Result<Option<Bytes>, DirectoryError> {
        let published = self.published();
        reservation.run(move || published.file(&name)).await?
    }
}

impl Published {
    fn file(&self, name: &FileName) -> Result<Option<Bytes>, DirectoryError> {
        Ok(match *name {
            FileName::Manifest => Some(self.signed.to_file().into()),
            FileName::Index(_) | FileName::Set(_) | FileName::Labels(_) => {
                self.kept().find_map(|snapshot| snapshot.file(name))
            }
            FileName::Delta { snapshot, from, to } => {
                let steps = self.steps((snapshot, from), (snapshot, to))?;
                steps.and_then(|steps| Some(steps.first()?.delta.clone()))
            }
            FileName::Way { from, to } => {
                let ends = ((from.snapshot, from.version), (to.snapshot, to.version));
                let steps = self.steps(ends.0, ends.1)?;
                steps.and_then(|steps| Some(way(&steps)?.encode().into()))
            }
        })
    }
}

fn version_of(info: &EpochInfo) -> DirectoryVersion {
    DirectoryVersion { snapshot: info.snapshot.number, version: info.version }
}

/// The deltas of a way, and the file that lists its steps if there are several. A step over which
/// nothing changed has no file.
fn files_of_way(
    from: DirectoryVersion,
    to: DirectoryVersion,
    steps: &[Step],
) -> Vec<(FileName, u64)> {
    let mut files = Vec::new();
    let mut version = from.version;
    for step in steps {
        if !step.delta.is_empty() {
            let name = FileName::Delta { snapshot: step.snapshot, from: version, to: step.version };
            files.push((name, step.delta.len() as u64));
        }
        version = step.version;
    }
    if from.snapshot != to.snapshot
        && let Some(way) = way(steps)
    {
        files.push((FileName::Way { from, to }, way.encode().len() as u64));
    }
    files
}

fn way(steps: &[Step]) -> Option<Way> {
    let step = |step: &Step| DirectoryVersion { snapshot: step.snapshot, version: step.version };
    Way::new(steps.iter().map(step).collect()).ok()
}
