//! `kill -9` while accounts come and go and lookups are charged: what was acknowledged stays.
//!
//! The test keeps a plain model of what each account may be. An operation that was sent makes its
//! outcome possible; its acknowledgment makes it certain.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    fs,
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

use acquaint_client::{Client, Credential, Label, StaticCredential};
use acquaint_core::oprf::{self, Mode, OprfElement, Padding};
use acquaint_proto::v1::{
    EvaluateRequest, GetQuotaRequest, GetStatusRequest, RegisterRequest, UnregisterRequest,
    discovery_service_client::DiscoveryServiceClient,
    registry_service_client::RegistryServiceClient,
};
use rand::{RngExt as _, SeedableRng as _, seq::IndexedRandom as _};
use rand_chacha::ChaCha20Rng;
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;

use crate::{
    binary::{Installation, PATIENCE, Serving, authorized},
    world,
};

const CYCLES: usize = 20;
const USERS: u64 = 600;
const CHUNK_MAX: usize = 12;
const UNACKNOWLEDGED_MAX: usize = 4;
const QUOTA: u64 = 1_000_000;
/// The smallest padding class: what the charged account looks up at once.
const BATCH: u64 = 16;

/// What an account may be: registered with one of these labels, or absent.
type Possible = Vec<Option<u64>>;

/// The plain truth, as far as acknowledgments tell it.
#[derive(Default)]
struct Model {
    users: HashMap<u64, Possible>,
    acknowledgments: u64,
}

impl Model {
    fn sent(&mut self, changes: &[(u64, Option<u64>)]) {
        for (user, state) in changes {
            self.users.entry(*user).or_insert_with(|| vec![None]).push(*state);
        }
    }

    /// What was possible before is over; what was sent later stays possible.
    fn acknowledged(&mut self, changes: &[(u64, Option<u64>)]) {
        for (user, state) in changes {
            let possible = self.users.get_mut(user).unwrap();
            let position = possible.iter().position(|one| one == state).unwrap();
            possible.drain(..position);
        }
        self.acknowledgments += 1;
    }

    /// Users of whom it is certain that they are registered.
    fn registered(&self, among: &Range<u64>) -> Vec<u64> {
        let certain = |user: &u64| {
            self.users.get(user).is_some_and(|possible| matches!(possible[..], [Some(_)]))
        };
        among.clone().filter(certain).collect()
    }
}

/// Charged batches of one account.
#[derive(Default)]
struct Charges {
    /// Batches that were answered.
    answered: Vec<Vec<u8>>,
    /// The one that may or may not have been charged.
    in_flight: Option<Vec<u8>>,
    spent: u64,
}

/// What the tasks of a cycle share.
struct Cycle {
    model: Arc<Mutex<Model>>,
    charges: Arc<Mutex<Charges>>,
    elements: Arc<Vec<OprfElement>>,
    epoch: u32,
    registrar: String,
    acknowledged: watch::Sender<u64>,
}

fn label(state: u64) -> Vec<u8> {
    world::label(state).0.to_vec()
}

impl Cycle {
    fn acknowledge(&self, changes: &[(u64, Option<u64>)]) {
        let mut model = self.model.lock().unwrap();
        model.acknowledged(changes);
        self.acknowledged.send_replace(model.acknowledgments);
    }

