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

    fn request(&self, snapshot: u64, first_segment: u32) -> Self::Request;
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

    fn request(&self, snapshot: u64, first_segment: u32) -> v1::FetchSetRequest {
        v1::FetchSetRequest { snapshot, first_segment }
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

    fn request(&self, snapshot: u64, first_segment: u32) -> v1::FetchLabelsRequest {
        v1::FetchLabelsRequest { snapshot, first_segment }
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

/// Downloads all segments of a snapshot; a broken stream is resumed where a segment begins.
///
/// # Errors
/// [`ClientError`]; after a broken stream only if no segment came through within the time for
/// retries.
pub(super) async fn download<D: SegmentStream, S: Sink + Send>(
    connection: &Connection,
    rpc: &D,
    snapshot: u64,
    mut assembler: Assembler<S>,
    meter: &Meter,
    progress: &(dyn Fn(u64) + Send + Sync),
) -> Result<S, ClientError> {
    let mut retry = connection.retries.start();
    let mut first_segment = assembler.resume();
    loop {
        let request = rpc.request(snapshot, first_segment);
        let read =
            read(connection, rpc, &mut retry, request, &mut assembler, meter, progress).await;
        let Err(fault) = read else { break };
        // The last bytes are there: what broke was only the end of the stream.
        if assembler.is_complete() && matches!(fault.remedy, Remedy::Repeat { .. }) {
            break;
        }
        let resumed = assembler.resume();
        // Whole segments count: a server that sends a part of one over and over gets nowhere.
        if resumed > first_segment {
            retry.progressed();
        }
        first_segment = resumed;
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
