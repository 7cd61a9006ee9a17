//! `DiscoveryService`: what the SDK inside an app calls.

use std::sync::Arc;

use acquaint_core::limits::{CHUNK_BYTES, ELEMENT_BYTES, LOOKUP_BYTES_MAX, MESSAGE_BYTES_MAX};
use acquaint_proto::{
    Reason, Refusal,
    v1::{
        EvaluateRequest, EvaluateResponse, FetchDeltaRequest, FetchDeltaResponse,
        FetchLabelsRequest, FetchLabelsResponse, FetchSegmentIndexRequest,
        FetchSegmentIndexResponse, FetchSetRequest, FetchSetResponse, GetManifestRequest,
        GetManifestResponse, GetQuotaRequest, GetQuotaResponse, Quota,
        discovery_service_server::{DiscoveryService, DiscoveryServiceServer},
    },
};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tonic::{Request, Response, Status, async_trait};

use super::{directory_refusal, evaluate_batch, reserve_for_delta, watch::watched};
use crate::{
    admission::{Admitted, Allowance},
    directory::{
        Step,
        snapshot::{Chunk, Part, Snapshot},
    },
    tenant::Tenant,
};

/// Answers `DiscoveryService`, for the tenant in whose name the door has let a call in.
#[derive(Debug)]
pub struct DiscoveryRpc(());

