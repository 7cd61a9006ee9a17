//! Attacks on a server while an honest client keeps working (D1 to D6).
//!
//! The server and the attackers are processes of their own. What is asserted is that honest
//! answers are right, that fewer than one in a hundred fail after the repetitions of the SDK, that
//! the server lives and lets go of what the attackers held, and that slow readers do not make it
//! keep their answers. Times are printed, not judged. See `docs/FLOODS.md`.

mod attackers;
mod attacks;
pub mod frames;
mod honest;
mod process;
mod table;
mod target;

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use acquaint_core::limits::BATCH_ELEMENTS_MAX;
use acquaint_proto::v1::{PublishRequest, RegisterRequest};
use tokio::time::sleep;
use tokio_stream::StreamExt as _;

use self::{
    attacks::{Attack, Scale},
    honest::Honest,
    process::{Attackers, Vitals, resident_bytes},
    table::Row,
    target::Orders,
};
use crate::{
    binary::{Installation, PATIENCE, Serving, authorized, poll},
    world,
};

/// Attacks that the server does not withstand yet; they are run, and what is asserted of the others
/// is only printed for them.
const NOT_YET_WITHSTOOD: [Attack; 0] = [];

/// How the server is configured, besides the defaults: accounts may attack without end, and all
/// entries are published at once, as one snapshot.
const CONFIGURATION: [(&str, &str); 5] = [
    ("ACQUAINT__PUBLICATION__DELAY_MS", "3600000"),
    // All places of the slow readers are taken, by fewer accounts than it would take.
    ("ACQUAINT__TRANSPORT__STREAMS_PER_ACCOUNT", "64"),
    ("ACQUAINT__QUOTA__ELEMENTS", "1000000000"),
    ("ACQUAINT__QUOTA__REFILL_PER_DAY", "1000000000"),
    ("RUST_LOG", "warn"),
];

/// Memory that a slow stream may cost. Copies of set and labels take more, see [`Scale::entries`].
const SLOW_STREAM_BYTES_MAX: u64 = 1 << 20;

/// Descriptors that may be open beyond those of before: the honest client's connections end, and
/// the store opens files, in their own time.
const DESCRIPTORS_SLACK: usize = 4;

const SAMPLE: Duration = Duration::from_millis(25);

/// The quick version is a test like any other; `ACQUAINT_FLOODS=full` measures, and
/// `ACQUAINT_FLOODS_ONLY="rapid reset"` runs a single attack.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn honest_lookups_go_on_under_attack() {
    let scale = std::env::var("ACQUAINT_FLOODS").unwrap_or_else(|_| "quick".to_owned());
    let scale = Scale::by_name(&scale).expect("ACQUAINT_FLOODS is quick or full");
    let only = std::env::var("ACQUAINT_FLOODS_ONLY").ok();
    let only = only.map(|name| Attack::by_name(&name).expect("ACQUAINT_FLOODS_ONLY is an attack"));

    let site = Installation::new();
    let overrides = std::env::vars().filter(|(name, _)| name.starts_with("ACQUAINT__"));
    let server = site.start(site.serve_command(&CONFIGURATION).envs(overrides));
    let field = Field::prepare(&site, &server, scale).await;
    // The first calls touch what later ones find ready.
    field.honest.measure(Duration::from_secs(1)).await;

    let attacks = Attack::ALL.into_iter().filter(|attack| only.is_none_or(|only| only == *attack));
    let mut rows = Vec::new();
    for attack in attacks {
        let row = field.run(attack).await;
        rows.push(row);
    }
    table::print(&rows);
    for row in &rows {
        check(row);
    }
    drop(field);
    assert!(!server.log().contains("panicked"), "{}", server.log());
    server.stop();
}

/// A server with a directory, an honest client, and what its attackers are told.
struct Field {
    honest: Arc<Honest>,
    orders: Orders,
    server: u32,
}

