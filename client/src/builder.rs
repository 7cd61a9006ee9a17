//! How clients and registrars are set up.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use acquaint_core::manifest::{ManifestHead, ManifestPin};
use tokio::sync::Semaphore;

use crate::{
    client::Client,
    connection::Connection,
    cpu::Cpu,
    credentials::CredentialProvider,
    registrar::Registrar,
    retry::RetryPolicy,
    state::StateStore,
    static_files::{Http, StaticFiles},
    transport::{self, IdentityPem, Transport},
    trust::Trust,
};

/// Batches in flight unless the app says otherwise: enough to keep the network busy while the
/// next batch is blinded.
const IN_FLIGHT_DEFAULT: usize = 4;

/// A server works on some calls of a connection at a time, and on some of an account: more would
/// only wait there.
const IN_FLIGHT_MAX: usize = 32;

const REQUEST_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
const RETRY_TIME_MAX_DEFAULT: Duration = Duration::from_secs(60);

/// Sets up a [`Client`] or a [`Registrar`]. Pin and credentials are required.
///
/// Building opens no connection; the first call does.
pub struct Builder<T> {
    endpoint: String,
    pin: Option<ManifestPin>,
    credentials: Option<Arc<dyn CredentialProvider>>,
    root_pem: Option<Vec<u8>>,
    identity_pem: Option<IdentityPem>,
    static_files: Option<String>,
    last_seen: Option<ManifestHead>,
    state: Option<Arc<dyn StateStore>>,
    retry_time_max: Duration,
    request_timeout: Duration,
    in_flight: usize,
    threads: Option<usize>,
    builds: PhantomData<fn() -> T>,
}

/// Why a client could not be set up. The texts name the remedy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Not an address of a server.
    #[error("the endpoint is not an address such as https://discovery.example.org:443")]
    Endpoint,
    /// Another scheme than `https`. There is no way to switch TLS off.
    #[error("the endpoint must begin with https://")]
    NotHttps,
    /// Not an address of a folder.
    #[error("the address of the static files is not one such as https://cdn.example.org/acquaint/")]
    StaticFiles,
    /// No pin was given.
    #[error("no manifest pin was given: take it from the operator, not from the server")]
    NoPin,
    /// No credential provider was given.
    #[error("no credential provider was given")]
    NoCredentials,
    /// The root certificate cannot be read.
    #[error("the root certificate cannot be read: give certificates in PEM format")]
    RootCertificate,
    /// The client certificate or its key cannot be read.
    #[error("the client certificate or its key cannot be read: give both in PEM format")]
    ClientIdentity,
    /// A number of batches in flight outside 1 to 32.
    #[error("the number of batches in flight must be 1 to 32")]
    InFlight,
    /// Zero threads, or threads that the system did not start.
    #[error("the worker threads cannot be started: ask for one at least, and for fewer")]
    Threads,
}

/// What [`Client`] and [`Registrar`] have in common.
pub(crate) struct Core {
    pub(crate) connection: Connection,
    /// Where what is published comes from, if not from the server.
    pub(crate) static_files: Option<StaticFiles>,
    pub(crate) trust: Trust,
    pub(crate) cpu: Arc<Cpu>,
    pub(crate) in_flight: usize,
    /// Where lookups keep what they know. One lookup at a time uses it.
    pub(crate) state: Option<Arc<dyn StateStore>>,
    pub(crate) state_turn: Arc<Semaphore>,
}

