//! What a connection is doing, and when it has done nothing for too long.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use tokio::time::Instant;

use super::Counted;
use crate::config::Timeouts;

/// The activity of one connection: shared by its calls and by whoever watches over it.
#[derive(Debug)]
pub(super) struct Activity {
    opened: Instant,
    proven: AtomicBool,
    open_calls: AtomicUsize,
    /// Open calls that wait by their nature, such as for a change of health.
    patient_calls: AtomicUsize,
    /// Milliseconds from the beginning to the last sign of life of a call.
    last_ms: AtomicU64,
}

/// A call, open until this is dropped.
#[derive(Debug)]
pub(super) struct OpenCall {
    activity: Arc<Activity>,
    patient: bool,
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
        Arc::new(Self {
            opened: Instant::now(),
            proven: AtomicBool::new(false),
            open_calls: AtomicUsize::new(0),
            patient_calls: AtomicUsize::new(0),
            last_ms: AtomicU64::new(0),
        })
    }

    /// A call begins. A patient one may wait for its next message as long as the connection lives.
    pub(super) fn begin(self: &Arc<Self>, patient: bool) -> OpenCall {
        self.open_calls.fetch_add(1, Ordering::Relaxed);
        self.patient_calls.fetch_add(usize::from(patient), Ordering::Relaxed);
        self.touch();
        OpenCall { activity: Arc::clone(self), patient }
    }

    /// A call shows a sign of life: a message came, or was taken.
    pub(super) fn touch(&self) {
        let now_ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    /// An admitted call was made.
    pub(super) fn prove(&self) {
        self.proven.store(true, Ordering::Relaxed);
    }

    /// What is to be done at this moment; `leaving` if it was told to leave before.
    pub(super) fn verdict(&self, timeouts: &Timeouts, leaving: bool) -> Verdict {
        let age = self.opened.elapsed();
        let quiet_ms = self.last_ms.load(Ordering::Relaxed);
        let quiet = age.saturating_sub(std::time::Duration::from_millis(quiet_ms));
        let open = self.open_calls.load(Ordering::Relaxed);
        let patient = self.patient_calls.load(Ordering::Relaxed);
        if !self.proven.load(Ordering::Relaxed) && open == 0 && age >= timeouts.first_call() {
            return Verdict::Cut(Some(Counted::NoCall));
        }
        if open > patient && quiet >= timeouts.stall() {
            return Verdict::Cut(Some(Counted::Stalled));
        }
        if age >= timeouts.age() + timeouts.age_grace() {
            return Verdict::Cut(None);
        }
        if open == 0 && quiet >= timeouts.idle() + timeouts.handshake() {
            // It was asked to leave and does not: nobody is there.
            return Verdict::Cut(Some(Counted::Idle));
        }
        let leave = age >= timeouts.age() || (open == 0 && quiet >= timeouts.idle());
        if leave && !leaving { Verdict::Leave } else { Verdict::Stay }
    }
}

impl OpenCall {
    pub(super) fn touch(&self) {
        self.activity.touch();
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        self.activity.open_calls.fetch_sub(1, Ordering::Relaxed);
        self.activity.patient_calls.fetch_sub(usize::from(self.patient), Ordering::Relaxed);
        self.activity.touch();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
    async fn progress_keeps_a_call_and_its_want_ends_it() {
        let activity = Activity::new();
        activity.prove();
        let call = activity.begin(false);
        for _ in 0..10 {
            pass(29_999).await;
            assert_eq!(activity.verdict(&TIMEOUTS, false), Verdict::Stay);
            call.touch();
        }
        pass(30_000).await;
        assert_eq!(activity.verdict(&TIMEOUTS, false), Verdict::Cut(Some(Counted::Stalled)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_patient_call_may_wait_but_not_longer_than_the_connection_lives() {
        let activity = Activity::new();
        activity.prove();
        let _watch = activity.begin(true);
        pass(599_999).await;
        assert_eq!(activity.verdict(&TIMEOUTS, false), Verdict::Stay);
        pass(1).await;
        assert_eq!(activity.verdict(&TIMEOUTS, false), Verdict::Leave);
        pass(60_000).await;
        assert_eq!(activity.verdict(&TIMEOUTS, true), Verdict::Cut(None));
    }
}
