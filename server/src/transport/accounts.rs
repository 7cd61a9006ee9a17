//! What one account holds at a time of connections, calls and streams, and what one network holds
//! of calls that need no account.
//!
//! A credential is cheap to keep and its first call is free, so the places that everybody shares
//! could be taken by a few accounts; and calls without a credential by anybody. None of them gets
//! more than a few.

use std::sync::Arc;

use acquaint_core::{
    credential::{Claims, Pseudonym},
    manifest::TenantName,
};

use super::census::Network;
use crate::{
    admission::Admitted,
    config::Transport,
    holdings::{self, Holdings},
};

/// Open calls at a time of one network: load balancers and tools have a few.
const OPEN_CALLS_PER_NETWORK: usize = 16;

/// An account.
type Account = (TenantName, Pseudonym);

/// Counts what accounts and networks hold.
#[derive(Debug)]
pub(super) struct Accounts {
    connections: Arc<Holdings<Account>>,
    calls: Arc<Holdings<Account>>,
    streams: Arc<Holdings<Account>>,
    open_calls: Arc<Holdings<Option<Network>>>,
}

/// What is held of an account's places.
pub(super) type Held = holdings::Held<Account>;

/// What is held of a network's places.
pub(super) type OpenCallPlace = holdings::Held<Option<Network>>;

impl Accounts {
    pub(super) fn new(limits: &Transport) -> Self {
        Self {
            connections: Holdings::new(limits.connections_per_account),
            calls: Holdings::new(limits.calls_per_account),
            streams: Holdings::new(limits.streams_per_account),
            open_calls: Holdings::new(OPEN_CALLS_PER_NETWORK),
        }
    }

    pub(super) fn connection(&self, admitted: &Admitted) -> Option<Option<Held>> {
        own(&self.connections, admitted)
    }

    pub(super) fn call(&self, admitted: &Admitted) -> Option<Option<Held>> {
        own(&self.calls, admitted)
    }

    pub(super) fn stream(&self, admitted: &Admitted) -> Option<Option<Held>> {
        own(&self.streams, admitted)
    }

    /// A place for a call that anybody may make.
    pub(super) fn open_call(&self, network: Option<Network>) -> Option<OpenCallPlace> {
        self.open_calls.take(&network, 1)
    }
}

/// A place of the caller's account, nothing for the operator, who has none; `None` if the account
/// has all that it may have.
fn own(holdings: &Arc<Holdings<Account>>, admitted: &Admitted) -> Option<Option<Held>> {
    let Admitted::Holder(_, Claims { tenant, pseudonym, .. }) = admitted else {
        return Some(None);
    };
    holdings.take(&(tenant.clone(), *pseudonym), 1).map(Some)
}
