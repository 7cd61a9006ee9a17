//! Binding, serving and stopping: what `acquaint serve` and every test run.

use std::{
    fmt, fs,
    future::Future,
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use acquaint_core::{credential::CredentialVerifier, engine::Engine, manifest::ManifestPin};
use tokio::{
    net::{TcpListener, UnixListener},
    time::{sleep, timeout},
};
use tokio_stream::wrappers::UnixListenerStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Identity, Server as Transport, ServerTlsConfig, server::TcpIncoming};
use tonic_health::server::HealthReporter;

use crate::{
    admission::Gate,
    clock::{Clock, SystemClock},
    config::{Config, ConfigError, Tls},
    directory::{Directory, DirectoryError, PublishHandle, Publisher, RotateHandle, Rotator},
    evaluator::{Evaluator, EvaluatorError},
    keystore::{KeyFileError, Keys, SeedFiles},
    services::{AdminRpc, DiscoveryRpc, RegistryRpc},
    store::{RedbStore, Store, StoreError},
};

const TLS_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(600);
const CONNECTION_AGE_GRACE: Duration = Duration::from_secs(60);
const STREAMS_PER_CONNECTION_MAX: u32 = 64;
const HEADER_LIST_BYTES_MAX: u32 = 16 * 1_024;

/// A server with its port open and its directory published, not yet answering.
pub struct Server {
    config: Config,
    listener: TcpListener,
    admin: Option<AdminSocket>,
    address: SocketAddr,
    transport: Transport,
    pin: ManifestPin,
    gate: Arc<Gate>,
    directory: Arc<Directory>,
    evaluator: Evaluator,
    publisher: Publisher,
    publish: PublishHandle,
    rotator: Rotator,
    rotate: RotateHandle,
    store: Arc<dyn Store>,
}

/// How a server stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Every open call was answered.
    Drained,
    /// The deadline passed; open calls were cut off. Nothing acknowledged is lost.
    CutOff,
}

