//! HTTP/1.1 over TLS, as much of it as fetching a file takes. Redirects are refused: the app named
//! a place, and nobody else sends its users elsewhere.

use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use acquaint_core::publication::FileName;
use bytes::Bytes;
use http::{
    HeaderMap, Request, Response, StatusCode, Uri,
    header::{CONTENT_RANGE, HOST, RANGE, RETRY_AFTER},
};
use http_body_util::{BodyExt as _, Empty};
use hyper::{
    body::{Body as _, Incoming},
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, pki_types::ServerName};
use tokio_rustls::TlsConnector;

use crate::{
    builder::BuildError,
    error::{ClientError, Misbehavior},
    fault::Fault,
    traffic::Meter,
    transport,
};

/// Connections that wait for the next file.
const IDLE_MAX: usize = 8;

/// Memory of a connection for what it reads at once, headers included, in bytes.
const BUFFER_BYTES_MAX: usize = 128 * 1_024;

/// Longest wait that a server can impose.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

type Sender = SendRequest<Empty<Bytes>>;

/// A web server's folder, and the connections to it.
pub(crate) struct Http {
    base: Uri,
    /// Path of the folder, with a slash at its end.
    folder: String,
    host: ServerName<'static>,
    tls: TlsConnector,
    traffic: Arc<Meter>,
    idle: Mutex<Vec<Sender>>,
}

/// An answer whose body is being read.
pub(super) struct Answer<'a> {
    http: &'a Http,
    sender: Sender,
    response: Response<Incoming>,
}

/// What an answer holds of a file.
pub(super) enum Content {
    /// All of it.
    Whole,
    /// What comes after the bytes that are there.
    Rest,
    /// Nothing: the file has no more bytes than are there.
    PastEnd,
    /// Nothing: there is no such file.
    Missing,
}

impl Http {
    /// A folder at an `https://` address. Opens no connection yet.
    ///
    /// # Errors
    /// [`BuildError::StaticFiles`], [`BuildError::NotHttps`].
    pub(crate) fn new(
        address: &str,
        roots: RootCertStore,
        traffic: Arc<Meter>,
    ) -> Result<Self, BuildError> {
        let base: Uri = address.parse().map_err(|_| BuildError::StaticFiles)?;
        if base.scheme_str() != Some("https") {
            return Err(BuildError::NotHttps);
        }
        let has_user = base.authority().is_some_and(|authority| authority.as_str().contains('@'));
        if has_user || base.query().is_some() {
            return Err(BuildError::StaticFiles);
        }
        let host = transport::host(&base).ok_or(BuildError::StaticFiles)?;
        let host = ServerName::try_from(host.to_owned()).map_err(|_| BuildError::StaticFiles)?;
        let folder = format!("{}/", base.path().trim_end_matches('/'));
        let tls = tls(roots)?;
        Ok(Self { base, folder, host, tls, traffic, idle: Mutex::default() })
    }

    /// Asks for a file, or for what comes after its first bytes.
    pub(super) async fn get(&self, name: &FileName, offset: usize) -> Result<Answer<'_>, Fault> {
        let authority = self.base.authority().ok_or(ClientError::Internal)?;
        let mut request =
            Request::get(format!("{}{name}", self.folder)).header(HOST, authority.as_str());
        if offset > 0 {
            request = request.header(RANGE, format!("bytes={offset}-"));
        }
        let request = request.body(Empty::new()).map_err(|_| ClientError::Internal)?;
        let mut sender = self.connection().await?;
        let response = sender.send_request(request).await;
        let response = response.map_err(|error| Fault::of_transport(&error))?;
        Ok(Answer { http: self, sender, response })
    }

    /// A connection that waits, or a new one.
    async fn connection(&self) -> Result<Sender, Fault> {
        while let Some(mut sender) = self.take_idle() {
            // One that was closed meanwhile says so.
            if sender.ready().await.is_ok() {
                return Ok(sender);
            }
        }
        self.connect().await
    }

    async fn connect(&self) -> Result<Sender, Fault> {
        let failed = |error: &(dyn Error + 'static)| Fault::of_transport(error);
        let stream = transport::connect(&self.base, &self.traffic).await;
        let stream = stream.map_err(|error| failed(&error))?;
        let stream = self.tls.connect(self.host.clone(), stream).await;
        let stream = TokioIo::new(stream.map_err(|error| failed(&error))?);
        let handshake = http1::Builder::new().max_buf_size(BUFFER_BYTES_MAX).handshake(stream);
        let (sender, connection) = handshake.await.map_err(|error| failed(&error))?;
        // Ends with the sender; what it fails with, the sender is told.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }

    fn take_idle(&self) -> Option<Sender> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn put_idle(&self, sender: Sender) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_MAX {
            idle.push(sender);
        }
    }
}