impl<T> Builder<T> {
    pub(crate) fn new(endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            pin: None,
            credentials: None,
            root_pem: None,
            identity_pem: None,
            static_files: None,
            last_seen: None,
            state: None,
            retry_time_max: RETRY_TIME_MAX_DEFAULT,
            request_timeout: REQUEST_TIMEOUT_DEFAULT,
            in_flight: IN_FLIGHT_DEFAULT,
            threads: None,
            builds: PhantomData,
        }
    }

    /// The key that signs the operator's manifests. Ship it with the app.
    #[must_use]
    pub fn pin(mut self, pin: ManifestPin) -> Self {
        self.pin = Some(pin);
        self
    }

    /// Where credentials come from.
    #[must_use]
    pub fn credentials(mut self, provider: impl CredentialProvider + 'static) -> Self {
        self.credentials = Some(Arc::new(provider));
        self
    }

    /// Trusts these root certificates, in PEM, *instead of* the public web's: for operators with
    /// a certificate authority of their own.
    #[must_use]
    pub fn trust_root_pem(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.root_pem = Some(pem.into());
        self
    }

    /// Shows this certificate (the chain, the client's own first) with its private key, both PEM,
    /// to a server that asks for one: for registrars of operators that want more than a credential.
    #[must_use]
    pub fn client_identity_pem(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.identity_pem = Some(IdentityPem::new(certificate.into(), key.into()));
        self
    }

    /// The newest manifest that an earlier run accepted, so that going back in time is noticed
    /// across restarts. Without it the first manifest is taken on its signature alone.
    #[must_use]
    pub fn last_seen(mut self, head: ManifestHead) -> Self {
        self.last_seen = Some(head);
        self
    }

    /// How long a call may take with all its repetitions, 60 s by default; a download or
    /// registration that makes progress starts the time over. Zero turns repetitions off.
    #[must_use]
    pub fn retry_time_max(mut self, time: Duration) -> Self {
        self.retry_time_max = time;
        self
    }

    /// How long one attempt waits for its answer, or for the next piece of a download: 30 s by
    /// default.
    #[must_use]
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.request_timeout = timeout;
        self
    }

    /// How many batches are evaluated at the same time, 1 to 32, 4 by default.
    #[must_use]
    pub fn in_flight(mut self, n_batches: usize) -> Self {
        self.in_flight = n_batches;
        self
    }

    /// How many threads compute; by default one for each core, at most 8.
    #[must_use]
    pub fn threads(mut self, n_threads: usize) -> Self {
        self.threads = Some(n_threads);
        self
    }

    fn into_core(self) -> Result<Arc<Core>, BuildError> {
        let transport =
            Transport::new(&self.endpoint, self.root_pem.as_deref(), self.identity_pem.as_ref())?;
        self.into_core_over(transport)
    }

    fn into_core_over(self, transport: Transport) -> Result<Arc<Core>, BuildError> {
        let pin = self.pin.ok_or(BuildError::NoPin)?;
        let credentials = self.credentials.ok_or(BuildError::NoCredentials)?;
        if !(1..=IN_FLIGHT_MAX).contains(&self.in_flight) {
            return Err(BuildError::InFlight);
        }
        // To the pool itself zero means "as many as it likes".
        if self.threads == Some(0) {
            return Err(BuildError::Threads);
        }
        let retries = RetryPolicy { time_max: self.retry_time_max };
        let static_files = match &self.static_files {
            None => None,
            Some(address) => {
                let roots = transport::roots(self.root_pem.as_deref())?;
                let http = Http::new(address, roots, Arc::clone(transport.meter()))?;
                Some(StaticFiles::new(http, retries, self.request_timeout))
            }
        };
        let cpu = Arc::new(Cpu::new(self.threads).map_err(|_| BuildError::Threads)?);
        let connection =
            Connection { transport, credentials, retries, request_timeout: self.request_timeout };
        let trust = Trust::new(pin, self.last_seen);
        Ok(Arc::new(Core {
            connection,
            static_files,
            trust,
            cpu,
            in_flight: self.in_flight,
            state: self.state,
            state_turn: Arc::new(Semaphore::new(1)),
        }))
    }
}

