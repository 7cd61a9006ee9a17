//! Enumeration, simulated: what accounts find out that ask for all that the gate grants.
//!
//! Gate, quotas and store are those of a server, and each batch is charged; only the clock is
//! simulated, and the store is in memory.
//!
//! **The attacker.** Each account asks for the largest batch that a call or its quota holds, again
//! and again. Refused, it waits for exactly as long as it was told. Before the time is up, and
//! before a credit ends, it asks for what is left in smaller and smaller batches. The accounts
//! share one list of candidates and try each once, and nothing goes to padding. Of a number that
//! was tried they know for certain whether it is registered. They try numbers in turn: whoever
//! knows which ones are likelier finds more with as many.

mod population;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use acquaint_core::{
    credential::{Claims, Pseudonym, Scope},
    limits::BATCH_ELEMENTS_MAX,
};
use acquaint_proto::{Reason, Refusal};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

pub use self::population::{NUMBERS_MAX, Population};
use super::{Gate, Quotas, bucket::QuotaPolicy};
use crate::{
    clock::{Clock as _, ManualClock},
    store::{RedbStore, StoreError},
};

/// Calls that a simulation may need: some minutes of work.
pub const CALLS_MAX: u64 = 20_000_000;

const DAY_S: u64 = 86_400;

/// When simulated time begins, in seconds since 1970. Late enough for accounts of any age.
const START_S: u64 = u32::MAX as u64 * DAY_S;

/// Calls at a time. More would wait for the store's thread, which commits a few hundred together.
const CALLS_IN_FLIGHT: usize = 512;

/// What an attacker has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attack {
    /// Accounts that work together, all from the first moment on.
    pub accounts: u32,
    /// How long they go on, in days; 0: one moment.
    pub days: u32,
    /// Age of the accounts at the beginning, in days; `None`: older than any ramp.
    pub account_age_days: Option<u32>,
    /// Class of their credentials.
    pub class: u8,
    /// Rotations of the key in that time, at even distances, the first one at its beginning.
    pub rotations: u32,
    /// Seconds after each rotation during which its credit may be used.
    pub grace_s: u64,
}

/// What an attacker has found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Findings {
    /// Calls that were made, refused ones included.
    pub calls: u64,
    /// Elements in the batches that were granted.
    pub granted: u64,
    /// Numbers that were tried: as many, unless there are no more.
    pub tried: u64,
    /// Registered ones among them.
    pub found: u64,
    /// Milliseconds after which all numbers were tried; `None`: there was not enough time.
    pub all_tried_after_ms: Option<u64>,
}

/// Why there is no figure.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SimulationError {
    /// More numbers than are kept in memory, or none.
    #[error("there must be 1 to 4294967296 numbers")]
    Numbers,
    /// More registered numbers than numbers.
    #[error("there cannot be more registered numbers than numbers")]
    Registered,
    /// A rotation before the end of the one before.
    #[error("so many rotations do not fit: each lasts for its whole grace period")]
    Rotations,
    /// It would take too long.
    #[error(
        "that takes more than 20000000 calls: simulate fewer accounts or days, the figures grow \
         in proportion"
    )]
    TooLong,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The gate refused for another reason than the quota.
    #[error("the gate refused: {0}")]
    Gate(Refusal),
}

/// A time during which the same epoch is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Period {
    start_ms: u64,
    end_ms: u64,
    epoch: u32,
    /// Whether the epoch comes with a credit.
    is_successor: bool,
}

/// The server's side, and what all accounts of an attacker know together.
struct Scene {
    clock: Arc<ManualClock>,
    gate: Gate,
    numbers: u64,
    calls: AtomicU64,
    granted: AtomicU64,
}

struct Account {
    claims: Claims,
    n_batches: u64,
}

