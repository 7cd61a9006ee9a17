//! From what was written to what can be used: the one place that judges a configuration.

use std::{collections::BTreeSet, path::PathBuf, time::Duration};

use acquaint_core::{
    credential::Audience,
    limits::{BATCH_ELEMENTS_MAX, DIRECTORY_MEMBERS_MAX, LOOKUP_ELEMENTS_MAX, PADDING_CLASSES},
    manifest::{Policy, TenantName},
};

use super::{Config, Publication, Quota, Rotation, Tenant, Transport, TransportShare};
use crate::{
    admission::{Quotas, bucket::QuotaPolicy},
    directory::CompactionPolicy,
    store::REPEAT_FREE_MS,
};

/// Figures of quotas stay below this, so that their arithmetic cannot overflow.
const QUOTA_FIGURE_END: u64 = 1 << 40;

/// A configuration that can be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What credentials call this deployment.
    pub audience: Audience,
    /// The tenants in the order of their names; at least one.
    pub tenants: Vec<TenantSettings>,
}

/// What is configured for one tenant, the common sections included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantSettings {
    /// Its name.
    pub name: TenantName,
    /// The store's file.
    pub store: PathBuf,
    /// The key directory.
    pub keys: PathBuf,
    /// Authorities of its registrars' certificates.
    pub registrar_authorities: Option<PathBuf>,
    /// Elements that may wait or run at once in the evaluator.
    pub queue_elements: u32,
    /// The same for one account.
    pub account_elements: u32,
    /// Its part of connections, calls and streams.
    pub transport_share: TransportShare,
    /// Entries that it may register.
    pub entries_max: u64,
    /// What is promised to clients.
    pub policy: Policy,
    /// What accounts and registrars may look up.
    pub quotas: Quotas,
    /// When the next snapshot is made, and how long the way from older ones is kept.
    pub compaction: CompactionPolicy,
    /// For how long changes gather before they are published.
    pub publication_delay: Duration,
    /// Seconds for which both keys of a rotation are served.
    pub grace_s: u64,
}

/// Why a configuration cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// No name for a deployment.
    #[error("`audience` must have 1 to 64 characters of a-z, 0-9, . and -")]
    Audience,
    /// Nobody to serve.
    #[error("there is no tenant: add a section [tenants.NAME] with `store` and `keys`")]
    NoTenant,
    /// A tenant's section is not called as a tenant can be.
    #[error("the name of a tenant, [tenants.NAME], must have 1 to 32 characters of a-z, 0-9 and -")]
    Tenant,
    /// Two tenants share what each needs for itself.
    #[error("two tenants have the same `store` or `keys`: each needs its own")]
    Shared,
    /// A queue that no batch fits into.
    #[error("`queue_elements` and `account_elements` must be at least 4096, the largest batch")]
    Queue,
    /// A quota that no batch fits into.
    #[error("`quota.elements` must be at least 16, the smallest padding class")]
    Quota,
    /// Too large for the arithmetic of quotas.
    #[error("`quota` figures must be below 2^40")]
    QuotaTooLarge,
    /// A ramp that starts at nothing or beyond the end.
    #[error("`quota.ramp_start_percent` must be 1 to 100, and the start allow for 1024 elements")]
    Ramp,
    /// A class that no credential can have.
    #[error(
        "a section [quota.classes.N] needs a number from 1 to 255, and elements for the largest \
         batch of a lookup, 1024"
    )]
    Class,
    /// A share that means nothing.
    #[error("`publication.snapshot_share_percent` must be 1 to 50")]
    SnapshotShare,
    /// A limit of nothing.
    #[error(
        "the limits in `transport`, and a tenant's part of them, must be at least 1, its timeouts \
         at least 1 ms, and `stall_ms` at least `call_ms`"
    )]
    Transport,
    /// More entries than a directory holds.
    #[error("`entries_max` must be 1 to 200000000, the largest directory")]
    Entries,
}

impl Config {
    /// Checks what can be checked without touching anything.
    ///
    /// # Errors
    /// [`ConfigError`].
    pub fn check(&self) -> Result<Checked, ConfigError> {
        if !self.transport.is_possible() {
            return Err(ConfigError::Transport);
        }
        let tenants = self.tenants.iter().map(|(name, tenant)| self.tenant(name, tenant));
        let tenants: Vec<_> = tenants.collect::<Result<_, _>>()?;
        let stores: BTreeSet<_> = tenants.iter().map(|tenant| &tenant.store).collect();
        let keys: BTreeSet<_> = tenants.iter().map(|tenant| &tenant.keys).collect();
        if stores.len() < tenants.len() || keys.len() < tenants.len() {
            return Err(ConfigError::Shared);
        }
        if tenants.is_empty() {
            return Err(ConfigError::NoTenant);
        }
        Ok(Checked { audience: self.audience()?, tenants })
    }

    /// What credentials call this deployment.
    ///
    /// # Errors
    /// [`ConfigError::Audience`].
    pub fn audience(&self) -> Result<Audience, ConfigError> {
        self.audience.parse().map_err(|_| ConfigError::Audience)
    }

