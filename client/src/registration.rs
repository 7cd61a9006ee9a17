//! One registration: chunks out, acknowledgments in, and a new stream when one breaks.

use std::{collections::VecDeque, future::Future, pin::Pin};

use acquaint_core::{oprf::OprfElement, tag::Label};
use acquaint_proto::v1;
use futures_util::{Stream, StreamExt};
use tokio::{sync::mpsc, time};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status, Streaming};

use crate::{
    connection::Connection,
    error::{ClientError, Misbehavior},
    fault::Fault,
    registrar::{RegisterError, Registered, concat},
    retry::Retry,
};

/// Chunks that may wait for their acknowledgment: the server writes one while the next arrives.
const UNACKNOWLEDGED_MAX: usize = 4;

/// Evaluated rows: what the server stores. Wiped on drop.
pub(crate) struct Chunk {
    pub(crate) elements: Vec<OprfElement>,
    /// As many as elements.
    pub(crate) labels: Vec<Label>,
}

/// The state of a registration across its streams.
pub(crate) struct Registration<'a> {
    connection: &'a Connection,
    epoch: u32,
    hidden: bool,
    progress: &'a (dyn Fn(u64) + Send + Sync),
    /// Chunks that were not acknowledged, in order; a new stream begins with the first.
    unacknowledged: VecDeque<Chunk>,
    has_all_rows: bool,
    done: Registered,
}

/// One call, while it lasts.
struct Call {
    /// Nothing once all chunks are on their way: the server then ends the stream.
    chunks: Option<mpsc::Sender<v1::RegisterRequest>>,
    answers: Answers,
    /// Chunks of the unacknowledged ones that this call has sent.
    n_sent: usize,
    /// Chunks acknowledged on this call.
    n_acknowledged: u64,
}

type Opening =
    Pin<Box<dyn Future<Output = Result<Response<Streaming<v1::RegisterResponse>>, Status>> + Send>>;

/// The answers of a call. A server may send its first headers only with the first of them, so
/// that opening has to go on beside the sending.
enum Answers {
    Opening(Opening),
    Open(Box<Streaming<v1::RegisterResponse>>),
}

impl<'a> Registration<'a> {
    pub(crate) fn new(
        connection: &'a Connection,
        epoch: u32,
        hidden: bool,
        progress: &'a (dyn Fn(u64) + Send + Sync),
    ) -> Self {
        Self {
            connection,
            epoch,
            hidden,
            progress,
            unacknowledged: VecDeque::new(),
            has_all_rows: false,
            done: Registered::default(),
        }
    }

    /// Registers all chunks of the source.
    pub(crate) async fn run(
        mut self,
        mut source: Pin<&mut (impl Stream<Item = Result<Chunk, ClientError>> + Send)>,
    ) -> Result<Registered, RegisterError> {
        let mut retry = self.connection.retries.start();
        while !self.is_done() {
            let acknowledged = self.done.acknowledged;
            let Err(fault) = self.call(&mut retry, source.as_mut()).await else { continue };
            if self.is_done() {
                break;
            }
            if self.done.acknowledged > acknowledged {
                retry.progressed();
            }
            if let Err(source) = retry.after(fault).await {
                return Err(RegisterError { acknowledged: self.done.acknowledged, source });
            }
        }
        Ok(self.done)
    }

    fn is_done(&self) -> bool {
        self.has_all_rows && self.unacknowledged.is_empty()
    }

