//! Jobs in the order of their deadlines: everybody waits in proportion to what they ask for.
//!
//! A deadline is an order, not a promise. It is the arrival plus a multiple of the time that the
//! work takes, so a small batch passes large ones that came a little earlier. It is absolute, so
//! nothing starves: what comes after the deadline of a job is due later than that job.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Rough cost of one element.
pub(super) const ELEMENT_COST: Duration = Duration::from_micros(40);

/// What a job may wait, as a multiple of what it costs: the default queue holds this many of the
/// largest batches, so the last of them is due when one thread has done those before it.
const STRETCH: u32 = 16;

/// The smallest padding class. Asking for less gains nothing.
const ELEMENTS_MIN: u32 = 16;

/// What is to be run.
pub(super) type Task = Box<dyn FnOnce() + Send>;

/// When work that arrives now is due.
pub(super) fn due(arrival: Instant, n_elements: u32) -> Instant {
    arrival + STRETCH * ELEMENT_COST * n_elements.max(ELEMENTS_MIN)
}

/// Jobs that wait for a thread.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    jobs: BinaryHeap<Reverse<Job>>,
    n_pushed: u64,
}

struct Job {
    /// Deadline, and the order of arrival among equals.
    turn: (Instant, u64),
    task: Task,
}

impl Queue {
    /// Adds a job.
    pub(super) fn push(&self, due: Instant, task: Task) {
        let mut waiting = self.lock();
        waiting.n_pushed += 1;
        let turn = (due, waiting.n_pushed);
        waiting.jobs.push(Reverse(Job { turn, task }));
    }

    /// Takes the job that is due first.
    pub(super) fn pop(&self) -> Option<Task> {
        let Reverse(job) = self.lock().jobs.pop()?;
        Some(job.task)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No task runs under the lock; whatever panicked left a whole heap.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ord for Job {
    fn cmp(&self, other: &Self) -> Ordering {
        self.turn.cmp(&other.turn)
    }
}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.turn == other.turn
    }
}

impl Eq for Job {}