    fn tenant(&self, name: &str, tenant: &Tenant) -> Result<TenantSettings, ConfigError> {
        let name = name.parse().map_err(|_| ConfigError::Tenant)?;
        let whole = self.evaluator.queue_elements;
        let account_elements = self.evaluator.account_elements;
        let largest = u32::try_from(BATCH_ELEMENTS_MAX).expect("a batch has thousands of elements");
        let part = if self.is_shared() { (whole / 2).max(largest) } else { whole };
        let queue_elements = tenant.queue_elements.unwrap_or(part).min(whole);
        if queue_elements < largest || account_elements < largest {
            return Err(ConfigError::Queue);
        }
        let entries_max = tenant.entries_max.unwrap_or(DIRECTORY_MEMBERS_MAX);
        if !(1..=DIRECTORY_MEMBERS_MAX).contains(&entries_max) {
            return Err(ConfigError::Entries);
        }
        let publication = tenant.publication.over(&self.publication);
        let Rotation { grace_s } = tenant.rotation.over(&self.rotation);
        let quotas = tenant.quota.over(&self.quota).check()?;
        Ok(TenantSettings {
            name,
            store: tenant.store.clone(),
            keys: tenant.keys.clone(),
            registrar_authorities: tenant.registrar_authorities.clone(),
            queue_elements,
            account_elements,
            transport_share: self.transport_share(tenant)?,
            entries_max,
            policy: policy(&quotas, &publication),
            quotas,
            compaction: publication.check()?,
            publication_delay: Duration::from_millis(publication.delay_ms),
            grace_s: grace_s.into(),
        })
    }

    fn transport_share(&self, tenant: &Tenant) -> Result<TransportShare, ConfigError> {
        let Transport { connections, calls, streams, .. } = self.transport;
        let part = |all: usize| if self.is_shared() { all.div_ceil(2) } else { all };
        let share = |own: Option<usize>, all| own.unwrap_or(part(all)).min(all);
        let share = TransportShare {
            connections: share(tenant.connections, connections),
            calls: share(tenant.calls, calls),
            streams: share(tenant.streams, streams),
        };
        let least = share.connections.min(share.calls).min(share.streams);
        if least == 0 { Err(ConfigError::Transport) } else { Ok(share) }
    }

    /// Whether there are several tenants: unless it is stated otherwise, each leaves the others half
    /// of everything.
    fn is_shared(&self) -> bool {
        self.tenants.len() > 1
    }
}

impl Transport {
    fn is_possible(&self) -> bool {
        let counts = [
            self.connections,
            self.connections_per_network,
            self.connections_on_probation,
            self.connections_per_account,
            self.calls_per_account,
            self.streams_per_account,
            self.calls,
            self.streams,
            self.calls_per_connection as usize,
            self.control_frames_per_s as usize,
        ];
        let t = &self.timeouts;
        let times = [t.handshake_ms, t.first_call_ms, t.idle_ms, t.call_ms, t.stall_ms, t.age_ms];
        let patient = t.stall_ms >= t.call_ms;
        patient && counts.iter().all(|&count| count > 0) && times.iter().all(|&time| time > 0)
    }
}

impl Publication {
    fn check(&self) -> Result<CompactionPolicy, ConfigError> {
        if !(1..=50).contains(&self.snapshot_share_percent) {
            return Err(ConfigError::SnapshotShare);
        }
        Ok(CompactionPolicy {
            share_percent: self.snapshot_share_percent,
            age_s: self.snapshot_age_s,
            retention_s: self.delta_retention_s.into(),
        })
    }
}

impl Quota {
    fn check(&self) -> Result<Quotas, ConfigError> {
        let mut quotas = Quotas::new(checked(self.elements, self.refill_per_day)?);
        for (class, quota) in &self.classes {
            let class: u8 = class.parse().map_err(|_| ConfigError::Class)?;
            if class == 0 {
                return Err(ConfigError::Class);
            }
            // Clients plan their batches by the ordinary quota.
            if quota.elements < self.elements.min(LOOKUP_ELEMENTS_MAX as u64) {
                return Err(ConfigError::Class);
            }
            quotas = quotas.class(class, checked(quota.elements, quota.refill_per_day)?);
        }
        if let Some(registrar) = &self.registrar {
            quotas = quotas.registrar(checked(registrar.elements, registrar.refill_per_day)?);
        }
        if self.ramp_days > 0 {
            quotas = quotas.ramp(u64::from(self.ramp_days) * 86_400, self.ramp_start_percent);
            let starts_too_low = quotas.smallest_start() < LOOKUP_ELEMENTS_MAX as u64;
            if !(1..=100).contains(&self.ramp_start_percent) || starts_too_low {
                return Err(ConfigError::Ramp);
            }
        }
        Ok(quotas)
    }
}

fn checked(elements: u64, refill_per_day: u64) -> Result<QuotaPolicy, ConfigError> {
    if elements < PADDING_CLASSES.first().copied().unwrap_or_default() as u64 {
        return Err(ConfigError::Quota);
    }
    if elements.max(refill_per_day) >= QUOTA_FIGURE_END {
        return Err(ConfigError::QuotaTooLarge);
    }
    Ok(QuotaPolicy { capacity: elements, refill_per_day })
}

fn policy(quotas: &Quotas, publication: &Publication) -> Policy {
    let ordinary = quotas.ordinary();
    Policy {
        padding_classes: PADDING_CLASSES.iter().filter_map(|&c| u32::try_from(c).ok()).collect(),
        quota_elements: ordinary.capacity,
        quota_refill_per_day: ordinary.refill_per_day,
        repeat_retention_seconds: u32::try_from(REPEAT_FREE_MS / 1_000)
            .expect("ten minutes in seconds"),
        delta_retention_seconds: publication.delta_retention_s,
    }
}

#[cfg(test)]
mod tests;
