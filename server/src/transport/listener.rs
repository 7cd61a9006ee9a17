//! Where connections come from: ports with TLS, and the operator's Unix socket.

use std::{fs, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream, UnixListener},
    time::{sleep, timeout},
};
use tonic::service::Routes;

use super::{
    Counted, connection,
    hub::{Hub, Seat},
    tls::TlsPort,
};
use crate::{
    admission::{Door, Peer},
    serve::ServerError,
};

/// After an accept that failed, for want of descriptors as a rule: until some are free again.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is behind a listener: who is let in, and to what.
pub(crate) struct Entry {
    pub(crate) door: Door,
    pub(crate) routes: Routes,
}

/// Opens a port.
pub(crate) async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServerError> {
    let failed = |error: io::Error| ServerError::Listen { address, kind: error.kind() };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Accepts connections with TLS until the hub is closed, and closes the port then.
pub(crate) async fn accept_tcp(
    listener: TcpListener,
    tls: Arc<TlsPort>,
    entry: Arc<Entry>,
    hub: Arc<Hub>,
) {
    while let Some((stream, address)) = next(&hub, || listener.accept()).await {
        let Some(seat) = hub.seat(Some(address.ip())) else { continue };
        let (tls, entry, for_hub) = (Arc::clone(&tls), Arc::clone(&entry), Arc::clone(&hub));
        hub.spawn(seat, |seat| encrypted(stream, tls, entry, for_hub, seat));
    }
}

async fn encrypted(
    stream: TcpStream,
    tls: Arc<TlsPort>,
    entry: Arc<Entry>,
    hub: Arc<Hub>,
    seat: Arc<Seat>,
) {
    // Small answers go out at once; it can fail only if the peer has gone.
    drop(stream.set_nodelay(true));
    let handshake = tls.acceptor().accept(stream);
    let handshake = timeout(hub.limits.timeouts.handshake(), handshake);
    let shaken = tokio::select! {
        shaken = handshake => shaken,
        // Nobody is waited for who has not even begun.
        () = hub.closing.cancelled() => return,
    };
    match shaken {
        Ok(Ok(stream)) => {
            match tls.peer(stream.get_ref().1.peer_certificates().unwrap_or_default()) {
                Some(peer) => connection::serve(stream, peer, entry, hub, seat).await,
                None => hub.count(Counted::HandshakeFailed),
            }
        }
        Ok(Err(_)) | Err(_) => hub.count(Counted::HandshakeFailed),
    }
}

/// Accepts connections of the operator until the hub is closed.
pub(crate) async fn accept_unix(socket: AdminSocket, entry: Arc<Entry>, hub: Arc<Hub>) {
    while let Some((stream, _)) = next(&hub, || socket.0.accept()).await {
        let Some(seat) = hub.seat(None) else { continue };
        let (entry, for_hub) = (Arc::clone(&entry), Arc::clone(&hub));
        hub.spawn(seat, |seat| connection::serve(stream, Peer::default(), entry, for_hub, seat));
    }
}

/// The next connection; `None` once the hub is closed.
async fn next<T, F>(hub: &Hub, accept: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = io::Result<T>>,
{
    loop {
        let accepted = tokio::select! {
            biased;
            () = hub.closing.cancelled() => return None,
            accepted = accept() => accepted,
        };
        match accepted {
            Ok(connection) => return Some(connection),
            Err(error) => {
                tracing::warn!(kind = ?error.kind(), "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// The operator's socket, mode 0600. It stays when the server stops; the next start replaces it.
pub(crate) struct AdminSocket(UnixListener);

impl AdminSocket {
    pub(crate) fn bind(path: &Path) -> Result<Self, ServerError> {
        use std::os::unix::fs::PermissionsExt as _;
        let failed = |error: io::Error| ServerError::AdminSocket {
            path: path.to_owned(),
            kind: error.kind(),
        };
        remove_stale_socket(path).map_err(failed)?;
        let listener = UnixListener::bind(path).map_err(failed)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self(listener))
    }
}

/// Removes a socket that nobody listens on, as a killed server leaves it.
fn remove_stale_socket(path: &Path) -> io::Result<()> {
    use std::os::unix::{fs::FileTypeExt as _, net::UnixStream};
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    let refused = |error: io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
    if metadata.file_type().is_socket() && UnixStream::connect(path).is_err_and(refused) {
        return fs::remove_file(path);
    }
    Err(io::ErrorKind::AddrInUse.into())
}
