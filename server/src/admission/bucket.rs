//! The quota of one account: a leaky bucket in exact integer arithmetic.
//!
//! Elements flow into the bucket and leak out at a constant rate. Levels are kept in units of
//! 1/86,400,000 element, so that a rate of `n` elements per day is exactly `n` units per
//! millisecond: nothing is ever rounded, hence nothing is gained or lost by asking often.
//!
//! The functions are pure. Time is an argument, and no clock can be turned against the quota: one
//! that runs backward never refills it, and one that leaps forward empties the bucket at most.

/// Units per element: the milliseconds of a day.
const UNITS: u128 = 86_400_000;

/// The highest level a bucket can reach: the largest capacity, full.
const USED_MAX: u128 = u64::MAX as u128 * UNITS;

/// Length of an encoded [`Bucket`] in bytes.
pub const BUCKET_BYTES: usize = 24;

/// How much an account may use: a burst, and what grows back.
///
/// Changing the policy of an account in use is safe: what has been used stays used, and the time
/// since the last charge counts at the new rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaPolicy {
    /// Elements that a rested account may use at once.
    pub capacity: u64,
    /// Elements that grow back in 24 hours. Zero: nothing ever grows back.
    pub refill_per_day: u64,
}

/// What is left of a quota at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaState {
    /// Whole elements that could be charged now.
    pub remaining: u64,
    /// Seconds until the whole capacity is available again, rounded up; 0 if it is now, `None` if
    /// it never will be because the policy refills nothing.
    pub full_in_seconds: Option<u64>,
}

/// A charge that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortfall {
    /// Milliseconds after which the same charge fits, if nothing else is charged meanwhile; exact.
    /// `None` if no waiting helps: the cost exceeds the capacity, or nothing grows back.
    pub wait_ms: Option<u64>,
}

/// The stored state of a quota. The default is the rested account: nothing used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// Elements in use times [`UNITS`], at most [`USED_MAX`].
    used_scaled: u128,
    /// The latest time of a charge, in milliseconds since the Unix epoch.
    updated_ms: u64,
}

impl Bucket {
    /// Charges `cost` elements at `now_ms` and returns the bucket to store in place of this one.
    ///
    /// A cost of zero always fits, even where a lowered policy has left the bucket overfull.
    ///
    /// # Errors
    /// [`Shortfall`] if the cost does not fit. The bucket to keep is then this one.
    pub fn charge(&self, policy: &QuotaPolicy, now_ms: u64, cost: u64) -> Result<Self, Shortfall> {
        let now = self.at(policy, now_ms);
        let wanted = now.used_scaled + u128::from(cost) * UNITS;
        let excess = wanted.saturating_sub(u128::from(policy.capacity) * UNITS);
        if cost == 0 || excess == 0 {
            return Ok(Self { used_scaled: wanted.min(USED_MAX), ..now });
        }
        let fits_ever = cost <= policy.capacity;
        let wait_ms = now.leak_ms(policy, excess).filter(|_| fits_ever);
        Err(Shortfall { wait_ms: wait_ms.map(|ms| ms.saturating_add(self.behind_ms(now_ms))) })
    }

    /// What is left at `now_ms`.
    #[must_use]
    pub fn state(&self, policy: &QuotaPolicy, now_ms: u64) -> QuotaState {
        let now = self.at(policy, now_ms);
        let free = (u128::from(policy.capacity) * UNITS).saturating_sub(now.used_scaled);
        let full_in_seconds = match now.used_scaled {
            0 => Some(0),
            used => now
                .leak_ms(policy, used)
                .map(|ms| ms.saturating_add(self.behind_ms(now_ms)).div_ceil(1_000)),
        };
        // `free / UNITS` is at most the capacity; the fallback cannot be reached.
        QuotaState { remaining: u64::try_from(free / UNITS).unwrap_or(0), full_in_seconds }
    }

    /// Whether nothing is used any more at `now_ms`, at this rate or a faster one: such a bucket says
    /// no more than none at all.
    #[must_use]
    pub fn is_rested(&self, refill_per_day: u64, now_ms: u64) -> bool {
        let policy = QuotaPolicy { capacity: 0, refill_per_day };
        self.at(&policy, now_ms).used_scaled == 0
    }

    /// Encodes as level (16 bytes) and time (8 bytes), both big-endian.
    #[must_use]
    pub fn encode(&self) -> [u8; BUCKET_BYTES] {
        let mut bytes = [0; BUCKET_BYTES];
        let (used, updated) = bytes.split_at_mut(16);
        used.copy_from_slice(&self.used_scaled.to_be_bytes());
        updated.copy_from_slice(&self.updated_ms.to_be_bytes());
        bytes
    }

    /// Decodes what [`Bucket::encode`] wrote; each bucket has exactly one encoding.
    ///
    /// Returns `None` for a level that no bucket can have. A caller treats that as damage: a
    /// guess would refill the quota.
    #[must_use]
    pub fn decode(bytes: &[u8; BUCKET_BYTES]) -> Option<Self> {
        let (used, updated) = bytes.split_first_chunk::<16>()?;
        let bucket = Self {
            used_scaled: u128::from_be_bytes(*used),
            updated_ms: u64::from_be_bytes(*updated.first_chunk()?),
        };
        (bucket.used_scaled <= USED_MAX).then_some(bucket)
    }

    /// This bucket after leaking until `now_ms`, or unchanged if the clock ran backward.
    fn at(&self, policy: &QuotaPolicy, now_ms: u64) -> Self {
        let elapsed_ms = now_ms.saturating_sub(self.updated_ms);
        // Both factors are below 2^64: the product fits.
        let leaked = u128::from(elapsed_ms) * u128::from(policy.refill_per_day);
        Self {
            used_scaled: self.used_scaled.saturating_sub(leaked),
            updated_ms: self.updated_ms.max(now_ms),
        }
    }

    /// Milliseconds by which the clock lags behind the latest charge: nothing leaks meanwhile.
    fn behind_ms(&self, now_ms: u64) -> u64 {
        self.updated_ms.saturating_sub(now_ms)
    }

    /// Milliseconds until `units` have leaked, rounded up; `None` if nothing leaks.
    fn leak_ms(&self, policy: &QuotaPolicy, units: u128) -> Option<u64> {
        let rate = u128::from(policy.refill_per_day);
        (rate > 0).then(|| u64::try_from(units.div_ceil(rate)).unwrap_or(u64::MAX))
    }
}

// Tests may unwrap, index and panic: that is how they fail.
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests;