/// Runs an attack on a tenant with these quotas, against a population.
///
/// The same arguments give the same findings.
///
/// # Errors
/// [`SimulationError`]; [`SimulationError::TooLong`] before anything is done.
pub async fn simulate(
    quotas: Quotas,
    attack: &Attack,
    population: &Population,
) -> Result<Findings, SimulationError> {
    let periods = attack.periods()?;
    if attack.calls(&quotas, periods.len() as u64, population.numbers()) > CALLS_MAX {
        return Err(SimulationError::TooLong);
    }
    let scene = Scene::new(quotas, population.numbers())?;
    let mut accounts: Vec<_> = (0..attack.accounts).map(|n| attack.account(n)).collect();
    for period in periods {
        accounts = scene.play(accounts, period).await?;
    }
    let tried = scene.tried();
    Ok(Findings {
        calls: scene.calls.load(Ordering::Relaxed),
        granted: scene.granted.load(Ordering::Relaxed),
        tried,
        found: population.registered_among(tried),
        all_tried_after_ms: scene.is_over().then(|| scene.clock.now_ms() - START_S * 1_000),
    })
}

impl Attack {
    /// What one of its accounts may use at the end; `None`: there is no limit.
    #[must_use]
    pub fn policy(&self, quotas: &Quotas) -> Option<QuotaPolicy> {
        quotas.of(&self.account(0).claims, self.end_s())
    }

    /// Most elements that an account is granted, by arithmetic: its capacity at the end, what came
    /// back in the meantime, and a capacity for each rotation.
    #[must_use]
    pub fn elements_max(&self, quotas: &Quotas) -> u64 {
        let Some(QuotaPolicy { capacity, refill_per_day }) = self.policy(quotas) else {
            return u64::MAX;
        };
        let claims = self.account(0).claims;
        let credit = |rotation| {
            // A credit grows with the capacity for as long as it may be used.
            let end_s = self.rotation_s(rotation).saturating_add(self.grace_s);
            quotas.of(&claims, end_s).map(|policy| policy.capacity)
        };
        let credits = (0..self.rotations).filter_map(credit).fold(0, u64::saturating_add);
        let refilled = refill_per_day.saturating_mul(self.days.into());
        capacity.saturating_add(refilled).saturating_add(credits)
    }

    fn end_s(&self) -> u64 {
        START_S + u64::from(self.days) * DAY_S
    }

    /// When a rotation begins to give its credit.
    fn rotation_s(&self, rotation: u32) -> u64 {
        let duration_s = u64::from(self.days) * DAY_S;
        START_S + duration_s * u64::from(rotation) / u64::from(self.rotations.max(1))
    }

    /// The time from the beginning to the end, without gaps.
    fn periods(&self) -> Result<Vec<Period>, SimulationError> {
        let period = |start_s: u64, end_s: u64, epoch, is_successor| Period {
            start_ms: start_s * 1_000,
            end_ms: end_s * 1_000,
            epoch,
            is_successor,
        };
        if self.rotations == 0 {
            return Ok(vec![period(START_S, self.end_s(), 1, false)]);
        }
        let mut periods = Vec::new();
        for rotation in 0..self.rotations {
            let (start_s, end_s) = (self.rotation_s(rotation), self.rotation_s(rotation + 1));
            let credit_end_s = start_s.saturating_add(self.grace_s);
            if credit_end_s > end_s || start_s == end_s {
                return Err(SimulationError::Rotations);
            }
            periods.push(period(start_s, credit_end_s, rotation + 2, true));
            periods.push(period(credit_end_s, end_s, rotation + 2, false));
        }
        Ok(periods)
    }

    /// About how many calls it takes: each grant is followed by a refusal, once the quota is used,
    /// and the end of each period by some more.
    fn calls(&self, quotas: &Quotas, n_periods: u64, numbers: u64) -> u64 {
        let accounts = u64::from(self.accounts);
        let Some(policy) = quotas.of(&self.account(0).claims, START_S) else { return 0 };
        let largest = policy.capacity.clamp(1, BATCH_ELEMENTS_MAX as u64);
        let granted = self.elements_max(quotas).saturating_mul(accounts).min(numbers);
        // Whom no waiting helps is told to come back after a day.
        let returns = if policy.refill_per_day == 0 { self.days } else { 0 };
        let others = n_periods * u64::from(largest.ilog2() + 2) + u64::from(returns);
        (granted / largest).saturating_mul(2).saturating_add(accounts.saturating_mul(others))
    }