impl Answer<'_> {
    /// What the answer holds, given how many bytes are there.
    ///
    /// # Errors
    /// A [`Fault`] that says whether to try again, if it holds nothing.
    pub(super) fn content(&self, offset: usize) -> Result<Content, Fault> {
        let headers = self.response.headers();
        match self.response.status() {
            StatusCode::OK => Ok(Content::Whole),
            StatusCode::PARTIAL_CONTENT if offset > 0 && starts_at(headers, offset) => {
                Ok(Content::Rest)
            }
            StatusCode::RANGE_NOT_SATISFIABLE if offset > 0 => Ok(Content::PastEnd),
            StatusCode::NOT_FOUND | StatusCode::GONE => Ok(Content::Missing),
            status => Err(refused(status, headers)),
        }
    }

    /// The next bytes of the body, or nothing at its end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Fault> {
        while let Some(frame) = self.response.body_mut().frame().await {
            let frame = frame.map_err(|error| Fault::of_transport(&error))?;
            // Trailers are of no use here.
            if let Ok(data) = frame.into_data() {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Gives the connection back for the next file.
    pub(super) fn end(self) {
        if self.response.body().is_end_stream() {
            self.http.put_idle(self.sender);
        }
    }
}

/// TLS with certain roots, by the provider that gRPC uses, too.
fn tls(roots: RootCertStore) -> Result<TlsConnector, BuildError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|_| BuildError::StaticFiles)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Whether a part begins where it was asked to.
fn starts_at(headers: &HeaderMap, offset: usize) -> bool {
    let range = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let start = range.and_then(|range| range.strip_prefix("bytes ")?.split_once('-'));
    start.is_some_and(|(start, _)| start.parse() == Ok(offset))
}

/// What a status means that comes without a file.
fn refused(status: StatusCode, headers: &HeaderMap) -> Fault {
    let seconds = headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let retry_after = seconds.map(|s| Duration::from_secs(s).min(RETRY_AFTER_MAX));
    match status {
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
            Fault::transient(ClientError::Busy { retry_after }, retry_after)
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT => {
            Fault::transient(ClientError::Unreachable, None)
        }
        status if status.is_server_error() => ClientError::ServerFailed.into(),
        _ => Misbehavior::Protocol.into(),
    }
}

impl fmt::Debug for Http {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http").field("base", &self.base).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(address: &str) -> Result<Http, BuildError> {
        Http::new(address, RootCertStore::empty(), Arc::default())
    }

    #[test]
    fn an_address_is_a_folder_with_or_without_the_slash() {
        for address in ["https://a.test", "https://a.test/", "https://a.test:8443"] {
            assert_eq!(http(address).unwrap().folder, "/");
        }
        for address in ["https://a.test/b/c", "https://a.test/b/c/"] {
            assert_eq!(http(address).unwrap().folder, "/b/c/");
        }
    }

    #[test]
    fn other_addresses_are_refused() {
        let refused = |address| http(address).unwrap_err();
        assert_eq!(refused("http://a.test/"), BuildError::NotHttps);
        for address in ["", "https://", "https://u@a.test/", "https://a.test/?x=1"] {
            let error = refused(address);
            assert!(matches!(error, BuildError::StaticFiles | BuildError::NotHttps), "{address}");
        }
    }

    #[test]
    fn parts_must_begin_where_they_were_asked_to() {
        let at = |text: &str, offset| {
            let headers = HeaderMap::from_iter([(CONTENT_RANGE, text.parse().unwrap())]);
            starts_at(&headers, offset)
        };
        assert!(at("bytes 7-9/10", 7));
        for text in ["bytes 6-9/10", "bytes */10", "7-9/10", "bytes -7-9/10", ""] {
            assert!(!at(text, 7), "{text}");
        }
        assert!(!starts_at(&HeaderMap::new(), 7));
    }

    #[test]
    fn statuses_say_whether_to_come_again() {
        let headers = |text: &str| HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
        let busy = |seconds| {
            let retry_after = Some(Duration::from_secs(seconds));
            Fault::transient(ClientError::Busy { retry_after }, retry_after)
        };
        assert_eq!(refused(StatusCode::SERVICE_UNAVAILABLE, &headers("7")), busy(7));
        assert_eq!(refused(StatusCode::TOO_MANY_REQUESTS, &headers("999999")), busy(3_600));
        assert_eq!(refused(StatusCode::BAD_GATEWAY, &HeaderMap::new()), Fault::TIMEOUT);
        for (status, error) in [
            (StatusCode::INTERNAL_SERVER_ERROR, ClientError::ServerFailed),
            (StatusCode::MOVED_PERMANENTLY, Misbehavior::Protocol.into()),
            (StatusCode::TEMPORARY_REDIRECT, Misbehavior::Protocol.into()),
            (StatusCode::FORBIDDEN, Misbehavior::Protocol.into()),
            (StatusCode::NOT_MODIFIED, Misbehavior::Protocol.into()),
        ] {
            assert_eq!(refused(status, &HeaderMap::new()), Fault::from(error), "{status}");
        }
    }
}