    /// Runs one call until all is acknowledged or something fails.
    async fn call(
        &mut self,
        retry: &mut Retry,
        mut source: Pin<&mut (impl Stream<Item = Result<Chunk, ClientError>> + Send)>,
    ) -> Result<(), Fault> {
        // Nothing to send, nothing to open: an empty registration makes no call.
        if self.unacknowledged.is_empty() {
            let chunk = source.next().await;
            self.take(chunk)?;
            if self.is_done() {
                return Ok(());
            }
        }
        let mut call = self.open(retry).await?;
        loop {
            let has_next = call.n_sent < self.unacknowledged.len();
            if !has_next && self.has_all_rows {
                call.chunks = None;
            }
            let takes_chunks = !self.has_all_rows && self.unacknowledged.len() < UNACKNOWLEDGED_MAX;
            let is_waiting = call.n_sent > 0 || self.is_done();
            let sender = call.chunks.clone();
            tokio::select! {
                permit = permit(sender.as_ref()), if has_next && sender.is_some() => {
                    match (permit, self.unacknowledged.get(call.n_sent)) {
                        (Ok(permit), Some(chunk)) => {
                            permit.send(self.message(chunk));
                            call.n_sent += 1;
                        }
                        // The call is over; its answers say why.
                        _ => call.chunks = None,
                    }
                }
                chunk = source.next(), if takes_chunks => self.take(chunk)?,
                answer = call.answers.next() => match answer? {
                    Some(answer) => self.acknowledge(&mut call, &answer)?,
                    None if self.is_done() => return Ok(()),
                    None => return Err(Misbehavior::Acknowledgment.into()),
                },
                () = time::sleep(self.connection.request_timeout), if is_waiting => {
                    return Err(Fault::TIMEOUT);
                }
            }
        }
    }

    async fn open(&self, retry: &mut Retry) -> Result<Call, Fault> {
        // One chunk on its way is enough: more would only wait in another place.
        let (sender, receiver) = mpsc::channel(1);
        let request = self.connection.authorized(retry, ReceiverStream::new(receiver)).await?;
        let mut client = self.connection.registry();
        let answers = Answers::Opening(Box::pin(async move { client.register(request).await }));
        Ok(Call { chunks: Some(sender), answers, n_sent: 0, n_acknowledged: 0 })
    }

    /// Takes the next chunk of the source, or its end.
    fn take(&mut self, chunk: Option<Result<Chunk, ClientError>>) -> Result<(), ClientError> {
        match chunk.transpose()? {
            Some(chunk) => self.unacknowledged.push_back(chunk),
            None => self.has_all_rows = true,
        }
        Ok(())
    }

    fn acknowledge(
        &mut self,
        call: &mut Call,
        answer: &v1::RegisterResponse,
    ) -> Result<(), Misbehavior> {
        let is_next = answer.chunks == call.n_acknowledged + 1;
        let n_unacknowledged = call.n_sent.checked_sub(1).filter(|_| is_next);
        let chunk = n_unacknowledged.and_then(|n| {
            call.n_sent = n;
            self.unacknowledged.pop_front()
        });
        let n_rows = chunk.ok_or(Misbehavior::Acknowledgment)?.labels.len() as u64;
        let (added, updated) = (u64::from(answer.added), u64::from(answer.updated));
        if added + updated > n_rows {
            return Err(Misbehavior::Acknowledgment);
        }
        call.n_acknowledged = answer.chunks;
        self.done.acknowledged += n_rows;
        self.done.added += added;
        self.done.updated += updated;
        self.done.version = Some(answer.version);
        (self.progress)(self.done.acknowledged);
        Ok(())
    }

    fn message(&self, chunk: &Chunk) -> v1::RegisterRequest {
        let labels: Vec<u8> = chunk.labels.iter().flat_map(|label| label.0).collect();
        v1::RegisterRequest {
            epoch: self.epoch,
            elements: concat(&chunk.elements).into(),
            labels: labels.into(),
            hidden: self.hidden,
        }
    }
}

impl Answers {
    /// The next answer, or nothing at the end of the stream. Dropping the future loses nothing.
    async fn next(&mut self) -> Result<Option<v1::RegisterResponse>, Status> {
        if let Self::Opening(opening) = self {
            let stream = opening.await?.into_inner();
            *self = Self::Open(Box::new(stream));
        }
        match self {
            Self::Open(stream) => stream.message().await,
            Self::Opening(_) => Ok(None),
        }
    }
}

/// Room for one more chunk of a call, as soon as there is any.
async fn permit(
    chunks: Option<&mpsc::Sender<v1::RegisterRequest>>,
) -> Result<mpsc::Permit<'_, v1::RegisterRequest>, mpsc::error::SendError<()>> {
    match chunks {
        Some(chunks) => chunks.reserve().await,
        None => std::future::pending().await,
    }
}
