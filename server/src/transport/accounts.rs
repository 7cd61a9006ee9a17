//! What one account holds at a time: connections, calls, streams.
//!
//! A credential is cheap to keep and its first call is free, so the places that everybody shares
//! could be taken by a few accounts. None of them gets more than a few.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use acquaint_core::{
    credential::{Claims, Pseudonym},
    manifest::TenantName,
};

use crate::config::Transport;

/// What is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Connection,
    Call,
    Stream,
}

/// Counts what accounts hold. An account that holds nothing is forgotten.
#[derive(Debug)]
pub(super) struct Accounts {
    limits: [usize; 3],
    counts: Mutex<HashMap<(TenantName, Pseudonym), [usize; 3]>>,
}

/// Held until this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    accounts: Arc<Accounts>,
    account: (TenantName, Pseudonym),
    kind: Kind,
}

impl Accounts {
    pub(super) fn new(limits: &Transport) -> Arc<Self> {
        let limits =
            [limits.connections_per_account, limits.calls_per_account, limits.streams_per_account];
        Arc::new(Self { limits, counts: Mutex::default() })
    }

    /// Takes one more for the holder of a credential, if it has not got all that it may have.
    pub(super) fn take(self: &Arc<Self>, holder: &Claims, kind: Kind) -> Option<Held> {
        let account = (holder.tenant.clone(), holder.pseudonym);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let held = counts.get(&account).copied().unwrap_or_default();
        let room = self.limits.iter().zip(held).nth(kind as usize);
        if room.is_none_or(|(limit, count)| count >= *limit) {
            return None;
        }
        if let Some(count) = counts.entry(account.clone()).or_default().get_mut(kind as usize) {
            *count += 1;
        }
        Some(Held { accounts: Arc::clone(self), account, kind })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut counts = self.accounts.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = counts.get_mut(&self.account) else { return };
        if let Some(count) = held.get_mut(self.kind as usize) {
            *count = count.saturating_sub(1);
        }
        if held.iter().all(|&count| count == 0) {
            counts.remove(&self.account);
        }
    }
}

#[cfg(test)]
mod tests {
    use acquaint_core::credential::Scope;

    use super::*;

    fn holder(tenant: &str, pseudonym: u8) -> Claims {
        Claims {
            tenant: tenant.parse().unwrap(),
            audience: "acquaint".parse().unwrap(),
            pseudonym: Pseudonym([pseudonym; 16]),
            scope: Scope::Discover,
            class: 0,
            issued_at: 0,
            expires_at: 1,
            account_since: 0,
            key_id: 1,
        }
    }

    fn accounts() -> Arc<Accounts> {
        Accounts::new(&Transport {
            connections_per_account: 1,
            calls_per_account: 2,
            streams_per_account: 3,
            ..Transport::default()
        })
    }

    #[test]
    fn each_kind_has_its_limit_and_each_account_its_own() {
        let accounts = accounts();
        let alice = holder("demo", 1);
        for (kind, limit) in [(Kind::Connection, 1), (Kind::Call, 2), (Kind::Stream, 3)] {
            let held: Vec<_> = (0..limit).map(|_| accounts.take(&alice, kind).unwrap()).collect();
            assert!(accounts.take(&alice, kind).is_none(), "{kind:?}");
            assert!(accounts.take(&holder("demo", 2), kind).is_some());
            assert!(accounts.take(&holder("other", 1), kind).is_some());
            drop(held);
            assert!(accounts.take(&alice, kind).is_some());
        }
    }

    #[test]
    fn accounts_that_hold_nothing_are_forgotten() {
        let accounts = accounts();
        let held = accounts.take(&holder("demo", 1), Kind::Call).unwrap();
        assert!(accounts.take(&holder("demo", 1), Kind::Connection).is_some());
        assert_eq!(accounts.counts.lock().unwrap().len(), 1);
        drop(held);
        assert!(accounts.counts.lock().unwrap().is_empty());
    }
}
