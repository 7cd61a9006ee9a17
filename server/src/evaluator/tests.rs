//! Room, panics, callers that left, and who runs before whom.

use std::sync::{Mutex, mpsc};

use futures_util::{FutureExt as _, future::BoxFuture, future::join_all};

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
async fn the_largest_batches_leave_room_for_lookups() {
    let (large, lookup) = (elements(BATCH_ELEMENTS_MAX), elements(LOOKUP_ELEMENTS_MAX));
    let evaluator = Evaluator::start(1, QUEUE_ELEMENTS_DEFAULT).unwrap();
    let mut held: Vec<_> = (0..15).map(|_| evaluator.reserve(large).unwrap()).collect();
    for refused in [large, lookup + 1] {
        assert!(matches!(evaluator.reserve(refused), Err(EvaluatorError::QueueFull { .. })));
    }
    held.extend((0..4).map(|_| evaluator.reserve(lookup).unwrap()));
    assert!(evaluator.reserve(1).is_err(), "the queue is full");
    held.swap_remove(0);
    assert!(evaluator.reserve(large).is_ok(), "what is given back is given back twice");

    // The smallest queue takes the largest batch, and keeps nothing.
    let evaluator = Evaluator::start(1, large).unwrap();
    assert!(evaluator.reserve(large).is_ok());
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

/// One thread that is held until `run` is called, so that what is queued meanwhile runs in the
/// order of the queue alone.
struct Held {
    evaluator: Evaluator,
    start: Instant,
    release: mpsc::Sender<()>,
    ran: Arc<Mutex<Vec<(&'static str, usize)>>>,
    batches: Vec<BoxFuture<'static, Result<Vec<()>, EvaluatorError>>>,
}

impl Held {
    fn start() -> Self {
        let evaluator = Evaluator::start(1, 1 << 20).unwrap();
        let (release, held) = mpsc::channel();
        // A sender that is dropped, by a test that failed, releases as well.
        evaluator.inner.pool.spawn(move || held.recv().unwrap_or(()));
        let (start, ran, batches) = (Instant::now(), Arc::default(), Vec::new());
        Self { evaluator, start, release, ran, batches }
    }

    /// Queues a batch that came some time after the start, in slices that note that they ran.
    fn queue(&mut self, name: &'static str, after_ms: u64, n_elements: u32) {
        let arrival = self.start + Duration::from_millis(after_ms);
        let reservation = self.evaluator.reserve_at(arrival, n_elements).unwrap();
        let note = |slice| {
            let ran = Arc::clone(&self.ran);
            move || ran.lock().unwrap().push((name, slice))
        };
        let slices: Vec<_> = (0..n_elements.div_ceil(256) as usize).map(note).collect();
        let mut batch = async move { reservation.run_all(slices).await }.boxed();
        // The first poll queues.
        assert!((&mut batch).now_or_never().is_none());
        self.batches.push(batch);
    }

    /// Runs everything and tells in which order.
    async fn run(self) -> Vec<(&'static str, usize)> {
        self.release.send(()).unwrap();
        for batch in join_all(self.batches).await {
            batch.unwrap();
        }
        self.ran.lock().unwrap().clone()
    }
}

fn place(ran: &[(&str, usize)], name: &str) -> usize {
    ran.iter().position(|(other, _)| *other == name).unwrap()
}

#[tokio::test]
async fn a_small_batch_passes_the_large_ones_that_wait() {
    let mut held = Held::start();
    for _ in 0..10 {
        held.queue("large", 0, 4_096);
    }
    held.queue("middle", 1, 1_024);
    held.queue("small", 2, 64);
    held.queue("large", 3, 4_096);
    let ran = held.run().await;
    assert_eq!(ran[0], ("small", 0));
    let middle: Vec<_> = (0..4).map(|slice| ("middle", slice)).collect();
    assert_eq!(ran[1..5], middle);
    // Equals in the order of their arrival, one after the other: none is half done for long.
    let large: Vec<_> = (0..11).flat_map(|_| (0..16).map(|slice| ("large", slice))).collect();
    assert_eq!(ran[5..], large);
}

#[tokio::test]
async fn a_small_batch_waits_for_no_more_than_the_slice_that_runs() {
    let evaluator = Evaluator::start(1, 1 << 20).unwrap();
    let (begin, begun) = oneshot::channel();
    let (release, held) = mpsc::channel::<()>();
    let ran = Arc::new(Mutex::new(Vec::new()));
    let note = |name| {
        let ran = Arc::clone(&ran);
        move || ran.lock().unwrap().push(name)
    };
    let noted = note("large, first slice");
    let first = move || {
        begin.send(()).unwrap();
        held.recv().unwrap();
        noted();
    };
    let first: Box<dyn FnOnce() + Send> = Box::new(first);
    let large = evaluator.reserve(4_096).unwrap();
    let slices = [first, Box::new(note("large, second slice"))];
    let large = tokio::spawn(async move { large.run_all(slices).await });
    begun.await.unwrap();

    let small = evaluator.reserve(64).unwrap();
    let mut small = Box::pin(small.run(note("small")));
    assert!((&mut small).now_or_never().is_none());
    release.send(()).unwrap();
    small.await.unwrap();
    large.await.unwrap().unwrap();
    assert_eq!(*ran.lock().unwrap(), ["large, first slice", "small", "large, second slice"]);
}

/// As many small batches as there is time for, without end: 64 elements each 2.56 ms.
#[tokio::test]
async fn a_large_batch_is_not_starved_by_a_stream_of_small_ones() {
    let mut held = Held::start();
    held.queue("large", 0, 4_096);
    let n_small = 2_000;
    for i in 0..n_small {
        held.queue("small", i * 256 / 100, 64);
    }
    let ran = held.run().await;
    let before = place(&ran, "large") as u64;
    // By the oracle: those whose deadline, 64 · 640 µs after they came, is before 4096 · 640 µs.
    let earlier = |i: &u64| (i * 256 / 100) * 1_000 + 64 * 640 < 4_096 * 640;
    assert_eq!(before, (0..n_small).filter(earlier).count() as u64);
    assert!((900..n_small).contains(&before), "{before}");
    assert_eq!(ran.len() as u64, n_small + 16);
}

#[tokio::test]
async fn asking_for_less_than_the_smallest_class_gains_nothing() {
    let mut held = Held::start();
    held.queue("class", 0, 16);
    held.queue("one", 1, 1);
    let ran = held.run().await;
    assert_eq!(ran, [("class", 0), ("one", 0)]);
}

#[tokio::test]
async fn two_threads_share_a_batch_and_its_results_keep_their_order() {
    let evaluator = Evaluator::start(2, 100).unwrap();
    let reservation = evaluator.reserve(1).unwrap();
    // Each waits until the other runs: it would hang on one thread.
    let (left, right) = (mpsc::channel(), mpsc::channel());
    let meet = |mine: mpsc::Sender<()>, other: mpsc::Receiver<()>, name: &'static str| {
        move || {
            mine.send(()).unwrap();
            other.recv().unwrap();
            name
        }
    };
    let jobs = [meet(left.0, right.1, "first"), meet(right.0, left.1, "second")];
    assert_eq!(reservation.run_all(jobs).await, Ok(vec!["first", "second"]));
}

#[tokio::test]
async fn a_slice_that_panics_fails_its_batch_alone() {
    let evaluator = Evaluator::start(1, 100).unwrap();
    let reservation = evaluator.reserve(100).unwrap();
    let jobs = (0..4).map(|i| move || assert_ne!(i, 2, "on purpose"));
    assert_eq!(reservation.run_all(jobs).await, Err(EvaluatorError::Panicked));
    assert_eq!(reservation.run(|| 1).await, Ok(1));
    drop(reservation);
    assert!(evaluator.reserve(100).is_ok(), "the room of a failed batch is free again");
}

#[tokio::test]
async fn a_share_holds_its_limit_and_leaves_the_rest_to_others() {
    let evaluator = Evaluator::start(1, 100).unwrap();
    let (small, large) = (evaluator.share(40), evaluator.share(100));
    let _own = small.reserve(40).unwrap();
    assert!(matches!(small.reserve(1), Err(EvaluatorError::QueueFull { .. })));
    let others = large.reserve(60).unwrap();
    assert!(large.reserve(1).is_err(), "the whole is full");
    drop(others);
    assert!(small.reserve(1).is_err(), "room for others is not room for this one");
    assert!(large.reserve(60).is_ok());
}
