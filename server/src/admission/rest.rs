//! Forgetting what the store keeps of accounts and says nothing any more.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::Gate;
use crate::store::StoreError;

/// How often.
pub(crate) const FORGET_INTERVAL: Duration = Duration::from_secs(3_600);

/// How far the clock may move otherwise than time does between two turns.
const DRIFT_MAX_MS: u64 = 60_000;

/// Forgets turn by turn.
///
/// A turn in which the clock leapt is left out: rested at a time that is then taken back, accounts
/// would have their quotas a second time. A clock that stands by its leap for a turn is believed.
#[derive(Debug, Default)]
struct Turns {
    /// The times of the last turn, by the system and by the clock.
    before: Option<(Instant, u64)>,
}

/// Forgets once in an interval, from the second one on, for as long as it is polled.
pub(crate) async fn forget_rested(gate: &Gate, every: Duration) {
    let mut interval = interval_at(Instant::now() + every, every);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut turns = Turns::default();
    loop {
        interval.tick().await;
        if let Err(error) = turns.turn(gate, Instant::now()).await {
            tracing::warn!(%error, "rested quotas could not be forgotten; tried again");
        }
    }
}

impl Turns {
    async fn turn(&mut self, gate: &Gate, now: Instant) -> Result<(), StoreError> {
        let now_ms = gate.now_ms();
        let Some((then, then_ms)) = self.before.replace((now, now_ms)) else { return Ok(()) };
        if agree(now.duration_since(then), then_ms, now_ms) {
            return gate.forget_rested(now_ms).await;
        }
        tracing::warn!("the clock leapt; nothing is forgotten until it is steady");
        Ok(())
    }
}

/// Whether a clock moved about as far as time did.
fn agree(elapsed: Duration, then_ms: u64, now_ms: u64) -> bool {
    let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    let moved = now_ms.checked_sub(then_ms);
    moved.is_some_and(|moved_ms| moved_ms.abs_diff(elapsed_ms) <= DRIFT_MAX_MS)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        admission::{Quotas, bucket::QuotaPolicy},
        clock::ManualClock,
        store::{RedbStore, Store},
    };
    use acquaint_core::credential::{Claims, Pseudonym, Scope};

    const NOW_MS: u64 = 1_800_000_000_000;
    const DAY_MS: u64 = 86_400_000;

    #[test]
    fn a_clock_that_leaps_is_seen() {
        let hour = Duration::from_hours(1);
        for (moved_ms, steady) in [
            (3_600_000, true),
            (3_660_000, true),
            (3_660_001, false),
            (3_540_000, true),
            (3_539_999, false),
            (0, false),
            (10 * DAY_MS, false),
        ] {
            assert_eq!(agree(hour, NOW_MS, NOW_MS + moved_ms), steady, "{moved_ms}");
        }
        assert!(!agree(Duration::ZERO, NOW_MS, NOW_MS - 1));
    }

    fn gate(clock: &Arc<ManualClock>) -> Gate {
        let store: Arc<dyn Store> = Arc::new(RedbStore::in_memory().unwrap());
        let policy = QuotaPolicy { capacity: 100, refill_per_day: 100 };
        Gate::new(Quotas::new(policy), store, Arc::<ManualClock>::clone(clock) as _)
    }

    fn alice() -> Claims {
        Claims {
            tenant: "demo".parse().unwrap(),
            audience: "acquaint".parse().unwrap(),
            pseudonym: Pseudonym([7; 16]),
            scope: Scope::Discover,
            class: 0,
            issued_at: NOW_MS / 1_000,
            expires_at: NOW_MS / 1_000 + 1,
            account_since: 0,
            key_id: 1,
        }
    }

    /// What is left at the time of the charge: all of it only if the charge is forgotten.
    async fn left_then(gate: &Gate, clock: &ManualClock) -> u64 {
        let now_ms = gate.now_ms();
        clock.set_ms(NOW_MS);
        let left = gate.quota(&alice()).await.unwrap().unwrap().state.remaining;
        clock.set_ms(now_ms);
        left
    }

    /// Turns at hours since the charge, by the system and by the clock; what is left then.
    async fn left_after(hours: &[(u64, u64)]) -> u64 {
        let clock = Arc::new(ManualClock::at_ms(NOW_MS));
        let gate = gate(&clock);
        gate.charge(&alice(), (1, false), &[1; 64], 50).await.unwrap();
        let (mut turns, start) = (Turns::default(), Instant::now());
        for (system, by_clock) in hours {
            clock.set_ms(NOW_MS + by_clock * DAY_MS / 24);
            turns.turn(&gate, start + Duration::from_hours(*system)).await.unwrap();
        }
        left_then(&gate, &clock).await
    }

    #[tokio::test]
    async fn rested_accounts_are_forgotten_and_others_are_not() {
        // Fifty come back in twelve hours.
        assert_eq!(left_after(&[(10, 10), (11, 11)]).await, 50);
        assert_eq!(left_after(&[(11, 11), (12, 12)]).await, 100);
        assert_eq!(left_after(&[(12, 12)]).await, 50, "nothing to compare the clock with");
    }

    #[tokio::test]
    async fn a_leap_that_is_taken_back_refills_nothing() {
        assert_eq!(left_after(&[(1, 1), (2, 242), (3, 3), (4, 4)]).await, 50);
        // A clock that was wrong before is believed in the turn after.
        assert_eq!(left_after(&[(1, 1), (2, 242), (3, 243)]).await, 100);
    }
}
