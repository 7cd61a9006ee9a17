//! What admission costs beside the evaluation that it guards, for a batch of 64 elements.
//!
//! Ids: `admission/evaluate_with_proof`, `admission/door`, `admission/charge_memory/<at a time>`,
//! `admission/charge_disk/<at a time>`: time by the clock, of one call. After criterion's figures
//! comes a table of interleaved rounds with the processor time of all threads, and what admission
//! takes as a share of the evaluation; a run with a filter leaves it out, and
//! `ACQUAINT_BENCH_TABLE_ONLY=1` prints nothing else.
//!
//! `benches/README.md` says how to read all this.

#![allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::print_stdout,
    missing_debug_implementations,
    unreachable_pub,
    reason = "a bench: it has no callers, aborts when something is wrong, and shares modules with \
              others, each of which uses a part"
)]

#[path = "baseline/host.rs"]
mod host;
// The harness of the end-to-end tests: keys, certificate and configuration of a server.
#[path = "../tests/e2e/world.rs"]
mod world;

use std::{
    env, fs,
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use acquaint_core::{
    credential::{Claims, CredentialVerifier, Pseudonym, Scope},
    limits::ELEMENT_BYTES,
};
use acquaint_server::{
    admission::{
        Admitted, Charged, Door, Gate, Peer, Quotas, access::Entrance, bucket::QuotaPolicy,
    },
    clock::{ManualClock, SystemClock},
    keystore::Keys,
    serve::Server,
    store::{REPEAT_FREE_MS, RedbStore, Store},
    tenant::{Tenant, Tenants},
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use criterion::{BenchmarkId, Criterion};
use futures_util::future::join_all;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tonic::codegen::http::{HeaderMap, header::AUTHORIZATION};
use world::Site;

const BATCH: usize = 64;
const EPOCH: u32 = 1;
const EVALUATE: &str = "/acquaint.v1.DiscoveryService/Evaluate";

/// Charges that wait for the store at a time: on a server that has something to do, and on one that
/// is busy.
const SOME: usize = 8;
const TOGETHER: usize = 64;

/// Accounts in turn; so many have a quota that its table is a few levels deep.
const ACCOUNTS: usize = 10_000;

/// Simulated time between two charges: 60,000 in ten minutes.
const PACE_MS: u64 = 10;

/// A store forgets charges by the ten minutes, and those of the last ones are there for sure.
const PERIOD_CHARGES: u64 = REPEAT_FREE_MS / PACE_MS;

/// Commits that forget as many charges as one does, after ten minutes are over.
const FORGETTING: usize = 100;

/// Rounds of the table. Odd, so that the median is one of them.
const ROUNDS: usize = 15;

fn main() {
    let bench = Bench::start();
    let table_only = env::var_os("ACQUAINT_BENCH_TABLE_ONLY").is_some_and(|value| value == "1");
    if !table_only {
        let mut criterion = Criterion::default()
            .warm_up_time(Duration::from_millis(500))
            .measurement_time(Duration::from_secs(3))
            .sample_size(20)
            .configure_from_args();
        bench.criterion(&mut criterion);
        criterion.final_summary();
    }
    if table_only || is_whole_run() {
        bench.print_table();
    }
}

/// Whether `cargo bench` runs everything: no filter, no test mode.
fn is_whole_run() -> bool {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let is_known = |argument: &String| ["--bench", "--quick", "--noplot"].contains(&&argument[..]);
    arguments.iter().all(is_known) && arguments.iter().any(|argument| argument == "--bench")
}

/// A server that is bound and not served: its tenant, a door to it, and gates of our own.
struct Bench {
    runtime: Runtime,
    tenant: Arc<Tenant>,
    door: Door,
    headers: HeaderMap,
    batch: Bytes,
    charged: Charged,
    memory: Charger,
    disk: Charger,
    _server: Server,
    _places: (Site, TempDir),
}

/// Charges batch after batch, none of them twice, to accounts in turn.
struct Charger {
    gate: Gate,
    clock: Arc<ManualClock>,
    accounts: Vec<Claims>,
    n_charges: AtomicU64,
    /// When all further charges are, in milliseconds; 0: in turn.
    stopped_at_ms: AtomicU64,
}

impl Bench {
    fn start() -> Self {
        world::install_provider();
        let runtime = Runtime::new().unwrap();
        let site = Site::new();
        let server = runtime.block_on(Server::bind(site.config.clone())).unwrap();
        let tenants = server.tenants();
        // On the disk of the build: the system's place for temporary files may be memory.
        let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let disk = RedbStore::open(place.path().join("store.redb"), [1; 32]).unwrap();
        let memory = Charger::new(&site, Arc::new(RedbStore::in_memory().unwrap()));
        let disk = Charger::new(&site, Arc::new(disk));
        for charger in [&memory, &disk] {
            runtime.block_on(charger.fill());
        }
        let mut headers = HeaderMap::new();
        let credential = site.credential("alice", Scope::Discover);
        let value = format!("Bearer {}", credential.expose_text()).parse().unwrap();
        headers.insert(AUTHORIZATION, value);
        let charged = runtime.block_on(memory.charge());
        Self {
            runtime,
            tenant: tenants.only().unwrap(),
            door: door(&site, tenants),
            headers,
            batch: world::elements(0..BATCH as u64).into(),
            charged,
            memory,
            disk,
            _server: server,
            _places: (site, place),
        }
    }

    /// A batch as the rpc evaluates it once it is charged: room, decoding, multiplication, proof.
    async fn evaluate(&self) {
        let directory = self.tenant.directory();
        let reservation = self.tenant.evaluator().reserve(BATCH as u32).unwrap();
        let key = directory.key(EPOCH).unwrap();
        let batch = directory.parse_batch(&reservation, self.batch.clone()).await.unwrap();
        let evaluation = directory.evaluate(&reservation, key, batch, &self.charged).await.unwrap();
        assert!(evaluation.proof.is_some());
        black_box(evaluation);
    }

    /// A call at the door: matrix, credential, tenant.
    fn admit(&self) {
        let admitted = self.door.admit(EVALUATE, &self.headers, &Peer::default()).unwrap();
        assert!(matches!(black_box(admitted), Admitted::Holder(..)));
    }

    fn criterion(&self, criterion: &mut Criterion) {
        let runtime = &self.runtime;
        let mut group = criterion.benchmark_group("admission");
        group.bench_function("evaluate_with_proof", |bencher| {
            bencher.to_async(runtime).iter(|| self.evaluate());
        });
        group.bench_function("door", |bencher| bencher.iter(|| self.admit()));
        for (name, charger) in [("charge_memory", &self.memory), ("charge_disk", &self.disk)] {
            for at_a_time in [1, SOME, TOGETHER] {
                group.bench_function(BenchmarkId::new(name, at_a_time), |bencher| {
                    bencher.to_async(runtime).iter(|| charger.charge_many(at_a_time));
                });
            }
        }
        group.finish();
    }

    fn print_table(&self) {
        let runtime = &self.runtime;
        let samples: Vec<_> = (0..=ROUNDS)
            .map(|_| Sample {
                evaluate: measure(256, || runtime.block_on(self.evaluate())),
                door: measure(131_072, || self.admit()),
                alone: measure(2_048, || runtime.block_on(self.memory.charge_many(1))),
                some: measure(512, || runtime.block_on(self.memory.charge_many(SOME))).each(SOME),
                together: measure(256, || runtime.block_on(self.memory.charge_many(TOGETHER)))
                    .each(TOGETHER),
                disk_alone: measure(64, || runtime.block_on(self.disk.charge_many(1))),
                disk_together: measure(16, || runtime.block_on(self.disk.charge_many(TOGETHER)))
                    .each(TOGETHER),
            })
            // The first round fills caches and does not count.
            .skip(1)
            .collect();
        println!("\nMedians of {ROUNDS} interleaved rounds, for one batch of {BATCH} elements.");
        println!("cpu: processor time of all threads, the store's included; share: of the");
        println!("evaluation in the same round.\n{}\n", host::describe());
        println!("{:<44} {:>10} {:>10} {:>8}", "", "clock µs", "cpu µs", "share");
        row("evaluate with proof", &samples, |s| s.evaluate);
        row("door: matrix and credential", &samples, |s| s.door);
        row("charge in memory, one at a time", &samples, |s| s.alone);
        row("charge in memory, 8 at a time, each", &samples, |s| s.some);
        row("charge in memory, 64 at a time, each", &samples, |s| s.together);
        row("admission: door and charge, one at a time", &samples, |s| s.door + s.alone);
        row("admission: door and charge, 8 at a time", &samples, |s| s.door + s.some);
        row("admission: door and charge, 64 at a time", &samples, |s| s.door + s.together);
        row("for information, charge on disk, alone", &samples, |s| s.disk_alone);
        row("for information, charge on disk, 64, each", &samples, |s| s.disk_together);
        for (name, charger) in [("memory", &self.memory), ("disk", &self.disk)] {
            charger.stop_where_all_forget();
            let cost = measure(FORGETTING, || runtime.block_on(charger.charge_many(1)));
            let name = format!("charge in {name} that forgets 512 others, mean");
            println!("{name:<44} {:>10.1} {:>10.1}", cost.clock_us, cost.cpu_us);
        }
    }
}

/// A door as a server's public port has it.
fn door(site: &Site, tenants: Arc<Tenants>) -> Door {
    let keys = Keys::load(&site.path("keys")).unwrap();
    let verifier = CredentialVerifier::new(
        site.config.audience().unwrap(),
        [("default".parse().unwrap(), keys.credentials)],
    );
    let verifier = Arc::new(ArcSwap::from_pointee(verifier));
    Door::new(Entrance::Public, tenants, verifier, Arc::new(SystemClock))
}

impl Charger {
    fn new(site: &Site, store: Arc<dyn Store>) -> Self {
        let clock = Arc::new(ManualClock::at_ms(0));
        // Nobody is refused: that would be another path.
        let policy = QuotaPolicy { capacity: 1 << 39, refill_per_day: 1 << 39 };
        let gate = Gate::new(Quotas::new(policy), store, Arc::<ManualClock>::clone(&clock) as _);
        let account = |n: usize| {
            // Spread over the key space, as pseudonyms are.
            let pseudonym = world::label((n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)).0;
            Claims { pseudonym: Pseudonym(pseudonym), ..site.claims("any", Scope::Discover) }
        };
        let accounts = (0..ACCOUNTS).map(account).collect();
        let [n_charges, stopped_at_ms] = [(); 2].map(|()| AtomicU64::new(0));
        Self { gate, clock, accounts, n_charges, stopped_at_ms }
    }

    /// Charges until the store holds as much as it does when it has served for long, and forgets.
    async fn fill(&self) {
        while self.n_charges.load(Ordering::Relaxed) < 5 * PERIOD_CHARGES / 2 {
            self.charge_many(256).await;
        }
    }

    /// Stops the clock when a whole period of charges is to be forgotten.
    fn stop_where_all_forget(&self) {
        let now_ms = self.n_charges.load(Ordering::Relaxed) * PACE_MS;
        self.stopped_at_ms.store(now_ms + 2 * REPEAT_FREE_MS, Ordering::Relaxed);
    }

    async fn charge_many(&self, at_a_time: usize) {
        join_all((0..at_a_time).map(|_| self.charge())).await;
    }

    async fn charge(&self) -> Charged {
        let n = self.n_charges.fetch_add(1, Ordering::Relaxed);
        let stopped_at_ms = self.stopped_at_ms.load(Ordering::Relaxed);
        self.clock.set_ms(if stopped_at_ms > 0 { stopped_at_ms } else { n * PACE_MS });
        let mut elements = [0; BATCH * ELEMENT_BYTES];
        elements[..8].copy_from_slice(&n.to_be_bytes());
        let account = &self.accounts[n as usize % ACCOUNTS];
        let charged = self.gate.charge(account, (EPOCH, false), &elements, BATCH as u64).await;
        let charged = charged.unwrap();
        assert_eq!(charged.elements(), BATCH as u64);
        charged
    }
}

/// What one round took.
struct Sample {
    evaluate: Cost,
    door: Cost,
    alone: Cost,
    some: Cost,
    together: Cost,
    disk_alone: Cost,
    disk_together: Cost,
}

/// Microseconds of a call.
#[derive(Clone, Copy)]
struct Cost {
    clock_us: f64,
    cpu_us: f64,
}

impl Cost {
    fn each(self, n: usize) -> Self {
        Self { clock_us: self.clock_us / n as f64, cpu_us: self.cpu_us / n as f64 }
    }
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { clock_us: self.clock_us + other.clock_us, cpu_us: self.cpu_us + other.cpu_us }
    }
}

fn measure(calls: usize, mut call: impl FnMut()) -> Cost {
    let (started, cpu_before_ns) = (Instant::now(), cpu_ns());
    for _ in 0..calls {
        call();
    }
    let (clock, cpu_ns) = (started.elapsed(), cpu_ns() - cpu_before_ns);
    Cost {
        clock_us: clock.as_secs_f64() * 1e6 / calls as f64,
        cpu_us: cpu_ns as f64 / 1e3 / calls as f64,
    }
}

/// Processor time that the living threads of this process have taken so far. The kernel counts it
/// at every switch and tick, so it is good for samples of many milliseconds.
fn cpu_ns() -> u64 {
    let threads = fs::read_dir("/proc/self/task").unwrap().map(Result::unwrap);
    let on_cpu = threads.map(|thread| {
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap();
        text.split(' ').next().unwrap().parse::<u64>().unwrap()
    });
    on_cpu.sum()
}

fn row(name: &str, samples: &[Sample], of: impl Fn(&Sample) -> Cost) {
    let costs: Vec<_> = samples.iter().map(&of).collect();
    let shares = samples.iter().map(|s| of(s).cpu_us / s.evaluate.cpu_us * 100.0);
    println!(
        "{name:<44} {:>10.1} {:>10.1} {:>6.1} %",
        median(costs.iter().map(|cost| cost.clock_us)),
        median(costs.iter().map(|cost| cost.cpu_us)),
        median(shares),
    );
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
