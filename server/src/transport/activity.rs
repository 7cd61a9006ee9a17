//! What a connection is doing, and when it has done nothing for too long.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::Counted;
use crate::config::Timeouts;

/// Calls of a connection that may stand still beside others that move: a proxy serves many
/// people over one connection, and some of them are slow.
const STALLED_MAX: usize = 8;

/// The activity of one connection: shared by its calls and by whoever watches over it.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    proven: AtomicBool,
    /// Whether a call that anybody may make was let in.
    greeted: AtomicBool,
    calls: Mutex<Calls>,
}

#[derive(Debug)]
struct Calls {
    next: u64,
    /// When each open call last moved; nothing for one that waits by its nature, such as for a
    /// change of health.
    open: BTreeMap<u64, Option<Instant>>,
    /// When a call last began or ended.
    last: Instant,
}

/// A call that was let in, open until this is dropped.
#[derive(Debug)]
pub(super) struct OpenCall {
    activity: Arc<Activity>,
    number: u64,
}

/// What is to be done with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Nothing.
    Stay,
    /// No new calls; it ends when the open ones do.
    Leave,
    /// It ends now.
    Cut(Option<Counted>),
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        let now = Instant::now();
        let calls = Calls { next: 0, open: BTreeMap::new(), last: now };
        Arc::new(Self {
            opened: now,
            proven: AtomicBool::new(false),
            greeted: AtomicBool::new(false),
            calls: Mutex::new(calls),
        })
    }

    /// A call that was let in begins. A patient one may wait for its next message as long as the
    /// connection lives.
    pub(super) fn begin(self: &Arc<Self>, patient: bool) -> OpenCall {
        let mut calls = self.calls();
        let number = calls.next;
        calls.next += 1;
        let now = Instant::now();
        calls.last = now;
        calls.open.insert(number, (!patient).then_some(now));
        OpenCall { activity: Arc::clone(self), number }
    }

    /// A call in somebody's name was let in.
    pub(super) fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    /// Whether a call in somebody's name was ever let in.
    pub(super) fn is_proven(&self) -> bool {
        self.proven.load(Ordering::Relaxed)
    }

    /// A call that anybody may make was let in.
    pub(super) fn greet(&self) {
        self.greeted.store(true, Ordering::Relaxed);
    }

    /// What is to be done at this moment; `leaving` if it was told to leave before.
    pub(super) fn verdict(&self, timeouts: &Timeouts, leaving: bool) -> Verdict {
        let now = Instant::now();
        let age = now.duration_since(self.opened);
        let (quiet, open, stalled, moving) = self.calls().survey(now, timeouts.stall());
        if (stalled > 0 && moving == 0) || stalled > STALLED_MAX {
            return Verdict::Cut(Some(Counted::Stalled));
        }
        if age >= timeouts.age() + timeouts.age_grace() {
            return Verdict::Cut(None);
        }
        if open > 0 {
            let leave = age >= timeouts.age() && !leaving;
            return if leave { Verdict::Leave } else { Verdict::Stay };
        }
        let greeted = self.is_proven() || self.greeted.load(Ordering::Relaxed);
        if !greeted && age >= timeouts.first_call() {
            return Verdict::Cut(Some(Counted::NoCall));
        }
        if quiet >= timeouts.idle() + timeouts.handshake() {
            // It was asked to leave and does not: nobody is there.
            return Verdict::Cut(Some(Counted::Idle));
        }
        let leave = age >= timeouts.age() || quiet >= timeouts.idle();
        if leave && !leaving { Verdict::Leave } else { Verdict::Stay }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Calls {
    /// The time since anything began or ended; how many calls are open; how many of the impatient
    /// ones have stood still for a time, and how many have not.
    fn survey(&self, now: Instant, stall: Duration) -> (Duration, usize, usize, usize) {
        let impatient = self.open.values().flatten();
        let stalled = impatient.clone().filter(|taken| now.duration_since(**taken) >= stall);
        let stalled = stalled.count();
        let moving = impatient.count() - stalled;
        (now.duration_since(self.last), self.open.len(), stalled, moving)
    }
}

impl OpenCall {
    /// A message of it came, or was taken.
    pub(super) fn touch(&self) {
        if let Some(Some(moved)) = self.activity.calls().open.get_mut(&self.number) {
            *moved = Instant::now();
        }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let mut calls = self.activity.calls();
        calls.open.remove(&self.number);
        calls.last = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const TIMEOUTS: Timeouts = Timeouts {
        handshake_ms: 5_000,
        first_call_ms: 10_000,
        idle_ms: 60_000,
        call_ms: 10_000,
        stall_ms: 30_000,
        age_ms: 600_000,
        age_grace_ms: 60_000,
    };
    const STALLED: Verdict = Verdict::Cut(Some(Counted::Stalled));

    async fn pass(ms: u64) {
        advance(Duration::from_millis(ms)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn who_makes_no_call_is_cut_off_at_the_limit() {
        let activity = Activity::new();
        pass(9_999).await;
        assert_eq!(activity.verdict(&TIMEOUTS, false), Verdict::Stay);
        pass(1).await;
        assert_eq!(activity.verdict(&TIMEOUTS, false), Verdict::Cut(Some(Counted::NoCall)));
        activity.prove();
        assert_eq!(activity.verdict(&TIMEOUTS, false), Verdict::Stay);
    }

    #[tokio::test(start_paused = true)]
    async fn who_only_asks_for_the_health_is_asked_to_leave_when_idle() {
        let activity = Activity::new();
        activity.greet();
        drop(activity.begin(false));
        pass(59_999).await;
        assert_eq!(activity.verdict(&TIMEOUTS, false), Verdict::Stay);
        pass(1).await;
        assert_eq!(activity.verdict(&TIMEOUTS, false), Verdict::Leave);
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_connection_is_asked_to_leave_and_then_made_to() {
        let activity = Activity::new();
        activity.prove();
        drop(activity.begin(false));
        pass(59_999).await;
        assert_eq!(activity.verdict(&TIMEOUTS, false), Verdict::Stay);
        pass(1).await;
        assert_eq!(activity.verdict(&TIMEOUTS, false), Verdict::Leave);
        assert_eq!(activity.verdict(&TIMEOUTS, true), Verdict::Stay);
        pass(5_000).await;
        assert_eq!(activity.verdict(&TIMEOUTS, true), Verdict::Cut(Some(Counted::Idle)));
    }

    #[tokio::test(start_paused = true)]
    async fn progress_keeps_a_call_and_its_want_ends_the_connection() {
        let activity = Activity::new();
        activity.prove();
        let call = activity.begin(false);
        for _ in 0..10 {
            pass(29_999).await;
            assert_eq!(activity.verdict(&TIMEOUTS, false), Verdict::Stay);
            call.touch();
        }
        pass(30_000).await;
        // Another call is no sign of life of this one.
        drop(activity.begin(false));
        assert_eq!(activity.verdict(&TIMEOUTS, false), STALLED);
    }

    #[tokio::test(start_paused = true)]
    async fn some_slow_calls_are_borne_beside_one_that_moves() {
        let activity = Activity::new();
        activity.prove();
        let slow: Vec<_> = (0..=STALLED_MAX).map(|_| activity.begin(false)).collect();
        pass(30_000).await;
        let _moving = activity.begin(false);
        assert_eq!(activity.verdict(&TIMEOUTS, false), STALLED, "one too many");
        drop(slow.into_iter().next());
        assert_eq!(activity.verdict(&TIMEOUTS, false), Verdict::Stay);
    }

    #[tokio::test(start_paused = true)]
    async fn a_patient_call_may_wait_but_not_longer_than_the_connection_lives() {
        let activity = Activity::new();
        activity.greet();
        let watch = activity.begin(true);
        pass(599_999).await;
        watch.touch();
        assert_eq!(activity.verdict(&TIMEOUTS, false), Verdict::Stay);
        pass(1).await;
        assert_eq!(activity.verdict(&TIMEOUTS, false), Verdict::Leave);
        pass(60_000).await;
        assert_eq!(activity.verdict(&TIMEOUTS, true), Verdict::Cut(None));
    }
}
