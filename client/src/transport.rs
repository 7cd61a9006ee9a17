//! The connection to the server: TLS only, opened on first use, and again whenever it broke.

use std::{
    fmt, io,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time,
};
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use zeroize::Zeroizing;

use crate::{builder::BuildError, traffic::Meter};

/// From the first packet to the end of the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often, and for how long, a silent connection is asked whether it still lives.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

const HTTPS_PORT: u16 = 443;

/// Where the server is, and how to get there.
pub(crate) struct Transport {
    endpoint: Endpoint,
    /// Made by the first call: tonic wants a runtime around it, and building a client has none.
    channel: OnceLock<Channel>,
    meter: Arc<Meter>,
}

/// Certificate chain and private key of a client, PEM. Wiped on drop, as far as it is ours.
pub(crate) struct IdentityPem {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
}

impl IdentityPem {
    pub(crate) fn new(certificate: Vec<u8>, key: Vec<u8>) -> Self {
        Self { certificate, key: Zeroizing::new(key) }
    }

    /// The same for tonic, which reports what it cannot read only when it connects.
    fn identity(&self) -> Result<Identity, BuildError> {
        let mut chain = CertificateDer::pem_slice_iter(&self.certificate).peekable();
        let readable = chain.peek().is_some() && chain.all(|certificate| certificate.is_ok());
        if !readable || PrivateKeyDer::from_pem_slice(&self.key).is_err() {
            return Err(BuildError::ClientIdentity);
        }
        Ok(Identity::from_pem(&self.certificate, &*self.key))
    }
}

impl Transport {
    /// A transport to an `https://` address that trusts the given roots, or else the public ones,
    /// and shows a certificate of its own if it has one.
    ///
    /// # Errors
    /// [`BuildError::Endpoint`], [`BuildError::NotHttps`], [`BuildError::RootCertificate`],
    /// [`BuildError::ClientIdentity`].
    pub(crate) fn new(
        address: &str,
        root_pem: Option<&[u8]>,
        identity: Option<&IdentityPem>,
    ) -> Result<Self, BuildError> {
        let uri = parse(address)?;
        let tls = ClientTlsConfig::new().domain_name(host(&uri).ok_or(BuildError::Endpoint)?);
        let tls = match root_pem {
            // Read once here, because tonic skips what it cannot read.
            Some(pem) => {
                roots(Some(pem))?;
                tls.ca_certificate(Certificate::from_pem(pem))
            }
            None => tls.with_webpki_roots(),
        };
        let tls = match identity {
            Some(identity) => tls.identity(identity.identity()?),
            None => tls,
        };
        let endpoint = Endpoint::from(uri)
            .tls_config(tls)
            .map_err(|_| BuildError::Endpoint)?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT);
        Ok(Self { endpoint, channel: OnceLock::new(), meter: Arc::default() })
    }

    /// The channel, which many calls share.
    pub(crate) fn channel(&self) -> Channel {
        let connect = || {
            let connector = CountingConnector { meter: Arc::clone(&self.meter) };
            self.endpoint.connect_with_connector_lazy(connector)
        };
        self.channel.get_or_init(connect).clone()
    }

    /// Counts what goes over all its connections.
    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// A transport over whatever the channel runs on, without TLS.
    #[cfg(test)]
    pub(crate) fn over(channel: Channel) -> Self {
        Self {
            endpoint: Endpoint::from_static("https://unused.test"),
            channel: OnceLock::from(channel),
            meter: Arc::default(),
        }
    }
}

impl fmt::Debug for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transport").field("meter", &self.meter).finish_non_exhaustive()
    }
}

fn parse(address: &str) -> Result<Uri, BuildError> {
    let uri: Uri = address.parse().map_err(|_| BuildError::Endpoint)?;
    if uri.scheme_str() != Some("https") {
        return Err(BuildError::NotHttps);
    }
    let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
    // gRPC fixes the path: one in the address would be ignored, which nobody expects.
    if has_user || uri.path() != "/" || uri.query().is_some() {
        return Err(BuildError::Endpoint);
    }
    Ok(uri)
}

/// The host without the brackets of an IPv6 address.
pub(crate) fn host(uri: &Uri) -> Option<&str> {
    let host = uri.host()?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    (!bare.is_empty()).then_some(bare)
}

/// The roots to trust: those of a PEM file, or else the public web's.
///
/// # Errors
/// [`BuildError::RootCertificate`] if one of the file cannot be read, or there is none.
pub(crate) fn roots(pem: Option<&[u8]>) -> Result<RootCertStore, BuildError> {
    let mut roots = RootCertStore::empty();
    let Some(pem) = pem else {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        return Ok(roots);
    };
    for certificate in CertificateDer::pem_slice_iter(pem) {
        let certificate = certificate.map_err(|_| BuildError::RootCertificate)?;
        roots.add(certificate).map_err(|_| BuildError::RootCertificate)?;
    }
    if roots.is_empty() {
        return Err(BuildError::RootCertificate);
    }
    Ok(roots)
}

/// Opens a TCP connection that counts its bytes.
///
/// # Errors
/// Whatever the system says; a connection that is not there in time is none.
pub(crate) async fn connect(uri: &Uri, meter: &Arc<Meter>) -> io::Result<CountedStream> {
    let host = host(uri).ok_or(io::ErrorKind::InvalidInput)?;
    let connecting = TcpStream::connect((host, uri.port_u16().unwrap_or(HTTPS_PORT)));
    let stream = time::timeout(CONNECT_TIMEOUT, connecting).await??;
    // Requests are written whole: waiting for more to send only delays them.
    stream.set_nodelay(true)?;
    Ok(CountedStream { stream, meter: Arc::clone(meter) })
}

/// Opens TCP connections that count their bytes.
#[derive(Clone)]
struct CountingConnector {
    meter: Arc<Meter>,
}

impl tower::Service<Uri> for CountingConnector {
    type Response = TokioIo<CountedStream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let meter = Arc::clone(&self.meter);
        Box::pin(async move { connect(&uri, &meter).await.map(TokioIo::new) })
    }
}

/// A TCP stream that counts its bytes.
pub(crate) struct CountedStream {
    stream: TcpStream,
    meter: Arc<Meter>,
}

impl CountedStream {
    fn count_written(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(n_bytes)) = &written {
            self.meter.add_up(*n_bytes);
        }
        written
    }
}

impl AsyncRead for CountedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        self.meter.add_down(buf.filled().len().saturating_sub(before));
        read
    }
}

impl AsyncWrite for CountedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.count_written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.count_written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
