//! TLS of a port: certificate, authorities of clients, and their replacement while it is served.

use std::{
    collections::BTreeMap,
    fmt, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use acquaint_core::manifest::TenantName;
use arc_swap::ArcSwap;
use rustls::{
    RootCertStore, ServerConfig,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, UnixTime, pem::PemObject as _},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use tokio_rustls::TlsAcceptor;
use zeroize::Zeroizing;

use crate::{admission::Peer, serve::ServerError};

/// Where everything about the TLS of a port is written.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) allow_tls12: bool,
    /// Authorities without whose certificate nobody gets in.
    pub(crate) required: Option<PathBuf>,
    /// Authorities of a tenant's registrars, whose certificates are looked at if they are shown.
    pub(crate) registrars: BTreeMap<TenantName, PathBuf>,
}

/// The TLS of a port. Connections keep what they were made with; new ones get what is newest.
pub(crate) struct TlsPort {
    files: TlsFiles,
    current: ArcSwap<Material>,
}

/// What was read, and what was made of it.
struct Material {
    read: Contents,
    config: Arc<ServerConfig>,
    required: Option<Arc<dyn ClientCertVerifier>>,
    registrars: BTreeMap<TenantName, Arc<dyn ClientCertVerifier>>,
}

/// The files, byte for byte.
#[derive(PartialEq, Eq)]
struct Contents {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    required: Option<Vec<u8>>,
    registrars: BTreeMap<TenantName, Vec<u8>>,
}

impl TlsPort {
    /// Reads the files.
    ///
    /// # Errors
    /// [`ServerError::TlsFile`], [`ServerError::TlsIdentity`], [`ServerError::Authorities`].
    pub(crate) fn open(files: TlsFiles) -> Result<Self, ServerError> {
        let current = Material::of(files.read()?, &files)?;
        Ok(Self { files, current: ArcSwap::from_pointee(current) })
    }

    /// Reads the files again; whether anything changed. What is served stays as it is if the files
    /// are not usable, as in the middle of their replacement.
    ///
    /// # Errors
    /// As [`TlsPort::open`].
    pub(crate) fn reload(&self) -> Result<bool, ServerError> {
        let read = self.files.read()?;
        if read == self.current.load().read {
            return Ok(false);
        }
        self.current.store(Arc::new(Material::of(read, &self.files)?));
        Ok(true)
    }

    /// What makes the next handshake.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.load().config))
    }

    /// What the certificates that a client showed say about it, now; `None` if the port asks for one
    /// and this is none. A session that is resumed brings the certificates of its first handshake,
    /// which are not checked again by anybody else.
    pub(crate) fn peer(&self, certificates: &[CertificateDer<'_>]) -> Option<Peer> {
        let (now, current) = (UnixTime::now(), self.current.load());
        let Some((own, others)) = certificates.split_first() else {
            return current.required.is_none().then(Peer::default);
        };
        if let Some(required) = &current.required {
            required.verify_client_cert(own, others, now).ok()?;
        }
        let signed = current
            .registrars
            .iter()
            .filter(|(_, authorities)| authorities.verify_client_cert(own, others, now).is_ok());
        Some(Peer { registrar_of: signed.map(|(tenant, _)| tenant.clone()).collect() })
    }
}

impl TlsFiles {
    fn read(&self) -> Result<Contents, ServerError> {
        let registrars = self.registrars.iter();
        Ok(Contents {
            certificate: read_file(&self.certificate)?,
            key: Zeroizing::new(read_file(&self.key)?),
            required: self.required.as_deref().map(read_file).transpose()?,
            registrars: registrars
                .map(|(tenant, path)| Ok((tenant.clone(), read_file(path)?)))
                .collect::<Result<_, ServerError>>()?,
        })
    }
}

