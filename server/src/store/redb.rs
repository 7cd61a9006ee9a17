//! The embedded store: one redb file, one writing thread.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};
use tracing::Span;

use super::connection::{self, Connection, Opener, guarded};
use super::execute::{self, Command, Reply};
use super::writer::{Job, Pacing, QUEUE_COMMANDS_MAX, Writer};
use super::{
    Applied, Change, ChargeOutcome, ChargeRequest, Copied, CopiedRow, Handle, Head, History,
    MetaName, Publication, Store, StoreError, tables,
};
use crate::admission::bucket::{QuotaPolicy, QuotaState};

/// The [`Store`] in one redb file, held by one process.
///
/// Writes of concurrent callers share their commits. After a failed write the store reopens the
/// file by itself, at most once a second; until that succeeds everything fails. Reads never wait
/// for writes. Dropping the store finishes the writes already accepted, and blocks for as long.
pub struct RedbStore {
    connection: Arc<Connection>,
    /// `None` once closed.
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    /// How the thread ended, once it has.
    ended: watch::Receiver<Option<Result<(), StoreError>>>,
    thread: Option<JoinHandle<()>>,
}

impl RedbStore {
    /// Opens the store at `path`, or creates one that only its owner can read (mode 0600).
    ///
    /// `key_check` is a value derived from the storage key; a store remembers the one it was
    /// created with. Opening verifies the checksum of every page, so it takes time in proportion
    /// to the size of the file, and blocks meanwhile. A file of an older schema is brought up to
    /// date.
    ///
    /// # Errors
    /// [`StoreError::AlreadyOpen`], [`StoreError::WrongKey`], [`StoreError::SchemaVersion`],
    /// [`StoreError::Corrupt`], [`StoreError::Io`] or [`StoreError::Full`]; what an existing file
    /// holds is then unchanged.
    pub fn open(path: impl AsRef<Path>, key_check: [u8; 32]) -> Result<Self, StoreError> {
        let path = path.as_ref().to_owned();
        guarded(|| connection::create_if_absent(&path, &key_check))
            .map_err(|fault| fault.reading(&path))?;
        let file = path.clone();
        let opener = Box::new(move || connection::open_existing(&file));
        Self::with_opener(&path, opener, key_check, Pacing::DEFAULT)
    }

    /// A new store in memory, for simulations and measurements: it does what the one in a file does,
    /// except that nothing outlives it. It never comes back after a failure, because it would come
    /// back empty, and every quota with it.
    ///
    /// # Errors
    /// [`StoreError::Io`] if the system starts no thread.
    pub fn in_memory() -> Result<Self, StoreError> {
        let path = Path::new("memory");
        let database =
            guarded(connection::create_in_memory).map_err(|fault| fault.reading(path))?;
        let only_one = Mutex::new(Some(database));
        let opener = move || {
            let database = only_one.lock().unwrap_or_else(PoisonError::into_inner).take();
            Ok(database.ok_or(StoreError::Closed)?)
        };
        let key_check = connection::KEY_CHECK_IN_MEMORY;
        Self::with_opener(path, Box::new(opener), key_check, Pacing::DEFAULT)
    }

    /// Opens whatever `opener` yields; `path` is for messages.
    pub(super) fn with_opener(
        path: &Path,
        opener: Opener,
        key_check: [u8; 32],
        pacing: Pacing,
    ) -> Result<Self, StoreError> {
        let connection = Arc::new(Connection::open(path, opener, key_check)?);
        let (queue, jobs) = mpsc::channel(QUEUE_COMMANDS_MAX);
        let (end, ended) = watch::channel(None);
        let writer = Writer::new(Arc::clone(&connection), pacing);
        // What it logs belongs to whom the store was opened for.
        let span = Span::current();
        let thread = thread::Builder::new()
            .name("acquaint-store".to_owned())
            .spawn(move || {
                let outcome = span.in_scope(|| writer.serve(jobs));
                end.send_replace(Some(outcome));
            })
            .map_err(|error| StoreError::Io { kind: error.kind(), path: path.to_owned() })?;
        Ok(Self { connection, queue: Mutex::new(Some(queue)), ended, thread: Some(thread) })
    }

    /// Hands a command to the writing thread and waits for its answer.
    pub(super) async fn submit(&self, command: Command) -> Result<Reply, StoreError> {
        let (reply, answer) = oneshot::channel();
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let queue = queue.ok_or(StoreError::Closed)?;
        queue.send(Job { command, reply }).await.map_err(|_| StoreError::Closed)?;
        drop(queue);
        answer.await.unwrap_or(Err(StoreError::Interrupted))
    }

    /// Carries out a command that has nothing to tell.
    async fn done(&self, command: Command) -> Result<(), StoreError> {
        match self.submit(command).await? {
            Reply::Done => Ok(()),
            _ => Err(StoreError::Interrupted),
        }
    }

    /// Repeats a step until nothing is left to do. Each takes its place in the queue, so that the
    /// writes of others come in between.
    async fn all_steps(&self, step: impl Fn() -> Command + Send) -> Result<(), StoreError> {
        loop {
            match self.submit(step()).await? {
                Reply::Step { last: true } => return Ok(()),
                Reply::Step { last: false } => {}
                _ => return Err(StoreError::Interrupted),
            }
        }
    }

