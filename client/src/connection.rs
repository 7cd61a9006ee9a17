//! Calls: credential, deadline, counting and retries around every rpc, in one place.

use std::{fmt, future::Future, sync::Arc, time::Duration};

use acquaint_core::limits::MESSAGE_BYTES_MAX;
use acquaint_proto::v1::{
    discovery_service_client::DiscoveryServiceClient,
    registry_service_client::RegistryServiceClient,
};
use prost::Message;
use tokio::time;
use tonic::{Request, Response, Status, Streaming, transport::Channel};

use crate::{
    credentials::{CredentialProvider, authorization},
    error::{ClientError, Misbehavior},
    fault::Fault,
    retry::{Retry, RetryPolicy},
    traffic::{Meter, Traffic},
    transport::Transport,
};

/// The server as one client sees it.
pub(crate) struct Connection {
    pub(crate) transport: Transport,
    pub(crate) credentials: Arc<dyn CredentialProvider>,
    pub(crate) retries: RetryPolicy,
    /// From sending to the whole answer of a unary call, or to the next message of a stream.
    pub(crate) request_timeout: Duration,
}

impl Connection {
    pub(crate) fn discovery(&self) -> DiscoveryServiceClient<Channel> {
        DiscoveryServiceClient::new(self.transport.channel())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn registry(&self) -> RegistryServiceClient<Channel> {
        RegistryServiceClient::new(self.transport.channel())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    pub(crate) fn traffic(&self) -> Traffic {
        self.transport.meter().traffic()
    }

    /// One unary call, repeated with identical bytes for as long as that promises success.
    pub(crate) async fn unary<Q, A, F>(
        &self,
        message: Q,
        meter: &Meter,
        call: impl Fn(Request<Q>) -> F + Send,
    ) -> Result<A, ClientError>
    where
        Q: Message + Clone,
        A: Message,
        F: Future<Output = Result<Response<A>, Status>> + Send,
    {
        let mut retry = self.retries.start();
        loop {
            match self.attempt(&mut retry, message.clone(), meter, &call).await {
                Ok(answer) => {
                    meter.received(&answer);
                    return Ok(answer);
                }
                Err(fault) => retry.after(fault).await?,
            }
        }
    }

    /// Opens a stream of answers; whoever reads it decides about repetitions.
    pub(crate) async fn open<Q, A, F>(
        &self,
        retry: &mut Retry,
        message: Q,
        meter: &Meter,
        call: impl Fn(Request<Q>) -> F + Send,
    ) -> Result<Streaming<A>, Fault>
    where
        Q: Message,
        F: Future<Output = Result<Response<Streaming<A>>, Status>> + Send,
    {
        self.attempt(retry, message, meter, &call).await
    }

    /// The next message of a stream, or nothing at its end.
    pub(crate) async fn next<A: Message>(
        &self,
        stream: &mut Streaming<A>,
        meter: &Meter,
    ) -> Result<Option<A>, Fault> {
        let message = self.in_time(stream.message()).await?;
        if let Some(message) = &message {
            meter.received(message);
        }
        Ok(message)
    }

    /// A request with its credential.
    pub(crate) async fn authorized<T>(
        &self,
        retry: &mut Retry,
        message: T,
    ) -> Result<Request<T>, ClientError> {
        let refresh = retry.takes_refresh();
        let authorization = authorization(self.credentials.as_ref(), refresh).await?;
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", authorization);
        Ok(request)
    }

    async fn attempt<Q, A, F>(
        &self,
        retry: &mut Retry,
        message: Q,
        meter: &Meter,
        call: &(impl Fn(Request<Q>) -> F + Send),
    ) -> Result<A, Fault>
    where
        Q: Message,
        F: Future<Output = Result<Response<A>, Status>> + Send,
    {
        meter.sent(&message);
        let request = self.authorized(retry, message).await?;
        Ok(self.in_time(call(request)).await?.into_inner())
    }

    async fn in_time<T>(&self, call: impl Future<Output = Result<T, Status>>) -> Result<T, Fault> {
        match time::timeout(self.request_timeout, call).await {
            Ok(result) => result.map_err(Fault::from),
            Err(_) => Err(Fault::TIMEOUT),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("transport", &self.transport)
            .field("retries", &self.retries)
            .field("request_timeout", &self.request_timeout)
            .finish_non_exhaustive()
    }
}

/// The part of an answer that must be there.
pub(crate) fn required<T>(part: Option<T>) -> Result<T, ClientError> {
    part.ok_or(ClientError::ServerMisbehaved(Misbehavior::Message))
}