impl Material {
    fn of(read: Contents, files: &TlsFiles) -> Result<Self, ServerError> {
        let provider = Arc::new(ring::default_provider());
        let identity = identity(&read, &provider)?;
        let mut registrars = BTreeMap::new();
        for (tenant, pem) in &read.registrars {
            let path = files.registrars.get(tenant).map_or(Path::new(""), PathBuf::as_path);
            registrars.insert(tenant.clone(), verifier(&roots(&[(pem, path)])?, &provider, path)?);
        }
        let versions: &[_] = if files.allow_tls12 { &[&TLS13, &TLS12] } else { &[&TLS13] };
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|_| ServerError::TlsIdentity)?;
        let required = match (&read.required, &files.required) {
            (Some(pem), Some(path)) => Some(verifier(&roots(&[(pem, path)])?, &provider, path)?),
            _ => None,
        };
        let shown = match &required {
            Some(required) => Some(Arc::clone(required)),
            None => registrars_verifier(&read, files, &provider)?,
        };
        let builder = match shown {
            Some(verifier) => builder.with_client_cert_verifier(verifier),
            None => builder.with_no_client_auth(),
        };
        let mut config =
            builder.with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(identity)));
        config.alpn_protocols = vec![b"h2".to_vec()];
        // New with everything else: a session that was begun under other authorities is not resumed.
        config.ticketer = ring::Ticketer::new().map_err(|_| ServerError::TlsIdentity)?;
        Ok(Self { read, config: Arc::new(config), required, registrars })
    }
}

/// Certificate chain and key, if they belong together.
fn identity(read: &Contents, provider: &CryptoProvider) -> Result<CertifiedKey, ServerError> {
    let unusable = |_| ServerError::TlsIdentity;
    let chain = CertificateDer::pem_slice_iter(&read.certificate);
    let chain: Vec<_> = chain.collect::<Result<_, _>>().map_err(unusable)?;
    let key = PrivateKeyDer::from_pem_slice(&read.key).map_err(unusable)?;
    CertifiedKey::from_der(chain, key, provider).map_err(|_| ServerError::TlsIdentity)
}

/// What checks the certificates of those clients who show one: it has to be one of some tenant's
/// registrars; `None` if no certificate is of any use.
fn registrars_verifier(
    read: &Contents,
    files: &TlsFiles,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, ServerError> {
    let pems = read.registrars.iter();
    let pems: Vec<_> = pems
        .filter_map(|(tenant, pem)| Some((pem, files.registrars.get(tenant)?.as_path())))
        .collect();
    let Some((_, first)) = pems.first() else { return Ok(None) };
    WebPkiClientVerifier::builder_with_provider(roots(&pems)?, Arc::clone(provider))
        // Who the tenants' authorities are is not told to everybody.
        .clear_root_hint_subjects()
        .allow_unauthenticated()
        .build()
        .map(Some)
        .map_err(|_| ServerError::Authorities { path: (*first).to_owned() })
}

fn verifier(
    roots: &Arc<RootCertStore>,
    provider: &Arc<CryptoProvider>,
    path: &Path,
) -> Result<Arc<dyn ClientCertVerifier>, ServerError> {
    WebPkiClientVerifier::builder_with_provider(Arc::clone(roots), Arc::clone(provider))
        .clear_root_hint_subjects()
        .build()
        .map_err(|_| ServerError::Authorities { path: path.to_owned() })
}

fn roots(pems: &[(&Vec<u8>, &Path)]) -> Result<Arc<RootCertStore>, ServerError> {
    let mut roots = RootCertStore::empty();
    for (pem, path) in pems {
        let unusable = || ServerError::Authorities { path: (*path).to_owned() };
        for certificate in CertificateDer::pem_slice_iter(pem) {
            let certificate = certificate.map_err(|_| unusable())?;
            roots.add(certificate).map_err(|_| unusable())?;
        }
    }
    Ok(Arc::new(roots))
}

fn read_file(path: &Path) -> Result<Vec<u8>, ServerError> {
    fs::read(path)
        .map_err(|error| ServerError::TlsFile { path: path.to_owned(), kind: error.kind() })
}

impl fmt::Debug for TlsPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsPort").field("files", &self.files).finish_non_exhaustive()
    }
}
