//! `DiscoveryService`: what the SDK inside an app calls.

use std::sync::Arc;

use acquaint_core::{
    credential::Scope,
    limits::{ELEMENT_BYTES, MESSAGE_BYTES_MAX},
};
use acquaint_proto::{
    Reason, Refusal,
    v1::{
        EvaluateRequest, EvaluateResponse, FetchLabelsRequest, FetchLabelsResponse,
        FetchSetRequest, FetchSetResponse, GetManifestRequest, GetManifestResponse,
        GetQuotaRequest, GetQuotaResponse, Quota,
        discovery_service_server::{DiscoveryService, DiscoveryServiceServer},
    },
};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tonic::{Request, Response, Status, async_trait};

use super::{directory_refusal, reserve, watch::watched};
use crate::{
    admission::{Gate, bucket::QuotaState},
    directory::{
        Directory,
        snapshot::{Chunk, Part},
    },
    evaluator::Evaluator,
};

/// Answers `DiscoveryService`.
#[derive(Debug)]
pub struct DiscoveryRpc {
    gate: Arc<Gate>,
    directory: Arc<Directory>,
    evaluator: Evaluator,
}

impl DiscoveryRpc {
    /// The service, with its message limits.
    #[must_use]
    pub fn service(
        gate: Arc<Gate>,
        directory: Arc<Directory>,
        evaluator: Evaluator,
    ) -> DiscoveryServiceServer<Self> {
        DiscoveryServiceServer::new(Self { gate, directory, evaluator })
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// Cheap refusals first, then the charge, then the work.
    async fn evaluate(
        &self,
        request: Request<EvaluateRequest>,
    ) -> Result<EvaluateResponse, Status> {
        let claims = self.gate.admit(request.metadata(), Scope::Discover)?;
        let EvaluateRequest { epoch, blinded_elements } = request.into_inner();
        let refused = |error| directory_refusal(&error, "blinded_elements");
        self.directory.check_epoch(epoch).map_err(refused)?;
        let reservation = reserve(&self.evaluator, "blinded_elements", &blinded_elements)?;
        let batch = self
            .directory
            .parse_batch(&reservation, blinded_elements.clone())
            .await
            .map_err(refused)?;
        let n_elements = batch.len() as u64;
        let charged =
            self.gate.charge(&claims.pseudonym, epoch, &blinded_elements, n_elements).await?;
        let evaluation = self.directory.evaluate(&reservation, batch).await.map_err(refused)?;
        let proof = evaluation.proof.ok_or_else(|| Refusal::new(Reason::Internal))?;
        tracing::debug!(n_elements, charged = charged.elements, "evaluated");
        Ok(EvaluateResponse {
            evaluated_elements: evaluation.elements.concat().into(),
            proof: proof.to_bytes().to_vec().into(),
            quota: Some(self.quota_message(charged.quota, charged.elements)),
        })
    }

    fn quota_message(&self, state: QuotaState, charged: u64) -> Quota {
        Quota {
            remaining: state.remaining,
            capacity: self.gate.policy().capacity,
            refill_per_day: self.gate.policy().refill_per_day,
            charged,
            full_in_seconds: state.full_in_seconds.unwrap_or(u64::MAX),
        }
    }

    /// The chunks of a part of a snapshot, if it is still kept.
    fn chunks(
        &self,
        part: Part,
        snapshot: u64,
        first_segment: u32,
    ) -> Result<impl Iterator<Item = Chunk> + Send + use<>, Refusal> {
        let snapshot = self
            .directory
            .snapshot(snapshot)
            .ok_or_else(|| Refusal::new(Reason::SnapshotUnknown).field("snapshot"))?;
        snapshot
            .chunks(part, first_segment)
            .ok_or_else(|| Refusal::new(Reason::Position).field("first_segment"))
    }
}

#[async_trait]
impl DiscoveryService for DiscoveryRpc {
    async fn get_manifest(
        &self,
        request: Request<GetManifestRequest>,
    ) -> Result<Response<GetManifestResponse>, Status> {
        watched("GetManifest", async {
            self.gate.admit(request.metadata(), Scope::Discover)?;
            let manifest = self.directory.current().signed.clone();
            Ok(Response::new(GetManifestResponse { manifest: Some(manifest.into()) }))
        })
        .await
    }

    async fn evaluate(
        &self,
        request: Request<EvaluateRequest>,
    ) -> Result<Response<EvaluateResponse>, Status> {
        watched("Evaluate", async { self.evaluate(request).await.map(Response::new) }).await
    }

    async fn get_quota(
        &self,
        request: Request<GetQuotaRequest>,
    ) -> Result<Response<GetQuotaResponse>, Status> {
        watched("GetQuota", async {
            let claims = self.gate.admit(request.metadata(), Scope::Discover)?;
            let state = self.gate.quota(&claims.pseudonym).await?;
            Ok(Response::new(GetQuotaResponse { quota: Some(self.quota_message(state, 0)) }))
        })
        .await
    }

    type FetchSetStream = BoxStream<'static, Result<FetchSetResponse, Status>>;

    async fn fetch_set(
        &self,
        request: Request<FetchSetRequest>,
    ) -> Result<Response<Self::FetchSetStream>, Status> {
        watched("FetchSet", async {
            self.gate.admit(request.metadata(), Scope::Discover)?;
            let FetchSetRequest { snapshot, first_segment } = request.into_inner();
            let chunks = self.chunks(Part::Set, snapshot, first_segment)?;
            let messages = chunks.map(|Chunk { segment, offset, data }| {
                Ok(FetchSetResponse { segment, offset, data })
            });
            Ok(Response::new(stream::iter(messages).boxed()))
        })
        .await
    }

    type FetchLabelsStream = BoxStream<'static, Result<FetchLabelsResponse, Status>>;

    async fn fetch_labels(
        &self,
        request: Request<FetchLabelsRequest>,
    ) -> Result<Response<Self::FetchLabelsStream>, Status> {
        watched("FetchLabels", async {
            self.gate.admit(request.metadata(), Scope::Discover)?;
            let FetchLabelsRequest { snapshot, first_segment } = request.into_inner();
            let chunks = self.chunks(Part::Labels, snapshot, first_segment)?;
            let messages = chunks.map(|Chunk { segment, offset, data }| {
                Ok(FetchLabelsResponse { segment, offset, data })
            });
            Ok(Response::new(stream::iter(messages).boxed()))
        })
        .await
    }
}

const _: () = assert!(ELEMENT_BYTES == 32, "the .proto files name this length");