    /// Registers chunks on one stream until the server is gone.
    async fn register(
        &self,
        mut registry: RegistryServiceClient<Channel>,
        users: Range<u64>,
        mut rng: ChaCha20Rng,
    ) {
        let (sender, chunks) = mpsc::channel(UNACKNOWLEDGED_MAX);
        let mut unacknowledged: VecDeque<Vec<(u64, Option<u64>)>> = VecDeque::new();
        let opening = registry.register(authorized(ReceiverStream::new(chunks), &self.registrar));
        let mut opening = Some(Box::pin(opening));
        let mut answers = None;
        loop {
            while unacknowledged.len() < UNACKNOWLEDGED_MAX {
                let n_rows = rng.random_range(1..=CHUNK_MAX);
                let mut changes = BTreeMap::new();
                for _ in 0..n_rows {
                    changes.insert(rng.random_range(users.clone()), rng.random::<u64>());
                }
                let changes: Vec<_> = changes.into_iter().map(|(u, l)| (u, Some(l))).collect();
                let element = |(user, _): &(u64, _)| *self.elements[*user as usize].expose_bytes();
                let elements: Vec<u8> = changes.iter().flat_map(element).collect();
                let labels =
                    changes.iter().filter_map(|(_, l)| *l).flat_map(label).collect::<Vec<_>>();
                let request = RegisterRequest {
                    epoch: self.epoch,
                    elements: elements.into(),
                    labels: labels.into(),
                    hidden: false,
                };
                self.model.lock().unwrap().sent(&changes);
                unacknowledged.push_back(changes);
                if sender.send(request).await.is_err() {
                    return;
                }
            }
            if let Some(opening) = opening.take() {
                let Ok(opened) = opening.await else { return };
                answers = Some(opened.into_inner());
            }
            match answers.as_mut().unwrap().message().await {
                Ok(Some(_)) => self.acknowledge(&unacknowledged.pop_front().unwrap()),
                Ok(None) => panic!("the server ended a stream that goes on"),
                Err(_) => return,
            }
        }
    }

    /// Removes accounts that are certainly registered until the server is gone.
    async fn remove(
        &self,
        mut registry: RegistryServiceClient<Channel>,
        users: Range<u64>,
        mut rng: ChaCha20Rng,
    ) {
        loop {
            let registered = self.model.lock().unwrap().registered(&users);
            let n_removed = rng.random_range(1..=CHUNK_MAX);
            let changes: Vec<_> =
                registered.sample(&mut rng, n_removed).map(|&user| (user, None)).collect();
            if changes.is_empty() {
                return;
            }
            let element = |(user, _): &(u64, _)| *self.elements[*user as usize].expose_bytes();
            let elements: Vec<u8> = changes.iter().flat_map(element).collect();
            self.model.lock().unwrap().sent(&changes);
            let request = UnregisterRequest { epoch: self.epoch, elements: elements.into() };
            match registry.unregister(authorized(request, &self.registrar)).await {
                Ok(answer) => {
                    assert_eq!(answer.into_inner().removed as usize, changes.len());
                    self.acknowledge(&changes);
                }
                Err(_) => return,
            }
        }
    }

    /// Spends an account's quota until the server is gone.
    async fn charge(&self, mut discovery: DiscoveryServiceClient<Channel>, credential: String) {
        let mut batch = 0;
        loop {
            batch += 1;
            let identifier = world::number(batch);
            let padding = Padding::Class(BATCH as usize);
            let inputs = [identifier.as_bytes()];
            let blinding = oprf::blind(Mode::Voprf, &inputs, padding, &mut rand::rng()).unwrap();
            let elements = blinding.to_bytes();
            self.charges.lock().unwrap().in_flight = Some(elements.clone());
            match evaluate(&mut discovery, self.epoch, &elements, &credential).await {
                Ok((charged, _)) => {
                    assert_eq!(charged, BATCH);
                    let mut charges = self.charges.lock().unwrap();
                    charges.in_flight = None;
                    charges.answered.push(elements);
                    charges.spent += BATCH;
                }
                Err(_) => return,
            }
        }
    }
}

/// Evaluates a batch: what it was charged and what is left.
async fn evaluate(
    discovery: &mut DiscoveryServiceClient<Channel>,
    epoch: u32,
    elements: &[u8],
    credential: &str,
) -> Result<(u64, u64), tonic::Status> {
    let request = EvaluateRequest { epoch, blinded_elements: elements.to_vec().into() };
    let answer = discovery.evaluate(authorized(request, credential)).await?.into_inner();
    let quota = answer.quota.unwrap();
    Ok((quota.charged, quota.remaining))
}

