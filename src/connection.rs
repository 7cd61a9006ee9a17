//! How the client commands find and trust a server.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use acquaint_client::{Builder, Credential, ManifestPin, StaticCredential};
use anyhow::Context as _;

/// Longest wait for one answer, however long the whole call may take.
const REQUEST_TIMEOUT_MAX: Duration = Duration::from_secs(30);

/// Server, pin and credential.
#[derive(Debug, clap::Args)]
pub(crate) struct ServerArguments {
    /// The server.
    #[arg(
        long,
        value_name = "URL",
        default_value = "https://localhost:7443",
        env = "ACQUAINT_SERVER"
    )]
    pub(crate) server: String,

    /// The pinned manifest key, as `acquaint key pin` prints it.
    #[arg(long, value_name = "HEX", env = "ACQUAINT_PIN")]
    pin: ManifestPin,

    /// A certificate to trust, PEM; without it, the well-known authorities are trusted.
    #[arg(long, value_name = "FILE", env = "ACQUAINT_CA")]
    ca: Option<PathBuf>,

    /// The file that holds the credential, as `acquaint credential mint` prints it.
    #[arg(long, value_name = "FILE", env = "ACQUAINT_CREDENTIAL_FILE")]
    credential_file: PathBuf,

    /// A client certificate (PEM, the chain, its own first) for a server that asks registrars for
    /// one; with --client-key.
    #[arg(long, value_name = "FILE", requires = "client_key", env = "ACQUAINT_CLIENT_CERTIFICATE")]
    client_certificate: Option<PathBuf>,

    /// The private key of that certificate, PEM.
    #[arg(long, value_name = "FILE", requires = "client_certificate", env = "ACQUAINT_CLIENT_KEY")]
    client_key: Option<PathBuf>,

    /// Seconds after which a server that does not answer is given up. A download or registration
    /// that makes progress starts the time over.
    #[arg(long, value_name = "SECONDS", default_value_t = 20, env = "ACQUAINT_TIMEOUT")]
    timeout: u32,
}

impl ServerArguments {
    /// A client or registrar with pin, credential, root and timeout.
    pub(crate) fn configure<T>(&self, builder: Builder<T>) -> anyhow::Result<Builder<T>> {
        let timeout = Duration::from_secs(self.timeout.into());
        let builder = builder
            .pin(self.pin.clone())
            .credentials(self.credential()?)
            .retry_time_max(timeout)
            .request_timeout(timeout.clamp(Duration::from_secs(1), REQUEST_TIMEOUT_MAX));
        let builder = match self.trust_root()? {
            Some(root) => builder.trust_root_pem(root),
            None => builder,
        };
        Ok(match (&self.client_certificate, &self.client_key) {
            (Some(certificate), Some(key)) => {
                builder.client_identity_pem(read(certificate)?, read(key)?)
            }
            _ => builder,
        })
    }

    /// The extra root to trust, if one was named.
    fn trust_root(&self) -> anyhow::Result<Option<Vec<u8>>> {
        self.ca.as_deref().map(read).transpose()
    }

    /// The credential.
    fn credential(&self) -> anyhow::Result<StaticCredential> {
        let path = &self.credential_file;
        let text = fs::read_to_string(path).with_context(|| {
            format!(
                "cannot read the credential {}: make one with `acquaint credential mint`",
                path.display()
            )
        })?;
        anyhow::ensure!(
            !text.trim().is_empty(),
            "the credential {} is empty: make one with `acquaint credential mint`",
            path.display()
        );
        Ok(StaticCredential::new(Credential::from_text(&text)))
    }
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read the certificate file {}", path.display()))
}
