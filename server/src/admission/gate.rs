//! The gate: a credential for each call, a charge for each batch that is looked up.

use std::{fmt, sync::Arc, time::Duration};

use acquaint_core::{
    credential::{Claims, CredentialError, CredentialVerifier, Pseudonym, Scope},
    manifest::Policy,
};
use acquaint_proto::{Reason, Refusal};
use tonic::metadata::MetadataMap;

use super::bucket::{QuotaPolicy, QuotaState};
use crate::{
    clock::Clock,
    store::{ChargeOutcome, ChargeRequest, Credit, Store, StoreError},
};

/// What a client is told to wait when no waiting helps: the batch is above its whole quota.
const HOPELESS_WAIT: Duration = Duration::from_secs(86_400);

/// Admits calls. Shared by all services.
pub struct Gate {
    verifier: CredentialVerifier,
    quota: QuotaPolicy,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
}

/// A batch that was charged: it may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charged {
    /// Elements charged; 0 for a repeated batch.
    pub elements: u64,
    /// What is left.
    pub quota: QuotaState,
}

impl Gate {
    /// A gate for a tenant.
    #[must_use]
    pub fn new(
        verifier: CredentialVerifier,
        policy: &Policy,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let quota = QuotaPolicy {
            capacity: policy.quota_elements,
            refill_per_day: policy.quota_refill_per_day,
        };
        Self { verifier, quota, store, clock }
    }

    /// Who calls, if the credential in the metadata allows `scope`.
    ///
    /// # Errors
    /// CREDENTIAL_MISSING, CREDENTIAL_INVALID, CREDENTIAL_EXPIRED, SCOPE_MISSING.
    pub fn admit(&self, metadata: &MetadataMap, scope: Scope) -> Result<Claims, Refusal> {
        let text = metadata
            .get("authorization")
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "))
            .ok_or(Reason::CredentialMissing)?;
        let claims =
            self.verifier.verify(text, self.clock.now_s()).map_err(|error| match error {
                CredentialError::Expired => Reason::CredentialExpired,
                _ => Reason::CredentialInvalid,
            })?;
        if claims.scope == scope { Ok(claims) } else { Err(Reason::ScopeMissing.into()) }
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
        account: &Pseudonym,
        (epoch, is_successor): (u32, bool),
        elements: &[u8],
        n_elements: u64,
    ) -> Result<Charged, Refusal> {
        let request = ChargeRequest {
            account: account.0,
            cost: n_elements,
            digest: batch_digest(epoch, elements),
            now_ms: self.clock.now_ms(),
            policy: self.quota,
            credit: is_successor.then_some(Credit { epoch, elements: self.quota.capacity }),
        };
        match self.store.charge(request).await.map_err(|error| store_refusal(&error))? {
            ChargeOutcome::Granted { charged, quota } => Ok(Charged { elements: charged, quota }),
            ChargeOutcome::Refused { wait_ms, .. } => {
                let wait = wait_ms.map_or(HOPELESS_WAIT, Duration::from_millis);
                Err(Refusal::new(Reason::QuotaExhausted).retry_after(wait))
            }
        }
    }

    /// What is left of an account's quota.
    ///
    /// # Errors
    /// STORE_UNAVAILABLE.
    pub async fn quota(&self, account: &Pseudonym) -> Result<QuotaState, Refusal> {
        self.store
            .quota(&account.0, &self.quota, self.clock.now_ms())
            .await
            .map_err(|error| store_refusal(&error))
    }

    /// The quota of every account.
    #[must_use]
    pub const fn policy(&self) -> &QuotaPolicy {
        &self.quota
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
        f.debug_struct("Gate").field("quota", &self.quota).finish_non_exhaustive()
    }
}
