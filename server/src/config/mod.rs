//! What an operator configures. Every field has a default but the files of TLS.

mod admission;
mod check;
mod own;
mod transport;

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

pub use admission::{ClassQuota, Quota, RegistrarQuota};
pub use check::{Checked, ConfigError, TenantSettings};
pub use own::{OwnPublication, OwnQuota, OwnRotation};
pub use transport::{Timeouts, Transport, TransportShare};

use crate::evaluator::QUEUE_ELEMENTS_DEFAULT;

/// The configuration of a server, as in `acquaint.toml`. Relative paths are relative to the
/// directory of that file; see [`Config::resolve`].
///
/// The sections `publication`, `rotation` and `quota` hold for every tenant, but for the fields that
/// the tenant's own section has.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// What credentials call this deployment, so that one of staging is no good in production.
    pub audience: String,
    /// Address and port for apps and the registrar; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Unix socket for the operator; none if missing.
    pub admin_socket: Option<PathBuf>,
    /// A port for the operators of single tenants, with mutual TLS; none if missing.
    pub admin: Option<AdminPort>,
    /// Certificate and key.
    pub tls: Tls,
    /// Limits of connections and calls.
    pub transport: Transport,
    /// Evaluation.
    pub evaluator: Evaluation,
    /// Publication.
    pub publication: Publication,
    /// Rotation of the key.
    pub rotation: Rotation,
    /// Quota of every account.
    pub quota: Quota,
    /// Stopping.
    pub drain: Drain,
    /// The tenants by name (`a-z`, `0-9`, `-`), which is part of every manifest and credential.
    pub tenants: BTreeMap<String, Tenant>,
}

/// A tenant: a directory with keys, accounts and limits of its own.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Tenant {
    /// The store's file; no other tenant's.
    pub store: PathBuf,
    /// The key directory; no other tenant's. Keep it on another disk, and out of the store's
    /// backups.
    pub keys: PathBuf,
    /// Authorities (PEM) of the certificates without which the tenant's registrars are refused;
    /// none if missing: then a credential is enough.
    #[serde(default)]
    pub registrar_authorities: Option<PathBuf>,
    /// Elements of this tenant that may wait or run at once in the evaluator; if missing, all of its
    /// queue for the only tenant, and half of it for one of several.
    #[serde(default)]
    pub queue_elements: Option<u32>,
    /// The same for connections, at a time.
    #[serde(default)]
    pub connections: Option<usize>,
    /// The same for calls that wait for their answer.
    #[serde(default)]
    pub calls: Option<usize>,
    /// The same for answers that are being streamed.
    #[serde(default)]
    pub streams: Option<usize>,
    /// Entries that it may register; as many as a directory can hold if missing.
    #[serde(default)]
    pub entries_max: Option<u64>,
    /// Fields in place of those of the common section.
    #[serde(default, skip_serializing_if = "is_default")]
    pub publication: OwnPublication,
    /// Fields in place of those of the common section.
    #[serde(default, skip_serializing_if = "is_default")]
    pub rotation: OwnRotation,
    /// Fields in place of those of the common section.
    #[serde(default, skip_serializing_if = "is_default")]
    pub quota: OwnQuota,
}

/// A port for the operators of single tenants.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct AdminPort {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Authorities (PEM) of the certificates without which nobody gets in.
    pub authorities: PathBuf,
}

/// Files of TLS, PEM.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Certificate chain, the server's own first.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
    /// Whether TLS 1.2 is spoken as well as 1.3, for apps on systems that know nothing newer.
    pub allow_tls12: bool,
    /// Seconds between looks at whether certificates or credential keys were replaced, to take them
    /// up without a restart; 0: only on SIGHUP.
    pub reload_s: u32,
}

/// The evaluator's pool and queue.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluation {
    /// Threads; 0 takes one for each core.
    pub threads: usize,
    /// Elements that may wait or run at once; past it requests are refused with a delay.
    pub queue_elements: u32,
    /// The same for one account; at least the largest batch.
    pub account_elements: u32,
}

/// When changes are published.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Publication {
    /// Milliseconds for which changes gather before they are published together.
    pub delay_ms: u64,
    /// Seconds for which a client that was away still gets a delta instead of a snapshot.
    pub delta_retention_s: u32,
    /// Changes after which the next snapshot is made, in percent of the members.
    pub snapshot_share_percent: u64,
    /// Seconds after which the next snapshot is made, if anything changed.
    pub snapshot_age_s: u64,
}

/// How the key is rotated.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Rotation {
    /// Seconds for which both keys are served, before the old one is destroyed. It counts from
    /// the beginning of the grace period, also after a restart with another value.
    pub grace_s: u32,
}

/// How the server stops.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Drain {
    /// Milliseconds between reporting "not serving" and closing the port, for load balancers.
    pub delay_ms: u64,
    /// Milliseconds after which open calls are cut off.
    pub deadline_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            audience: "acquaint".to_owned(),
            listen: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7443).into(),
            admin_socket: Some("admin.sock".into()),
            admin: None,
            tls: Tls::default(),
            transport: Transport::default(),
            evaluator: Evaluation::default(),
            publication: Publication::default(),
            rotation: Rotation::default(),
            quota: Quota::default(),
            drain: Drain::default(),
            tenants: BTreeMap::from([("default".to_owned(), Tenant::new("store.redb", "keys"))]),
        }
    }
}

fn is_default<T: Default + PartialEq>(section: &T) -> bool {
    *section == T::default()
}

impl Tenant {
    /// A tenant with a store and a key directory, and for the rest as the common sections say.
    #[must_use]
    pub fn new(store: impl Into<PathBuf>, keys: impl Into<PathBuf>) -> Self {
        Self {
            store: store.into(),
            keys: keys.into(),
            registrar_authorities: None,
            queue_elements: None,
            connections: None,
            calls: None,
            streams: None,
            entries_max: None,
            publication: OwnPublication::default(),
            rotation: OwnRotation::default(),
            quota: OwnQuota::default(),
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate: "tls/certificate.pem".into(),
            key: "tls/key.pem".into(),
            allow_tls12: false,
            reload_s: 60,
        }
    }
}

impl Default for Evaluation {
    fn default() -> Self {
        Self { threads: 0, queue_elements: QUEUE_ELEMENTS_DEFAULT, account_elements: 8_192 }
    }
}

impl Default for Publication {
    fn default() -> Self {
        Self {
            delay_ms: 1_000,
            delta_retention_s: 30 * 86_400,
            snapshot_share_percent: 5,
            snapshot_age_s: 7 * 86_400,
        }
    }
}

impl Default for Rotation {
    fn default() -> Self {
        Self { grace_s: 7 * 86_400 }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self { delay_ms: 0, deadline_ms: 30_000 }
    }
}

impl Config {
    /// Makes relative paths relative to a directory.
    #[must_use]
    pub fn resolve(mut self, directory: &Path) -> Self {
        let common = [Some(&mut self.tls.certificate), Some(&mut self.tls.key)];
        let admin =
            [self.admin_socket.as_mut(), self.admin.as_mut().map(|admin| &mut admin.authorities)];
        let tenants = self.tenants.values_mut().flat_map(|tenant| {
            let authorities = tenant.registrar_authorities.as_mut();
            [Some(&mut tenant.store), Some(&mut tenant.keys), authorities]
        });
        for path in common.into_iter().chain(admin).chain(tenants).flatten() {
            *path = directory.join(&path);
        }
        self
    }
}