impl DiscoveryRpc {
    /// The service, with its message limits.
    #[must_use]
    pub fn service() -> DiscoveryServiceServer<Self> {
        DiscoveryServiceServer::new(Self(()))
            .max_decoding_message_size(LOOKUP_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

async fn evaluate(request: Request<EvaluateRequest>) -> Result<EvaluateResponse, Status> {
    let (tenant, claims) = Admitted::holder(&request)?;
    let EvaluateRequest { epoch, blinded_elements } = request.into_inner();
    let (evaluated, charged) = evaluate_batch(&tenant, &claims, epoch, blinded_elements).await?;
    Ok(EvaluateResponse {
        evaluated_elements: evaluated.elements,
        proof: evaluated.proof,
        quota: charged.quota().map(|allowance| quota_message(&allowance, charged.elements())),
    })
}

fn quota_message(Allowance { policy, state }: &Allowance, charged: u64) -> Quota {
    Quota {
        remaining: state.remaining,
        capacity: policy.capacity,
        refill_per_day: policy.refill_per_day,
        charged,
        full_in_seconds: state.full_in_seconds.unwrap_or(u64::MAX),
    }
}

/// A snapshot, if it is still kept.
fn snapshot(tenant: &Tenant, number: u64) -> Result<Arc<Snapshot>, Refusal> {
    let snapshot = tenant.directory().published().snapshot(number);
    snapshot.ok_or_else(|| Refusal::new(Reason::SnapshotUnknown).field("snapshot"))
}

/// The way from one version to another.
async fn steps(tenant: &Tenant, request: &FetchDeltaRequest) -> Result<Arc<[Step]>, Refusal> {
    let from = (request.snapshot, request.version);
    let to = (request.to_snapshot, request.to_version);
    let refused = |error| directory_refusal(&error, "version");
    // A price in proportion to the work, so that a flood of these is shed as well.
    let reservation = reserve_for_delta(tenant)?;
    let steps = tenant.directory().steps(&reservation, from, to).await.map_err(refused)?;
    steps.ok_or_else(|| Refusal::new(Reason::SnapshotUnknown).field("version"))
}

/// The chunks of a part of a snapshot from a position on.
fn chunks(
    tenant: &Tenant,
    part: Part,
    number: u64,
    (first_segment, first_offset): (u32, u32),
) -> Result<impl Iterator<Item = Chunk> + Send + use<>, Refusal> {
    snapshot(tenant, number)?
        .chunks(part, first_segment, first_offset)
        .ok_or_else(|| Refusal::new(Reason::Position).field("first_segment"))
}

/// A delta in pieces; one message without data if nothing changed.
fn delta_messages(step: Step) -> impl Iterator<Item = FetchDeltaResponse> {
    let Step { snapshot, version, delta } = step;
    let delta_bytes = delta.len() as u64;
    (0..delta.len().max(1)).step_by(CHUNK_BYTES).map(move |start| FetchDeltaResponse {
        snapshot,
        version,
        delta_bytes,
        offset: start as u64,
        data: delta.slice(start..(start + CHUNK_BYTES).min(delta.len())),
    })
}

#[async_trait]
impl DiscoveryService for DiscoveryRpc {
    async fn get_manifest(
        &self,
        request: Request<GetManifestRequest>,
    ) -> Result<Response<GetManifestResponse>, Status> {
        watched("GetManifest", async {
            let (tenant, _) = Admitted::holder(&request)?;
            let published = tenant.directory().published();
            let known = request.get_ref().known_digest == published.digest[..];
            let manifest = (!known).then(|| published.signed.clone().into());
            Ok(Response::new(GetManifestResponse { manifest }))
        })
        .await
    }

    async fn evaluate(
        &self,
        request: Request<EvaluateRequest>,
    ) -> Result<Response<EvaluateResponse>, Status> {
        watched("Evaluate", async { evaluate(request).await.map(Response::new) }).await
    }

    async fn get_quota(
        &self,
        request: Request<GetQuotaRequest>,
    ) -> Result<Response<GetQuotaResponse>, Status> {
        watched("GetQuota", async {
            let (tenant, claims) = Admitted::holder(&request)?;
            let quota = tenant.gate().quota(&claims).await?;
            let quota = quota.map(|allowance| quota_message(&allowance, 0));
            Ok(Response::new(GetQuotaResponse { quota }))
        })
        .await
    }

    async fn fetch_segment_index(
        &self,
        request: Request<FetchSegmentIndexRequest>,
    ) -> Result<Response<FetchSegmentIndexResponse>, Status> {
        watched("FetchSegmentIndex", async {
            let (tenant, _) = Admitted::holder(&request)?;
            let index = snapshot(&tenant, request.into_inner().snapshot)?.index();
            Ok(Response::new(FetchSegmentIndexResponse { index }))
        })
        .await
    }

    type FetchDeltaStream = BoxStream<'static, Result<FetchDeltaResponse, Status>>;

    async fn fetch_delta(
        &self,
        request: Request<FetchDeltaRequest>,
    ) -> Result<Response<Self::FetchDeltaStream>, Status> {
        watched("FetchDelta", async {
            let (tenant, _) = Admitted::holder(&request)?;
            let steps = steps(&tenant, request.get_ref()).await?;
            let messages = (0..steps.len()).flat_map(move |i| {
                let step = steps.get(i).cloned();
                step.into_iter().flat_map(delta_messages)
            });
            Ok(Response::new(stream::iter(messages.map(Ok)).boxed()))
        })
        .await
    }

    type FetchSetStream = BoxStream<'static, Result<FetchSetResponse, Status>>;

    async fn fetch_set(
        &self,
        request: Request<FetchSetRequest>,
    ) -> Result<Response<Self::FetchSetStream>, Status> {
        watched("FetchSet", async {
            let (tenant, _) = Admitted::holder(&request)?;
            let FetchSetRequest { snapshot, first_segment, first_offset } = request.into_inner();
            let chunks = chunks(&tenant, Part::Set, snapshot, (first_segment, first_offset))?;
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
            let (tenant, _) = Admitted::holder(&request)?;
            let FetchLabelsRequest { snapshot, first_segment, first_offset } = request.into_inner();
            let chunks = chunks(&tenant, Part::Labels, snapshot, (first_segment, first_offset))?;
            let messages = chunks.map(|Chunk { segment, offset, data }| {
                Ok(FetchLabelsResponse { segment, offset, data })
            });
            Ok(Response::new(stream::iter(messages).boxed()))
        })
        .await
    }
}

const _: () = assert!(ELEMENT_BYTES == 32, "the .proto files name this length");
