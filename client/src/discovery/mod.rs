//! A lookup, phase by phase: manifest, then evaluation beside the set, then the labels of hits.

mod chunks;
mod download;
mod evaluate;
mod labels;
mod matching;
mod plan;
mod segments;
#[cfg(test)]
mod tests;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use acquaint_core::manifest::VerifiedManifest;
use acquaint_proto::v1;
use futures_util::{StreamExt, future::try_join, stream};

use crate::{
    address_book::AddressBook,
    builder::Core,
    error::ClientError,
    outcome::{Match, Progress, SyncOutcome, SyncReport},
    traffic::{Meter, PhaseReport},
};

use chunks::Assembler;
use download::{LabelStream, SetStream, download};
use evaluate::{Evaluation, evaluate_batch};
use labels::Labels;
use matching::Hit;
use segments::Segments;

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
    pub(crate) async fn run(self) -> Result<SyncOutcome, ClientError> {
        let (start, traffic_before) = (Instant::now(), self.core.connection.traffic());
        let mut evaluation = None;
        let mut n_restarts = 0;
        let (manifest, matches) = loop {
            let manifest = self.manifest.timed(self.fetch_manifest()).await?;
            match self.round(&manifest, &mut evaluation).await {
                Ok(matches) => break (manifest, matches),
                Err(ClientError::DirectoryChanged) if n_restarts < RESTARTS_MAX => n_restarts += 1,
                Err(error) => return Err(error),
            }
        };
        let evaluation = evaluation.ok_or(ClientError::Internal)?;
        Ok(SyncOutcome {
            matches,
            head: manifest.head(),
            quota: evaluation.quota,
            report: SyncReport {
                users: manifest.members(),
                contacts: self.address_book.contacts().len(),
                batches: evaluation.n_batches,
                elements: evaluation.n_elements,
                set_bytes: manifest.set_bytes(),
                labels_bytes: manifest.labels_bytes(),
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
    /// An evaluation outlives the round if only the snapshot was replaced: its elements have been
    /// charged, and under the same key it stays valid.
    async fn round(
        &self,
        manifest: &Arc<VerifiedManifest>,
        kept: &mut Option<Evaluation>,
    ) -> Result<Vec<Match>, ClientError> {
        let usable = kept.take().filter(|evaluation| evaluation.public_key == manifest.public_key);
        let evaluation = async {
            match usable {
                Some(evaluation) => Ok(evaluation),
                None => self.evaluate.timed(self.evaluate_all(manifest)).await,
            }
        };
        let segments = async {
            match self.set.timed(self.fetch_set(manifest)).await {
                Err(ClientError::DirectoryChanged) => Ok(None),
                segments => segments.map(Some),
            }
        };
        let (evaluation, segments) = try_join(evaluation, segments).await?;
        let evaluation = kept.insert(evaluation);
        let segments = segments.ok_or(ClientError::DirectoryChanged)?;

        (self.progress)(Progress::Match);
        let hits = self.matching.timed(self.search(manifest, segments, evaluation)).await?;
        let records = self.labels.timed(self.fetch_labels(manifest, &hits)).await?;
        (self.progress)(Progress::Match);
        self.matching.timed(self.open(manifest, evaluation, hits, records)).await
    }

    async fn fetch_manifest(&self) -> Result<Arc<VerifiedManifest>, ClientError> {
        (self.progress)(Progress::Manifest);
        let connection = &self.core.connection;
        let answer: v1::GetManifestResponse = connection
            .unary(v1::GetManifestRequest {}, &self.manifest.meter, |request| {
                let mut client = connection.discovery();
                async move { client.get_manifest(request).await }
            })
            .await?;
        self.core.trust.accept(answer.manifest).map(Arc::new)
    }

    /// Evaluates all contacts, several batches at a time.
    async fn evaluate_all(
        &self,
        manifest: &Arc<VerifiedManifest>,
    ) -> Result<Evaluation, ClientError> {
        let contacts = self.address_book.contacts();
        let classes = &manifest.policy.padding_classes;
        let batches = plan::plan(contacts.len(), classes, &mut rand::rng());
        let (elements, elements_max) =
            (plan::elements(&batches) as u64, manifest.policy.quota_elements);
        if elements > elements_max {
            return Err(ClientError::TooManyContacts { elements, elements_max });
        }
        let mut evaluation = Evaluation::new(manifest, &batches);
        let mut answers = stream::iter(batches)
            .map(|batch| {
                let inputs = evaluate::inputs(&batch, contacts);
                let (core, meter) = (Arc::clone(self.core), Arc::clone(&self.evaluate.meter));
                evaluate_batch(core, Arc::clone(manifest), meter, batch.class, inputs)
            })
            .buffer_unordered(self.core.in_flight);
        let total = contacts.len() as u64;
        (self.progress)(Progress::Evaluate { done: 0, total });
        while let Some(answer) = answers.next().await {
            evaluation.add(answer?);
            let done = evaluation.contacts.len() as u64;
            (self.progress)(Progress::Evaluate { done, total });
        }
        drop(answers);
        Ok(evaluation)
    }

    async fn fetch_set(&self, manifest: &VerifiedManifest) -> Result<Segments, ClientError> {
        let lengths = manifest.segments.iter().map(|segment| segment.set_bytes).collect();
        let assembler = Assembler::new(lengths, Segments::new(manifest));
        let total = manifest.set_bytes();
        let progress = |bytes| (self.progress)(Progress::Set { bytes, total });
        let connection = &self.core.connection;
        download(connection, &SetStream, manifest.snapshot, assembler, &self.set.meter, &progress)
            .await
    }

    async fn search(
        &self,
        manifest: &Arc<VerifiedManifest>,
        segments: Segments,
        evaluation: &Evaluation,
    ) -> Result<Vec<Hit>, ClientError> {
        let (manifest, contacts) = (Arc::clone(manifest), Arc::clone(&evaluation.contacts));
        self.core.cpu.run(move || matching::search(&manifest, &segments, &contacts)).await?
    }

    /// Downloads all labels, whatever was hit: the server must not see whether anything was.
    async fn fetch_labels(
        &self,
        manifest: &VerifiedManifest,
        hits: &[Hit],
    ) -> Result<Labels, ClientError> {
        let lengths = labels::lengths(manifest)?;
        let assembler = Assembler::new(lengths, Labels::new(manifest, hits));
        let total = manifest.labels_bytes();
        let progress = |bytes| (self.progress)(Progress::Labels { bytes, total });
        let (connection, meter) = (&self.core.connection, &self.labels.meter);
        download(connection, &LabelStream, manifest.snapshot, assembler, meter, &progress).await
    }

    async fn open(
        &self,
        manifest: &VerifiedManifest,
        evaluation: &Evaluation,
        hits: Vec<Hit>,
        records: Labels,
    ) -> Result<Vec<Match>, ClientError> {
        let (epoch, contacts) = (manifest.epoch, Arc::clone(&evaluation.contacts));
        self.core.cpu.run(move || matching::open(epoch, &contacts, &hits, &records)).await
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
