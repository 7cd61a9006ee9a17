//! `AdminService`: what the operator calls, over a Unix socket for all tenants or over the admin
//! port for one.

use std::{sync::Arc, time::Instant};

use acquaint_core::{
    limits::{CHUNK_BYTES, LOOKUP_BYTES_MAX},
    publication::{DirectoryVersion, FileName},
};
use acquaint_proto::{
    Reason, Refusal,
    v1::{
        self, FetchFileRequest, FetchFileResponse, GetStatusRequest, GetStatusResponse,
        ListKeysRequest, ListKeysResponse, ListPublicationRequest, ListPublicationResponse,
        PublishRequest, PublishResponse, PublishedFile, PublishedVersion, RotateKeyRequest,
        RotateKeyResponse, RotationPhase,
        admin_service_server::{AdminService, AdminServiceServer},
    },
};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tonic::{Request, Response, Status, async_trait};

use super::{directory_refusal, reserve_for_delta, watch::watched};
use crate::{
    admission::Admitted,
    directory::{KeyPhase, Listing, Phase},
    tenant::{Tenant, Tenants},
};

/// Names in one message of a listing: about 100 KB.
const NAMES_PER_MESSAGE: usize = 1_000;

/// Answers `AdminService`.
#[derive(Debug)]
pub struct AdminRpc {
    tenants: Arc<Tenants>,
    started: Instant,
}

impl AdminRpc {
    /// The service.
    #[must_use]
    pub fn service(tenants: Arc<Tenants>) -> AdminServiceServer<Self> {
        AdminServiceServer::new(Self { tenants, started: Instant::now() })
            .max_decoding_message_size(LOOKUP_BYTES_MAX)
    }

    /// The tenant that a call is about.
    fn tenant<T>(&self, request: &Request<T>, named: &str) -> Result<Arc<Tenant>, Refusal> {
        Admitted::administered(request, &self.tenants, named)
    }
}

/// A listing in messages: the manifest first, then the names.
fn listing_messages(listing: Listing) -> Vec<ListPublicationResponse> {
    let Listing { manifest, versions, files } = listing;
    let version = |DirectoryVersion { snapshot, version }| PublishedVersion { snapshot, version };
    let first = ListPublicationResponse {
        manifest: Some(manifest.into()),
        versions: versions.into_iter().map(version).collect(),
        files: Vec::new(),
    };
    let file = |(name, bytes): (FileName, u64)| PublishedFile { name: name.to_string(), bytes };
    let files: Vec<_> = files.into_iter().map(file).collect();
    let names = files.chunks(NAMES_PER_MESSAGE).map(|files| ListPublicationResponse {
        files: files.to_vec(),
        ..ListPublicationResponse::default()
    });
    std::iter::once(first).chain(names).collect()
}