    fn stop_accepting(&self) {
        drop(self.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

#[async_trait]
impl Store for RedbStore {
    async fn apply(
        &self,
        parts: Vec<(u32, Vec<Change>)>,
        at_unix_s: u64,
    ) -> Result<Applied, StoreError> {
        match self.submit(Command::Apply { parts, at_unix_s }).await? {
            Reply::Applied(applied) => Ok(applied),
            _ => Err(StoreError::Interrupted),
        }
    }

    async fn copy_rows(
        &self,
        to_epoch: u32,
        from_epoch: u32,
        rows: Vec<CopiedRow>,
        at_unix_s: u64,
    ) -> Result<Copied, StoreError> {
        match self.submit(Command::Copy { to_epoch, from_epoch, rows, at_unix_s }).await? {
            Reply::Copied(copied) => Ok(copied),
            _ => Err(StoreError::Interrupted),
        }
    }

    async fn drop_epoch(&self, epoch: u32) -> Result<(), StoreError> {
        self.all_steps(|| Command::DropEpoch(epoch)).await
    }

    async fn charge(&self, request: ChargeRequest) -> Result<ChargeOutcome, StoreError> {
        match self.submit(Command::Charge(request)).await? {
            Reply::Charged(outcome) => Ok(outcome),
            _ => Err(StoreError::Interrupted),
        }
    }

    async fn forget_rested(&self, refill_per_day: u64, now_ms: u64) -> Result<(), StoreError> {
        self.all_steps(|| Command::ForgetCharges { now_ms }).await?;
        let mut after = None;
        loop {
            let command = Command::ForgetRested { after, refill_per_day, now_ms };
            after = match self.submit(command).await? {
                Reply::Rested { next: None } => return Ok(()),
                Reply::Rested { next } => next,
                _ => return Err(StoreError::Interrupted),
            }
        }
    }

    async fn quota(
        &self,
        account: &[u8; 16],
        policy: &QuotaPolicy,
        now_ms: u64,
    ) -> Result<QuotaState, StoreError> {
        // One row, nearly always cached: microseconds, too little to leave the runtime for.
        self.connection.read(|snapshot| {
            execute::quota(&snapshot.open_table(tables::QUOTAS)?, account, policy, now_ms)
        })
    }

    async fn record_publication(&self, publication: Publication) -> Result<(), StoreError> {
        self.done(Command::Publish(publication)).await
    }

    fn last_publication(&self) -> Result<Option<Publication>, StoreError> {
        self.connection.read(|snapshot| {
            execute::read_last_publication(&snapshot.open_table(tables::PUBLICATIONS)?)
        })
    }

    fn publications_after(&self, sequence: u64) -> Result<Vec<Publication>, StoreError> {
        self.connection.read(|snapshot| execute::publications_after(snapshot, sequence))
    }

    async fn prune_publications(&self, up_to: u64) -> Result<(), StoreError> {
        self.all_steps(|| Command::PrunePublications(up_to)).await
    }

    fn head(&self) -> Result<Head, StoreError> {
        self.connection.read(|snapshot| execute::read_head(&snapshot.open_table(tables::COUNTERS)?))
    }

    fn entries(&self, epoch: u32) -> Result<u64, StoreError> {
        let record = self
            .connection
            .read(|snapshot| execute::read_epoch(&snapshot.open_table(tables::EPOCHS)?, epoch))?;
        Ok(if record.dropped { 0 } else { record.entries })
    }

    fn scan(
        &self,
        epoch: u32,
        row: &mut dyn FnMut(&Handle, &[u8]) -> ControlFlow<()>,
    ) -> Result<Head, StoreError> {
        let (head, dropped, mut rows) = self.connection.read(|snapshot| {
            let head = execute::read_head(&snapshot.open_table(tables::COUNTERS)?)?;
            let record = execute::read_epoch(&snapshot.open_table(tables::EPOCHS)?, epoch)?;
            let keys = tables::keys_of(epoch);
            let rows = snapshot.open_table(tables::ROWS)?;
            Ok((head, record.dropped, rows.range::<&[u8; 36]>(keys.start()..=keys.end())?))
        })?;
        if dropped {
            return Ok(head);
        }
        // Only redb is guarded: a panic of the callback is the caller's and goes to the caller.
        let mut next = || guarded(|| Ok(rows.next().transpose()?));
        while let Some((key, sealed)) = next().map_err(|fault| self.connection.reading(fault))? {
            let handle = tables::row_handle(key.value()).ok_or(StoreError::Corrupt)?;
            if row(&handle, sealed.value()).is_break() {
                break;
            }
        }
        Ok(head)
    }

    fn scan_after(
        &self,
        epoch: u32,
        after: Option<Handle>,
        limit: usize,
    ) -> Result<Vec<(Handle, Vec<u8>)>, StoreError> {
        self.connection.read(|snapshot| execute::scan_after(snapshot, epoch, after, limit))
    }

    fn history(
        &self,
        epoch: u32,
        after: u64,
        changes_max: usize,
    ) -> Result<Option<History>, StoreError> {
        self.connection.read(|snapshot| execute::history(snapshot, epoch, after, changes_max))
    }

    async fn prune_log(&self, up_to: u64) -> Result<(), StoreError> {
        self.all_steps(|| Command::PruneLog(up_to)).await
    }

    fn meta(&self, name: MetaName) -> Result<Option<Vec<u8>>, StoreError> {
        self.connection.read(|snapshot| {
            let value = snapshot.open_table(tables::META)?.get(tables::meta_key(name))?;
            Ok(value.map(|value| value.value().to_vec()))
        })
    }

    async fn set_meta(&self, name: MetaName, value: Vec<u8>) -> Result<(), StoreError> {
        self.done(Command::SetMeta { name, value }).await
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.stop_accepting();
        let mut ended = self.ended.clone();
        let outcome = ended.wait_for(Option::is_some).await;
        outcome.map_or(Err(StoreError::Interrupted), |end| end.clone().unwrap_or(Ok(())))
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        self.stop_accepting();
        // Otherwise a process could end, or open the file again, before the thread is done.
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").finish_non_exhaustive()
    }
}
