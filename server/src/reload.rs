//! Certificates and credential keys that are replaced while the server runs.

use std::{
    collections::BTreeMap,
    fmt,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use acquaint_core::{
    credential::{Audience, CredentialVerifier},
    keys::CredentialKey,
    manifest::TenantName,
};
use arc_swap::ArcSwap;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{
    evaluator::Evaluator, keystore::CredentialKeyFiles, serve::ServerError, transport::TlsPort,
};

/// Takes up what was replaced. Cheap to clone.
#[derive(Clone)]
pub struct ReloadHandle(Arc<Sources>);

struct Sources {
    ports: Vec<Arc<TlsPort>>,
    audience: Audience,
    key_directories: Vec<(TenantName, PathBuf)>,
    /// For reading files, on the pool that does not answer calls.
    evaluator: Evaluator,
    verifier: Arc<ArcSwap<CredentialVerifier>>,
    /// The keys of each tenant, as they were last read. One reload at a time holds it, so that the
    /// later reading is the one that stays.
    keys: Mutex<BTreeMap<TenantName, Vec<(u32, CredentialKey)>>>,
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
        keys: BTreeMap<TenantName, Vec<(u32, CredentialKey)>>,
        evaluator: Evaluator,
    ) -> Self {
        let verifier = CredentialVerifier::new(audience.clone(), keys.clone());
        let verifier = Arc::new(ArcSwap::from_pointee(verifier));
        let keys = Mutex::new(keys);
        Self(Arc::new(Sources { ports, audience, key_directories, evaluator, verifier, keys }))
    }

    /// What verifies credentials: the newest keys that were taken up.
    pub(crate) fn verifier(&self) -> Arc<ArcSwap<CredentialVerifier>> {
        Arc::clone(&self.0.verifier)
    }

    /// Reads certificates and credential keys again. Open connections stay as they are; every
    /// handshake and call after this goes by what was read.
    ///
    /// # Errors
    /// What the first unusable file lacks. Whatever could not be read stays as it was, and
    /// everything else is taken up: a broken certificate keeps no stolen key alive.
    pub async fn reload(&self) -> Result<Reloaded, ServerError> {
        let sources = Arc::clone(&self.0);
        let read = self.0.evaluator.run_background(move || sources.reload()).await;
        read.unwrap_or(Err(ServerError::Threads))
    }
}

impl Sources {
    fn reload(&self) -> Result<Reloaded, ServerError> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let mut first_error = None;
        let mut certificates = false;
        for port in &self.ports {
            match port.reload() {
                Ok(changed) => certificates |= changed,
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        for (tenant, directory) in &self.key_directories {
            match CredentialKeyFiles::new(directory).load() {
                Ok(read) => drop(keys.insert(tenant.clone(), read)),
                Err(error) => first_error = first_error.or(Some(error.into())),
            }
        }
        let verifier = CredentialVerifier::new(self.audience.clone(), keys.clone());
        self.verifier.store(Arc::new(verifier));
        let credential_keys = keys.values().map(Vec::len).sum();
        first_error.map_or(Ok(Reloaded { certificates, credential_keys }), Err)
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