#[async_trait]
impl AdminService for AdminRpc {
    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        watched("Publish", async {
            let tenant = self.tenant(&request, &request.get_ref().tenant)?;
            let published = tenant.publish_handle().publish_now().await.ok_or(Reason::QueueFull);
            let published =
                published.map_err(Refusal::from)?.map_err(|error| directory_refusal(&error, ""))?;
            let newest = published.manifest.current();
            Ok(Response::new(PublishResponse {
                snapshot: newest.snapshot.number,
                members: newest.members(),
                version: newest.version,
            }))
        })
        .await
    }

    type ListPublicationStream = BoxStream<'static, Result<ListPublicationResponse, Status>>;

    async fn list_publication(
        &self,
        request: Request<ListPublicationRequest>,
    ) -> Result<Response<Self::ListPublicationStream>, Status> {
        watched("ListPublication", async {
            let tenant = self.tenant(&request, &request.get_ref().tenant)?;
            let version =
                |PublishedVersion { snapshot, version }| DirectoryVersion { snapshot, version };
            let exported: Vec<_> = request.into_inner().exported.into_iter().map(version).collect();
            let listing = tenant.directory().list(&reserve_for_delta(&tenant)?, &exported).await;
            let listing = listing
                .map_err(|error| directory_refusal(&error, "exported"))?
                .ok_or_else(|| Refusal::new(Reason::SnapshotUnknown))?;
            let messages = listing_messages(listing).into_iter().map(Ok);
            Ok(Response::new(stream::iter(messages).boxed()))
        })
        .await
    }

    type FetchFileStream = BoxStream<'static, Result<FetchFileResponse, Status>>;

    async fn fetch_file(
        &self,
        request: Request<FetchFileRequest>,
    ) -> Result<Response<Self::FetchFileStream>, Status> {
        watched("FetchFile", async {
            let tenant = self.tenant(&request, &request.get_ref().tenant)?;
            let unknown = || Refusal::new(Reason::SnapshotUnknown).field("name");
            let name: FileName = request.into_inner().name.parse().map_err(|_| unknown())?;
            let file = tenant.directory().file(&reserve_for_delta(&tenant)?, name).await;
            let file =
                file.map_err(|error| directory_refusal(&error, "name"))?.ok_or_else(unknown)?;
            let pieces = (0..file.len()).step_by(CHUNK_BYTES).map(move |start| {
                let data = file.slice(start..(start + CHUNK_BYTES).min(file.len()));
                Ok(FetchFileResponse { data })
            });
            Ok(Response::new(stream::iter(pieces).boxed()))
        })
        .await
    }

    async fn get_status(
        &self,
        request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        watched("GetStatus", async {
            let tenant = self.tenant(&request, &request.get_ref().tenant)?;
            let refused = |error| directory_refusal(&error, "");
            let head = tenant.directory().head().map_err(refused)?;
            let published = tenant.directory().published();
            let newest = published.manifest.current();
            Ok(Response::new(GetStatusResponse {
                tenant: tenant.directory().tenant().to_string(),
                epoch: tenant.directory().epoch(),
                version: head.version,
                published_version: newest.version,
                snapshot: newest.snapshot.number,
                members: newest.members(),
                entries: tenant.directory().entries().map_err(refused)?,
                evaluated_elements: tenant.evaluator().evaluated_elements(),
                uptime_seconds: self.started.elapsed().as_secs(),
                rotation_phase: rotation_phase(&tenant.directory().phase()).into(),
                moved_entries: tenant.directory().moved().map_err(refused)?.unwrap_or_default(),
            }))
        })
        .await
    }

    async fn rotate_key(
        &self,
        request: Request<RotateKeyRequest>,
    ) -> Result<Response<RotateKeyResponse>, Status> {
        watched("RotateKey", async {
            let tenant = self.tenant(&request, &request.get_ref().tenant)?;
            let begun = tenant.rotate_handle().rotate().await.ok_or(Reason::QueueFull);
            let begun =
                begun.map_err(Refusal::from)?.map_err(|error| directory_refusal(&error, ""))?;
            Ok(Response::new(RotateKeyResponse {
                from_epoch: begun.from,
                to_epoch: begun.to,
                rotation_phase: rotation_phase(&tenant.directory().phase()).into(),
            }))
        })
        .await
    }

    async fn list_keys(
        &self,
        request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysResponse>, Status> {
        watched("ListKeys", async {
            let tenant = self.tenant(&request, &request.get_ref().tenant)?;
            let keys = tenant.directory().keys().await;
            let keys = keys.map_err(|error| directory_refusal(&error, ""))?;
            let keys = keys.into_iter().map(|(key, phase)| v1::EpochKey {
                epoch: key.epoch,
                public_key: key.public_key.as_bytes().to_vec().into(),
                phase: key_phase(phase).into(),
            });
            Ok(Response::new(ListKeysResponse { keys: keys.collect() }))
        })
        .await
    }
}

const fn rotation_phase(phase: &Phase) -> RotationPhase {
    match phase {
        Phase::Settled => RotationPhase::Settled,
        Phase::Moving { .. } => RotationPhase::Moving,
        Phase::Grace { .. } => RotationPhase::Grace,
        Phase::Retiring { .. } => RotationPhase::Retiring,
    }
}

const fn key_phase(phase: KeyPhase) -> v1::KeyPhase {
    match phase {
        KeyPhase::Serving => v1::KeyPhase::Serving,
        KeyPhase::Moving => v1::KeyPhase::Moving,
        KeyPhase::Grace => v1::KeyPhase::Grace,
        KeyPhase::Retiring => v1::KeyPhase::Retiring,
        KeyPhase::Destroyed => v1::KeyPhase::Destroyed,
        KeyPhase::Unused => v1::KeyPhase::Unused,
    }
}
