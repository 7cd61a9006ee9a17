//! Rotation of the key: from one epoch to the next, step by step, each durable before the next.
//!
//! 1. A seed for the next epoch is written, then the phase *moving*. From now on a change goes to
//!    both epochs, in one transaction.
//! 2. Rows are carried over page by page. One that changes meanwhile is passed over: whoever
//!    changed it changed both epochs.
//! 3. *Grace*: both epochs are published and served.
//! 4. *Retiring*: only the new epoch is published and served; rows, log and credits of the old one
//!    go, and its seed is destroyed.
//!
//! A process may end anywhere. What was begun is done again from the phase that the store keeps;
//! every step may be done twice.

use std::{sync::Arc, time::Duration};

use acquaint_core::oprf::RotationFactor;
use tokio::{
    sync::{Semaphore, mpsc, oneshot},
    time::sleep,
};
use tokio_util::sync::CancellationToken;

use super::{
    Directory, DirectoryError, PublishHandle,
    lines::Lines,
    phase::{Epochs, Phase},
};
use crate::{
    keystore::ListedKey,
    store::{Handle, MetaName},
};

/// Rows that are carried over together: a tenth of a second of arithmetic, after which a
/// publication gets its turn.
const PAGE_ROWS: usize = 4_096;

/// Pages after which the place is kept; a restart does as many again.
const PAGES_PER_NOTE: u32 = 4;

/// How often to look whether the grace period is over: the clock may be set.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// After a failed step the next attempt waits this long.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Requests that may wait; more than operators have hands.
const REQUESTS_MAX: usize = 16;

/// More changes than can be under way at once: the evaluator's queue is shorter.
const TURNS: u32 = 1 << 24;

type Reply = oneshot::Sender<Result<Epochs, DirectoryError>>;

/// What the key of an epoch is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPhase {
    /// The newest epoch that is served: clients and registrars use it.
    Serving,
    /// Rows are being moved to it; nobody sees it yet.
    Moving,
    /// The older epoch, which is served until the grace period ends.
    Grace,
    /// No longer served; its rows and its seed are being destroyed.
    Retiring,
    /// Its seed is gone for good.
    Destroyed,
    /// Left by a rotation that never began; the next one replaces it.
    Unused,
}

/// Carries a rotation on; see [`Rotator::run`].
#[derive(Debug)]
pub struct Rotator {
    directory: Arc<Directory>,
    publish: PublishHandle,
    grace_s: u64,
    requests: mpsc::Receiver<Reply>,
    /// Pages since the place was kept.
    pages: u32,
}

/// Asks for a rotation. Cheap to clone.
#[derive(Clone, Debug)]
pub struct RotateHandle {
    requests: mpsc::Sender<Reply>,
}

/// One turn for each change that is under way.
#[derive(Debug)]
pub(super) struct Turns(Semaphore);

impl Turns {
    pub(super) fn new() -> Self {
        Self(Semaphore::new(TURNS as usize))
    }

    /// A turn, to be taken *before* looking which epochs a change goes to, and kept until the
    /// store has the change.
    pub(super) async fn take(&self) -> impl Drop + '_ {
        self.0.acquire().await.expect("the semaphore is never closed")
    }

    /// Waits until every change has reached the store that may go to other epochs than changes
    /// that begin now.
    async fn pass(&self) {
        drop(self.0.acquire_many(TURNS).await);
    }
}

impl RotateHandle {
    /// Begins a rotation; durable when this returns.
    ///
    /// # Errors
    /// [`DirectoryError::RotationRunning`] if one is under way, and others; `None` if too many
    /// requests wait already, or the rotator has stopped.
    pub async fn rotate(&self) -> Option<Result<Epochs, DirectoryError>> {
        let (reply, result) = oneshot::channel();
        self.requests.try_send(reply).ok()?;
        result.await.ok()
    }
}

impl Rotator {
    /// A rotator that lets both epochs be served for a grace period.
    #[must_use]
    pub fn new(
        directory: Arc<Directory>,
        publish: PublishHandle,
        grace_s: u64,
    ) -> (Self, RotateHandle) {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        let rotator = Self { directory, publish, grace_s, requests, pages: 0 };
        (rotator, RotateHandle { requests: sender })
    }

