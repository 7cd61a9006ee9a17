//! A tenant: keys, store, directory and gate of its own. Tenants of a server share its port and its
//! threads, of which each has a part, and nothing else.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use acquaint_core::{
    credential::{Claims, Pseudonym, Scope},
    keys::CredentialKey,
    manifest::{ManifestPin, TenantName},
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use crate::{
    admission::{Gate, rest},
    clock::Clock,
    config::{TenantSettings, TransportShare},
    directory::{Directory, PublishHandle, Publisher, RotateHandle, Rotator},
    evaluator::{Evaluator, EvaluatorError, Reservation},
    holdings::{Held, Holdings},
    keystore::{Keys, SeedFiles},
    serve::ServerError,
    store::{RedbStore, Store, StoreError},
};

/// Told to an account that has all that it may have in the evaluator: about the time of a batch.
const ACCOUNT_WAIT: Duration = Duration::from_millis(100);

/// What the rpcs of one tenant need.
pub struct Tenant {
    name: TenantName,
    span: Span,
    pin: ManifestPin,
    asks_for_certificates: bool,
    transport_share: TransportShare,
    gate: Gate,
    directory: Arc<Directory>,
    evaluator: Evaluator,
    /// Elements of each account that wait or run in the evaluator, and how many they may be.
    in_flight: (Arc<Holdings<Pseudonym>>, u32),
    publish: PublishHandle,
    rotate: RotateHandle,
    store: Arc<dyn Store>,
}

/// The tenants of a server, by name.
#[derive(Debug)]
pub struct Tenants(BTreeMap<TenantName, Arc<Tenant>>);

/// What works for a tenant beside the calls, not begun yet.
pub(crate) struct TenantTasks {
    span: Span,
    publisher: Publisher,
    rotator: Rotator,
}

/// A tenant that was opened, with what its server has to do for it.
pub(crate) struct OpenedTenant {
    pub(crate) tenant: Tenant,
    pub(crate) tasks: TenantTasks,
    pub(crate) credential_keys: Vec<(u32, CredentialKey)>,
}

impl Tenant {
    /// Opens keys, store and directory, and publishes what the store holds.
    pub(crate) async fn open(
        settings: TenantSettings,
        clock: Arc<dyn Clock>,
        evaluator: &Evaluator,
    ) -> Result<OpenedTenant, ServerError> {
        // At every level of the log.
        let span = tracing::error_span!("serve", tenant = %settings.name);
        Self::open_within(span.clone(), settings, clock, evaluator).instrument(span).await
    }

