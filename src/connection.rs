//! How the client commands find and trust a server.

use std::{fs, path::PathBuf};

use acquaint_client::{Credential, ManifestPin, StaticCredential};
use anyhow::Context as _;

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
    pub(crate) pin: ManifestPin,

    /// A certificate to trust, PEM; without it, the well-known authorities are trusted.
    #[arg(long, value_name = "FILE", env = "ACQUAINT_CA")]
    ca: Option<PathBuf>,

    /// The file that holds the credential, as `acquaint credential mint` prints it.
    #[arg(long, value_name = "FILE", env = "ACQUAINT_CREDENTIAL_FILE")]
    credential_file: PathBuf,
}

impl ServerArguments {
    /// The extra root to trust, if one was named.
    pub(crate) fn trust_root(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let read = |path: &PathBuf| {
            fs::read(path)
                .with_context(|| format!("cannot read the certificate {}", path.display()))
        };
        self.ca.as_ref().map(read).transpose()
    }

    /// The credential.
    pub(crate) fn credential(&self) -> anyhow::Result<StaticCredential> {
        let path = &self.credential_file;
        let text = fs::read_to_string(path).with_context(|| {
            format!(
                "cannot read the credential {}: make one with `acquaint credential mint`",
                path.display()
            )
        })?;
        Ok(StaticCredential::new(Credential::from_text(&text)))
    }
}
