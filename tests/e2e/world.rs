//! A whole system in this process: the server through the same `Server::bind` as `serve`, on a
//! free port, with real TLS and a temporary store; clients and registrars for it.

use std::{
    collections::HashMap,
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use acquaint_client::{
    AddressBook, Builder, Client, Credential, Identifier, Label, ManifestPin, Registrar,
    StaticCredential, SyncOutcome, Visibility,
};
use acquaint_core::credential::{Claims, Pseudonym, Scope};
use acquaint_proto::v1::{
    discovery_service_client::DiscoveryServiceClient,
    registry_service_client::RegistryServiceClient,
};
use acquaint_server::{
    clock::{Clock, SystemClock},
    config::{Config, Tenant},
    directory::PublishHandle,
    keystore::Keys,
    reload::ReloadHandle,
    serve::{Server, ServerError, Stopped},
    tenant::Tenants,
};
use bytes::{Buf as _, BufMut as _, Bytes};
use curve25519_dalek::{RistrettoPoint, Scalar, constants::RISTRETTO_BASEPOINT_POINT};
use futures_util::stream;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    transport::{Certificate, Channel, ClientTlsConfig, Endpoint},
};

/// Everything that a server needs on disk, and nothing running.
pub struct Site {
    pub directory: TempDir,
    pub config: Config,
    pub keys: Keys,
    /// Keys of tenants besides the first, which is called `default`.
    others: HashMap<String, Keys>,
    /// The certificate, which is its own root.
    pub root: String,
    pub tls_key: String,
}

/// A running server.
pub struct World {
    pub site: Site,
    pub url: String,
    pub pin: ManifestPin,
    pub admin_address: Option<SocketAddr>,
    pub reload: ReloadHandle,
    publish: PublishHandle,
    tenants: Arc<Tenants>,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<Stopped, ServerError>>,
}

impl Site {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let identity = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (root, tls_key) = (identity.cert.pem(), identity.signing_key.serialize_pem());
        let keys = Keys::generate(&mut rand::rng());
        keys.create(&directory.path().join("keys")).unwrap();
        fs::create_dir(directory.path().join("tls")).unwrap();
        let mut config = Config::default().resolve(directory.path());
        fs::write(&config.tls.certificate, &root).unwrap();
        fs::write(&config.tls.key, &tls_key).unwrap();
        config.listen.set_port(0);
        config.admin_socket = None;
        Self { directory, config, keys, others: HashMap::new(), root, tls_key }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes keys for another tenant, with the common settings.
    pub fn add_tenant(&mut self, name: &str) {
        let keys = Keys::generate(&mut rand::rng());
        let (store, directory) = (format!("{name}.redb"), format!("{name}-keys"));
        keys.create(&self.path(&directory)).unwrap();
        let tenant = Tenant::new(self.path(&store), self.path(&directory));
        self.config.tenants.insert(name.to_owned(), tenant);
        self.others.insert(name.to_owned(), keys);
    }

    pub fn keys_of(&self, tenant: &str) -> &Keys {
        if tenant == "default" { &self.keys } else { &self.others[tenant] }
    }

    /// A credential of a tenant, also of one that this site does not have: then under keys that
    /// are its own.
    pub fn credential_of(&self, tenant: &str, account: &str, scope: Scope) -> Credential {
        let unknown = Keys::generate(&mut rand::rng());
        let known = tenant == "default" || self.others.contains_key(tenant);
        let keys = if known { self.keys_of(tenant) } else { &unknown };
        let tenant = tenant.parse().unwrap();
        let pseudonym = Pseudonym::of_account(&keys.pseudonym, account.as_bytes());
        let (key_id, key) = keys.newest_credential().unwrap();
        let claims = Claims { tenant, pseudonym, key_id, ..self.claims(account, scope) };
        Credential::mint(key, &claims)
    }

    /// A credential for an account, valid for an hour from now.
    pub fn credential(&self, account: &str, scope: Scope) -> Credential {
        self.credential_until(account, scope, now_s() + 3_600)
    }

    pub fn credential_until(&self, account: &str, scope: Scope, expires_at: u64) -> Credential {
        let claims = Claims { expires_at, ..self.claims(account, scope) };
        Credential::mint(self.keys.newest_credential().unwrap().1, &claims)
    }

