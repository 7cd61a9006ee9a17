//! The honest client: an app that goes on looking up while others attack, and checks every answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use acquaint_client::{Identifier, ManifestPin};
use acquaint_core::{
    manifest::{SignedManifest, VerifiedManifest},
    oprf::{self, BlindedBatch, Mode, Padding, SecretKey, TrustedKey},
};
use acquaint_proto::{
    Received,
    v1::{EvaluateRequest, GetManifestRequest, discovery_service_client::DiscoveryServiceClient},
};
use acquaint_server::keystore::Keys;
use tokio::{
    task::JoinSet,
    time::{self, MissedTickBehavior, sleep},
};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

use crate::{
    binary::{Installation, Serving, authorized},
    world,
};

/// Contacts of a lookup: a middling padding class.
const BATCH: u64 = 64;

/// Between the beginnings of two calls, however long they take.
const TICK: Duration = Duration::from_millis(20);

/// Every so many calls one asks for the manifest, and one opens a connection.
const MANIFEST_EVERY: u64 = 10;
const CONNECT_EVERY: u64 = 16;

/// How long a call is repeated, as in the SDK, before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(10);
const ATTEMPT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(50);

const EPOCH: u32 = 1;

/// A client with a credential, and the oracle of its answers.
pub struct Honest {
    endpoint: Endpoint,
    kept: Channel,
    credential: String,
    pin: ManifestPin,
    key: TrustedKey,
    contacts: Vec<Identifier>,
    /// `k·H(x)` of the contacts, by the key from the server's directory.
    outputs: Vec<[u8; 32]>,
}

/// What a phase was like.
#[derive(Debug, Default)]
pub struct Measured {
    /// From when a call was due to its answer, repetitions included; ascending.
    latencies: Vec<Duration>,
    pub failed: usize,
}

/// A call that the server did not answer in time; a wrong answer ends the test.
struct Failed;

impl Honest {
    pub async fn new(site: &Installation, server: &Serving<'_>) -> Self {
        let keys = Keys::load(&site.path("keys")).unwrap();
        let (secret, _) = keys.oprf_seeds.get(EPOCH).unwrap().epoch_key(EPOCH).unwrap();
        let contacts: Vec<_> = (0..BATCH).map(world::number).collect();
        let endpoint = server.endpoint();
        Self {
            kept: endpoint.connect().await.unwrap(),
            endpoint,
            credential: site.mint("honest", "discover", "6h"),
            pin: site.pin.parse().unwrap(),
            key: secret.trusted_key(),
            outputs: outputs(&secret, &contacts),
            contacts,
        }
    }

    /// Goes on for a while.
    pub async fn measure(self: &Arc<Self>, phase: Duration) -> Measured {
        let mut ticks = time::interval(TICK);
        // What was due is late, not left out.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut calls = JoinSet::new();
        for number in 1..=(phase.as_micros() / TICK.as_micros()) as u64 {
            let due = ticks.tick().await.into_std();
            let honest = Arc::clone(self);
            calls.spawn(async move { honest.call(number).await.map(|()| due.elapsed()) });
        }
        let mut measured = Measured::default();
        for outcome in calls.join_all().await {
            match outcome {
                Ok(latency) => measured.latencies.push(latency),
                Err(Failed) => measured.failed += 1,
            }
        }
        measured.latencies.sort();
        measured
    }

    /// One call of the sequence, with its repetitions.
    async fn call(&self, number: u64) -> Result<(), Failed> {
        let start = Instant::now();
        loop {
            let attempt = time::timeout(ATTEMPT, self.attempt(number)).await;
            let Some(pause) = attempt.unwrap_or(Some(PAUSE)) else { return Ok(()) };
            if start.elapsed() + pause > PATIENCE {
                return Err(Failed);
            }
            sleep(pause).await;
        }
    }

    /// `None` if it was answered, or how long to wait before the next attempt.
    async fn attempt(&self, number: u64) -> Option<Duration> {
        let channel = if number.is_multiple_of(CONNECT_EVERY) {
            let Ok(channel) = self.endpoint.connect().await else { return Some(PAUSE) };
            channel
        } else {
            self.kept.clone()
        };
        let discovery = DiscoveryServiceClient::new(channel);
        let answered = if number.is_multiple_of(MANIFEST_EVERY) {
            self.manifest_from(discovery).await.map(drop)
        } else {
            self.look_up(discovery).await
        };
        let status = answered.err()?;
        let Received { reason, retry_after, .. } = Received::from(&status);
        // What has a reason and no delay is refused for good; the transport's errors have none.
        assert!(reason.is_none() || retry_after.is_some(), "{status:?}");
        Some(retry_after.unwrap_or(PAUSE))
    }

    /// The manifest, verified.
    pub async fn manifest(&self) -> VerifiedManifest {
        self.manifest_from(DiscoveryServiceClient::new(self.kept.clone())).await.unwrap()
    }

    async fn manifest_from(
        &self,
        mut discovery: DiscoveryServiceClient<Channel>,
    ) -> Result<VerifiedManifest, Status> {
        let request = authorized(GetManifestRequest::default(), &self.credential);
        let answer = discovery.get_manifest(request).await?.into_inner();
        let signed = SignedManifest::try_from(answer.manifest.unwrap()).unwrap();
        Ok(signed.verify(&self.pin).unwrap())
    }

    /// Evaluates all contacts, blinded anew, and compares with the oracle.
    async fn look_up(&self, mut discovery: DiscoveryServiceClient<Channel>) -> Result<(), Status> {
        let inputs: Vec<&[u8]> = self.contacts.iter().map(Identifier::as_bytes).collect();
        let blinding =
            oprf::blind_for(&self.key, &inputs, Padding::None, &mut rand::rng()).unwrap();
        let blinded_elements = blinding.to_bytes().into();
        let request = EvaluateRequest { epoch: EPOCH, blinded_elements };
        let answer = discovery.evaluate(authorized(request, &self.credential)).await?.into_inner();
        let (evaluated, proof) = (&answer.evaluated_elements, &answer.proof);
        let verified = blinding.verify(self.key.public(), evaluated, proof).unwrap();
        let outputs: Vec<_> = verified.unblind().iter().map(|e| *e.expose_bytes()).collect();
        assert!(outputs == self.outputs, "a wrong answer");
        Ok(())
    }
}

impl Measured {
    pub fn calls(&self) -> usize {
        self.latencies.len() + self.failed
    }

    /// The latency that all but one of a hundred calls keep, of those that were answered.
    pub fn p99(&self) -> Duration {
        let rank = (self.latencies.len() * 99).div_ceil(100);
        rank.checked_sub(1).map_or(PATIENCE, |rank| self.latencies[rank])
    }
}

/// `k·H(x)` of identifiers, with the secret key at hand and without the server.
fn outputs(secret: &SecretKey, identifiers: &[Identifier]) -> Vec<[u8; 32]> {
    let inputs: Vec<&[u8]> = identifiers.iter().map(Identifier::as_bytes).collect();
    let rng = &mut rand::rng();
    let blinding = oprf::blind(Mode::Voprf, &inputs, Padding::None, rng).unwrap();
    let batch = BlindedBatch::try_from(&blinding.to_bytes()[..]).unwrap();
    let evaluation = oprf::blind_evaluate(Mode::Voprf, secret, &batch, rng);
    let (evaluated, proof) = (evaluation.elements.concat(), evaluation.proof.unwrap());
    let verified = blinding.verify(&secret.public_key(), &evaluated, &proof.to_bytes()).unwrap();
    verified.unblind().iter().map(|element| *element.expose_bytes()).collect()
}
