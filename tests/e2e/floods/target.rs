//! The server as its attackers see it: an address, and many addresses to come from.

use std::{fs, io, net::SocketAddr, path::PathBuf, sync::Arc};

use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore,
        pki_types::{CertificateDer, ServerName, pem::PemObject as _},
    },
};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};

use super::{
    attacks::{Attack, Scale},
    frames,
};
use crate::world;

/// Connections that come from one address: fewer than a server's limit for each may be.
const CONNECTIONS_PER_SOURCE: usize = 16;

/// What the attackers' process is told, in its environment.
#[derive(Clone, Debug)]
pub struct Orders {
    pub attack: Attack,
    pub scale: Scale,
    pub address: SocketAddr,
    pub certificate: PathBuf,
    /// A file with a credential for each account, one a line.
    pub credentials: PathBuf,
    pub epoch: u32,
    pub snapshot: u64,
}

const ATTACK: &str = "ACQUAINT_FLOOD_ATTACK";
const SCALE: &str = "ACQUAINT_FLOOD_SCALE";
const ADDRESS: &str = "ACQUAINT_FLOOD_ADDRESS";
const CERTIFICATE: &str = "ACQUAINT_FLOOD_CERTIFICATE";
const CREDENTIALS: &str = "ACQUAINT_FLOOD_CREDENTIALS";
const EPOCH: &str = "ACQUAINT_FLOOD_EPOCH";
const SNAPSHOT: &str = "ACQUAINT_FLOOD_SNAPSHOT";

impl Orders {
    pub fn to_variables(&self) -> [(&'static str, String); 7] {
        [
            (ATTACK, self.attack.name().to_owned()),
            (SCALE, self.scale.name().to_owned()),
            (ADDRESS, self.address.to_string()),
            (CERTIFICATE, self.certificate.to_str().unwrap().to_owned()),
            (CREDENTIALS, self.credentials.to_str().unwrap().to_owned()),
            (EPOCH, self.epoch.to_string()),
            (SNAPSHOT, self.snapshot.to_string()),
        ]
    }

    /// `None` if this process is not an attacker's.
    pub fn from_environment() -> Option<Self> {
        let name = std::env::var(ATTACK).ok()?;
        let variable = |name| std::env::var(name).unwrap();
        Some(Self {
            attack: Attack::by_name(&name).unwrap(),
            scale: Scale::by_name(&variable(SCALE)).unwrap(),
            address: variable(ADDRESS).parse().unwrap(),
            certificate: variable(CERTIFICATE).into(),
            credentials: variable(CREDENTIALS).into(),
            epoch: variable(EPOCH).parse().unwrap(),
            snapshot: variable(SNAPSHOT).parse().unwrap(),
        })
    }
}

/// The server under attack.
pub struct Target {
    pub epoch: u32,
    pub snapshot: u64,
    address: SocketAddr,
    certificate: String,
    credentials: Vec<String>,
    connector: TlsConnector,
}

impl Target {
    pub fn new(orders: &Orders) -> Self {
        world::install_provider();
        let certificate = fs::read_to_string(&orders.certificate).unwrap();
        let credentials = fs::read_to_string(&orders.credentials).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()).unwrap();
        let mut config =
            ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self {
            epoch: orders.epoch,
            snapshot: orders.snapshot,
            address: orders.address,
            certificate,
            credentials: credentials.lines().map(str::to_owned).collect(),
            connector: TlsConnector::from(Arc::new(config)),
        }
    }

    /// The credential of an account, for an attacker by number.
    pub fn credential(&self, attacker: usize) -> &str {
        &self.credentials[attacker % self.credentials.len()]
    }

    /// A connection from the address of an attacker, 127.0.1.1, 127.0.2.1 and so on.
    pub async fn tcp(&self, attacker: usize) -> io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((source(attacker), 0)))?;
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The same with TLS.
    pub async fn tls(&self, attacker: usize) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        self.connector.connect(name, self.tcp(attacker).await?).await
    }

    /// The same with the preface and some settings.
    pub async fn http2(
        &self,
        attacker: usize,
        settings: &[(u16, u32)],
    ) -> io::Result<TlsStream<TcpStream>> {
        let mut stream = self.tls(attacker).await?;
        let hello = [frames::PREFACE, &frames::settings(settings)].concat();
        stream.write_all(&hello).await?;
        stream.flush().await?;
        Ok(stream)
    }

    /// An endpoint for proper calls.
    pub fn endpoint(&self, attacker: usize) -> Endpoint {
        let root = Certificate::from_pem(&self.certificate);
        let tls = ClientTlsConfig::new().domain_name("localhost").ca_certificate(root);
        Endpoint::from_shared(format!("https://{}", self.address))
            .unwrap()
            .local_address(Some(source(attacker).into()))
            .tls_config(tls)
            .unwrap()
    }
}

fn source(attacker: usize) -> [u8; 4] {
    let source = attacker / CONNECTIONS_PER_SOURCE;
    // Each source in a network of its own: otherwise the limit of one network ends most attacks.
    [127, (source / 250 % 250) as u8, (1 + source % 250) as u8, 1]
}
