//! `AdminService`: what the operator calls on the machine itself, over a Unix socket.

use std::{sync::Arc, time::Instant};

use acquaint_proto::{
    Reason, Refusal,
    v1::{
        GetStatusRequest, GetStatusResponse, PublishRequest, PublishResponse,
        admin_service_server::{AdminService, AdminServiceServer},
    },
};
use tonic::{Request, Response, Status, async_trait};

use super::{directory_refusal, watch::watched};
use crate::{
    directory::{Directory, PublishHandle},
    evaluator::Evaluator,
};

/// Answers `AdminService`.
#[derive(Debug)]
pub struct AdminRpc {
    directory: Arc<Directory>,
    evaluator: Evaluator,
    publisher: PublishHandle,
    started: Instant,
}

impl AdminRpc {
    /// The service.
    #[must_use]
    pub fn service(
        directory: Arc<Directory>,
        evaluator: Evaluator,
        publisher: PublishHandle,
    ) -> AdminServiceServer<Self> {
        let started = Instant::now();
        AdminServiceServer::new(Self { directory, evaluator, publisher, started })
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
            let head = self.directory.head().map_err(|error| directory_refusal(&error, ""))?;
            let published = self.directory.published();
            let newest = published.manifest.current();
            Ok(Response::new(GetStatusResponse {
                tenant: self.directory.tenant().to_string(),
                epoch: self.directory.epoch(),
                version: head.version,
                published_version: newest.version,
                snapshot: newest.snapshot.number,
                members: newest.members(),
                entries: head.entries,
                evaluated_elements: self.evaluator.evaluated_elements(),
                uptime_seconds: self.started.elapsed().as_secs(),
            }))
        })
        .await
    }
}
