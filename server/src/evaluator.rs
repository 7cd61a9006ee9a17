//! The only place that burns CPU: a thread pool of its own behind a bounded queue.
//!
//! The queue is measured in elements, because elements are what costs. A caller reserves its
//! elements first; with a reservation in hand it may charge a quota and then run its jobs, knowing
//! that none of them will be refused for want of room. A full queue refuses at once: waiting would
//! only move the queue into the connections.
//!
//! A part of the queue is kept from batches larger than any lookup: however many of the largest
//! come, lookups find room.
//!
//! Jobs run in the order of their deadlines (`queue`), which grow with what was reserved. A job
//! that runs is not interrupted, so long work comes in [slices](Reservation::run_all).
//!
//! Publication has a pool of its own: building a snapshot takes seconds and must neither wait
//! behind lookups nor stop them. Only opening all rows, which is rare, uses more than one of its
//! threads.

mod queue;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use acquaint_core::limits::{BATCH_ELEMENTS_MAX, LOOKUP_ELEMENTS_MAX};
use futures_util::future::try_join_all;
use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tracing::Span;

use self::queue::{ELEMENT_COST, Queue, Task, due};

/// How many elements may wait or run at once, if the configuration does not say: about one second
/// of work for two cores.
pub const QUEUE_ELEMENTS_DEFAULT: u32 = 65_536;

/// The part of the queue that is kept for lookups is one in so many, if the largest batch fits
/// into the rest.
const LOOKUPS_SHARE: u32 = 16;

/// Runs jobs off the async runtime. Cheap to clone.
#[derive(Clone)]
pub struct Evaluator {
    inner: Arc<Inner>,
    share: Option<Arc<Share>>,
}

/// A part of the queue, and what was done for it.
struct Share {
    room: Arc<Semaphore>,
    evaluated: AtomicU64,
}

struct Inner {
    pool: ThreadPool,
    background: ThreadPool,
    /// What waits for a thread of `pool`.
    queue: Arc<Queue>,
    room: Arc<Semaphore>,
    /// The part of `room` that is open to large batches too.
    room_for_large: Arc<Semaphore>,
    queue_elements: u32,
    evaluated: AtomicU64,
}

/// Room for a number of elements, held until dropped.
#[derive(Debug)]
pub struct Reservation {
    evaluator: Evaluator,
    room: Arc<Room>,
    /// Of all work under the reservation, so that what was begun is not overtaken by what came
    /// after it.
    due: Instant,
}

/// Room is taken from each limit that there is: a tenant's share, what is open to large batches,
/// and the whole.
type Room = [Option<OwnedSemaphorePermit>; 3];

/// Why a job gave no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EvaluatorError {
    /// No room for so many elements now.
    #[error("the evaluator's queue is full")]
    QueueFull {
        /// When the work that is queued now should be done.
        retry_after: Duration,
    },
    /// The job panicked, or its thread is gone. Other jobs are not affected.
    #[error("a job of the evaluator panicked")]
    Panicked,
}

