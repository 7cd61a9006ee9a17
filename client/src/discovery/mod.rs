//! A lookup, phase by phase: manifest, then evaluation beside the directory, then matching.

mod chunks;
mod delta;
mod directory;
mod download;
mod evaluate;
mod files;
mod holding;
mod matching;
mod plan;
mod session;
mod source;
#[cfg(test)]
mod tests;

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use acquaint_core::manifest::VerifiedManifest;
use futures_util::{
    StreamExt,
    future::{Either, ready, select},
    stream,
};

use crate::{
    address_book::AddressBook,
    builder::Core,
    error::{ClientError, Misbehavior},
    outcome::{Match, Pending, Progress, SyncOutcome, SyncReport},
    traffic::{Meter, PhaseReport},
};

use directory::Wanted;
use evaluate::{Evaluation, evaluate_batch};
use plan::Batch;
use session::Session;
use source::Source;

const SECONDS_PER_DAY: u64 = 86_400;

/// How often a lookup starts over because key or snapshot were replaced under it.
const RESTARTS_MAX: usize = 2;

/// One lookup.
pub(crate) struct Lookup<'a> {
    core: &'a Arc<Core>,
    address_book: &'a AddressBook,
    progress: &'a (dyn Fn(Progress) + Send + Sync),
    manifest: Phase,
    evaluate: Phase,
    set: Phase,
    labels: Phase,
    matching: Phase,
}

/// Bytes and time of a phase, over all its rounds.
#[derive(Default)]
struct Phase {
    meter: Arc<Meter>,
    duration_us: AtomicU64,
}

