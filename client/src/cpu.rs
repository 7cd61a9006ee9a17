//! Group arithmetic and set search, away from the async workers.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
};

use tokio::sync::oneshot;

use crate::error::ClientError;

/// More threads would not make a lookup of a phone's address book faster than its network.
const THREADS_MAX: usize = 8;

/// A small pool of threads for work that would block an async worker for milliseconds.
///
/// It lives as long as its owner. Threads end when it is dropped and its jobs are done.
pub(crate) struct Cpu {
    pool: rayon::ThreadPool,
}

impl Cpu {
    /// A pool with this many threads, by default one for each core, at most [`THREADS_MAX`].
    pub(crate) fn new(n_threads: Option<usize>) -> Result<Self, rayon::ThreadPoolBuildError> {
        let n_cores = || thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(n_threads.unwrap_or_else(n_cores))
            .thread_name(|i| format!("acquaint-{i}"))
            .build()?;
        Ok(Self { pool })
    }

    /// Runs a job and waits for its result.
    ///
    /// A job whose future was dropped is skipped if it has not begun; one that has begun runs to
    /// its end (a batch takes some 100 ms at most), and its result is wiped.
    ///
    /// # Errors
    /// [`ClientError::Internal`] if the job panicked.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ClientError> {
        let (sender, receiver) = oneshot::channel();
        self.pool.spawn_fifo(move || {
            if sender.is_closed() {
                return;
            }
            // The job owns what it touches: nobody sees what a panic left half done.
            if let Ok(result) = catch_unwind(AssertUnwindSafe(job)) {
                // An error means that nobody waits any more.
                let _ = sender.send(result);
            }
        });
        receiver.await.map_err(|_| ClientError::Internal)
    }
}

impl fmt::Debug for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cpu").field("n_threads", &self.pool.current_num_threads()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    };

    use super::*;

    #[tokio::test]
    async fn results_come_back_and_panics_become_errors() {
        let cpu = Cpu::new(Some(1)).unwrap();
        assert_eq!(cpu.run(|| 6 * 7).await, Ok(42));
        let failed: Result<(), _> = cpu.run(|| panic!("a job may fail")).await;
        assert_eq!(failed, Err(ClientError::Internal));
        assert_eq!(cpu.run(|| 1).await, Ok(1));
    }

    #[tokio::test]
    async fn a_job_that_nobody_waits_for_is_skipped() {
        let cpu = Cpu::new(Some(1)).unwrap();
        let (release, blocked) = mpsc::channel::<()>();
        let has_run = Arc::new(AtomicBool::new(false));
        let mut blocking = Box::pin(cpu.run(move || blocked.recv().is_ok()));
        let mut abandoned = Box::pin(cpu.run({
            let has_run = Arc::clone(&has_run);
            move || has_run.store(true, Ordering::SeqCst)
        }));
        assert!(futures_util::FutureExt::now_or_never(&mut blocking).is_none());
        assert!(futures_util::FutureExt::now_or_never(&mut abandoned).is_none());
        drop(abandoned);
        release.send(()).unwrap();
        assert_eq!(blocking.await, Ok(true));
        cpu.run(|| ()).await.unwrap();
        assert!(!has_run.load(Ordering::SeqCst));
    }
}