    /// Runs until stopped: goes on with a rotation that an earlier process began, and begins one
    /// when told to. Dropping it at any point loses nothing.
    pub async fn run(mut self, stop: CancellationToken) {
        if let Some(Epochs { from, to, .. }) = self.directory.phase().epochs() {
            tracing::info!(from, to, phase = %self.directory.phase(), "rotation goes on");
        }
        loop {
            let pause = match self.advance().await {
                Ok(true) => Duration::ZERO,
                Ok(false) => CHECK_INTERVAL,
                Err(error) => {
                    tracing::error!(%error, "a step of the rotation failed; it is tried again");
                    RETRY_DELAY
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                Some(reply) = self.requests.recv() => {
                    // Whoever asked may have gone.
                    drop(reply.send(self.directory.begin_rotation().await));
                }
                () = sleep(pause) => {}
            }
        }
    }

    /// Does the next step, if it is time; says whether another one may follow at once.
    ///
    /// # Errors
    /// [`DirectoryError`]; the step is to be done again.
    async fn advance(&mut self) -> Result<bool, DirectoryError> {
        match self.directory.phase() {
            Phase::Settled => Ok(false),
            Phase::Moving { epochs, after } => {
                self.move_page(epochs, after).await?;
                Ok(true)
            }
            Phase::Grace { epochs, since_s } => self.serve_both(epochs, since_s).await,
            Phase::Retiring { epochs } => {
                self.retire(epochs).await?;
                Ok(true)
            }
        }
    }

    async fn move_page(
        &mut self,
        epochs: Epochs,
        after: Option<Handle>,
    ) -> Result<(), DirectoryError> {
        let directory = &self.directory;
        if after.is_none() {
            // Once more, because writes take effect in order: a change under the old epoch alone
            // whose caller has gone may be waiting in the store, and must not come after the scan.
            directory.keep(&Phase::Moving { epochs, after }).await?;
        }
        if let Some(last) = directory.move_page(epochs, after).await? {
            let phase = Phase::Moving { epochs, after: Some(last) };
            self.pages += 1;
            if self.pages.is_multiple_of(PAGES_PER_NOTE) {
                directory.keep(&phase).await?;
            }
            directory.phase.store(Arc::new(phase));
            return Ok(());
        }
        self.pages = 0;
        let since_s = directory.clock.now_s();
        let lines = directory.lines.load_full();
        let [from, to] = [epochs.from, epochs.to].map(|epoch| lines.any(epoch).cloned());
        directory.enter(Phase::Grace { epochs, since_s }, Lines::two(from?, to?)).await?;
        tracing::info!(from = epochs.from, to = epochs.to, "every row is in both epochs");
        Ok(())
    }

    /// Publishes both epochs, then waits for the end of the grace period.
    async fn serve_both(&self, epochs: Epochs, since_s: u64) -> Result<bool, DirectoryError> {
        let directory = &self.directory;
        if !directory.publishes(epochs.to) {
            self.publish().await?;
            return Ok(true);
        }
        if directory.clock.now_s().saturating_sub(since_s) < self.grace_s {
            return Ok(false);
        }
        let to = directory.lines.load().any(epochs.to).cloned()?;
        directory.enter(Phase::Retiring { epochs }, Lines::one(to, None)).await?;
        Ok(true)
    }

    /// Publishes the new epoch alone and destroys the old one.
    async fn retire(&self, epochs: Epochs) -> Result<(), DirectoryError> {
        let directory = &self.directory;
        if directory.publishes(epochs.from) {
            // And looks again: nothing of an epoch goes that anybody may still see.
            return self.publish().await;
        }
        directory.store.drop_epoch(epochs.from).await?;
        let seeds = directory.seeds.clone();
        let destroy = move || seeds.destroy(epochs.from, &mut rand::rng());
        directory.evaluator.run_background(destroy).await??;
        let to = directory.lines.load().any(epochs.to).cloned()?;
        directory.enter(Phase::Settled, Lines::one(to, None)).await?;
        tracing::info!(from = epochs.from, to = epochs.to, "rotation complete; old key destroyed");
        Ok(())
    }

    async fn publish(&self) -> Result<(), DirectoryError> {
        // `None`: the publisher has stopped, and so will this task; or operators keep it busy.
        match self.publish.publish_now().await {
            Some(result) => result.map(drop),
            None => {
                sleep(RETRY_DELAY).await;
                Ok(())
            }
        }
    }
}

/// The steps, on the directory.
impl Directory {
    /// How far a rotation of the key has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        **self.phase.load()
    }

