//! `RegistryService`: what the operator's back end calls.

use std::sync::Arc;

use acquaint_core::limits::MESSAGE_BYTES_MAX;
use acquaint_proto::{
    Refusal,
    v1::{
        RegisterRequest, RegisterResponse, RegistryServiceEvaluateRequest,
        RegistryServiceEvaluateResponse, RegistryServiceGetManifestRequest,
        RegistryServiceGetManifestResponse, UnregisterRequest, UnregisterResponse,
        registry_service_server::{RegistryService, RegistryServiceServer},
    },
};
use futures_util::stream::{self, BoxStream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming, async_trait};
use tracing::Instrument as _;

use super::{directory_refusal, evaluate_batch, reserve, watch::watched};
use crate::{admission::Admitted, directory::Entries, store::Applied, tenant::Tenant};

/// Answers `RegistryService`, for the tenant in whose name the door has let a call in.
#[derive(Debug)]
pub struct RegistryRpc(());

impl RegistryRpc {
    /// The service, with its message limits.
    #[must_use]
    pub fn service() -> RegistryServiceServer<Self> {
        RegistryServiceServer::new(Self(()))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }
}

/// Stores one chunk; durable when this returns.
async fn register(tenant: &Tenant, request: RegisterRequest) -> Result<Applied, Refusal> {
    let RegisterRequest { epoch, elements, labels, hidden } = request;
    let refused = |error| directory_refusal(&error, "elements");
    tenant.directory().key(epoch).map_err(refused)?;
    let reservation = reserve(tenant.evaluator(), "elements", &elements)?;
    let entries = Entries { elements, labels, hidden };
    tenant.directory().register(&reservation, epoch, entries).await.map_err(refused)
}

/// Acknowledges each chunk after its durable write, in order; ends at the first refusal.
fn acknowledgments(
    tenant: Arc<Tenant>,
    chunks: Streaming<RegisterRequest>,
) -> impl stream::Stream<Item = Result<RegisterResponse, Status>> + Send {
    stream::try_unfold((chunks, 0_u64), move |(mut chunks, acknowledged)| {
        let tenant = Arc::clone(&tenant);
        let span = tenant.span().clone();
        let next = async move {
            let Some(request) = chunks.message().await? else {
                tracing::info!(chunks = acknowledged, "registration stream complete");
                return Ok(None);
            };
            let applied =
                watched("Registry.Register.Chunk", async { Ok(register(&tenant, request).await?) })
                    .await?;
            let response = RegisterResponse {
                chunks: acknowledged + 1,
                version: applied.version,
                added: applied.added,
                updated: applied.updated,
            };
            Ok(Some((response, (chunks, acknowledged + 1))))
        };
        // The stream is read when the call has been answered, and outside of it.
        next.instrument(span)
    })
}

#[async_trait]
impl RegistryService for RegistryRpc {
    async fn get_manifest(
        &self,
        request: Request<RegistryServiceGetManifestRequest>,
    ) -> Result<Response<RegistryServiceGetManifestResponse>, Status> {
        watched("Registry.GetManifest", async {
            let (tenant, _) = Admitted::holder(&request)?;
            let manifest = Some(tenant.directory().published().signed.clone().into());
            Ok(Response::new(RegistryServiceGetManifestResponse { manifest }))
        })
        .await
    }

    async fn evaluate(
        &self,
        request: Request<RegistryServiceEvaluateRequest>,
    ) -> Result<Response<RegistryServiceEvaluateResponse>, Status> {
        watched("Registry.Evaluate", async {
            let (tenant, claims) = Admitted::holder(&request)?;
            let RegistryServiceEvaluateRequest { epoch, blinded_elements } = request.into_inner();
            let (evaluated, _) = evaluate_batch(&tenant, &claims, epoch, blinded_elements).await?;
            Ok(Response::new(RegistryServiceEvaluateResponse {
                evaluated_elements: evaluated.elements,
                proof: evaluated.proof,
            }))
        })
        .await
    }

    type RegisterStream = BoxStream<'static, Result<RegisterResponse, Status>>;

    async fn register(
        &self,
        request: Request<Streaming<RegisterRequest>>,
    ) -> Result<Response<Self::RegisterStream>, Status> {
        watched("Registry.Register", async {
            let (tenant, _) = Admitted::holder(&request)?;
            let stream = acknowledgments(tenant, request.into_inner());
            Ok(Response::new(stream.boxed()))
        })
        .await
    }

    async fn unregister(
        &self,
        request: Request<UnregisterRequest>,
    ) -> Result<Response<UnregisterResponse>, Status> {
        watched("Registry.Unregister", async {
            let (tenant, _) = Admitted::holder(&request)?;
            let UnregisterRequest { epoch, elements } = request.into_inner();
            let refused = |error| directory_refusal(&error, "elements");
            tenant.directory().key(epoch).map_err(refused)?;
            let reservation = reserve(tenant.evaluator(), "elements", &elements)?;
            let applied = tenant
                .directory()
                .unregister(&reservation, epoch, elements)
                .await
                .map_err(refused)?;
            Ok(Response::new(UnregisterResponse {
                removed: applied.removed,
                version: applied.version,
            }))
        })
        .await
    }
}