impl Builder<Client> {
    /// Where lookups keep what they know, so that the next one only evaluates new contacts and
    /// only downloads what changed. Without it, each lookup begins anew.
    ///
    /// Clones of a client share it, and take turns.
    #[must_use]
    pub fn state_store(mut self, store: impl StateStore + 'static) -> Self {
        self.state = Some(Arc::new(store));
        self
    }

    /// Gets what is published (manifest, set, labels, what changed) over HTTPS from this folder
    /// instead of from the server: from what `acquaint publish --to` wrote, behind any web server
    /// or content delivery network. The server still evaluates.
    ///
    /// Nothing there is trusted: what the pin vouches for is checked as if it came from the
    /// server. Whoever runs the place sees address, time, and the version that a client has; it is
    /// sent no credential. [`Self::trust_root_pem`] applies to it, too.
    #[must_use]
    pub fn static_files(mut self, address: &str) -> Self {
        self.static_files = Some(address.to_owned());
        self
    }

    /// Builds the client.
    ///
    /// # Errors
    /// [`BuildError`], by what is missing or out of range.
    pub fn build(self) -> Result<Client, BuildError> {
        self.into_core().map(Client::new)
    }

    #[cfg(test)]
    pub(crate) fn build_over(self, channel: tonic::transport::Channel) -> Client {
        Client::new(self.into_core_over(Transport::over(channel)).unwrap())
    }
}

impl Builder<Registrar> {
    /// Builds the registrar.
    ///
    /// # Errors
    /// [`BuildError`], by what is missing or out of range.
    pub fn build(self) -> Result<Registrar, BuildError> {
        self.into_core().map(Registrar::new)
    }

    #[cfg(test)]
    pub(crate) fn build_over(self, channel: tonic::transport::Channel) -> Registrar {
        Registrar::new(self.into_core_over(Transport::over(channel)).unwrap())
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("connection", &self.connection)
            .field("trust", &self.trust)
            .field("cpu", &self.cpu)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

impl<T> fmt::Debug for Builder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("endpoint", &self.endpoint)
            .field("pin", &self.pin)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use acquaint_core::{credential::Credential, keys::ManifestKey};

    use super::*;
    use crate::credentials::StaticCredential;

    fn complete() -> Builder<Client> {
        let credential = Credential::from_text("c2VjcmV0");
        Client::builder("https://a.test")
            .pin(ManifestKey::from_bytes([1; 32]).pin())
            .credentials(StaticCredential::new(credential))
    }

    #[test]
    fn a_complete_builder_builds_outside_of_any_runtime() {
        let client = complete().build().unwrap();
        assert_eq!(client.last_seen(), None);
        assert!(!format!("{:?} {client:?}", complete()).contains("c2VjcmV0"));
    }

    #[test]
    fn what_is_missing_or_out_of_range_is_named() {
        let refused = |builder: Builder<Client>| builder.build().map(|_| ()).unwrap_err();
        let bare = || Client::builder("https://a.test");
        assert_eq!(refused(bare()), BuildError::NoPin);
        let pinned = bare().pin(ManifestKey::from_bytes([1; 32]).pin());
        assert_eq!(refused(pinned), BuildError::NoCredentials);
        assert_eq!(refused(complete().in_flight(0)), BuildError::InFlight);
        assert_eq!(refused(complete().in_flight(IN_FLIGHT_MAX + 1)), BuildError::InFlight);
        assert_eq!(refused(complete().threads(0)), BuildError::Threads);
        assert_eq!(refused(complete().trust_root_pem("?")), BuildError::RootCertificate);
        assert_eq!(refused(complete().static_files("https://")), BuildError::StaticFiles);
        assert_eq!(refused(complete().static_files("http://a.test")), BuildError::NotHttps);
        assert!(complete().static_files("https://a.test/b").build().is_ok());
        assert!(complete().in_flight(IN_FLIGHT_MAX).threads(1).build().is_ok());
        let registrar = Registrar::builder("http://a.test").build();
        assert_eq!(registrar.unwrap_err(), BuildError::NotHttps);
    }
}