    /// What the credential of an account says, valid for an hour from now. Issued long ago: good
    /// under any clock that a test sets.
    pub fn claims(&self, account: &str, scope: Scope) -> Claims {
        Claims {
            tenant: "default".parse().unwrap(),
            audience: self.config.audience().unwrap(),
            pseudonym: Pseudonym::of_account(&self.keys.pseudonym, account.as_bytes()),
            scope,
            class: 0,
            issued_at: 0,
            expires_at: now_s() + 3_600,
            account_since: 0,
            key_id: self.keys.newest_credential().unwrap().0,
        }
    }

    pub async fn start(self) -> World {
        self.start_with_clock(Arc::new(SystemClock)).await
    }

    pub async fn start_with_clock(self, clock: Arc<dyn Clock>) -> World {
        install_provider();
        let server = Server::bind_with_clock(self.config.clone(), clock).await.unwrap();
        let url = format!("https://localhost:{}", server.address().port());
        let (pin, publish) = (server.pin().clone(), server.publish_handle());
        let (tenants, reload) = (server.tenants(), server.reload_handle());
        let admin_address = server.admin_address();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(server.serve(async { drop(stopped.await) }));
        let site = self;
        World { site, url, pin, admin_address, reload, publish, tenants, stop, served }
    }
}

impl World {
    pub async fn start() -> Self {
        Site::new().start().await
    }

    /// Stops the server and gives the site back, to be started again.
    pub async fn stop(self) -> Site {
        drop(self.stop);
        assert_eq!(self.served.await.unwrap().unwrap(), Stopped::Drained);
        self.site
    }

    /// Stops the server while somebody holds a connection open, and cuts that off.
    pub async fn stop_cut_off(self) {
        drop(self.stop);
        assert_eq!(self.served.await.unwrap().unwrap(), Stopped::CutOff);
    }

    /// The number of the snapshot that is published.
    pub async fn newest_snapshot(&self) -> u64 {
        let tenant = self.tenants.iter().next().unwrap();
        self.newest_snapshot_of(tenant.name().as_str())
    }

    pub fn newest_snapshot_of(&self, tenant: &str) -> u64 {
        let tenant = self.tenants.get(&tenant.parse().unwrap()).unwrap();
        tenant.directory().published().manifest.current().snapshot.number
    }

    pub fn client_builder(&self, account: &str) -> Builder<Client> {
        let credential = self.site.credential(account, Scope::Discover);
        Client::builder(&self.url)
            .pin(self.pin.clone())
            .trust_root_pem(self.site.root.as_bytes())
            .credentials(StaticCredential::new(credential))
    }

    pub fn client(&self, account: &str) -> Client {
        self.client_builder(account).build().unwrap()
    }

    pub fn registrar(&self) -> Registrar {
        let credential = self.site.credential("back-end", Scope::Register);
        Registrar::builder(&self.url)
            .pin(self.pin.clone())
            .trust_root_pem(self.site.root.as_bytes())
            .credentials(StaticCredential::new(credential))
            .build()
            .unwrap()
    }

    /// Registers and publishes.
    pub async fn register(&self, users: &HashMap<Identifier, Label>, visibility: Visibility) {
        let rows: Vec<_> = users.iter().map(|(id, label)| (id.clone(), label.clone())).collect();
        self.registrar().register(rows.into_iter(), visibility, |_| {}).await.unwrap();
        self.publish().await;
    }

    pub async fn publish(&self) {
        self.publish.publish_now().await.unwrap().unwrap();
    }

    pub async fn publish_tenant(&self, name: &str) {
        let tenant = self.tenants.get(&name.parse().unwrap()).unwrap();
        tenant.publish_handle().publish_now().await.unwrap().unwrap();
    }
}

/// Calls that the SDK would never make: bare channels, own messages, any credential.
impl World {
    pub fn channel(&self) -> Channel {
        channel(&self.url, &self.site.root)
    }

    pub fn discovery(&self) -> DiscoveryServiceClient<Channel> {
        DiscoveryServiceClient::new(self.channel())
    }

    pub fn registry(&self) -> RegistryServiceClient<Channel> {
        RegistryServiceClient::new(self.channel())
    }