/// Why a server did not start, or stopped by itself. Each text names the remedy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The keys cannot be read.
    #[error(transparent)]
    Keys(#[from] KeyFileError),
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The directory cannot be opened or published.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A file of TLS cannot be read.
    #[error("the TLS file {} cannot be read ({kind}): run `acquaint init`, or fix `tls` in the configuration", .path.display())]
    TlsFile {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// Certificate and key are unusable.
    #[error("certificate and key do not make a TLS identity: check `tls` in the configuration")]
    TlsIdentity,
    /// The port cannot be opened.
    #[error("cannot listen on {address} ({kind}): stop what uses the port, or change `listen`")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// The operator's socket cannot be opened.
    #[error("cannot open the admin socket {} ({kind}): stop the server that uses it, or change `admin_socket`", .path.display())]
    AdminSocket {
        /// The configured path.
        path: PathBuf,
        /// What the system said.
        kind: io::ErrorKind,
    },
    /// No threads.
    #[error("the system starts no threads: check its limits")]
    Threads,
    /// The transport gave up.
    #[error("the transport failed: see the log")]
    Transport,
}

impl Server {
    /// Checks the configuration, opens port, keys and store, and publishes what the store holds.
    ///
    /// # Errors
    /// [`ServerError`]; nothing stays open.
    pub async fn bind(config: Config) -> Result<Self, ServerError> {
        Self::bind_with_clock(config, Arc::new(SystemClock)).await
    }

    /// As [`Server::bind`], with another clock: for tests of quotas and expiry.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub async fn bind_with_clock(
        config: Config,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ServerError> {
        let (tenant, policy) = config.check()?;
        let keys = Keys::load(&config.keys)?;
        let transport = encrypted(&config.tls)?;
        let (listener, address) = listen(config.listen).await?;
        let admin = config.admin_socket.as_deref().map(AdminSocket::bind).transpose()?;
        let evaluator = Evaluator::start(config.evaluator.threads, config.evaluator.queue_elements)
            .map_err(|_| ServerError::Threads)?;
        let store = open_store(&config, &keys, &evaluator).await?;
        let directory = Directory::open(
            tenant.clone(),
            (&keys, SeedFiles::new(&config.keys)),
            (policy.clone(), config.compaction()),
            Arc::clone(&store),
            Arc::clone(&clock),
            evaluator.clone(),
        )
        .await?;
        let tenants = [(tenant, keys.credentials.clone())];
        let verifier = CredentialVerifier::new(config.audience()?, tenants);
        let gate = Arc::new(Gate::new(verifier, &policy, Arc::clone(&store), clock));
        let (publisher, publish) =
            Publisher::new(Arc::clone(&directory), config.publication_delay());
        let grace_s = config.rotation.grace_s.into();
        let (rotator, rotate) = Rotator::new(Arc::clone(&directory), publish.clone(), grace_s);
        Ok(Self {
            config,
            listener,
            admin,
            address,
            transport,
            pin: keys.manifest.pin(),
            gate,
            directory,
            evaluator,
            publisher,
            publish,
            rotator,
            rotate,
            store,
        })
    }

    /// The address that is listened on, with the port that was taken.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// What apps pin.
    #[must_use]
    pub const fn pin(&self) -> &ManifestPin {
        &self.pin
    }

    /// Publishes now; for whoever runs the server in its own process.
    #[must_use]
    pub fn publish_handle(&self) -> PublishHandle {
        self.publish.clone()
    }

    /// Begins a rotation of the key; for whoever runs the server in its own process.
    #[must_use]
    pub fn rotate_handle(&self) -> RotateHandle {
        self.rotate.clone()
    }

    /// Answers calls until `shutdown` completes, then drains: reports "not serving", waits for the
    /// load balancer, closes the port, waits for open calls, and at the deadline cuts them off.
    ///
    /// # Errors
    /// [`ServerError::Transport`], or the store's when closing it.
    pub async fn serve(
        self,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<Stopped, ServerError> {
        let (reporter, health) = tonic_health::server::health_reporter();
        report(&reporter, true).await;
        let router = self
            .transport
            .timeout(CALL_TIMEOUT)
            .add_service(health)
            .add_service(reflection())
            .add_service(DiscoveryRpc::service(
                Arc::clone(&self.gate),
                Arc::clone(&self.directory),
                self.evaluator.clone(),
            ))
            .add_service(RegistryRpc::service(
                self.gate,
                Arc::clone(&self.directory),
                self.evaluator.clone(),
            ));

        let (close, stop_tasks) = (CancellationToken::new(), CancellationToken::new());
        let publisher = tokio::spawn(self.publisher.run(stop_tasks.clone()));
        let rotator = tokio::spawn(self.rotator.run(stop_tasks.clone()));
        let (publish, rotate) = (self.publish, self.rotate);
        let admin = AdminRpc::service(self.directory, self.evaluator, publish, rotate);
        let admin = self.admin.map(|socket| {
            tokio::spawn(transport().add_service(admin).serve_with_incoming_shutdown(
                socket.listener,
                stop_tasks.clone().cancelled_owned(),
            ))
        });
        let incoming = TcpIncoming::from(self.listener).with_nodelay(Some(true));
        let calls = router.serve_with_incoming_shutdown(incoming, close.clone().cancelled_owned());
        tracing::info!(
            address = %self.address,
            engine = %Engine::current().backend(),
            "serving"
        );

        let stopped = run_until_drained(calls, shutdown, &reporter, &close, &self.config).await;
        stop_tasks.cancel();
        // Safe at any point: nobody sees a snapshot before its manifest is recorded, and a rotation
        // goes on from what is kept of it. A panic in them was logged when it happened.
        for task in [publisher, rotator] {
            task.abort();
            drop(task.await);
        }
        if let Some(task) = admin {
            task.abort();
        }
        self.store.close().await?;
        stopped
    }
}

async fn run_until_drained(
    calls: impl Future<Output = Result<(), tonic::transport::Error>>,
    shutdown: impl Future<Output = ()>,
    reporter: &HealthReporter,
    close: &CancellationToken,
    config: &Config,
) -> Result<Stopped, ServerError> {
    tokio::pin!(calls);
    tokio::select! {
        result = &mut calls => {
            return result.map(|()| Stopped::Drained).map_err(|_| ServerError::Transport);
        }
        () = shutdown => {}
    }
    tracing::info!("draining");
    report(reporter, false).await;
    let delay = Duration::from_millis(config.drain.delay_ms);
    // The port still answers while load balancers take notice.
    tokio::select! {
        result = &mut calls => {
            return result.map(|()| Stopped::Drained).map_err(|_| ServerError::Transport);
        }
        () = sleep(delay) => {}
    }
    // Ends the streams of whoever watches the health; they would hold up the drain otherwise.
    let mut reporter = reporter.clone();
    for service in REPORTED {
        reporter.clear_service_status(service).await;
    }
    close.cancel();
    match timeout(Duration::from_millis(config.drain.deadline_ms), calls).await {
        Ok(Ok(())) => {
            tracing::info!("drained");
            Ok(Stopped::Drained)
        }
        Ok(Err(_)) => Err(ServerError::Transport),
        Err(_) => {
            // tonic alone would wait without limit for half-open connections
            // (hyperium/hyper#4170).
            tracing::warn!("drain deadline passed; open calls are cut off");
            Ok(Stopped::CutOff)
        }
    }
}

/// Limits of every connection; tonic has none by default.
fn transport() -> Transport {
    Transport::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT))
        .max_connection_age(CONNECTION_AGE_MAX)
        .max_connection_age_grace(CONNECTION_AGE_GRACE)
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .http2_max_header_list_size(HEADER_LIST_BYTES_MAX)
}

