//! How often each limit struck: counts, and never whom.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// A connection was accepted.
    Accepted,
    /// A connection was closed at once: too many in all.
    Full,
    /// A connection was closed at once: too many of its network.
    NetworkFull,
    /// A connection was closed at once: new ones of its network came too fast.
    NetworkFast,
    /// A connection was closed at once: all places on probation are taken, and its network has most
    /// of them.
    ProbationFull,
    /// A connection on probation gave way to a new one.
    GaveWay,
    /// A TLS handshake failed or took too long.
    HandshakeFailed,
    /// A connection made no admitted call in time.
    NoCall,
    /// A connection without an open call was closed.
    Idle,
    /// A connection whose answers nobody took was closed.
    Stalled,
    /// A connection sent too many control frames.
    ControlFrames,
    /// A call was not let in.
    Refused,
    /// A call was sent away: too many calls or streams.
    Shed,
    /// A call took too long.
    CallTimeout,
}

impl Counted {
    /// Everything that is counted, and the word for it.
    pub const ALL: [(Self, &'static str); 14] = [
        (Self::Accepted, "accepted"),
        (Self::Full, "full"),
        (Self::NetworkFull, "network_full"),
        (Self::NetworkFast, "network_fast"),
        (Self::ProbationFull, "probation_full"),
        (Self::GaveWay, "gave_way"),
        (Self::HandshakeFailed, "handshake_failed"),
        (Self::NoCall, "no_call"),
        (Self::Idle, "idle"),
        (Self::Stalled, "stalled"),
        (Self::ControlFrames, "control_frames"),
        (Self::Refused, "refused"),
        (Self::Shed, "shed"),
        (Self::CallTimeout, "call_timeout"),
    ];
}

/// The counts since the start.
#[derive(Debug, Default)]
pub(super) struct Counters([AtomicU64; Counted::ALL.len()]);

impl Counters {
    pub(super) fn count(&self, what: Counted) {
        if let Some(counter) = self.0.get(what as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self, what: Counted) -> u64 {
        self.0.get(what as usize).map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut separator = "";
        for (what, word) in Counted::ALL {
            write!(f, "{separator}{word}={}", self.get(what))?;
            separator = " ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_under_its_own_word() {
        let counters = Counters::default();
        for (i, (what, _)) in Counted::ALL.into_iter().enumerate() {
            assert_eq!(what as usize, i);
            (0..=i).for_each(|_| counters.count(what));
        }
        let text = counters.to_string();
        assert!(text.starts_with("accepted=1 full=2 "), "{text}");
        assert!(text.ends_with(" shed=13 call_timeout=14"), "{text}");
    }
}
