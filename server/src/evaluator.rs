//! The only place that burns CPU: a thread pool of its own behind a bounded queue.
//!
//! The queue is measured in elements, because elements are what costs. A caller reserves its
//! elements first; with a reservation in hand it may charge a quota and then run its jobs, knowing
//! that none of them will be refused for want of room. A full queue refuses at once: waiting would
//! only move the queue into the connections.
//!
//! Publication has a pool of its own: building a snapshot takes seconds and must neither wait
//! behind lookups nor stop them. Only opening all rows, which is rare, uses more than one of its
//! threads.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use rayon::{ThreadPool, ThreadPoolBuildError, ThreadPoolBuilder};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// How many elements may wait or run at once, if the configuration does not say: about one second
/// of work for two cores.
pub const QUEUE_ELEMENTS_DEFAULT: u32 = 65_536;

/// Rough cost of one element, for telling a refused client when to come back.
const ELEMENT_COST: Duration = Duration::from_micros(40);

/// Runs jobs off the async runtime. Cheap to clone.
#[derive(Clone)]
pub struct Evaluator {
    inner: Arc<Inner>,
}

struct Inner {
    pool: ThreadPool,
    background: ThreadPool,
    queue: Arc<Semaphore>,
    queue_elements: u32,
    evaluated: AtomicU64,
}

/// Room for a number of elements, held until dropped.
#[derive(Debug)]
pub struct Reservation {
    evaluator: Evaluator,
    permit: Arc<OwnedSemaphorePermit>,
}

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
        let queue = Arc::new(Semaphore::new(queue_elements as usize));
        let evaluated = AtomicU64::new(0);
        let inner = Inner { pool, background, queue, queue_elements, evaluated };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Reserves room for a batch.
    ///
    /// # Errors
    /// [`EvaluatorError::QueueFull`].
    pub fn reserve(&self, n_elements: u32) -> Result<Reservation, EvaluatorError> {
        let queue = Arc::clone(&self.inner.queue);
        let permit = queue
            .try_acquire_many_owned(n_elements)
            .map_err(|_| EvaluatorError::QueueFull { retry_after: self.backlog() })?;
        Ok(Reservation { evaluator: self.clone(), permit: Arc::new(permit) })
    }

    /// Runs a long job on the publication pool.
    ///
    /// # Errors
    /// [`EvaluatorError::Panicked`].
    pub async fn run_background<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, EvaluatorError> {
        run_on(&self.inner.background, (), job).await
    }

    /// Elements evaluated since the start.
    #[must_use]
    pub fn evaluated_elements(&self) -> u64 {
        self.inner.evaluated.load(Ordering::Relaxed)
    }

    /// Counts elements as evaluated.
    pub(crate) fn count_evaluated(&self, n_elements: u64) {
        self.inner.evaluated.fetch_add(n_elements, Ordering::Relaxed);
    }

    /// How long the queued elements will take, at least 100 ms.
    fn backlog(&self) -> Duration {
        let free = u32::try_from(self.inner.queue.available_permits()).unwrap_or(u32::MAX);
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
        run_on(&self.evaluator.inner.pool, Arc::clone(&self.permit), job).await
    }
}

/// Runs a job on a pool; `held` is dropped when the job is done or skipped.
async fn run_on<T: Send + 'static>(
    pool: &ThreadPool,
    held: impl Send + 'static,
    job: impl FnOnce() -> T + Send + 'static,
) -> Result<T, EvaluatorError> {
    let (sender, receiver) = oneshot::channel();
    pool.spawn(move || {
        // Unwind safety: the job owns what it touches, and its result is thrown away.
        let result = (!sender.is_closed()).then(|| catch_unwind(AssertUnwindSafe(job)));
        // Before the answer: whoever has it may count on the room being free.
        drop(held);
        if let Some(Ok(result)) = result {
            // The caller may have gone while the job ran.
            drop(sender.send(result));
        }
    });
    receiver.await.map_err(|_| EvaluatorError::Panicked)
}

impl fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evaluator")
            .field("threads", &self.inner.pool.current_num_threads())
            .field("queue_elements", &self.inner.queue_elements)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn the_queue_holds_its_limit_and_refuses_one_more() {
        let evaluator = Evaluator::start(1, 100).unwrap();
        let first = evaluator.reserve(60).unwrap();
        let second = evaluator.reserve(40).unwrap();
        assert!(matches!(evaluator.reserve(1), Err(EvaluatorError::QueueFull { .. })));
        drop(second);
        assert!(evaluator.reserve(40).is_ok());
        assert_eq!(first.run(|| 7).await, Ok(7));
        drop(first);
        assert!(evaluator.reserve(100).is_ok());
        assert!(matches!(evaluator.reserve(101), Err(EvaluatorError::QueueFull { .. })));
    }

    #[tokio::test]
    async fn a_panicking_job_fails_alone() {
        let evaluator = Evaluator::start(1, 100).unwrap();
        let reservation = evaluator.reserve(1).unwrap();
        let panicked = reservation.run(|| -> u8 { panic!("on purpose") }).await;
        assert_eq!(panicked, Err(EvaluatorError::Panicked));
        assert_eq!(reservation.run(|| 1).await, Ok(1));
        assert_eq!(evaluator.run_background(|| 2).await, Ok(2));
        drop(reservation);
        assert!(evaluator.reserve(100).is_ok(), "the room of a panicked job is free again");
    }

    #[tokio::test]
    async fn work_of_a_caller_that_left_keeps_its_room_until_done_and_is_skipped_if_not_begun() {
        let evaluator = Evaluator::start(1, 2).unwrap();
        let (release, blocked) = mpsc::channel::<()>();
        let (began, begun) = oneshot::channel();
        let first = evaluator.reserve(1).unwrap();
        let running = tokio::spawn(async move {
            first
                .run(move || {
                    began.send(()).unwrap();
                    blocked.recv().unwrap();
                })
                .await
        });
        begun.await.unwrap();

        let second = evaluator.reserve(1).unwrap();
        let (ran, skipped) = mpsc::channel();
        // Poll once, so that the job is queued, then leave.
        let mut left = Box::pin(second.run(move || ran.send(()).unwrap()));
        assert!(futures_util::poll!(&mut left).is_pending());
        drop(left);
        drop(second);
        assert!(evaluator.reserve(1).is_err(), "the queued job still holds its room");

        release.send(()).unwrap();
        running.await.unwrap().unwrap();
        assert!(skipped.recv().is_err(), "the job was dropped without running");
    }
}
