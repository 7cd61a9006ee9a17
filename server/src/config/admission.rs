//! What an account may look up.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Quotas of a tenant's accounts: how much may be looked up at once, and what comes back.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Quota {
    /// Elements at once, after a long rest, padding included.
    pub elements: u64,
    /// Elements that come back per day.
    pub refill_per_day: u64,
    /// Days over which the quota of a new account grows to its whole; 0: it has the whole at once.
    pub ramp_days: u32,
    /// What a new account begins with, in percent of the whole.
    pub ramp_start_percent: u8,
    /// Other quotas for credentials of other classes, by the class's number, 1 to 255. A class that
    /// is not listed has the ordinary quota.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub classes: BTreeMap<String, ClassQuota>,
    /// What a registrar may evaluate; without limit if missing.
    pub registrar: Option<RegistrarQuota>,
}

/// The quota of a class of credentials; the ramp is the tenant's.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct ClassQuota {
    /// Elements at once, after a long rest, padding included.
    pub elements: u64,
    /// Elements that come back per day.
    pub refill_per_day: u64,
}

/// The quota of a registrar, so that a stolen credential of one cannot read out everything.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct RegistrarQuota {
    /// Elements at once, after a long rest.
    pub elements: u64,
    /// Elements that come back per day.
    pub refill_per_day: u64,
}

impl Default for Quota {
    /// Ten full batches at once twice over, and an address book's worth of changes a day.
    fn default() -> Self {
        Self {
            elements: 20_480,
            refill_per_day: 2_048,
            ramp_days: 0,
            ramp_start_percent: 25,
            classes: BTreeMap::new(),
            registrar: None,
        }
    }
}