/// Everything published against the model, by a real lookup; what was uncertain is certain then.
async fn check_directory(
    server: &Serving<'_>,
    client: &Client,
    model: &mut Model,
) -> Result<(), String> {
    let outcome = client.sync(&world::book(0..USERS), |_| {}).await.unwrap();
    let found: HashMap<u64, Label> =
        outcome.matches.iter().map(|m| (m.contact as u64, m.label.clone())).collect();
    for (user, possible) in &mut model.users {
        let is = found.get(user);
        let state = possible.iter().find(|state| state.map(world::label).as_ref() == is);
        let state = *state.ok_or_else(|| {
            format!("user {user}: found: {}, possible: {possible:?}", is.is_some())
        })?;
        *possible = vec![state];
    }
    assert!(found.keys().all(|user| model.users.contains_key(user)), "a user from nowhere");
    let status =
        server.admin().await.get_status(GetStatusRequest::default()).await.unwrap().into_inner();
    assert_eq!((status.entries, status.members), (found.len() as u64, found.len() as u64));
    assert_eq!(status.version, status.published_version, "published at the start");
    Ok(())
}

/// Nothing that was charged is refunded, and an identical batch is charged once.
async fn check_quota(
    server: &Serving<'_>,
    charges: &mut Charges,
    epoch: u32,
    credential: &str,
) -> Result<(), String> {
    let mut discovery = server.discovery().await;
    let answer = discovery.get_quota(authorized(GetQuotaRequest {}, credential)).await.unwrap();
    let remaining = answer.into_inner().quota.unwrap().remaining;
    let spent = QUOTA - remaining;
    let in_flight = charges.in_flight.take();
    let possible = [charges.spent, charges.spent + in_flight.as_ref().map_or(0, |_| BATCH)];
    if !possible.contains(&spent) {
        return Err(format!("spent {spent}, possible {possible:?}"));
    }
    charges.spent = spent;
    let Some(last) = charges.answered.last() else { return Ok(()) };
    let replayed = evaluate(&mut discovery, epoch, last, credential).await.unwrap();
    assert_eq!(replayed, (0, remaining), "a replayed batch is free");
    if let Some(batch) = in_flight {
        // Charged in all once, whether it was before the kill or is now.
        let (charged, left) = evaluate(&mut discovery, epoch, &batch, credential).await.unwrap();
        assert_eq!(left, remaining - charged);
        assert_eq!(charged, possible[1] - spent);
        charges.spent = possible[1];
    }
    Ok(())
}

/// An installation with three accounts.
struct Stage {
    site: Installation,
    registrar: String,
    spender: String,
    auditor: String,
    model: Arc<Mutex<Model>>,
    charges: Arc<Mutex<Charges>>,
}

impl Stage {
    fn new() -> Self {
        let site = Installation::new();
        let registrar = site.mint("back-end", "register", "1h");
        let spender = site.mint("spender", "discover", "1h");
        let auditor = site.mint("auditor", "discover", "1h");
        let (model, charges) = Default::default();
        Self { site, registrar, spender, auditor, model, charges }
    }