/// A transport with TLS, from the files of the configuration.
fn encrypted(files: &Tls) -> Result<Transport, ServerError> {
    let identity =
        Identity::from_pem(read_tls_file(&files.certificate)?, read_tls_file(&files.key)?);
    let tls = ServerTlsConfig::new().identity(identity).timeout(TLS_HANDSHAKE_TIMEOUT);
    transport().tls_config(tls).map_err(|_| ServerError::TlsIdentity)
}

/// Reflection of the services on this port; the operator's are on another.
fn reflection() -> impl tonic::codegen::Service<
    tonic::codegen::http::Request<tonic::body::Body>,
    Response = tonic::codegen::http::Response<tonic::body::Body>,
    Error = std::convert::Infallible,
    Future: Send + 'static,
> + tonic::server::NamedService
+ Clone
+ Send
+ Sync
+ 'static {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(acquaint_proto::FILE_DESCRIPTOR_SET)
        .with_service_name("acquaint.v1.DiscoveryService")
        .with_service_name("acquaint.v1.RegistryService")
        .build_v1()
        .expect("the descriptors were made by the build of this workspace")
}

/// What the health service answers for.
const REPORTED: [&str; 3] = ["", "acquaint.v1.DiscoveryService", "acquaint.v1.RegistryService"];

async fn report(reporter: &HealthReporter, serving: bool) {
    use tonic_health::ServingStatus::{NotServing, Serving};
    let status = if serving { Serving } else { NotServing };
    for service in REPORTED {
        reporter.set_service_status(service, status).await;
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServerError> {
    let failed = |error: io::Error| ServerError::Listen { address, kind: error.kind() };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

async fn open_store(
    config: &Config,
    keys: &Keys,
    evaluator: &Evaluator,
) -> Result<Arc<dyn Store>, ServerError> {
    let (path, check) = (config.store.clone(), keys.storage.check_value());
    let opened = evaluator.run_background(move || RedbStore::open(path, check)).await;
    match opened {
        Ok(store) => Ok(Arc::new(store?)),
        Err(EvaluatorError::Panicked | EvaluatorError::QueueFull { .. }) => {
            Err(StoreError::Interrupted.into())
        }
    }
}

fn read_tls_file(path: &Path) -> Result<Vec<u8>, ServerError> {
    fs::read(path)
        .map_err(|error| ServerError::TlsFile { path: path.to_owned(), kind: error.kind() })
}

/// The operator's socket, mode 0600. It stays when the server stops; the next start replaces it.
struct AdminSocket {
    listener: UnixListenerStream,
}

impl AdminSocket {
    fn bind(path: &Path) -> Result<Self, ServerError> {
        let failed = |error: io::Error| ServerError::AdminSocket {
            path: path.to_owned(),
            kind: error.kind(),
        };
        remove_stale_socket(path).map_err(failed)?;
        let listener = UnixListener::bind(path).map_err(failed)?;
        {
            use std::os::unix::fs::PermissionsExt as _;
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        }
        Ok(Self { listener: UnixListenerStream::new(listener) })
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

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address).finish_non_exhaustive()
    }
}
