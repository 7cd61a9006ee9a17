//! `AdminService`: what the operator calls on the machine itself, over a Unix socket.

use std::{sync::Arc, time::Instant};

use acquaint_proto::{
    Reason, Refusal,
    v1::{
        self, GetStatusRequest, GetStatusResponse, ListKeysRequest, ListKeysResponse,
        PublishRequest, PublishResponse, RotateKeyRequest, RotateKeyResponse, RotationPhase,
        admin_service_server::{AdminService, AdminServiceServer},
    },
};
use tonic::{Request, Response, Status, async_trait};

use super::{directory_refusal, watch::watched};
use crate::{
    directory::{Directory, KeyPhase, Phase, PublishHandle, RotateHandle},
    evaluator::Evaluator,
};

/// Answers `AdminService`.
#[derive(Debug)]
pub struct AdminRpc {
    directory: Arc<Directory>,
    evaluator: Evaluator,
    publisher: PublishHandle,
    rotator: RotateHandle,
    started: Instant,
}

impl AdminRpc {
    /// The service.
    #[must_use]
    pub fn service(
        directory: Arc<Directory>,
        evaluator: Evaluator,
        publisher: PublishHandle,
        rotator: RotateHandle,
    ) -> AdminServiceServer<Self> {
        let started = Instant::now();
        AdminServiceServer::new(Self { directory, evaluator, publisher, rotator, started })
    }
}

#[async_trait]
impl AdminService for AdminRpc {
    async fn publish(
        &self,
        _request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        watched("Publish", async {
            let published = self.publisher.publish_now().await.ok_or(Reason::QueueFull);
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

    async fn get_status(
        &self,
        _request: Request<GetStatusRequest>,
    ) -> Result<Response<GetStatusResponse>, Status> {
        watched("GetStatus", async {
            let refused = |error| directory_refusal(&error, "");
            let head = self.directory.head().map_err(refused)?;
            let published = self.directory.published();
            let newest = published.manifest.current();
            Ok(Response::new(GetStatusResponse {
                tenant: self.directory.tenant().to_string(),
                epoch: self.directory.epoch(),
                version: head.version,
                published_version: newest.version,
                snapshot: newest.snapshot.number,
                members: newest.members(),
                entries: self.directory.entries().map_err(refused)?,
                evaluated_elements: self.evaluator.evaluated_elements(),
                uptime_seconds: self.started.elapsed().as_secs(),
                rotation_phase: rotation_phase(&self.directory.phase()).into(),
                moved_entries: self.directory.moved().map_err(refused)?.unwrap_or_default(),
            }))
        })
        .await
    }

    async fn rotate_key(
        &self,
        _request: Request<RotateKeyRequest>,
    ) -> Result<Response<RotateKeyResponse>, Status> {
        watched("RotateKey", async {
            let begun = self.rotator.rotate().await.ok_or(Reason::QueueFull);
            let begun =
                begun.map_err(Refusal::from)?.map_err(|error| directory_refusal(&error, ""))?;
            Ok(Response::new(RotateKeyResponse {
                from_epoch: begun.from,
                to_epoch: begun.to,
                rotation_phase: rotation_phase(&self.directory.phase()).into(),
            }))
        })
        .await
    }

    async fn list_keys(
        &self,
        _request: Request<ListKeysRequest>,
    ) -> Result<Response<ListKeysResponse>, Status> {
        watched("ListKeys", async {
            let keys = self.directory.keys().await;
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
