//! What a charge asks for, and how it is answered.

use std::fmt;

use crate::admission::bucket::{QuotaPolicy, QuotaState};

/// How long a repeated batch is free after its first charge, in milliseconds, inclusive.
///
/// Long enough for a client that lost an answer to ask again, short enough for the table of
/// charges to stay small.
pub const REPEAT_FREE_MS: u64 = 600_000;

/// Elements that an account may evaluate once under a new epoch, apart from its quota: what it
/// looked up under the epoch before has to be looked up again, through no fault of its own.
///
/// An account has one credit per epoch. It is never refilled, is worth nothing under another epoch
/// and ends with the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Credit {
    /// The epoch of the batch.
    pub epoch: u32,
    /// Elements in all. What has been used stays used if this changes.
    pub elements: u64,
}

/// A request to draw on an account's quota.
#[derive(Clone, Copy)]
pub struct ChargeRequest {
    /// The account's pseudonym.
    pub account: [u8; 16],
    /// Elements to charge.
    pub cost: u64,
    /// Digest of epoch and batch: the same digest again is a repeat.
    pub digest: [u8; 32],
    /// The time in milliseconds since the Unix epoch.
    pub now_ms: u64,
    /// What the account may use.
    pub policy: QuotaPolicy,
    /// What to draw on before the quota; `None`: the quota alone.
    pub credit: Option<Credit>,
}

impl fmt::Debug for ChargeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChargeRequest")
            .field("cost", &self.cost)
            .field("policy", &self.policy)
            .field("credit", &self.credit)
            .finish_non_exhaustive()
    }
}

/// The answer to a [`ChargeRequest`]. The quota that it tells is that without credit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChargeOutcome {
    /// The batch may be answered.
    Granted {
        /// Elements charged: the cost, or 0 for a repeat within [`REPEAT_FREE_MS`].
        charged: u64,
        /// What is left.
        quota: QuotaState,
    },
    /// The batch must not be answered. Nothing was charged.
    Refused {
        /// Milliseconds after which the batch would fit; `None` if no waiting helps.
        wait_ms: Option<u64>,
        /// What is left.
        quota: QuotaState,
    },
}
