//! What an operator configures. Every field has a default but the files of TLS.

use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4},
    path::{Path, PathBuf},
    time::Duration,
};

use acquaint_core::{
    credential::Audience,
    limits::PADDING_CLASSES,
    manifest::{Policy, TenantName},
};
use serde::{Deserialize, Serialize};

use crate::{
    directory::CompactionPolicy, evaluator::QUEUE_ELEMENTS_DEFAULT, store::REPEAT_FREE_MS,
};

/// The configuration of a server, as in `acquaint.toml`. Relative paths are relative to the
/// directory of that file; see [`Config::resolve`].
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The tenant's name: `a-z`, `0-9`, `-`. Part of every manifest and credential.
    pub tenant: String,
    /// The deployment's name: `a-z`, `0-9`, `.`, `-`. Credentials for another one are refused.
    pub audience: String,
    /// Address and port for apps and the registrar; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Unix socket for the operator; none if missing.
    pub admin_socket: Option<PathBuf>,
    /// The store's file.
    pub store: PathBuf,
    /// The key directory. Keep it on another disk, and out of the store's backups.
    pub keys: PathBuf,
    /// Certificate and key.
    pub tls: Tls,
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
}

/// Files of TLS, PEM.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Tls {
    /// Certificate chain, the server's own first.
    pub certificate: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// The evaluator's pool and queue.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluation {
    /// Threads; 0 takes one for each core.
    pub threads: usize,
    /// Elements that may wait or run at once; past it requests are refused with a delay.
    pub queue_elements: u32,
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

/// What an account may look up.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Elements at once, after a long rest, padding included.
    pub elements: u64,
    /// Elements that come back per day.
    pub refill_per_day: u64,
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
            tenant: "default".to_owned(),
            audience: "acquaint".to_owned(),
            listen: SocketAddrV4::new(Ipv4Addr::LOCALHOST, 7443).into(),
            admin_socket: Some("admin.sock".into()),
            store: "store.redb".into(),
            keys: "keys".into(),
            tls: Tls::default(),
            evaluator: Evaluation::default(),
            publication: Publication::default(),
            rotation: Rotation::default(),
            quota: Quota::default(),
            drain: Drain::default(),
        }
    }
}

impl Default for Tls {
    fn default() -> Self {
        Self { certificate: "tls/certificate.pem".into(), key: "tls/key.pem".into() }
    }
}

impl Default for Evaluation {
    fn default() -> Self {
        Self { threads: 0, queue_elements: QUEUE_ELEMENTS_DEFAULT }
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

impl Default for Quota {
    /// Ten full batches at once twice over, and an address book's worth of changes a day.
    fn default() -> Self {
        Self { elements: 20_480, refill_per_day: 2_048 }
    }
}

impl Default for Drain {
    fn default() -> Self {
        Self { delay_ms: 0, deadline_ms: 30_000 }
    }
}

/// Why a configuration cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// `tenant` is not a name.
    #[error("`tenant` must have 1 to 32 characters of a-z, 0-9 and -")]
    Tenant,
    /// `audience` is not a name.
    #[error("`audience` must have 1 to 64 characters of a-z, 0-9, . and -")]
    Audience,
    /// A queue that no batch fits into.
    #[error("`evaluator.queue_elements` must be at least 4096, the largest batch")]
    Queue,
    /// A quota that no batch fits into.
    #[error("`quota.elements` must be at least 16, the smallest padding class")]
    Quota,
    /// Too large for the arithmetic of quotas.
    #[error("`quota` figures must be below 2^40")]
    QuotaTooLarge,
    /// A share that means nothing.
    #[error("`publication.snapshot_share_percent` must be 1 to 50")]
    SnapshotShare,
}

impl Config {
    /// Makes relative paths relative to a directory.
    #[must_use]
    pub fn resolve(mut self, directory: &Path) -> Self {
        let paths = [
            Some(&mut self.store),
            Some(&mut self.keys),
            Some(&mut self.tls.certificate),
            Some(&mut self.tls.key),
            self.admin_socket.as_mut(),
        ];
        for path in paths.into_iter().flatten() {
            *path = directory.join(&path);
        }
        self
    }