impl Evaluator {
    /// Starts the pools: `threads` threads (0: one per core) each for calls and for publication.
    ///
    /// # Errors
    /// If the system starts no thread.
    pub fn start(threads: usize, queue_elements: u32) -> Result<Self, ThreadPoolBuildError> {
        let pool = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|i| format!("evaluator-{i}"))
            .build()?;
        let background = ThreadPoolBuilder::new()
            .num_threads(threads)
            .thread_name(|_| "publication".to_owned())
            .build()?;
        let (queue, evaluated) = (Arc::default(), AtomicU64::new(0));
        let rest = queue_elements.saturating_sub(elements(BATCH_ELEMENTS_MAX));
        let open_to_large = queue_elements - (queue_elements / LOOKUPS_SHARE).min(rest);
        let [room, room_for_large] = [queue_elements, open_to_large]
            .map(|n_elements| Arc::new(Semaphore::new(n_elements as usize)));
        let inner =
            Inner { pool, background, queue, room, room_for_large, queue_elements, evaluated };
        Ok(Self { inner: Arc::new(inner), share: None })
    }

    /// The same pools, with at most a share of the queue: what one tenant may take.
    #[must_use]
    pub fn share(&self, queue_elements: u32) -> Self {
        let room = Arc::new(Semaphore::new(queue_elements as usize));
        let share = Arc::new(Share { room, evaluated: AtomicU64::new(0) });
        Self { inner: Arc::clone(&self.inner), share: Some(share) }
    }

    /// Reserves room for a batch. One that is larger than any lookup is refused a little before
    /// the queue is full.
    ///
    /// # Errors
    /// [`EvaluatorError::QueueFull`].
    pub fn reserve(&self, n_elements: u32) -> Result<Reservation, EvaluatorError> {
        self.reserve_at(Instant::now(), n_elements)
    }

    fn reserve_at(&self, arrival: Instant, n_elements: u32) -> Result<Reservation, EvaluatorError> {
        let take = |room: &Arc<Semaphore>| {
            let room = Arc::clone(room);
            let full = |_| EvaluatorError::QueueFull { retry_after: self.backlog() };
            room.try_acquire_many_owned(n_elements).map_err(full)
        };
        let is_large = n_elements > elements(LOOKUP_ELEMENTS_MAX);
        let room = Arc::new([
            self.share.as_ref().map(|share| take(&share.room)).transpose()?,
            is_large.then(|| take(&self.inner.room_for_large)).transpose()?,
            Some(take(&self.inner.room)?),
        ]);
        Ok(Reservation { evaluator: self.clone(), room, due: due(arrival, n_elements) })
    }

    /// Runs a long job on the publication pool.
    ///
    /// # Errors
    /// [`EvaluatorError::Panicked`].
    pub async fn run_background<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, EvaluatorError> {
        // What it logs belongs to whom it works for.
        let span = Span::current();
        let (task, outcome) = task((), move || span.in_scope(job));
        self.inner.background.spawn(task);
        outcome.await.map_err(|_| EvaluatorError::Panicked)
    }

    /// Elements evaluated since the start, for this share alone if it is one.
    #[must_use]
    pub fn evaluated_elements(&self) -> u64 {
        let evaluated = self.share.as_ref().map_or(&self.inner.evaluated, |share| &share.evaluated);
        evaluated.load(Ordering::Relaxed)
    }

    /// Counts elements as evaluated.
    pub(crate) fn count_evaluated(&self, n_elements: u64) {
        self.inner.evaluated.fetch_add(n_elements, Ordering::Relaxed);
        if let Some(share) = &self.share {
            share.evaluated.fetch_add(n_elements, Ordering::Relaxed);
        }
    }

    /// How long the queued elements will take, at least 100 ms.
    fn backlog(&self) -> Duration {
        let free = u32::try_from(self.inner.room.available_permits()).unwrap_or(u32::MAX);
        let queued = self.inner.queue_elements.saturating_sub(free);
        let threads = u32::try_from(self.inner.pool.current_num_threads()).unwrap_or(u32::MAX);
        (ELEMENT_COST * queued / threads.max(1)).max(Duration::from_millis(100))
    }
}

impl Reservation {
    /// Runs a job on the pool and returns its result. A job whose caller is gone by the time its
    /// turn comes is skipped.
    ///
    /// The reservation stays taken while the job is queued or running, even if the caller drops
    /// its future: what counts is the work, not who waits for it.
    ///
    /// # Errors
    /// [`EvaluatorError::Panicked`].
    pub async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, EvaluatorError> {
        self.queue(job).await.map_err(|_| EvaluatorError::Panicked)
    }

    /// Runs jobs on the pool, as many at a time as there are threads, and returns their results in
    /// order. Between two of them a thread may turn to work that is due earlier.
    ///
    /// # Errors
    /// [`EvaluatorError::Panicked`] if one of them panics; those not begun are skipped then.
    pub async fn run_all<T: Send + 'static>(
        &self,
        jobs: impl IntoIterator<Item = impl FnOnce() -> T + Send + 'static>,
    ) -> Result<Vec<T>, EvaluatorError> {
        let outcomes: Vec<_> = jobs.into_iter().map(|job| self.queue(job)).collect();
        try_join_all(outcomes).await.map_err(|_| EvaluatorError::Panicked)
    }

    /// Queues a job at once.
    fn queue<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (task, outcome) = task(Arc::clone(&self.room), job);
        let Inner { pool, queue, .. } = &*self.evaluator.inner;
        queue.push(self.due, task);
        // A turn for each job, but not of its own: it takes whatever is due first by then.
        let queue = Arc::clone(queue);
        pool.spawn(move || {
            if let Some(task) = queue.pop() {
                task();
            }
        });
        outcome
    }
}

/// A limit of batches, as the queue counts.
const fn elements(limit: usize) -> u32 {
    #[expect(clippy::cast_possible_truncation, reason = "see the assertion")]
    let n_elements = limit as u32;
    assert!(n_elements as usize == limit, "batches are small");
    n_elements
}

/// A job in a form that a thread can run, and what will come of it: nothing, if the job panics.
/// `held` is dropped when the job is done or skipped.
fn task<T: Send + 'static>(
    held: impl Send + 'static,
    job: impl FnOnce() -> T + Send + 'static,
) -> (Task, oneshot::Receiver<T>) {
    let (sender, receiver) = oneshot::channel();
    let task = move || {
        // Unwind safety: the job owns what it touches, and its result is thrown away.
        let result = (!sender.is_closed()).then(|| catch_unwind(AssertUnwindSafe(job)));
        // Before the answer: whoever has it may count on the room being free.
        drop(held);
        if let Some(Ok(result)) = result {
            // The caller may have gone while the job ran.
            drop(sender.send(result));
        }
    };
    (Box::new(task), receiver)
}

impl fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluator")
            .field("threads", &self.inner.pool.current_num_threads())
            .field("queue_elements", &self.inner.queue_elements)
            .finish_non_exhaustive()
    }
}
