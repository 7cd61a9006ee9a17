//! The time, as an argument: quotas and expiry are tested without waiting.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

/// Tells the time in milliseconds since 1970.
pub trait Clock: Send + Sync + fmt::Debug + 'static {
    /// Milliseconds since 1970. May jump in either direction; callers must stand it.
    fn now_ms(&self) -> u64;

    /// Whole seconds since 1970.
    fn now_s(&self) -> u64 {
        self.now_ms() / 1_000
    }
}

/// The system's clock. A time before 1970 reads as 1970.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A clock that stands until it is set: for tests and simulations.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock that stands at a time in milliseconds since 1970.
    #[must_use]
    pub const fn at_ms(now_ms: u64) -> Self {
        Self(AtomicU64::new(now_ms))
    }

    /// Sets the time, forward or backward.
    pub fn set_ms(&self, now_ms: u64) {
        self.0.store(now_ms, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}
