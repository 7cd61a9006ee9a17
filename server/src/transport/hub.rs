//! What all listeners of a server share: limits, counts, and the way to end everything.

use std::{
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use acquaint_proto::Method;
use tokio::{
    sync::Semaphore,
    time::{interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::Code;

use super::{
    Counted,
    accounts::Accounts,
    census::{Census, Counting, Network},
    counters::Counters,
    probation::{Place, Probation},
};
use crate::config::Transport;

/// How often networks that have left are forgotten.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

/// How often the counts are logged, if any limit struck.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Shared by all connections.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(super) limits: Transport,
    census: Arc<Census>,
    probation: Arc<Probation>,
    pub(super) accounts: Accounts,
    counters: Counters,
    refusals: LogBudget,
    pub(super) calls: Semaphore,
    pub(super) streams: Arc<Semaphore>,
    connections: TaskTracker,
    /// No new connections and calls; what is open may end.
    pub(super) closing: CancellationToken,
    /// Everything ends now.
    pub(super) cut: CancellationToken,
}

/// Lines about refused calls: some each second. A flood of them would be one of the log.
#[derive(Debug)]
struct LogBudget {
    begun: Instant,
    /// The second of the last line since then in the upper half, and the lines of that second.
    last: AtomicU64,
}

/// A connection's right to exist.
#[derive(Debug)]
pub(super) struct Seat {
    counting: Counting,
    pub(super) place: Place,
}

impl Seat {
    /// Where its connection comes from.
    pub(super) const fn network(&self) -> Option<Network> {
        self.counting.network()
    }
}

impl LogBudget {
    const LINES_PER_S: u64 = 10;

    fn has_room(&self) -> bool {
        let second = self.begun.elapsed().as_secs().wrapping_add(1) << 32;
        let count = |last: u64| Some(if last < second { second + 1 } else { last + 1 });
        let last = self.last.fetch_update(Ordering::Relaxed, Ordering::Relaxed, count);
        last.is_ok_and(|last| last < second || last - second < Self::LINES_PER_S)
    }
}

impl Hub {
    pub(crate) fn new(limits: Transport) -> Arc<Self> {
        Arc::new(Self {
            limits,
            census: Census::new(limits.connections, limits.connections_per_network),
            probation: Probation::new(limits.connections_on_probation),
            accounts: Accounts::new(&limits),
            counters: Counters::default(),
            refusals: LogBudget { begun: Instant::now(), last: AtomicU64::new(0) },
            calls: Semaphore::new(limits.calls),
            streams: Arc::new(Semaphore::new(limits.streams)),
            connections: TaskTracker::new(),
            closing: CancellationToken::new(),
            cut: CancellationToken::new(),
        })
    }

    /// A seat for a new connection; `None`, and counted, if there is none.
    pub(super) fn seat(&self, from: Option<IpAddr>) -> Option<Seat> {
        match self.census.enter(from) {
            Ok(counting) => {
                let Some((place, gave_way)) = self.probation.enter(counting.network()) else {
                    self.count(Counted::ProbationFull);
                    return None;
                };
                self.count(Counted::Accepted);
                if gave_way {
                    self.count(Counted::GaveWay);
                }
                Some(Seat { counting, place })
            }
            Err(limit) => {
                self.count(limit);
                None
            }
        }
    }

    /// Runs a connection until it ends, loses its place or is cut off.
    pub(super) fn spawn<F>(self: &Arc<Self>, seat: Seat, connection: impl FnOnce(Arc<Seat>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (hub, seat) = (Arc::clone(self), Arc::new(seat));
        let connection = connection(Arc::clone(&seat));
        self.connections.spawn(async move {
            tokio::select! {
                () = connection => {}
                () = seat.place.lost() => {}
                () = hub.cut.cancelled() => {}
            }
        });
    }

    pub(super) fn count(&self, what: Counted) {
        self.counters.count(what);
    }

    /// Counts a call that was not let in, and logs it unless many were logged this second.
    pub(super) fn refused(&self, method: Option<Method>, code: Code) {
        self.count(Counted::Refused);
        if self.refusals.has_room() {
            let rpc = method.map_or("unknown", Method::path);
            tracing::info!(rpc, ?code, "refused");
        }
    }

    /// How often something was counted since the start.
    pub(crate) fn counted(&self, what: Counted) -> u64 {
        self.counters.get(what)
    }

    /// Logs the counts now and then, if any limit struck since the last time, and forgets networks
    /// that have left; until it is closed.
    pub(crate) async fn report(self: Arc<Self>) {
        let mut ticks = interval(REPORT_INTERVAL);
        let mut sweeps = interval(SWEEP_INTERVAL);
        let mut reported = 0;
        loop {
            tokio::select! {
                () = self.closing.cancelled() => return,
                _ = sweeps.tick() => {
                    self.census.sweep();
                    continue;
                }
                _ = ticks.tick() => {}
            }
            let struck = Counted::ALL.iter().filter(|(what, _)| *what != Counted::Accepted);
            let struck = struck.map(|(what, _)| self.counted(*what)).sum();
            if struck > reported {
                reported = struck;
                tracing::info!(counts = %self.counters, "limits of connections and calls");
            }
        }
    }

    /// Takes no new connections and calls.
    pub(crate) fn close(&self) {
        self.closing.cancel();
        self.connections.close();
    }

    /// Waits until the open connections have ended, and at the deadline ends them; whether that
    /// was not necessary. After [`Hub::close`].
    pub(crate) async fn drain(&self, deadline: Duration) -> bool {
        let drained = timeout(deadline, self.connections.wait()).await.is_ok();
        self.cut.cancel();
        self.connections.wait().await;
        drained
    }
}
