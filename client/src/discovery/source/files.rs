//! What is published, from static files.

use acquaint_core::{
    limits::{DELTA_BYTES_MAX, SEGMENT_INDEX_BYTES_MAX},
    manifest::{DIGEST_BYTES, SignedManifest},
    publication::{DirectoryVersion, FileName, MANIFEST_FILE_BYTES_MAX, WAY_BYTES_MAX, Way},
};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::{Part, SegmentFile};
use crate::{
    discovery::{
        chunks::{Assembler, Chunk},
        delta::Step,
        files::Files,
    },
    error::{ClientError, Misbehavior},
    static_files::{Length, StaticFiles},
    traffic::Meter,
};

/// Files of set or labels that are fetched at a time. Both parts are at the same time, so that
/// there are four.
const FILES_IN_FLIGHT: usize = 2;

pub(super) async fn manifest(
    files: &StaticFiles,
    known_digest: &[u8],
    meter: &Meter,
) -> Result<Option<SignedManifest>, ClientError> {
    let length = Length::AtMost(MANIFEST_FILE_BYTES_MAX);
    let file = files.fetch(&FileName::Manifest, length, meter).await?;
    // A place without a manifest is no publication at all.
    let signed = SignedManifest::from_file(&file.ok_or(Misbehavior::Protocol)?)?;
    Ok((signed.digest() != known_digest).then_some(signed))
}

pub(super) async fn index(
    files: &StaticFiles,
    digest: [u8; DIGEST_BYTES],
    meter: &Meter,
) -> Result<Bytes, ClientError> {
    let length = Length::AtMost(SEGMENT_INDEX_BYTES_MAX);
    Ok(existing(files, &FileName::Index(digest), length, meter).await?.into())
}

pub(super) async fn segments(
    files: &StaticFiles,
    part: Part,
    wanted: Vec<SegmentFile>,
    mut assembler: Assembler<Files>,
    meter: &Meter,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Files, ClientError> {
    // An empty file is none.
    let wanted = (0..).zip(wanted).filter(|(_, (bytes, _))| *bytes > 0);
    let mut fetched = stream::iter(wanted)
        .map(|(segment, file)| fetch_segment(files, part, segment, file, meter))
        .buffered(FILES_IN_FLIGHT);
    while let Some(file) = fetched.next().await {
        let (segment, data) = file?;
        assembler.accept(&Chunk { segment, offset: 0, data: &data })?;
        progress(assembler.bytes());
    }
    drop(fetched);
    Ok(assembler.finish()?)
}

async fn fetch_segment(
    files: &StaticFiles,
    part: Part,
    segment: u32,
    (bytes, digest): SegmentFile,
    meter: &Meter,
) -> Result<(u32, Vec<u8>), ClientError> {
    let name = match part {
        Part::Set => FileName::Set(digest),
        Part::Labels => FileName::Labels(digest),
    };
    let length = Length::Exactly(bytes as usize);
    Ok((segment, existing(files, &name, length, meter).await?))
}

pub(super) async fn steps(
    files: &StaticFiles,
    from: DirectoryVersion,
    to: DirectoryVersion,
    meter: &Meter,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Vec<Step>, ClientError> {
    let (mut steps, mut version, mut bytes) = (Vec::new(), from.version, 0);
    for end in ends(files, from, to, meter).await? {
        let length = Length::AtMost(DELTA_BYTES_MAX - bytes);
        let delta = match FileName::delta(end.snapshot, version, end.version) {
            Some(name) => existing(files, &name, length, meter).await?,
            // Nothing changed: there is no file.
            None => Vec::new(),
        };
        bytes += delta.len();
        progress(bytes as u64);
        steps.push(Step { snapshot: end.snapshot, version: end.version, delta });
        version = end.version;
    }
    Ok(steps)
}

/// Where each step of a way ends. Within one snapshot it is one step, and no file says so.
async fn ends(
    files: &StaticFiles,
    from: DirectoryVersion,
    to: DirectoryVersion,
    meter: &Meter,
) -> Result<Vec<DirectoryVersion>, ClientError> {
    if from.snapshot == to.snapshot {
        return Ok(vec![to]);
    }
    let length = Length::AtMost(WAY_BYTES_MAX);
    let way = existing(files, &FileName::Way { from, to }, length, meter).await?;
    let way = Way::decode(&way).map_err(|_| Misbehavior::DeltaMalformed)?;
    Ok(way.steps().to_vec())
}

/// A file that the manifest, or what follows from it, names. If it is gone, the manifest is old.
async fn existing(
    files: &StaticFiles,
    name: &FileName,
    length: Length,
    meter: &Meter,
) -> Result<Vec<u8>, ClientError> {
    files.fetch(name, length, meter).await?.ok_or(ClientError::DirectoryChanged)
}