    /// Checks what can be checked without touching anything, and returns tenant and policy.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn check(&self) -> Result<(TenantName, Policy), ConfigError> {
        let tenant = self.tenant.parse().map_err(|_| ConfigError::Tenant)?;
        self.audience()?;
        if (self.evaluator.queue_elements as usize) < acquaint_core::limits::BATCH_ELEMENTS_MAX {
            return Err(ConfigError::Queue);
        }
        let classes: Vec<u32> =
            PADDING_CLASSES.iter().filter_map(|&class| u32::try_from(class).ok()).collect();
        if classes.first().is_none_or(|&smallest| self.quota.elements < u64::from(smallest)) {
            return Err(ConfigError::Quota);
        }
        if self.quota.elements.max(self.quota.refill_per_day) >= 1 << 40 {
            return Err(ConfigError::QuotaTooLarge);
        }
        if !(1..=50).contains(&self.publication.snapshot_share_percent) {
            return Err(ConfigError::SnapshotShare);
        }
        let policy = Policy {
            padding_classes: classes,
            quota_elements: self.quota.elements,
            quota_refill_per_day: self.quota.refill_per_day,
            repeat_retention_seconds: u32::try_from(REPEAT_FREE_MS / 1_000)
                .expect("ten minutes in seconds"),
            delta_retention_seconds: self.publication.delta_retention_s,
        };
        Ok((tenant, policy))
    }

    /// The deployment for which credentials must be minted.
    ///
    /// # Errors
    /// [`ConfigError::Audience`].
    pub fn audience(&self) -> Result<Audience, ConfigError> {
        self.audience.parse().map_err(|_| ConfigError::Audience)
    }

    /// When the next snapshot is made, and how long the way from older ones is kept.
    #[must_use]
    pub fn compaction(&self) -> CompactionPolicy {
        CompactionPolicy {
            share_percent: self.publication.snapshot_share_percent,
            age_s: self.publication.snapshot_age_s,
            retention_s: self.publication.delta_retention_s.into(),
        }
    }

    /// For how long changes gather before they are published.
    #[must_use]
    pub const fn publication_delay(&self) -> Duration {
        Duration::from_millis(self.publication.delay_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_paths_are_resolved() {
        let config = Config::default();
        let (tenant, policy) = config.check().unwrap();
        assert_eq!(tenant.as_str(), "default");
        assert_eq!(policy.padding_classes.last(), Some(&1_024));
        let resolved = config.resolve(Path::new("/etc/acquaint"));
        assert_eq!(resolved.store, Path::new("/etc/acquaint/store.redb"));
        assert_eq!(resolved.admin_socket.unwrap(), Path::new("/etc/acquaint/admin.sock"));
    }

    #[test]
    fn limits_hold_at_the_edge_and_fail_one_past_it() {
        let check = |change: fn(&mut Config)| {
            let mut config = Config::default();
            change(&mut config);
            config.check().map(|_| ())
        };
        assert_eq!(check(|c| c.tenant = "No".into()), Err(ConfigError::Tenant));
        assert_eq!(check(|c| c.audience = "a".repeat(64)), Ok(()));
        assert_eq!(check(|c| c.audience = "a".repeat(65)), Err(ConfigError::Audience));
        assert_eq!(check(|c| c.audience = "No".into()), Err(ConfigError::Audience));
        assert_eq!(check(|c| c.evaluator.queue_elements = 4_096), Ok(()));
        assert_eq!(check(|c| c.evaluator.queue_elements = 4_095), Err(ConfigError::Queue));
        assert_eq!(check(|c| c.quota.elements = 16), Ok(()));
        assert_eq!(check(|c| c.quota.elements = 15), Err(ConfigError::Quota));
        assert_eq!(check(|c| c.quota.elements = (1 << 40) - 1), Ok(()));
        assert_eq!(check(|c| c.quota.elements = 1 << 40), Err(ConfigError::QuotaTooLarge));
        assert_eq!(check(|c| c.quota.refill_per_day = 1 << 40), Err(ConfigError::QuotaTooLarge));
        assert_eq!(check(|c| c.publication.snapshot_share_percent = 1), Ok(()));
        assert_eq!(check(|c| c.publication.snapshot_share_percent = 50), Ok(()));
        for percent in [0, 51] {
            let mut config = Config::default();
            config.publication.snapshot_share_percent = percent;
            assert_eq!(config.check().map(|_| ()), Err(ConfigError::SnapshotShare));
        }
    }
}
