//! Binding, serving and stopping: what `acquaint serve` and every test run.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    future::Future,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use acquaint_core::{engine::Engine, limits::OPEN_REQUEST_BYTES_MAX, manifest::ManifestPin};
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::server::HealthReporter;

use crate::{
    admission::{Door, access::Entrance},
    clock::{Clock, SystemClock},
    config::{Config, ConfigError, TenantSettings},
    directory::{DirectoryError, PublishHandle, RotateHandle},
    evaluator::Evaluator,
    keystore::KeyFileError,
    reload::{self, ReloadHandle},
    services::{AdminRpc, DiscoveryRpc, RegistryRpc},
    store::StoreError,
    tenant::{OpenedTenant, Tenant, TenantTasks, Tenants},
    transport::{
        AdminSocket, Counted, Entry, Hub, TlsFiles, TlsPort, accept_tcp, accept_unix, listen,
    },
};

/// A server with its ports open and its directories published, not yet answering.
pub struct Server {
    config: Config,
    clock: Arc<dyn Clock>,
    port: Port,
    admin_port: Option<Port>,
    admin_socket: Option<AdminSocket>,
    tenants: Arc<Tenants>,
    tasks: Vec<TenantTasks>,
    hub: Arc<Hub>,
    reload: ReloadHandle,
}

/// A port with TLS, open and not yet answering.
struct Port {
    listener: TcpListener,
    address: SocketAddr,
    tls: Arc<TlsPort>,
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
    /// Certificates of authorities are unusable.
    #[error("{} holds no certificates of authorities: it needs at least one, PEM", .path.display())]
    Authorities {
        /// Which file.
        path: PathBuf,
    },
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
}

impl Server {
    /// Checks the configuration, opens ports, keys and stores, and publishes what the stores hold.
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
        let checked = config.check()?;
        let port = Port::open(config.listen, tls_files(&config, &checked.tenants)).await?;
        let admin_port = match &config.admin {
            Some(admin) => {
                let required = Some(admin.authorities.clone());
                let files = TlsFiles { required, ..tls_files(&config, &[]) };
                Some(Port::open(admin.listen, files).await?)
            }
            None => None,
        };
        let admin_socket = config.admin_socket.as_deref().map(AdminSocket::bind).transpose()?;
        let evaluator = Evaluator::start(config.evaluator.threads, config.evaluator.queue_elements)
            .map_err(|_| ServerError::Threads)?;

        let mut tenants = Vec::new();
        let mut tasks = Vec::new();
        let mut credential_keys = BTreeMap::new();
        let mut key_directories = Vec::new();
        distinct_key_directories(&checked.tenants)?;
        for settings in checked.tenants {
            key_directories.push((settings.name.clone(), settings.keys.clone()));
            let opened = Tenant::open(settings, Arc::clone(&clock), &evaluator).await?;
            let OpenedTenant { tenant, tasks: task, credential_keys: keys } = opened;
            credential_keys.insert(tenant.name().clone(), keys);
            tenants.push(tenant);
            tasks.push(task);
        }
        let ports = [Some(&port), admin_port.as_ref()].into_iter().flatten();
        let reload = ReloadHandle::new(
            ports.map(|port| Arc::clone(&port.tls)).collect(),
            checked.audience,
            key_directories,
            credential_keys,
            evaluator,
        );
        Ok(Self {
            hub: Hub::new(config.transport),
            config,
            clock,
            port,
            admin_port,
            admin_socket,
            tenants: Arc::new(Tenants::new(tenants)),
            tasks,
            reload,
        })
    }

    /// The address that is listened on, with the port that was taken.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.port.address
    }

    /// The address of the port for operators of single tenants, if there is one.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_port.as_ref().map(|port| port.address)
    }

    /// The tenants that are served.
    #[must_use]
    pub fn tenants(&self) -> Arc<Tenants> {
        Arc::clone(&self.tenants)
    }

    /// What the apps of the first tenant pin; for servers with one.
    #[must_use]
    pub fn pin(&self) -> &ManifestPin {
        self.first().pin()
    }

    /// Publishes the first tenant's directory now; for whoever runs the server in its own process.
    #[must_use]
    pub fn publish_handle(&self) -> PublishHandle {
        self.first().publish_handle().clone()
    }

    /// Begins a rotation of the first tenant's key; for whoever runs the server in its own process.
    #[must_use]
    pub fn rotate_handle(&self) -> RotateHandle {
        self.first().rotate_handle().clone()
    }

    /// Takes up replaced certificates and credential keys.
    #[must_use]
    pub fn reload_handle(&self) -> ReloadHandle {
        self.reload.clone()
    }

    fn first(&self) -> &Tenant {
        self.tenants.iter().next().expect("a configuration without a tenant is refused")
    }

    /// Answers calls until `shutdown` completes, then drains: reports "not serving", waits for the
    /// load balancer, closes the ports, waits for open calls, and at the deadline cuts them off.
    ///
    /// # Errors
    /// A store's, when closing it.
    pub async fn serve(
        self,
        shutdown: impl Future<Output = ()> + Send,
    ) -> Result<Stopped, ServerError> {
        let (reporter, health) = tonic_health::server::health_reporter();
        report(&reporter, true).await;
        let public = Routes::new(health.max_decoding_message_size(OPEN_REQUEST_BYTES_MAX))
            .add_service(reflection())
            .add_service(DiscoveryRpc::service())
            .add_service(RegistryRpc::service());
        let admin = Routes::new(AdminRpc::service(Arc::clone(&self.tenants)));
        let verifier = self.reload.verifier();
        let entry = |entrance, routes: &Routes| {
            let verifier = Arc::clone(&verifier);
            let (tenants, clock) = (Arc::clone(&self.tenants), Arc::clone(&self.clock));
            let door = Door::new(entrance, tenants, verifier, clock);
            Arc::new(Entry { door, routes: routes.clone().prepare() })
        };
        let hub = self.hub;

        let stop = CancellationToken::new();
        let mut work: Vec<_> = self.tasks.into_iter().flat_map(|task| task.spawn(&stop)).collect();
        for tenant in self.tenants.iter() {
            work.push(tokio::spawn(Arc::clone(tenant).forget_rested(stop.clone())));
        }
        work.push(tokio::spawn(Arc::clone(&hub).report()));
        let every = Duration::from_secs(self.config.tls.reload_s.into());
        work.push(tokio::spawn(reload::watch(self.reload, every, stop.clone())));
        // The operator's listeners answer until the very end.
        let admin_hub = Hub::new(self.config.transport);
        work.push(tokio::spawn(Arc::clone(&admin_hub).report()));
        if let Some(socket) = self.admin_socket {
            let entry = entry(Entrance::AdminSocket, &admin);
            work.push(tokio::spawn(accept_unix(socket, entry, Arc::clone(&admin_hub))));
        }
        if let Some(Port { listener, tls, .. }) = self.admin_port {
            let entry = entry(Entrance::AdminPort, &admin);
            work.push(tokio::spawn(accept_tcp(listener, tls, entry, Arc::clone(&admin_hub))));
        }
        let Port { listener, address, tls } = self.port;
        let entry = entry(Entrance::Public, &public);
        let accepting = tokio::spawn(accept_tcp(listener, tls, entry, Arc::clone(&hub)));
        let tenants = self.tenants.iter().count();
        tracing::info!(%address, tenants, engine = %Engine::current().backend(), "serving");

        shutdown.await;
        let stopped = drain(&hub, accepting, &reporter, &self.config).await;
        stop.cancel();
        admin_hub.close();
        admin_hub.drain(Duration::ZERO).await;
        // Safe at any point: nobody sees a snapshot before its manifest is recorded, and a rotation
        // goes on from what is kept of it. A panic in them was logged when it happened.
        for task in work {
            task.abort();
            drop(task.await);
        }
        for tenant in self.tenants.iter() {
            tenant.close().await?;
        }
        Ok(stopped)
    }
}

