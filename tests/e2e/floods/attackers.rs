//! The attackers themselves, in a process of their own: each has one connection at a time, does
//! its worst on it, and comes back when the server closes it.

mod calls;
mod frantic;
mod slow;

use std::{
    convert::Infallible,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinSet,
    time::sleep,
};

use super::{
    attacks::{Attack, Load},
    target::{Orders, Target},
};

/// After a connection was closed; coming back at once is what [`Attack::Churn`] does.
const COMING_BACK: Duration = Duration::from_millis(50);

/// Handshakes at a time while the attackers gather.
const GATHERING: usize = 64;

/// What the attackers did.
#[derive(Debug, Default)]
pub struct Counts {
    /// Frames, calls or connections, whatever the attack is made of.
    pub sent: AtomicU64,
    /// Bytes that the server answered, without those of TLS.
    pub received: AtomicU64,
    /// Connections that ended or did not come about.
    pub ended: AtomicU64,
    /// Calls that the server shed.
    pub shed: AtomicU64,
}

struct Attacker {
    number: usize,
    target: Arc<Target>,
    counts: Arc<Counts>,
    load: Load,
    /// Held until its part of the load is there.
    gathering: Option<(mpsc::Sender<Infallible>, OwnedSemaphorePermit)>,
}

/// Attacks until the future is dropped; calls `up` when all attackers are at work.
pub async fn attack(orders: Orders, counts: Arc<Counts>, up: impl FnOnce()) {
    let load = orders.attack.load(orders.scale);
    let target = Arc::new(Target::new(&orders));
    let gate = Arc::new(Semaphore::new(GATHERING));
    let (begun, mut all) = mpsc::channel(1);
    let mut attackers = JoinSet::new();
    for number in 0..load.connections {
        let (target, gate) = (Arc::clone(&target), Arc::clone(&gate));
        let (counts, begun) = (Arc::clone(&counts), begun.clone());
        attackers.spawn(async move {
            let place = gate.acquire_owned().await.unwrap();
            let gathering = Some((begun, place));
            Attacker { number, target, counts, load, gathering }.run(orders.attack).await;
        });
    }
    drop(begun);
    // Nothing is ever sent: it ends when the last attacker is up.
    all.recv().await;
    up();
    attackers.join_all().await;
}

impl Attacker {
    async fn run(mut self, attack: Attack) {
        loop {
            // How it ended does not matter to an attacker.
            drop(self.connection(attack).await);
            self.counts.ended.fetch_add(1, Ordering::Relaxed);
            self.is_up();
            sleep(COMING_BACK).await;
        }
    }

    /// One connection, until it is closed.
    async fn connection(&mut self, attack: Attack) -> io::Result<()> {
        match attack {
            Attack::IdleTcp => self.idle_tcp().await,
            Attack::HalfHandshake => self.half_handshake().await,
            Attack::SilentHttp2 => self.silent_http2().await,
            Attack::SlowHeaders => self.slow_headers().await,
            Attack::SlowReader => self.slow_reader().await,
            Attack::ZeroWindow => self.zero_window().await,
            Attack::RapidReset => self.rapid_reset().await,
            Attack::ProvokedReset => self.provoked_reset().await,
            Attack::Continuation => self.continuation().await,
            Attack::EmptyData => self.empty_data().await,
            Attack::Ping => self.pings().await,
            Attack::Settings => self.settings().await,
            Attack::Churn => self.churn().await,
            Attack::NoCredential => self.no_credential().await,
            Attack::LargeBatches => self.large_batches().await,
        }
    }

    /// Lets the next one in.
    fn is_up(&mut self) {
        self.gathering = None;
    }

    fn sent(&self, n: u64) {
        self.counts.sent.fetch_add(n, Ordering::Relaxed);
    }

    /// Reads until the server closes.
    async fn drain(&self, mut stream: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut buffer = vec![0; 16_384];
        loop {
            match stream.read(&mut buffer).await? {
                0 => return Ok(()),
                n => self.counts.received.fetch_add(n as u64, Ordering::Relaxed),
            };
        }
    }
}