impl Field {
    async fn prepare(site: &Installation, server: &Serving<'_>, scale: Scale) -> Self {
        register(site, server, scale.entries()).await;
        let honest = Arc::new(Honest::new(site, server).await);
        server.admin().await.publish(PublishRequest::default()).await.unwrap();
        let manifest = honest.manifest().await;
        assert_eq!(manifest.current().snapshot.members, scale.entries());
        let accounts = Attack::LargeBatches.load(scale).connections;
        let mint = |i| site.mint(&format!("attacker {i}"), "discover", "6h");
        let credentials: Vec<String> = (0..accounts).map(mint).collect();
        let (_, port) = server.url.rsplit_once(':').unwrap();
        let orders = Orders {
            attack: Attack::IdleTcp,
            scale,
            address: SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap())),
            certificate: site.path("tls/certificate.pem"),
            credentials: site.write("attackers.cred", credentials.join("\n")).into(),
            epoch: manifest.current().epoch,
            snapshot: manifest.current().snapshot.number,
        };
        Self { honest, orders, server: server.id() }
    }

    async fn run(&self, attack: Attack) -> Row {
        let orders = Orders { attack, ..self.orders.clone() };
        let scale = orders.scale;
        let quiet = self.honest.measure(scale.quiet()).await;
        let before = Vitals::of(self.server);

        let peak = Arc::new(AtomicU64::new(before.resident_bytes));
        let (server, sampled) = (self.server, Arc::clone(&peak));
        let sampler = tokio::spawn(async move {
            loop {
                sampled.fetch_max(resident_bytes(server), Ordering::Relaxed);
                sleep(SAMPLE).await;
            }
        });
        let attackers = tokio::task::block_in_place(|| Attackers::start(&orders));
        let attacked = self.honest.measure(scale.attacked()).await;
        let report = tokio::task::block_in_place(|| attackers.stop());
        sampler.abort();

        let most = before.descriptors + DESCRIPTORS_SLACK;
        let released = tokio::task::block_in_place(|| {
            poll(PATIENCE, || (Vitals::of(self.server).descriptors <= most).then_some(()))
        });
        let after = Vitals::of(self.server);
        assert!(released.is_some(), "{}: {before:?}, {after:?}", attack.name());
        let recovered = self.honest.measure(Duration::from_millis(200)).await;
        assert_eq!(recovered.failed, 0, "{}: after the attack", attack.name());

        let peak_bytes = peak.load(Ordering::Relaxed);
        let load = attack.load(scale);
        Row { attack, load, report, quiet, attacked, before, peak_bytes, after }
    }
}

fn check(row: &Row) {
    let name = row.attack.name();
    assert!(row.report.sent > 0, "{name}: the attack did not take place");
    assert_eq!(row.quiet.failed, 0, "{name}: before the attack");
    if NOT_YET_WITHSTOOD.contains(&row.attack) {
        return;
    }
    assert!(row.error_rate() < 0.01, "{name}: {} of {}", row.attacked.failed, row.attacked.calls());
    if let Some(streams) = row.attack.slow_streams(row.load) {
        if row.attack == Attack::SlowReader {
            let begun = row.report.received / row.report.sent;
            assert!(begun >= 16_384, "{name}: {begun} bytes of an answer were sent");
        }
        let growth = row.growth_bytes() / streams as u64;
        assert!(growth < SLOW_STREAM_BYTES_MAX, "{name}: {growth} bytes a stream");
    }
}

/// Registers entries that are elements of the group and nobody's number.
async fn register(site: &Installation, server: &Serving<'_>, n_entries: u64) {
    let registrar = site.mint("back-end", "register", "1h");
    let chunk = |range: std::ops::Range<u64>| RegisterRequest {
        epoch: 1,
        labels: vec![7; 16 * (range.end - range.start) as usize].into(),
        elements: world::elements(range).into(),
        hidden: false,
    };
    let firsts = (0..n_entries).step_by(BATCH_ELEMENTS_MAX);
    let ranges = firsts.map(move |i| i..n_entries.min(i + BATCH_ELEMENTS_MAX as u64));
    let request = authorized(tokio_stream::iter(ranges).map(chunk), &registrar);
    let mut answers = server.registry().await.register(request).await.unwrap().into_inner();
    let mut n_added: u64 = 0;
    while let Some(answer) = answers.message().await.unwrap() {
        n_added += u64::from(answer.added);
    }
    assert_eq!(n_added, n_entries);
}
