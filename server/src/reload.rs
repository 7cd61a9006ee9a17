//! Certificates and credential keys that are replaced while the server runs.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use acquaint_core::{
    credential::{Audience, CredentialVerifier},
    manifest::TenantName,
};
use arc_swap::ArcSwap;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{keystore::CredentialKeyFiles, serve::ServerError, transport::TlsPort};

/// Takes up what was replaced. Cheap to clone.
#[derive(Clone)]
pub struct ReloadHandle(Arc<Sources>);

struct Sources {
    ports: Vec<Arc<TlsPort>>,
    audience: Audience,
    key_directories: Vec<(TenantName, PathBuf)>,
    verifier: Arc<ArcSwap<CredentialVerifier>>,
}

/// What was taken up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Whether certificates, their keys or authorities had changed.
    pub certificates: bool,
    /// Credential keys that are accepted now, of all tenants.
    pub credential_keys: usize,
}

impl ReloadHandle {
    pub(crate) fn new(
        ports: Vec<Arc<TlsPort>>,
        audience: Audience,
        key_directories: Vec<(TenantName, PathBuf)>,
        verifier: Arc<ArcSwap<CredentialVerifier>>,
    ) -> Self {
        Self(Arc::new(Sources { ports, audience, key_directories, verifier }))
    }

    /// Reads certificates and credential keys again. Open connections stay as they are; every
    /// handshake and call after this goes by what was read.
    ///
    /// # Errors
    /// What the files lack. Whatever could not be read stays as it was.
    pub async fn reload(&self) -> Result<Reloaded, ServerError> {
        let sources = Arc::clone(&self.0);
        let read = tokio::task::spawn_blocking(move || sources.reload());
        // It is not aborted, so it ends with a result unless it panics.
        read.await.unwrap_or(Err(ServerError::Threads))
    }
}

impl Sources {
    fn reload(&self) -> Result<Reloaded, ServerError> {
        let mut certificates = false;
        for port in &self.ports {
            certificates |= port.reload()?;
        }
        let mut credential_keys = 0;
        let mut tenants = Vec::new();
        for (tenant, directory) in &self.key_directories {
            let keys = CredentialKeyFiles::new(directory).load()?;
            credential_keys += keys.len();
            tenants.push((tenant.clone(), keys));
        }
        self.verifier.store(Arc::new(CredentialVerifier::new(self.audience.clone(), tenants)));
        Ok(Reloaded { certificates, credential_keys })
    }
}

/// Reloads now and then, until the token is cancelled; never, if the time is zero.
pub(crate) async fn watch(handle: ReloadHandle, every: Duration, stop: CancellationToken) {
    if every.is_zero() {
        return;
    }
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        match handle.reload().await {
            Ok(Reloaded { certificates: true, .. }) => tracing::info!("new certificates taken up"),
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "what was replaced could not be taken up"),
        }
    }
}

impl fmt::Debug for ReloadHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReloadHandle").finish_non_exhaustive()
    }
}