    /// Rows of the next epoch so far, while rows are being moved to it.
    ///
    /// # Errors
    /// [`DirectoryError::Store`].
    pub fn moved(&self) -> Result<Option<u64>, DirectoryError> {
        let Phase::Moving { epochs, .. } = self.phase() else { return Ok(None) };
        Ok(Some(self.store.entries(epochs.to)?))
    }

    /// The keys of all epochs, ascending, and what each is used for.
    ///
    /// # Errors
    /// [`DirectoryError::KeyFile`], [`DirectoryError::Evaluator`].
    pub async fn keys(&self) -> Result<Vec<(ListedKey, KeyPhase)>, DirectoryError> {
        let seeds = self.seeds.clone();
        let listed = self.evaluator.run_background(move || seeds.list()).await??;
        let (phase, newest) = (self.phase(), self.epoch());
        Ok(listed.into_iter().map(|key| (key, key_phase(&key, &phase, newest))).collect())
    }

    /// Makes a seed for the next epoch and begins to move rows to it.
    async fn begin_rotation(&self) -> Result<Epochs, DirectoryError> {
        if self.phase() != Phase::Settled {
            return Err(DirectoryError::RotationRunning);
        }
        let from = Arc::clone(self.lines.load().newest());
        let to = from.epoch.checked_add(1).ok_or(DirectoryError::Epoch)?;
        let seeds = self.seeds.clone();
        let make = move || seeds.replace_unused(to, &mut rand::rng());
        let line = self.maker.line(to, &self.evaluator.run_background(make).await??)?;
        let epochs = Epochs { from: from.epoch, to, to_key: *line.public.as_bytes() };
        let phase = Phase::Moving { epochs, after: None };
        self.enter(phase, Lines::one(from, Some(line))).await?;
        tracing::info!(from = epochs.from, to, "rotation begun");
        Ok(epochs)
    }

    /// Carries a page of rows over and gives its last handle; `None` if there are no more rows.
    async fn move_page(
        &self,
        epochs: Epochs,
        after: Option<Handle>,
    ) -> Result<Option<Handle>, DirectoryError> {
        let lines = self.lines.load_full();
        let (from, to) = (Arc::clone(lines.any(epochs.from)?), Arc::clone(lines.any(epochs.to)?));
        let convert = move || {
            let factor = RotationFactor::between(&from.secret, &to.secret);
            from.rows.page_for(&factor, &to.rows, after, PAGE_ROWS)
        };
        let Some((last, rows)) = self.evaluator.run_background(convert).await?? else {
            return Ok(None);
        };
        self.store.copy_rows(epochs.to, epochs.from, rows, self.clock.now_s()).await?;
        Ok(Some(last))
    }

    /// Enters a phase: kept first, then in force, and when this returns no change is under way
    /// that does not know of it.
    async fn enter(&self, phase: Phase, lines: Lines) -> Result<(), DirectoryError> {
        self.keep(&phase).await?;
        self.lines.store(Arc::new(lines));
        self.phase.store(Arc::new(phase));
        self.turns.pass().await;
        Ok(())
    }

    async fn keep(&self, phase: &Phase) -> Result<(), DirectoryError> {
        Ok(self.store.set_meta(MetaName::Rotation, phase.encode()).await?)
    }

    fn publishes(&self, epoch: u32) -> bool {
        self.published.load().manifest.epoch(epoch).is_some()
    }
}

fn key_phase(key: &ListedKey, phase: &Phase, newest: u32) -> KeyPhase {
    let is = |epoch| key.epoch == epoch;
    match phase {
        _ if key.destroyed => KeyPhase::Destroyed,
        Phase::Moving { epochs, .. } if is(epochs.to) => KeyPhase::Moving,
        Phase::Grace { epochs, .. } if is(epochs.from) => KeyPhase::Grace,
        Phase::Retiring { epochs } if is(epochs.from) => KeyPhase::Retiring,
        _ if is(newest) => KeyPhase::Serving,
        _ => KeyPhase::Unused,
    }
}

#[cfg(test)]
mod tests;
