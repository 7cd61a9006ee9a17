//! A leaky bucket in memory: what flows in at once and what leaks out each millisecond.

use std::time::Duration;

use tokio::time::Instant;

/// How full it is, in units of the caller's choice.
#[derive(Debug)]
pub(super) struct Bucket {
    used: u64,
    at: Instant,
}

impl Bucket {
    /// An empty one.
    pub(super) fn new() -> Self {
        Self { used: 0, at: Instant::now() }
    }

    /// Lets time pass at a rate in units a millisecond, and says how full it is then.
    pub(super) fn leak(&mut self, units_per_ms: u64) -> u64 {
        let elapsed_ms = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        // Whole milliseconds leak; the rest of one counts next time.
        self.at += Duration::from_millis(elapsed_ms);
        self.used = self.used.saturating_sub(elapsed_ms.saturating_mul(units_per_ms));
        self.used
    }

    /// Adds to what is in it.
    pub(super) fn add(&mut self, units: u64) {
        self.used = self.used.saturating_add(units);
    }

    /// How full it was when it was last looked at.
    pub(super) const fn used(&self) -> u64 {
        self.used
    }
}