    async fn open_within(
        span: Span,
        settings: TenantSettings,
        clock: Arc<dyn Clock>,
        evaluator: &Evaluator,
    ) -> Result<OpenedTenant, ServerError> {
        let keys = Keys::load(&settings.keys)?;
        let evaluator = evaluator.share(settings.queue_elements);
        let store = open_store(&settings, &keys, &evaluator).await?;
        let directory = Directory::open(
            settings.name.clone(),
            (&keys, SeedFiles::new(&settings.keys)),
            (settings.policy, settings.compaction, settings.entries_max),
            Arc::clone(&store),
            Arc::clone(&clock),
            evaluator.clone(),
        )
        .await?;
        let gate = Gate::new(settings.quotas, Arc::clone(&store), clock);
        let (publisher, publish) =
            Publisher::new(Arc::clone(&directory), settings.publication_delay);
        let (rotator, rotate) =
            Rotator::new(Arc::clone(&directory), publish.clone(), settings.grace_s);
        let tenant = Self {
            name: settings.name,
            span: span.clone(),
            pin: keys.manifest.pin(),
            asks_for_certificates: settings.registrar_authorities.is_some(),
            transport_share: settings.transport_share,
            gate,
            directory,
            evaluator,
            in_flight: (Holdings::new(), settings.account_elements),
            publish,
            rotate,
            store,
        };
        let tasks = TenantTasks { span, publisher, rotator };
        Ok(OpenedTenant { tenant, tasks, credential_keys: keys.credentials })
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &TenantName {
        &self.name
    }

    /// What is done for it is done within this, and has its name in every line of the log.
    pub(crate) const fn span(&self) -> &Span {
        &self.span
    }

    /// What its apps pin.
    #[must_use]
    pub const fn pin(&self) -> &ManifestPin {
        &self.pin
    }

    /// Whether its registrars need a certificate besides the credential.
    #[must_use]
    pub const fn asks_for_certificates(&self) -> bool {
        self.asks_for_certificates
    }

    /// Its part of connections, calls and streams.
    #[must_use]
    pub const fn transport_share(&self) -> TransportShare {
        self.transport_share
    }

    /// What its callers may look up.
    #[must_use]
    pub const fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Its directory.
    #[must_use]
    pub const fn directory(&self) -> &Arc<Directory> {
        &self.directory
    }

    /// Its share of the evaluator.
    #[must_use]
    pub const fn evaluator(&self) -> &Evaluator {
        &self.evaluator
    }

    /// Reserves room in the evaluator for a batch. An account may have so much of it at a time: it
    /// should not take what is there for all. Registrars have the whole of the tenant's share. Both
    /// are held until they are dropped.
    ///
    /// # Errors
    /// [`EvaluatorError::QueueFull`].
    pub(crate) fn reserve(
        &self,
        caller: &Claims,
        n_elements: u32,
    ) -> Result<(Reservation, Option<Held<Pseudonym>>), EvaluatorError> {
        let held = match caller.scope {
            Scope::Register => None,
            _ => {
                let (in_flight, limit) = &self.in_flight;
                let (n, limit) = (n_elements as usize, *limit as usize);
                let held = in_flight.take(&caller.pseudonym, n, limit);
                Some(held.ok_or(EvaluatorError::QueueFull { retry_after: ACCOUNT_WAIT })?)
            }
        };
        Ok((self.evaluator.reserve(n_elements)?, held))
    }

    /// Now and then forgets what the store keeps of accounts that says nothing any more; until the
    /// token is cancelled.
    pub(crate) async fn forget_rested(self: Arc<Self>, stop: CancellationToken) {
        let forget = rest::forget_rested(&self.gate, rest::FORGET_INTERVAL);
        let _ = stop.run_until_cancelled(forget.instrument(self.span.clone())).await;
    }

    /// Publishes now.
    #[must_use]
    pub const fn publish_handle(&self) -> &PublishHandle {
        &self.publish
    }

    /// Begins a rotation of the key.
    #[must_use]
    pub const fn rotate_handle(&self) -> &RotateHandle {
        &self.rotate
    }

    /// Finishes the writes already accepted and releases the store.
    pub(crate) async fn close(&self) -> Result<(), StoreError> {
        self.store.close().await
    }
}

impl Tenants {
    pub(crate) fn new(tenants: impl IntoIterator<Item = Tenant>) -> Self {
        Self(tenants.into_iter().map(|t| (t.name.clone(), Arc::new(t))).collect())
    }

    /// The tenant of a name.
    #[must_use]
    pub fn get(&self, name: &TenantName) -> Option<Arc<Tenant>> {
        self.0.get(name).map(Arc::clone)
    }

    /// The only tenant; `None` if there are several.
    #[must_use]
    pub fn only(&self) -> Option<Arc<Tenant>> {
        let mut tenants = self.iter();
        let first = tenants.next().map(Arc::clone);
        first.filter(|_| tenants.next().is_none())
    }

    /// All tenants in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Tenant>> {
        self.0.values()
    }
}

impl TenantTasks {
    /// Begins the work. It ends when the token is cancelled.
    pub(crate) fn spawn(self, stop: &CancellationToken) -> [JoinHandle<()>; 2] {
        [
            tokio::spawn(self.publisher.run(stop.clone()).instrument(self.span.clone())),
            tokio::spawn(self.rotator.run(stop.clone()).instrument(self.span)),
        ]
    }
}

async fn open_store(
    settings: &TenantSettings,
    keys: &Keys,
    evaluator: &Evaluator,
) -> Result<Arc<dyn Store>, ServerError> {
    let (path, check) = (settings.store.clone(), keys.storage.check_value());
    let opened = evaluator.run_background(move || RedbStore::open(path, check)).await;
    match opened {
        Ok(store) => Ok(Arc::new(store?)),
        Err(EvaluatorError::Panicked | EvaluatorError::QueueFull { .. }) => {
            Err(StoreError::Interrupted.into())
        }
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant").field("name", &self.name).finish_non_exhaustive()
    }
}
