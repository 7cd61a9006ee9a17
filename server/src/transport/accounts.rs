//! What one account and one tenant hold at a time of connections, calls and streams, and what one
//! network holds of calls that need no account.
//!
//! A credential is cheap to keep and its first call is free, so the places that everybody shares
//! could be taken by a few accounts, by the many of one tenant, and calls without a credential by
//! anybody. None of them gets more than a part.

use std::sync::Arc;

use acquaint_core::{
    credential::{Claims, Pseudonym},
    manifest::TenantName,
};

use super::census::Network;
use crate::{
    admission::Admitted,
    config::{Transport, TransportShare},
    holdings::{self, Holdings},
};

/// Open calls at a time of one network: load balancers and tools have a few.
const OPEN_CALLS_PER_NETWORK: usize = 16;

/// An account.
type Account = (TenantName, Pseudonym);

/// Counts what accounts, tenants and networks hold.
#[derive(Debug)]
pub(super) struct Accounts {
    connections: Places,
    calls: Places,
    streams: Places,
    open_calls: Arc<Holdings<Option<Network>>>,
}

/// Places of one kind.
#[derive(Debug)]
struct Places {
    accounts: Arc<Holdings<Account>>,
    per_account: usize,
    tenants: Arc<Holdings<TenantName>>,
    per_tenant: fn(TransportShare) -> usize,
}

/// What is held of an account's places, and of its tenant's.
pub(super) type Held = (holdings::Held<Account>, holdings::Held<TenantName>);

/// What is held of a network's places.
pub(super) type OpenCallPlace = holdings::Held<Option<Network>>;

impl Accounts {
    pub(super) fn new(limits: &Transport) -> Self {
        Self {
            connections: Places::new(limits.connections_per_account, |share| share.connections),
            calls: Places::new(limits.calls_per_account, |share| share.calls),
            streams: Places::new(limits.streams_per_account, |share| share.streams),
            open_calls: Holdings::new(),
        }
    }

    pub(super) fn connection(&self, admitted: &Admitted) -> Option<Option<Held>> {
        self.connections.take(admitted)
    }

    pub(super) fn call(&self, admitted: &Admitted) -> Option<Option<Held>> {
        self.calls.take(admitted)
    }

    pub(super) fn stream(&self, admitted: &Admitted) -> Option<Option<Held>> {
        self.streams.take(admitted)
    }

    /// Whether the caller's account has a stream already.
    pub(super) fn has_stream(&self, admitted: &Admitted) -> bool {
        let Admitted::Holder(tenant, Claims { pseudonym, .. }) = admitted else { return false };
        self.streams.accounts.holds(&(tenant.name().clone(), *pseudonym))
    }

    /// A place for a call that anybody may make.
    pub(super) fn open_call(&self, network: Option<Network>) -> Option<OpenCallPlace> {
        self.open_calls.take(&network, 1, OPEN_CALLS_PER_NETWORK)
    }
}

impl Places {
    fn new(per_account: usize, per_tenant: fn(TransportShare) -> usize) -> Self {
        Self { accounts: Holdings::new(), per_account, tenants: Holdings::new(), per_tenant }
    }

    /// A place of the caller's account, nothing for the operator, who has none; `None` if the
    /// account or its tenant has all that it may have.
    fn take(&self, admitted: &Admitted) -> Option<Option<Held>> {
        let Admitted::Holder(tenant, Claims { pseudonym, .. }) = admitted else {
            return Some(None);
        };
        let (name, share) = (tenant.name(), (self.per_tenant)(tenant.transport_share()));
        let of_account = self.accounts.take(&(name.clone(), *pseudonym), 1, self.per_account)?;
        Some(Some((of_account, self.tenants.take(name, 1, share)?)))
    }
}
