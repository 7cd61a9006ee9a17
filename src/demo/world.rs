//! A real server on a loopback port, with real TLS and a temporary store.

use std::{
    fs,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use acquaint_client::{Client, Credential, ManifestPin, Registrar, StaticCredential};
use acquaint_core::credential::{Claims, Pseudonym, Scope};
use acquaint_server::{
    config::{Config, Quota},
    directory::PublishHandle,
    keystore::Keys,
    serve::{Server, ServerError, Stopped},
};
use anyhow::Context as _;
use tempfile::TempDir;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::tls::SelfSigned;

/// A running server and what it takes to use it. Everything is gone when it is stopped.
pub(crate) struct World {
    url: String,
    pin: ManifestPin,
    root: String,
    keys: Keys,
    config: Config,
    publish: PublishHandle,
    stop: oneshot::Sender<()>,
    served: JoinHandle<Result<Stopped, ServerError>>,
    _directory: TempDir,
}

impl World {
    /// Starts a server whose accounts may look up `quota_elements` at once.
    pub(crate) async fn start(quota_elements: u64) -> anyhow::Result<Self> {
        let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
        let identity = SelfSigned::for_hosts(vec!["localhost".to_owned()])?;
        let keys = Keys::generate(&mut rand::rng());
        keys.create(&directory.path().join("keys"))?;
        fs::create_dir(directory.path().join("tls"))?;
        let mut config = Config::default().resolve(directory.path());
        fs::write(&config.tls.certificate, &identity.certificate)?;
        fs::write(&config.tls.key, &identity.key)?;
        config.listen.set_port(0);
        config.admin_socket = None;
        config.quota = Quota { elements: quota_elements, ..Quota::default() };

        let server = Server::bind(config.clone()).await?;
        let url = format!("https://localhost:{}", server.address().port());
        let pin = server.pin().clone();
        let publish = server.publish_handle();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(server.serve(async {
            // Dropping the world stops the server as well.
            drop(stopped.await);
        }));
        let root = identity.certificate;
        Ok(Self { url, pin, root, keys, config, publish, stop, served, _directory: directory })
    }

    /// A client as it would be in an app.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::builder(&self.url)
            .pin(self.pin.clone())
            .trust_root_pem(self.root.as_bytes())
            .credentials(self.credential(Scope::Discover)?)
            .build()?)
    }

    /// A registrar as it would be in the operator's back end.
    pub(crate) fn registrar(&self) -> anyhow::Result<Registrar> {
        Ok(Registrar::builder(&self.url)
            .pin(self.pin.clone())
            .trust_root_pem(self.root.as_bytes())
            .credentials(self.credential(Scope::Register)?)
            .build()?)
    }

    /// Publishes what is registered.
    pub(crate) async fn publish(&self) -> anyhow::Result<()> {
        let published = self.publish.publish_now().await.context("the publisher is gone")?;
        published.map(|_| ()).map_err(Into::into)
    }

    /// Stops the server and waits until it has.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        drop(self.stop);
        self.served.await.context("the server panicked")??;
        Ok(())
    }

    fn credential(&self, scope: Scope) -> anyhow::Result<StaticCredential> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock")?;
        let (key_id, key) = self.keys.newest_credential().context("keys were made")?;
        let claims = Claims {
            tenant: self.config.check()?.tenants.remove(0).name,
            audience: self.config.audience()?,
            pseudonym: Pseudonym::of_account(&self.keys.pseudonym, b"demo"),
            scope,
            class: 0,
            issued_at: now.as_secs(),
            expires_at: (now + Duration::from_secs(3_600)).as_secs(),
            account_since: 0,
            key_id,
        };
        Ok(StaticCredential::new(Credential::mint(key, &claims)))
    }
}
