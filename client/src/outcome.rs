//! What a lookup yields: matches, the state to persist, and an account of what it cost.

use std::time::Duration;

use acquaint_core::{manifest::ManifestHead, tag::Label};
use acquaint_proto::v1;

use crate::{
    state::{Changes, StateError},
    traffic::{PhaseReport, Traffic},
};

/// The result of [`Client::sync`](crate::Client::sync).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SyncOutcome {
    /// The contacts that are registered, ascending by contact.
    pub matches: Vec<Match>,
    /// The manifest that was used. Persist it, and give it to
    /// [`Builder::last_seen`](crate::Builder::last_seen) at the next start.
    pub head: ManifestHead,
    /// The account's quota after this lookup; nothing if nothing had to be evaluated.
    pub quota: Option<Quota>,
    /// What was not looked up, because the quota did not cover it; nothing if the lookup is
    /// complete. The matches then hold what is known so far.
    pub pending: Option<Pending>,
    /// What is new since the last lookup, as far as the client remembers it.
    pub changes: Changes,
    /// Why what was kept from earlier lookups could not be used, if so: this lookup began anew.
    pub state_discarded: Option<StateError>,
    /// What the lookup took.
    pub report: SyncReport,
}

/// Contacts that the account's quota did not cover.
///
/// With a [`StateStore`](crate::StateStore) the next lookup goes on with them, and until then they
/// keep the answer of the last complete one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pending {
    /// Positions in [`AddressBook::contacts`](crate::AddressBook::contacts), ascending.
    pub contacts: Vec<usize>,
    /// After which time a further lookup gets on; at most an hour is ever reported. `None` if the
    /// server did not say.
    pub retry_after: Option<Duration>,
}

/// A contact that is registered. `Debug` does not print the label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Position in [`AddressBook::contacts`](crate::AddressBook::contacts).
    pub contact: usize,
    /// The operator's account id of the contact.
    pub label: Label,
}

/// The account's quota of lookups, in elements: contacts with their padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// Elements that may be evaluated now.
    pub remaining: u64,
    /// Elements that may be evaluated at once after a long rest.
    pub capacity: u64,
    /// Elements that come back per day.
    pub refill_per_day: u64,
    /// Seconds until `remaining` equals `capacity`; nothing if that never happens.
    pub full_in_seconds: Option<u64>,
}

/// What a lookup took. Holds counts, and blinded elements, which are uniformly random.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SyncReport {
    /// Members of the directory.
    pub users: u64,
    /// Contacts of the address book: distinct identifiers.
    pub contacts: usize,
    /// Batches in which those were evaluated that had not been before.
    pub batches: usize,
    /// Elements that were sent for them, padding included.
    pub elements: usize,
    /// Length of the snapshot's coded set in bytes, whether it was downloaded or kept.
    pub set_bytes: u64,
    /// Length of the snapshot's label array in bytes.
    pub labels_bytes: u64,
    /// Fetching and checking the manifest.
    pub manifest: PhaseReport,
    /// Blinding, evaluating, checking proofs, unblinding; at the same time as `set`.
    pub evaluate: PhaseReport,
    /// Getting the directory: the set or what changed of it, and the labels at the same time.
    pub set: PhaseReport,
    /// Searching the set and opening the labels of hits.
    pub matching: Duration,
    /// Bytes of the label array, downloaded at the same time as the set.
    pub labels: PhaseReport,
    /// The whole lookup.
    pub total: Duration,
    /// Bytes on the wire during the lookup, those of other calls of the same client included.
    pub traffic: Traffic,
    /// Up to three of the elements that the server saw, to show what it saw.
    pub blinded_sample: Vec<[u8; 32]>,
}

/// How far a lookup is. A lookup that starts over, because the directory changed, repeats phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// The manifest is being fetched.
    Manifest,
    /// Contacts evaluated, of how many. At the same time as `Set`.
    Evaluate {
        /// Contacts evaluated.
        done: u64,
        /// All contacts.
        total: u64,
    },
    /// Bytes of the set downloaded, of how many.
    Set {
        /// Bytes downloaded.
        bytes: u64,
        /// All bytes.
        total: u64,
    },
    /// Bytes of a delta downloaded: what changed since the last lookup.
    Delta {
        /// Bytes downloaded.
        bytes: u64,
    },
    /// Bytes of the labels downloaded, of how many. At the same time as `Set`.
    Labels {
        /// Bytes downloaded.
        bytes: u64,
        /// All bytes.
        total: u64,
    },
    /// The set is searched, or labels are opened, on this device.
    Match,
}

impl From<v1::Quota> for Quota {
    fn from(wire: v1::Quota) -> Self {
        let v1::Quota { remaining, capacity, refill_per_day, full_in_seconds, .. } = wire;
        let comes_back = refill_per_day > 0 || remaining >= capacity;
        let full_in_seconds =
            Some(full_in_seconds).filter(|seconds| comes_back && *seconds != u64::MAX);
        Self { remaining, capacity, refill_per_day, full_in_seconds }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_that_never_comes_back_is_never_full() {
        let wire =
            v1::Quota { remaining: 1, capacity: 9, full_in_seconds: 5, ..Default::default() };
        assert_eq!(Quota::from(wire).full_in_seconds, None);
        let refilled = v1::Quota { refill_per_day: 3, ..wire };
        assert_eq!(Quota::from(refilled).full_in_seconds, Some(5));
        let full = v1::Quota { remaining: 9, full_in_seconds: 0, ..wire };
        assert_eq!(Quota::from(full).full_in_seconds, Some(0));
        let never = v1::Quota { full_in_seconds: u64::MAX, ..refilled };
        assert_eq!(Quota::from(never).full_in_seconds, None);
    }
}
