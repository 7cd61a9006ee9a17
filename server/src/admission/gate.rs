//! The gate: a charge for each batch that is looked up.

use std::{fmt, sync::Arc, time::Duration};

use acquaint_core::credential::Claims;
use acquaint_proto::{Reason, Refusal};

use super::{
    Quotas,
    bucket::{QuotaPolicy, QuotaState},
};
use crate::{
    clock::Clock,
    store::{ChargeOutcome, ChargeRequest, Credit, Store, StoreError},
};

/// What a client is told to wait when no waiting helps: the batch is above its whole quota.
const HOPELESS_WAIT: Duration = Duration::from_secs(86_400);

/// Charges the callers of a tenant.
pub struct Gate {
    quotas: Quotas,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

/// A batch that was charged: it may be answered. Made by a [`Gate`] only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    elements: u64,
    quota: Option<Allowance>,
}

impl Charged {
    /// Elements charged; 0 for a repeated batch, and if there is no limit.
    #[must_use]
    pub const fn elements(&self) -> u64 {
        self.elements
    }

    /// What is left; `None`: there is no limit.
    #[must_use]
    pub const fn quota(&self) -> Option<Allowance> {
        self.quota
    }
}

/// A caller's quota at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// What it may use.
    pub policy: QuotaPolicy,
    /// What is left of it.
    pub state: QuotaState,
}

impl Gate {
    /// A gate for a tenant.
    #[must_use]
    pub fn new(quotas: Quotas, store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Self {
        Self { quotas, store, clock }
    }

    /// Charges a batch to an account: durable when this returns, and only then may the batch be
    /// answered. The same elements under the same epoch are charged once.
    ///
    /// While a rotation lasts, the epoch that succeeds another one comes with a credit of a whole
    /// quota, once for each account: everybody has to look up again what was looked up before.
    ///
    /// # Errors
    /// QUOTA_EXHAUSTED with the time after which the batch fits; STORE_UNAVAILABLE if the charge
    /// cannot be written: the gate fails closed.
    pub async fn charge(
        &self,
        caller: &Claims,
        (epoch, is_successor): (u32, bool),
        elements: &[u8],
        n_elements: u64,
    ) -> Result<Charged, Refusal> {
        let now_ms = self.clock.now_ms();
        let Some(policy) = self.quotas.of(caller, now_ms / 1_000) else {
            return Ok(Charged { elements: 0, quota: None });
        };
        let request = ChargeRequest {
            account: caller.pseudonym.0,
            cost: n_elements,
            digest: batch_digest(epoch, elements),
            now_ms,
            policy,
            credit: is_successor.then_some(Credit { epoch, elements: policy.capacity }),
        };
        match self.store.charge(request).await.map_err(|error| store_refusal(&error))? {
            ChargeOutcome::Granted { charged, quota } => {
                let quota = Some(Allowance { policy, state: quota });
                Ok(Charged { elements: charged, quota })
            }
            ChargeOutcome::Refused { wait_ms, .. } => {
                let wait = wait_ms.map_or(HOPELESS_WAIT, Duration::from_millis);
                Err(Refusal::new(Reason::QuotaExhausted).retry_after(wait))
            }
        }
    }

    /// Forgets what says nothing any more: the quotas of accounts that have all of theirs again,
    /// and charges whose repeats are no longer free.
    ///
    /// # Errors
    /// [`StoreError`]; nothing is lost but room.
    pub(super) async fn forget_rested(&self, now_ms: u64) -> Result<(), StoreError> {
        let refill_per_day = self.quotas.slowest_refill_per_day();
        self.store.forget_rested(refill_per_day, now_ms).await
    }

    /// The time by which it charges.
    pub(super) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// What is left of a caller's quota; `None`: there is no limit.
    ///
    /// # Errors
    /// STORE_UNAVAILABLE.
    pub async fn quota(&self, caller: &Claims) -> Result<Option<Allowance>, Refusal> {
        let now_ms = self.clock.now_ms();
        let Some(policy) = self.quotas.of(caller, now_ms / 1_000) else { return Ok(None) };
        let state = self.store.quota(&caller.pseudonym.0, &policy, now_ms).await;
        let state = state.map_err(|error| store_refusal(&error))?;
        Ok(Some(Allowance { policy, state }))
    }
}

/// Tells repeated batches apart: blinded elements are uniform, so equal batches are repeats.
fn batch_digest(epoch: u32, elements: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("acquaint v1 charged batch");
    hasher.update(&epoch.to_le_bytes()).update(elements);
    *hasher.finalize().as_bytes()
}

/// A store that fails is the operator's to mend: the cause goes to the log, not to the client.
pub(crate) fn store_refusal(error: &StoreError) -> Refusal {
    tracing::error!(%error, "the store failed");
    Refusal::new(Reason::StoreUnavailable)
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("quotas", &self.quotas).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use acquaint_core::credential::{Pseudonym, Scope};

    use super::*;
    use crate::{clock::ManualClock, store::RedbStore};

    /// Closed: without a charge there is nothing to show for, and nothing is evaluated.
    #[tokio::test]
    async fn a_store_that_cannot_be_written_lets_nobody_through() {
        let store = Arc::new(RedbStore::in_memory().unwrap());
        let policy = QuotaPolicy { capacity: 100, refill_per_day: 1 };
        let clock = Arc::new(ManualClock::at_ms(1_000));
        let gate = Gate::new(Quotas::new(policy), Arc::<RedbStore>::clone(&store), clock);
        let caller = Claims {
            tenant: "demo".parse().unwrap(),
            audience: "acquaint".parse().unwrap(),
            pseudonym: Pseudonym([7; 16]),
            scope: Scope::Discover,
            class: 0,
            issued_at: 0,
            expires_at: 2,
            account_since: 0,
            key_id: 1,
        };
        let charge = || gate.charge(&caller, (1, false), &[1; 64], 2);
        assert_eq!(charge().await.unwrap().elements(), 2);
        store.close().await.unwrap();
        let unavailable = |refusal: Refusal| tonic::Status::from(refusal).code();
        // What was paid for before cannot be known to be a repeat.
        let refused = charge().await.map_err(unavailable);
        assert_eq!(refused.unwrap_err(), tonic::Code::Unavailable);
        let refused = gate.quota(&caller).await.map_err(unavailable);
        assert_eq!(refused.unwrap_err(), tonic::Code::Unavailable);
    }
}
