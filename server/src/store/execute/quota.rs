//! Quotas: charged once for each batch, a new epoch's credit first.

use std::ops::Bound;

use redb::ReadableTable;

use super::super::error::Fault;
use super::super::{
    ChargeOutcome, ChargeRequest, REPEAT_FREE_MS, StoreError, tables, writer::GROUP_COMMANDS_MAX,
};
use super::{Execution, Outcome, read_epoch, remove_lowest};
use crate::admission::bucket::{Bucket, QuotaPolicy, QuotaState};

/// Most charges forgotten in one transaction. More than a group can add, so that a backlog
/// shrinks; few enough for the transaction to stay short.
pub(in super::super) const FORGOTTEN_MAX: usize = 2 * GROUP_COMMANDS_MAX;

/// Most quotas that one step looks at. A charge that comes meanwhile waits for it, and this is done
/// while people look up: few milliseconds, whether many are rested or none.
pub(in super::super) const STEP_QUOTAS_MAX: usize = 4_096;

/// What an account has used of its credit under an epoch, and what is left.
struct CreditUse {
    key: [u8; 20],
    used: u64,
    left: u64,
}

impl Execution<'_> {
    pub(super) fn charge(&mut self, request: &ChargeRequest) -> Outcome<ChargeOutcome> {
        let ChargeRequest { account, cost, digest, now_ms, policy, .. } = request;
        let Some(bucket) = read_bucket(&self.quotas, account)? else {
            return Ok(Err(StoreError::Corrupt));
        };
        if *cost == 0 || self.is_repeat(account, digest, *now_ms)? {
            let quota = bucket.state(policy, *now_ms);
            return Ok(Ok(ChargeOutcome::Granted { charged: 0, quota }));
        }
        let credit = self.credit(request)?;
        let from_credit = credit.as_ref().map_or(0, |credit| credit.left.min(*cost));
        let charged = match bucket.charge(policy, *now_ms, *cost - from_credit) {
            Ok(charged) => charged,
            Err(shortfall) => {
                let quota = bucket.state(policy, *now_ms);
                return Ok(Ok(ChargeOutcome::Refused { wait_ms: shortfall.wait_ms, quota }));
            }
        };
        if let Some(CreditUse { key, used, .. }) = credit.filter(|_| from_credit > 0) {
            self.credits.insert(&key, &used.saturating_add(from_credit).to_be_bytes())?;
        }
        self.quotas.insert(account, &charged.encode())?;
        let charge = tables::charge_key(tables::charge_period(*now_ms), account, digest);
        self.charges.insert(&charge, &now_ms.to_be_bytes())?;
        self.charged_at_ms = self.charged_at_ms.max(Some(*now_ms));
        let quota = charged.state(policy, *now_ms);
        Ok(Ok(ChargeOutcome::Granted { charged: *cost, quota }))
    }

    /// The credit that a request may draw on, if any.
    fn credit(&self, request: &ChargeRequest) -> Result<Option<CreditUse>, Fault> {
        let Some(credit) = request.credit else { return Ok(None) };
        // Its record of use is gone with the epoch: it would be had a second time.
        if read_epoch(&self.epochs, credit.epoch)?.dropped {
            return Ok(None);
        }
        let key = tables::credit_key(credit.epoch, &request.account);
        let used = self.credits.get(&key)?.map_or(0, |used| u64::from_be_bytes(*used.value()));
        Ok(Some(CreditUse { key, used, left: credit.elements.saturating_sub(used) }))
    }

    /// Whether the batch was charged a short time ago.
    ///
    /// The distance in either direction: were a charge of the future always a repeat, setting the
    /// clock back would make the batch free until the clock has caught up.
    fn is_repeat(&self, account: &[u8; 16], digest: &[u8; 32], now_ms: u64) -> Result<bool, Fault> {
        let period = tables::charge_period(now_ms);
        for period in period.saturating_sub(1)..=period.saturating_add(1) {
            let charge = self.charges.get(&tables::charge_key(period, account, digest))?;
            let at_ms = charge.map(|at| u64::from_be_bytes(*at.value()));
            if at_ms.is_some_and(|at_ms| at_ms.abs_diff(now_ms) <= REPEAT_FREE_MS) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Forgets charges whose repeats are no longer free: periods that are wholly over, the oldest
    /// first, at most so many. Says how many they were.
    pub(super) fn forget_charges(&mut self, now_ms: u64, limit: usize) -> Result<usize, Fault> {
        let Some(over) = tables::charge_period(now_ms).checked_sub(2) else { return Ok(0) };
        let charges = tables::charges_until(over);
        remove_lowest(&mut self.charges, charges.start(), charges.end(), limit)
    }

    /// One step of forgetting rested accounts; says after which account the next one goes on.
    pub(super) fn forget_rested(
        &mut self,
        after: Option<[u8; 16]>,
        refill_per_day: u64,
        now_ms: u64,
    ) -> Result<Option<[u8; 16]>, Fault> {
        let from = after.as_ref().map_or(Bound::Unbounded, Bound::Excluded);
        let (mut rested, mut last, mut n_read) = (Vec::new(), None, 0);
        for record in
            self.quotas.range::<&[u8; 16]>((from, Bound::Unbounded))?.take(STEP_QUOTAS_MAX)
        {
            let (account, bucket) = record?;
            // What is damaged is left to whoever needs it.
            let bucket = Bucket::decode(bucket.value());
            if bucket.is_some_and(|bucket| bucket.is_rested(refill_per_day, now_ms)) {
                rested.push(*account.value());
            }
            (last, n_read) = (Some(*account.value()), n_read + 1);
        }
        for account in &rested {
            self.quotas.remove(account)?;
        }
        self.written |= !rested.is_empty();
        Ok(last.filter(|_| n_read == STEP_QUOTAS_MAX))
    }
}

/// What is left of an account's quota.
pub(in super::super) fn quota(
    quotas: &impl ReadableTable<&'static [u8; 16], &'static [u8; 24]>,
    account: &[u8; 16],
    policy: &QuotaPolicy,
    now_ms: u64,
) -> Result<QuotaState, Fault> {
    let bucket = read_bucket(quotas, account)?.ok_or(StoreError::Corrupt)?;
    Ok(bucket.state(policy, now_ms))
}

/// The bucket of an account, a rested one if it has none; `None` if the stored one is damaged.
fn read_bucket(
    quotas: &impl ReadableTable<&'static [u8; 16], &'static [u8; 24]>,
    account: &[u8; 16],
) -> Result<Option<Bucket>, Fault> {
    let stored = quotas.get(account)?;
    Ok(stored.map_or(Some(Bucket::default()), |bytes| Bucket::decode(bytes.value())))
}
