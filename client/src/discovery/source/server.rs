//! What is published, from the server itself.

use acquaint_core::{manifest::SignedManifest, publication::DirectoryVersion};
use acquaint_proto::v1;
use bytes::Bytes;

use super::Part;
use crate::{
    connection::Connection,
    discovery::{
        chunks::Assembler,
        delta::{self, Step},
        download::{LabelStream, SetStream, download},
        files::Files,
    },
    error::ClientError,
    traffic::Meter,
};

pub(super) async fn manifest(
    connection: &Connection,
    known_digest: Vec<u8>,
    meter: &Meter,
) -> Result<Option<SignedManifest>, ClientError> {
    let request = v1::GetManifestRequest { known_digest: known_digest.into() };
    let answer: v1::GetManifestResponse = connection
        .unary(request, meter, |request| {
            let mut client = connection.discovery();
            async move { client.get_manifest(request).await }
        })
        .await?;
    Ok(answer.manifest.map(SignedManifest::try_from).transpose()?)
}

pub(super) async fn index(
    connection: &Connection,
    snapshot: u64,
    meter: &Meter,
) -> Result<Bytes, ClientError> {
    let request = v1::FetchSegmentIndexRequest { snapshot };
    let answer: v1::FetchSegmentIndexResponse = connection
        .unary(request, meter, |request| {
            let mut client = connection.discovery();
            async move { client.fetch_segment_index(request).await }
        })
        .await?;
    Ok(answer.index)
}

pub(super) async fn segments(
    connection: &Connection,
    part: Part,
    snapshot: u64,
    assembler: Assembler<Files>,
    meter: &Meter,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Files, ClientError> {
    match part {
        Part::Set => download(connection, &SetStream, snapshot, assembler, meter, progress).await,
        Part::Labels => {
            download(connection, &LabelStream, snapshot, assembler, meter, progress).await
        }
    }
}

pub(super) async fn steps(
    connection: &Connection,
    from: DirectoryVersion,
    to: DirectoryVersion,
    meter: &Meter,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<Vec<Step>, ClientError> {
    let request = v1::FetchDeltaRequest {
        snapshot: from.snapshot,
        version: from.version,
        to_snapshot: to.snapshot,
        to_version: to.version,
    };
    delta::fetch(connection, request, meter, progress).await
}
