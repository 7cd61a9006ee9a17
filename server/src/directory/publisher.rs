//! The task that publishes: some time after a change, or when told to. One publication at a time.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{Directory, DirectoryError, Published};

/// After a failed publication the next attempt waits at least this long.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// How often to look for changes that nobody told of: the store may still apply what a caller that
/// has gone asked for.
const RECHECK_INTERVAL: Duration = Duration::from_secs(30);

/// Requests that may wait for a publication; more than operators have hands.
const REQUESTS_MAX: usize = 16;

type Reply = oneshot::Sender<Result<Arc<Published>, DirectoryError>>;

/// Publishes a directory's changes; see [`Publisher::run`].
#[derive(Debug)]
pub struct Publisher {
    directory: Arc<Directory>,
    delay: Duration,
    requests: mpsc::Receiver<Reply>,
}

/// Asks the publisher to publish now. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PublishHandle {
    requests: mpsc::Sender<Reply>,
}

impl PublishHandle {
    /// Publishes everything registered before the call and returns what is published then.
    ///
    /// # Errors
    /// [`DirectoryError`]; `None` if too many requests wait already, or the publisher has stopped.
    pub async fn publish_now(&self) -> Option<Result<Arc<Published>, DirectoryError>> {
        let (reply, result) = oneshot::channel();
        self.requests.try_send(reply).ok()?;
        result.await.ok()
    }
}

impl Publisher {
    /// A publisher that lets changes gather for `delay` before it publishes them together.
    #[must_use]
    pub fn new(directory: Arc<Directory>, delay: Duration) -> (Self, PublishHandle) {
        let (sender, requests) = mpsc::channel(REQUESTS_MAX);
        (Self { directory, delay, requests }, PublishHandle { requests: sender })
    }

    /// Runs until stopped.
    pub async fn run(mut self, stop: CancellationToken) {
        let mut due: Option<Instant> = None;
        let mut recheck = interval(RECHECK_INTERVAL);
        recheck.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let deadline = due;
            let timer = async {
                match deadline {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.directory.changed.notified() => {
                    due.get_or_insert_with(|| Instant::now() + self.delay);
                }
                _ = recheck.tick(), if due.is_none() => {
                    due = self.directory.is_behind().then(|| Instant::now() + self.delay);
                }
                () = timer => due = self.publish(None).await,
                request = self.requests.recv() => match request {
                    Some(reply) => due = self.publish(Some(reply)).await,
                    None => return,
                },
            }
        }
    }

    /// Publishes, answers, and says when to try again if it failed.
    async fn publish(&self, reply: Option<Reply>) -> Option<Instant> {
        let started = Instant::now();
        let result = self.directory.publish().await;
        let retry = match &result {
            Ok(published) => {
                let newest = published.manifest.current();
                tracing::info!(
                    sequence = published.manifest.sequence,
                    snapshot = newest.snapshot.number,
                    version = newest.version,
                    members = newest.members(),
                    elapsed_ms = elapsed_ms(started),
                    "published"
                );
                None
            }
            Err(error) => {
                tracing::error!(%error, "publication failed; the last snapshot stays");
                Some(Instant::now() + RETRY_DELAY.max(self.delay))
            }
        };
        if let Some(reply) = reply {
            // Whoever asked may have gone.
            drop(reply.send(result));
        }
        retry
    }
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use acquaint_core::{engine::Engine, keys::Row, oprf::OprfElement, tag::Label};

    use super::*;
    use crate::{
        clock::SystemClock,
        config::Config,
        evaluator::Evaluator,
        keystore::{FIRST_EPOCH, Keys, SeedFiles},
        store::{Change, Handle, RedbStore, Store},
    };

    /// A row that the store got without anybody being told: as from a call that was given up.
    #[tokio::test(start_paused = true)]
    async fn changes_that_nobody_waited_for_are_published() {
        let place = tempfile::tempdir().unwrap();
        let keys = Keys::generate(&mut rand::rng());
        let check = keys.storage.check_value();
        let store: Arc<dyn Store> =
            Arc::new(RedbStore::open(place.path().join("store.redb"), check).unwrap());
        let settings = Config::default().check().unwrap().tenants.remove(0);
        let (tenant, entries_max) = (settings.name, settings.entries_max);
        let policies = (settings.policy, settings.compaction, entries_max);
        let evaluator = Evaluator::start(1, 4_096).unwrap();
        let clock = Arc::new(SystemClock);
        let seeds = SeedFiles::new(place.path());
        let directory =
            Directory::open(tenant, (&keys, seeds), policies, Arc::clone(&store), clock, evaluator)
                .await
                .unwrap();
        let (publisher, _publish) = Publisher::new(Arc::clone(&directory), Duration::ZERO);
        let stop = CancellationToken::new();
        let running = tokio::spawn(publisher.run(stop.clone()));
        // The first look of the publisher comes at once; only a later one can see the row.
        tokio::time::sleep(Duration::from_secs(1)).await;

        let engine = Engine::current();
        let encoding = engine.encode(&engine.map_to_group(&[[7; 64]])).concat();
        let element = OprfElement::parse_batch(&encoding).unwrap().remove(0);
        let vault = keys.storage.vault();
        let handle = vault.handle(&element);
        let row = Row { element, label: Label([1; 16]), hidden: false };
        let sealed = vault.seal(FIRST_EPOCH, &handle, &row);
        let put = Change::Put { handle: Handle::new(handle), sealed };
        store.apply(vec![(FIRST_EPOCH, vec![put])], 1).await.unwrap();

        for _ in 0..1_000 {
            if directory.published().manifest.current().members() == 1 {
                break;
            }
            // Paused time passes at once; the publication thread needs real time.
            tokio::time::sleep(Duration::from_secs(1)).await;
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(directory.published().manifest.current().members(), 1);
        stop.cancel();
        running.await.unwrap();
    }
}