impl<'a> Lookup<'a> {
    pub(crate) fn new(
        core: &'a Arc<Core>,
        address_book: &'a AddressBook,
        progress: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> Self {
        Self {
            core,
            address_book,
            progress,
            manifest: Phase::default(),
            evaluate: Phase::default(),
            set: Phase::default(),
            labels: Phase::default(),
            matching: Phase::default(),
        }
    }

    /// Runs the lookup; starts over when the directory changes under it.
    ///
    /// What was evaluated before an error is kept: it has been charged.
    pub(crate) async fn run(self) -> Result<SyncOutcome, ClientError> {
        let (start, traffic_before) = (Instant::now(), self.core.connection.traffic());
        let mut session = Session::open(self.core).await?;
        let mut evaluation = Evaluation::default();
        let mut n_restarts = 0;
        let (manifest, mut matches) = loop {
            let manifest = self.manifest.timed(self.fetch_manifest(&mut session)).await?;
            match self.round(&manifest, &mut session, &mut evaluation).await {
                Ok(matches) => break (manifest, matches),
                Err(ClientError::DirectoryChanged) if n_restarts < RESTARTS_MAX => n_restarts += 1,
                Err(error) => {
                    // The error of the lookup says more than one of saving.
                    let _ = session.save().await;
                    return Err(error);
                }
            }
        };
        let newest = manifest.current();
        let pending = evaluation.exhausted.map(|retry_after| Pending {
            contacts: session.missing(self.address_book, newest.epoch),
            retry_after,
        });
        if let Some(pending) = &pending {
            matches.extend(session.remembered(self.address_book, &pending.contacts));
            matches.sort_unstable_by_key(|found| found.contact);
        }
        let changes = session.finish(self.address_book, &matches).await?;
        Ok(SyncOutcome {
            matches,
            head: manifest.head(),
            quota: evaluation.quota,
            pending,
            changes,
            state_discarded: session.discarded,
            report: SyncReport {
                users: newest.members(),
                contacts: self.address_book.contacts().len(),
                batches: evaluation.n_batches,
                elements: evaluation.n_elements,
                set_bytes: newest.snapshot.set_bytes,
                labels_bytes: newest.snapshot.labels_bytes(),
                manifest: self.manifest.report(),
                evaluate: self.evaluate.report(),
                set: self.set.report(),
                matching: self.matching.report().duration,
                labels: self.labels.report(),
                total: start.elapsed(),
                traffic: self.core.connection.traffic() - traffic_before,
                blinded_sample: evaluation.blinded_sample,
            },
        })
    }

    /// Everything that depends on one manifest.
    ///
    /// Evaluations outlive the round: they have been charged, and under the same key they stay
    /// valid; so does what was downloaded.
    async fn round(
        &self,
        manifest: &Arc<VerifiedManifest>,
        session: &mut Session,
        evaluation: &mut Evaluation,
    ) -> Result<Vec<Match>, ClientError> {
        let info = manifest.current();
        evaluation.enter(info.epoch);
        let missing = session.missing(self.address_book, info.epoch);
        session.load_holding(info.epoch).await?;
        let mut holding = session.holding.take();
        let wanted = Wanted {
            core: self.core,
            info,
            progress: self.progress,
            set: &self.set,
            labels: &self.labels,
        };
        let evaluated = self.evaluate.timed(self.evaluate_all(manifest, &missing, evaluation));
        let got = self.set.timed(wanted.get(&mut holding));
        let (evaluated, got) = match select(pin!(evaluated), pin!(got)).await {
            // A server that lied, or has gone: nothing more is asked of it.
            Either::Left(((evaluated, Err(error)), _)) => (evaluated, Err(error)),
            Either::Left(((evaluated, Ok(())), got)) => (evaluated, got.await),
            // What was evaluated is charged and worth keeping, whatever became of the download.
            Either::Right((got, evaluated)) => match evaluated.await {
                (evaluated, Ok(())) => (evaluated, got),
                (evaluated, Err(error)) => (evaluated, got.and(Err(error))),
            },
        };
        session.add(self.address_book, info.epoch, evaluated);
        session.holding = holding;
        let holding = got?;

        (self.progress)(Progress::Match);
        let contacts = session.evaluated(self.address_book, info.epoch);
        let search = self.core.cpu.run(move || matching::find(&holding, &contacts));
        self.matching.timed(search).await?
    }

    async fn fetch_manifest(
        &self,
        session: &mut Session,
    ) -> Result<Arc<VerifiedManifest>, ClientError> {
        (self.progress)(Progress::Manifest);
        let source = Source::of(self.core);
        let newest = source.manifest(session.known_digest(), &self.manifest.meter).await?;
        let Some(signed) = newest else {
            // Nothing newer than what was accepted before.
            return session.manifest().ok_or(Misbehavior::Message.into());
        };
        let manifest = self.core.trust.accept(&signed)?;
        let manifest = Arc::new(manifest);
        session.accept(signed, &manifest)?;
        Ok(manifest)
    }

    /// Evaluates contacts, several batches at a time, as far as the quota goes. Returns those that
    /// were, also after an error.
    async fn evaluate_all(
        &self,
        manifest: &Arc<VerifiedManifest>,
        missing: &[usize],
        evaluation: &mut Evaluation,
    ) -> (Vec<evaluate::Evaluated>, Result<(), ClientError>) {
        let contacts = self.address_book.contacts();
        let batches = plan::plan(missing, &plan::classes(&manifest.policy), &mut rand::rng());
        if let Err(error) = self.check_room(&batches).await {
            return (Vec::new(), Err(error));
        }
        let exhausted = AtomicBool::new(evaluation.exhausted.is_some());
        // Full capacity at once: growing would leave copies of keys behind.
        let mut evaluated = Vec::with_capacity(missing.len());
        let mut answers = stream::iter(batches)
            // What is on its way is waited for: it may have been charged.
            .take_while(|_| ready(!exhausted.load(Relaxed)))
            .map(|batch| {
                let inputs = evaluate::inputs(&batch, contacts);
                let (core, meter) = (Arc::clone(self.core), Arc::clone(&self.evaluate.meter));
                evaluate_batch(core, Arc::clone(manifest), meter, batch.class, inputs)
            })
            .buffer_unordered(self.core.in_flight);
        let total = missing.len() as u64;
        (self.progress)(Progress::Evaluate { done: 0, total });
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(answer) => evaluated.extend(evaluation.add(answer)),
                Err(ClientError::QuotaExhausted { retry_after }) => {
                    exhausted.store(true, Relaxed);
                    evaluation.exhaust(retry_after);
                }
                Err(error) => {
                    drop(answers);
                    return (evaluated, Err(error));
                }
            }
            let done = evaluated.len() as u64;
            (self.progress)(Progress::Evaluate { done, total });
        }
        drop(answers);
        (evaluated, Ok(()))
    }

    /// Without a memory, a lookup that the quota covers in part would begin anew each time and never
    /// get to its end: it is refused before it costs anything. One batch is covered or not.
    async fn check_room(&self, batches: &[Batch]) -> Result<(), ClientError> {
        if self.core.state.is_some() || batches.len() < 2 {
            return Ok(());
        }
        let elements = plan::elements(batches) as u64;
        let quota = self.core.quota(&self.evaluate.meter).await?;
        if elements > quota.capacity {
            return Err(ClientError::TooManyContacts { elements, elements_max: quota.capacity });
        }
        let lacking = elements.saturating_sub(quota.remaining);
        if lacking == 0 {
            return Ok(());
        }
        let seconds = (lacking * SECONDS_PER_DAY).checked_div(quota.refill_per_day);
        let retry_after = seconds.map(|seconds| Duration::from_secs(seconds + 1));
        Err(ClientError::QuotaExhausted { retry_after })
    }
}

impl Phase {
    /// Runs a part of the phase on its clock.
    async fn timed<T>(&self, part: impl Future<Output = T>) -> T {
        let start = Instant::now();
        let result = part.await;
        let elapsed_us = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.duration_us.fetch_add(elapsed_us, Relaxed);
        result
    }

    fn report(&self) -> PhaseReport {
        self.meter.report(Duration::from_micros(self.duration_us.load(Relaxed)))
    }
}
