//! The rpcs of the server in memory.

use std::sync::{Arc, atomic::Ordering::SeqCst};

use acquaint_proto::{
    Reason, Refusal,
    v1::{self, discovery_service_server as discovery, registry_service_server as registry},
};
use tonic::{Request, Response, Status, Streaming};

use super::{Answers, Fake, Lie};

/// The server as tonic wants it.
pub(super) struct Served(pub(super) Arc<Fake>);

#[tonic::async_trait]
impl discovery::DiscoveryService for Served {
    async fn get_manifest(
        &self,
        request: Request<v1::GetManifestRequest>,
    ) -> Result<Response<v1::GetManifestResponse>, Status> {
        self.0.authorize(&request);
        Ok(Response::new(v1::GetManifestResponse { manifest: self.0.signed() }))
    }

    async fn evaluate(
        &self,
        request: Request<v1::EvaluateRequest>,
    ) -> Result<Response<v1::EvaluateResponse>, Status> {
        self.0.authorize(&request);
        let (evaluated, proof) = self.0.evaluate(&request.get_ref().blinded_elements).await?;
        let quota = Some(v1::Quota { remaining: 7, capacity: 9, ..Default::default() });
        Ok(Response::new(v1::EvaluateResponse {
            evaluated_elements: evaluated.into(),
            proof: proof.into(),
            quota,
        }))
    }

    async fn get_quota(
        &self,
        _: Request<v1::GetQuotaRequest>,
    ) -> Result<Response<v1::GetQuotaResponse>, Status> {
        let quota = *self.0.quota.lock().unwrap();
        let quota = Some(v1::Quota { remaining: quota, capacity: quota, ..Default::default() });
        Ok(Response::new(v1::GetQuotaResponse { quota }))
    }

    async fn fetch_segment_index(
        &self,
        request: Request<v1::FetchSegmentIndexRequest>,
    ) -> Result<Response<v1::FetchSegmentIndexResponse>, Status> {
        let index = self.0.index(request.get_ref().snapshot)?.into();
        Ok(Response::new(v1::FetchSegmentIndexResponse { index }))
    }

    type FetchDeltaStream = Answers<v1::FetchDeltaResponse>;

    async fn fetch_delta(
        &self,
        _: Request<v1::FetchDeltaRequest>,
    ) -> Result<Response<Self::FetchDeltaStream>, Status> {
        Err(Refusal::new(Reason::SnapshotUnknown).into())
    }

    type FetchSetStream = Answers<v1::FetchSetResponse>;

    async fn fetch_set(
        &self,
        request: Request<v1::FetchSetRequest>,
    ) -> Result<Response<Self::FetchSetStream>, Status> {
        let v1::FetchSetRequest { snapshot, first_segment, first_offset } = request.into_inner();
        let lie = *self.0.lie.lock().unwrap();
        let mut chunks =
            self.0.chunks(snapshot, (first_segment, first_offset), |s| s.bytes.clone())?;
        match lie {
            Lie::FlippedSet => chunks[1].as_mut().unwrap().2[50] ^= 1,
            Lie::TruncatedSet => drop(chunks.pop_back()),
            Lie::RepeatedChunk => chunks.insert(1, chunks[0].clone()),
            _ => {}
        }
        let answers = chunks.into_iter().map(|chunk| {
            let (segment, offset, data) = chunk?;
            Ok(v1::FetchSetResponse { segment, offset, data: data.into() })
        });
        Ok(Response::new(Box::pin(futures_util::stream::iter(answers))))
    }

    type FetchLabelsStream = Answers<v1::FetchLabelsResponse>;

    async fn fetch_labels(
        &self,
        request: Request<v1::FetchLabelsRequest>,
    ) -> Result<Response<Self::FetchLabelsStream>, Status> {
        let v1::FetchLabelsRequest { snapshot, first_segment, first_offset } = request.into_inner();
        let lie = *self.0.lie.lock().unwrap();
        let mut chunks =
            self.0.chunks(snapshot, (first_segment, first_offset), |s| s.labels.clone())?;
        if lie == Lie::FlippedLabels {
            chunks[1].as_mut().unwrap().2[50] ^= 1;
        }
        let n_bytes = chunks.iter().flatten().map(|(.., data)| data.len()).sum();
        self.0.n_label_bytes.fetch_add(n_bytes, SeqCst);
        let answers = chunks.into_iter().map(|chunk| {
            let (segment, offset, data) = chunk?;
            Ok(v1::FetchLabelsResponse { segment, offset, data: data.into() })
        });
        Ok(Response::new(Box::pin(futures_util::stream::iter(answers))))
    }
}

#[tonic::async_trait]
impl registry::RegistryService for Served {
    async fn get_manifest(
        &self,
        request: Request<v1::RegistryServiceGetManifestRequest>,
    ) -> Result<Response<v1::RegistryServiceGetManifestResponse>, Status> {
        self.0.authorize(&request);
        let manifest = self.0.signed();
        Ok(Response::new(v1::RegistryServiceGetManifestResponse { manifest }))
    }

    async fn evaluate(
        &self,
        request: Request<v1::RegistryServiceEvaluateRequest>,
    ) -> Result<Response<v1::RegistryServiceEvaluateResponse>, Status> {
        let (evaluated, proof) = self.0.evaluate(&request.get_ref().blinded_elements).await?;
        Ok(Response::new(v1::RegistryServiceEvaluateResponse {
            evaluated_elements: evaluated.into(),
            proof: proof.into(),
        }))
    }

    type RegisterStream = Answers<v1::RegisterResponse>;

    async fn register(
        &self,
        request: Request<Streaming<v1::RegisterRequest>>,
    ) -> Result<Response<Self::RegisterStream>, Status> {
        let (fake, mut chunks) = (Arc::clone(&self.0), request.into_inner());
        let (answers, receiver) = tokio::sync::mpsc::channel(1);
        let breaks = fake.takes_break();
        tokio::spawn(async move {
            let mut n_chunks = 0;
            while let Ok(Some(chunk)) = chunks.message().await {
                if breaks && n_chunks == 1 {
                    let _ = answers.send(Err(Status::unavailable("broken"))).await;
                    return;
                }
                n_chunks += 1;
                let answer = fake.store(&chunk, n_chunks);
                let _ = answers.send(answer).await;
            }
        });
        let answers = tokio_stream::wrappers::ReceiverStream::new(receiver);
        Ok(Response::new(Box::pin(answers)))
    }

    async fn unregister(
        &self,
        request: Request<v1::UnregisterRequest>,
    ) -> Result<Response<v1::UnregisterResponse>, Status> {
        let mut registered = self.0.registered.lock().unwrap();
        let elements = request.get_ref().elements.as_chunks::<32>().0;
        let removed = elements.iter().filter_map(|e| registered.remove(e)).count();
        let removed = u32::try_from(removed).unwrap();
        Ok(Response::new(v1::UnregisterResponse { removed, version: 1 }))
    }
}