    /// A request to the discovery service in the name of an account.
    pub fn asks<T>(&self, account: &str, message: T) -> Request<T> {
        authorized(&self.site.credential(account, Scope::Discover), message)
    }

    /// A request to the registry service.
    pub fn orders<T>(&self, message: T) -> Request<T> {
        authorized(&self.site.credential("back-end", Scope::Register), message)
    }
}

pub fn channel(url: &str, root: &str) -> Channel {
    let tls =
        ClientTlsConfig::new().domain_name("localhost").ca_certificate(Certificate::from_pem(root));
    Endpoint::from_shared(url.to_owned()).unwrap().tls_config(tls).unwrap().connect_lazy()
}

pub fn authorized<T>(credential: &Credential, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let value = format!("Bearer {}", credential.expose_text()).parse().unwrap();
    request.metadata_mut().insert("authorization", value);
    request
}

/// Distinct canonical elements, 32 bytes each: even multiples of the base point.
pub fn elements(range: std::ops::Range<u64>) -> Vec<u8> {
    let first = RistrettoPoint::mul_base(&Scalar::from(range.start + 1));
    let next = |point: &RistrettoPoint| Some(point + RISTRETTO_BASEPOINT_POINT);
    let points: Vec<_> = std::iter::successors(Some(first), next).take(range.count()).collect();
    let encodings = RistrettoPoint::double_and_compress_batch(&points);
    encodings.into_iter().flat_map(|encoding| encoding.to_bytes()).collect()
}

/// Messages as the bytes that go over the wire.
#[derive(Clone, Copy, Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(src.copy_to_bytes(src.remaining())))
    }
}

/// Any rpc with one message of any bytes; gives all answers.
pub async fn call_raw(
    channel: Channel,
    path: &'static str,
    request: Request<Bytes>,
) -> Result<Vec<Bytes>, Status> {
    let request = request.map(|message| stream::iter([message]));
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let answers = grpc.streaming(request, path.parse().unwrap(), Raw).await?.into_inner();
    collect(answers).await
}

/// All messages of a stream, or its status.
pub async fn collect<T>(mut messages: Streaming<T>) -> Result<Vec<T>, Status> {
    let mut all = Vec::new();
    while let Some(message) = messages.message().await? {
        all.push(message);
    }
    Ok(all)
}

/// What a lookup must find: the plain intersection, by position in the address book.
pub fn oracle(book: &AddressBook, users: &HashMap<Identifier, Label>) -> Vec<(usize, Label)> {
    let contacts = book.contacts().iter().enumerate();
    contacts.filter_map(|(i, c)| Some((i, users.get(c.identifier())?.clone()))).collect()
}

/// What a lookup found, in the oracle's form.
pub fn found(outcome: &SyncOutcome) -> Vec<(usize, Label)> {
    outcome.matches.iter().map(|m| (m.contact, m.label.clone())).collect()
}

/// A fictional number: `+999` is nobody's country code.
pub fn number(i: u64) -> Identifier {
    Identifier::tel(&format!("+999{i:010}")).unwrap()
}

pub fn label(i: u64) -> Label {
    let mut label = Label([0xA5; 16]);
    label.0[..8].copy_from_slice(&i.to_le_bytes());
    label
}

/// Users with the numbers of a range, labelled by number.
pub fn users(range: std::ops::Range<u64>) -> HashMap<Identifier, Label> {
    range.map(|i| (number(i), label(i))).collect()
}

/// An address book of the numbers of a range.
pub fn book(numbers: impl IntoIterator<Item = u64>) -> AddressBook {
    AddressBook::from_identifiers(numbers.into_iter().map(|i| (format!("Contact {i}"), number(i))))
}

/// A generator whose seed is printed, from `ACQUAINT_TEST_SEED` if that is set.
pub fn seeded(test: &str) -> ChaCha20Rng {
    let replay = std::env::var("ACQUAINT_TEST_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = replay.unwrap_or_else(rand::random);
    println!("{test}: ACQUAINT_TEST_SEED={seed}");
    ChaCha20Rng::seed_from_u64(seed)
}

pub fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

/// The binary under test.
pub fn binary() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_acquaint"))
}

/// One cryptographic provider for the process, as `main` installs it.
pub fn install_provider() {
    // The second test of this process finds it installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
