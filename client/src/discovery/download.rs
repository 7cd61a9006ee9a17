//! A streamed download that survives broken connections.

use std::{future::Future, pin::Pin};

use acquaint_proto::v1;
use prost::Message;
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use super::chunks::{Assembler, Chunk, Sink};
use crate::{
    connection::Connection,
    error::ClientError,
    fault::{Fault, Remedy},
    retry::Retry,
    traffic::Meter,
};

type DiscoveryClient = v1::discovery_service_client::DiscoveryServiceClient<Channel>;
type Opening<A> =
    Pin<Box<dyn Future<Output = Result<Response<Streaming<A>>, Status>> + Send + 'static>>;

/// An rpc that streams segments.
pub(super) trait SegmentStream: Sync {
    type Request: Message + Send;
    type Answer: Message + Default + Send + 'static;

    fn request(&self, snapshot: u64, position: (u32, u32)) -> Self::Request;
    fn open(
        &self,
        client: DiscoveryClient,
        request: Request<Self::Request>,
    ) -> Opening<Self::Answer>;
    fn chunk<'a>(&self, answer: &'a Self::Answer) -> Chunk<'a>;
}

/// `FetchSet`.
pub(super) struct SetStream;

/// `FetchLabels`.
pub(super) struct LabelStream;

impl SegmentStream for SetStream {
    type Request = v1::FetchSetRequest;
    type Answer = v1::FetchSetResponse;

    fn request(
        &self,
        snapshot: u64,
        (first_segment, first_offset): (u32, u32),
    ) -> v1::FetchSetRequest {
        v1::FetchSetRequest { snapshot, first_segment, first_offset }
    }

    fn open(
        &self,
        mut client: DiscoveryClient,
        request: Request<v1::FetchSetRequest>,
    ) -> Opening<v1::FetchSetResponse> {
        Box::pin(async move { client.fetch_set(request).await })
    }

    fn chunk<'a>(&self, answer: &'a v1::FetchSetResponse) -> Chunk<'a> {
        Chunk { segment: answer.segment, offset: answer.offset, data: &answer.data }
    }
}

impl SegmentStream for LabelStream {
    type Request = v1::FetchLabelsRequest;
    type Answer = v1::FetchLabelsResponse;

    fn request(
        &self,
        snapshot: u64,
        (first_segment, first_offset): (u32, u32),
    ) -> v1::FetchLabelsRequest {
        v1::FetchLabelsRequest { snapshot, first_segment, first_offset }
    }

    fn open(
        &self,
        mut client: DiscoveryClient,
        request: Request<v1::FetchLabelsRequest>,
    ) -> Opening<v1::FetchLabelsResponse> {
        Box::pin(async move { client.fetch_labels(request).await })
    }

    fn chunk<'a>(&self, answer: &'a v1::FetchLabelsResponse) -> Chunk<'a> {
        Chunk { segment: answer.segment, offset: answer.offset, data: &answer.data }
    }
}

/// Downloads all segments of a snapshot; a broken stream is resumed where it broke.
///
/// # Errors
/// [`ClientError`]; after a broken stream only if nothing came through within the time for retries.
pub(super) async fn download<D: SegmentStream, S: Sink + Send>(
    connection: &Connection,
    rpc: &D,
    snapshot: u64,
    mut assembler: Assembler<S>,
    meter: &Meter,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<S, ClientError> {
    let mut retry = connection.retries.start();
    loop {
        let position = assembler.position();
        let request = rpc.request(snapshot, position);
        let read =
            read(connection, rpc, &mut retry, request, &mut assembler, meter, progress).await;
        let Err(fault) = read else { break };
        // The last bytes are there: what broke was only the end of the stream.
        if assembler.is_complete() && matches!(fault.remedy, Remedy::Repeat { .. }) {
            break;
        }
        if assembler.position() > position {
            retry.progressed();
        }
        retry.after(fault).await?;
    }
    Ok(assembler.finish()?)
}

async fn read<D: SegmentStream, S: Sink + Send>(
    connection: &Connection,
    rpc: &D,
    retry: &mut Retry,
    request: D::Request,
    assembler: &mut Assembler<S>,
    meter: &Meter,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<(), Fault> {
    let open = |request| rpc.open(connection.discovery(), request);
    let mut stream: Streaming<D::Answer> = connection.open(retry, request, meter, open).await?;
    while let Some(answer) = connection.next(&mut stream, meter).await? {
        assembler.accept(&rpc.chunk(&answer))?;
        progress(assembler.bytes());
    }
    Ok(())
}