    fn serve(&self, store: &str) -> Serving<'_> {
        self.site.serve_with(&[
            ("ACQUAINT__QUOTA__ELEMENTS", &QUOTA.to_string()),
            ("ACQUAINT__QUOTA__REFILL_PER_DAY", "0"),
            ("ACQUAINT__TENANTS__DEFAULT__STORE", store),
        ])
    }

    /// What the server has against what was acknowledged, while nothing runs.
    async fn check(&self, server: &Serving<'_>, epoch: u32) -> [Result<(), String>; 2] {
        let root = fs::read(self.site.path("tls/certificate.pem")).unwrap();
        let client = Client::builder(&server.url)
            .pin(self.site.pin.parse().unwrap())
            .trust_root_pem(root)
            .credentials(StaticCredential::new(Credential::from_text(&self.auditor)))
            .build()
            .unwrap();
        // Taken out, because a guard must not be held across an await.
        let mut model = std::mem::take(&mut *self.model.lock().unwrap());
        let directory = check_directory(server, &client, &mut model).await;
        *self.model.lock().unwrap() = model;
        let mut charges = std::mem::take(&mut *self.charges.lock().unwrap());
        let quota = check_quota(server, &mut charges, epoch, &self.spender).await;
        *self.charges.lock().unwrap() = charges;
        [directory, quota]
    }

    /// Changes the directory and spends quota until the server is killed.
    async fn run(
        &self,
        server: &mut Serving<'_>,
        (epoch, elements): (u32, &Arc<Vec<OprfElement>>),
        (come, go): (Range<u64>, Range<u64>),
        rng: &mut ChaCha20Rng,
    ) {
        let so_far = self.model.lock().unwrap().acknowledgments;
        let (acknowledged, mut count) = watch::channel(so_far);
        let cycle = Arc::new(Cycle {
            model: Arc::clone(&self.model),
            charges: Arc::clone(&self.charges),
            elements: Arc::clone(elements),
            epoch,
            registrar: self.registrar.clone(),
            acknowledged,
        });
        let mut tasks = JoinSet::new();
        let (registry, seed) = (server.registry().await, rng.random());
        let task = Arc::clone(&cycle);
        tasks.spawn(async move { task.register(registry, come, seeded(seed)).await });
        let (registry, seed) = (server.registry().await, rng.random());
        let task = Arc::clone(&cycle);
        tasks.spawn(async move { task.remove(registry, go, seeded(seed)).await });
        let (discovery, spender) = (server.discovery().await, self.spender.clone());
        tasks.spawn(async move { cycle.charge(discovery, spender).await });

        let wanted = so_far + rng.random_range(1..25);
        let moment = Duration::from_micros(rng.random_range(0..8_000));
        let reached = count.wait_for(|acknowledgments| *acknowledgments >= wanted);
        timeout(PATIENCE, reached).await.unwrap().unwrap();
        // Not to wait for anything: to hit another moment each time.
        sleep(moment).await;
        server.kill();
        while let Some(ended) = tasks.join_next().await {
            ended.unwrap();
        }
    }
}

fn seeded(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_minus_nine() {
    let mut rng = world::seeded("what_was_acknowledged_survives_kill_minus_nine");
    let stage = Stage::new();
    let store = stage.site.path("store.redb");
    let mut server = stage.serve("store.redb");
    let users: Vec<_> = (0..USERS).map(world::number).collect();
    let (epoch, elements) = server.outputs(&users, &stage.registrar).await;
    let elements = Arc::new(elements);
    for cycle in 0..CYCLES {
        // One half of the users comes while the other one goes, and the other way round.
        let halves = [0..USERS / 2, USERS / 2..USERS];
        let roles = (halves[cycle % 2].clone(), halves[(cycle + 1) % 2].clone());
        stage.run(&mut server, (epoch, &elements), roles, &mut rng).await;
        if cycle == CYCLES / 2 {
            fs::copy(&store, stage.site.path("old.redb")).unwrap();
        }
        server = stage.serve("store.redb");
        assert_eq!(stage.check(&server, epoch).await, [Ok(()), Ok(())], "cycle {cycle}");
    }
    {
        let (model, charges) = (stage.model.lock().unwrap(), stage.charges.lock().unwrap());
        let registered = model.registered(&(0..USERS)).len();
        let (known, acknowledgments) = (model.users.len(), model.acknowledgments);
        let n_charges = charges.answered.len();
        println!(
            "{acknowledgments} acknowledgments, {registered} of {known} left, {n_charges} charges"
        );
        assert!(registered > 0 && registered < known && n_charges > 0);
    }
    server.stop();
    // The same checks notice a store that has lost something.
    let server = stage.serve("old.redb");
    let [directory, quota] = stage.check(&server, epoch).await;
    assert!(directory.unwrap_err().starts_with("user "));
    assert!(quota.unwrap_err().starts_with("spent "));
    server.stop();
}