    fn account(&self, number: u32) -> Account {
        let mut pseudonym = Pseudonym([0; 16]);
        let Pseudonym(bytes) = &mut pseudonym;
        bytes.iter_mut().zip(number.to_be_bytes()).for_each(|(byte, digit)| *byte = digit);
        let age_s = self.account_age_days.map_or(START_S, |days| u64::from(days) * DAY_S);
        let claims = Claims {
            tenant: "simulation".parse().expect("a name of a tenant"),
            audience: "simulation".parse().expect("a name of an audience"),
            pseudonym,
            scope: Scope::Discover,
            class: self.class,
            issued_at: 0,
            expires_at: u64::MAX,
            account_since: START_S - age_s,
            key_id: 1,
        };
        Account { claims, n_batches: 0 }
    }
}

impl Scene {
    fn new(quotas: Quotas, numbers: u64) -> Result<Self, StoreError> {
        let clock = Arc::new(ManualClock::at_ms(START_S * 1_000));
        let store = Arc::new(RedbStore::in_memory()?);
        let gate = Gate::new(quotas, store, Arc::<ManualClock>::clone(&clock) as _);
        Ok(Self { clock, gate, numbers, calls: AtomicU64::new(0), granted: AtomicU64::new(0) })
    }

    /// Lets accounts ask until a period is over, each when it was told to, and gives them back.
    async fn play(
        &self,
        accounts: Vec<Account>,
        period: Period,
    ) -> Result<Vec<Account>, SimulationError> {
        let mut waiting = BTreeMap::from([(period.start_ms, accounts)]);
        while let Some((now_ms, accounts)) = waiting.pop_first() {
            self.clock.set_ms(now_ms);
            let is_end = now_ms == period.end_ms;
            let calls = stream::iter(accounts).map(|account| self.wake(account, period, is_end));
            let refused: Vec<_> = calls.buffered(CALLS_IN_FLIGHT).try_collect().await?;
            if is_end || self.is_over() {
                let rest = waiting.into_values().flatten();
                return Ok(refused.into_iter().map(|(account, _)| account).chain(rest).collect());
            }
            for (account, wait) in refused {
                let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
                let next_ms = now_ms.saturating_add(wait_ms).min(period.end_ms);
                waiting.entry(next_ms).or_default().push(account);
            }
        }
        Ok(Vec::new())
    }

    /// Takes all that the gate grants an account now; says how long to wait.
    async fn wake(
        &self,
        mut account: Account,
        period: Period,
        is_end: bool,
    ) -> Result<(Account, Duration), SimulationError> {
        let quota = self.gate.quota(&account.claims).await.map_err(SimulationError::Gate)?;
        let most = BATCH_ELEMENTS_MAX as u64;
        let largest = quota.map_or(most, |quota| quota.policy.capacity.clamp(1, most));
        let mut wait = Duration::ZERO;
        while !self.is_over() {
            if let Some(told) = self.ask(&mut account, period, largest).await? {
                wait = told;
                break;
            }
        }
        if is_end {
            // Less than the largest batch is left: each binary digit of it is granted or not.
            for digit in (0..=largest.ilog2()).rev() {
                self.ask(&mut account, period, 1 << digit).await?;
            }
        }
        Ok((account, wait))
    }

    /// Asks for a batch of new numbers; if it is refused, says how long to wait.
    async fn ask(
        &self,
        account: &mut Account,
        period: Period,
        n_elements: u64,
    ) -> Result<Option<Duration>, SimulationError> {
        // In place of the batch itself, of which the gate asks only whether it came before.
        account.n_batches += 1;
        let batch = account.n_batches.to_be_bytes();
        self.calls.fetch_add(1, Ordering::Relaxed);
        let epoch = (period.epoch, period.is_successor);
        match self.gate.charge(&account.claims, epoch, &batch, n_elements).await {
            Ok(_) => {
                self.granted.fetch_add(n_elements, Ordering::Relaxed);
                Ok(None)
            }
            Err(refusal) if refusal.reason() == Reason::QuotaExhausted => {
                Ok(Some(refusal.delay().unwrap_or(Duration::MAX)))
            }
            Err(refusal) => Err(SimulationError::Gate(refusal)),
        }
    }

    /// Numbers that were tried: the first ones, since each is tried once, in turn.
    fn tried(&self) -> u64 {
        self.granted.load(Ordering::Relaxed).min(self.numbers)
    }

    fn is_over(&self) -> bool {
        self.tried() == self.numbers
    }
}