impl Port {
    async fn open(address: SocketAddr, files: TlsFiles) -> Result<Self, ServerError> {
        let tls = Arc::new(TlsPort::open(files)?);
        let (listener, address) = listen(address).await?;
        Ok(Self { listener, address, tls })
    }
}

/// Two names of one directory would make two tenants that share every key.
fn distinct_key_directories(tenants: &[TenantSettings]) -> Result<(), ConfigError> {
    // What cannot be found is told when it is read.
    let found = tenants.iter().filter_map(|tenant| fs::canonicalize(&tenant.keys).ok());
    let found: Vec<_> = found.collect();
    let distinct: BTreeSet<_> = found.iter().collect();
    if distinct.len() == found.len() { Ok(()) } else { Err(ConfigError::Shared) }
}

/// The TLS of the public port.
fn tls_files(config: &Config, tenants: &[TenantSettings]) -> TlsFiles {
    let registrars = tenants
        .iter()
        .filter_map(|tenant| Some((tenant.name.clone(), tenant.registrar_authorities.clone()?)));
    TlsFiles {
        certificate: config.tls.certificate.clone(),
        key: config.tls.key.clone(),
        allow_tls12: config.tls.allow_tls12,
        required: None,
        registrars: registrars.collect(),
    }
}

/// Least time to drain: more than connections have to go that are not waited for.
const DRAIN_MIN: Duration = Duration::from_millis(500);

async fn drain(
    hub: &Hub,
    accepting: tokio::task::JoinHandle<()>,
    reporter: &HealthReporter,
    config: &Config,
) -> Stopped {
    tracing::info!("draining");
    report(reporter, false).await;
    // The port still answers while load balancers take notice.
    sleep(Duration::from_millis(config.drain.delay_ms)).await;
    // Ends the streams of whoever watches the health; they would hold up the drain otherwise.
    let mut reporter = reporter.clone();
    for service in REPORTED {
        reporter.clear_service_status(service).await;
    }
    hub.close();
    // The port is closed when its task has ended; a panic in it was logged when it happened.
    drop(accepting.await);
    let shed = hub.counted(Counted::Shed);
    let deadline = Duration::from_millis(config.drain.deadline_ms).max(DRAIN_MIN);
    if hub.drain(deadline).await {
        tracing::info!(shed, "drained");
        Stopped::Drained
    } else {
        tracing::warn!(shed, "drain deadline passed; open calls are cut off");
        Stopped::CutOff
    }
}

/// Reflection of the services on this port; the operator's are on another.
fn reflection() -> impl tonic::codegen::Service<
    http::Request<tonic::body::Body>,
    Response = http::Response<tonic::body::Body>,
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
        .max_decoding_message_size(OPEN_REQUEST_BYTES_MAX)
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

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("address", &self.address()).finish_non_exhaustive()
    }
}
