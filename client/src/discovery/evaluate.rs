//! One batch through the OPRF: blinded, evaluated, proven, and only then unblinded.

use std::{sync::Arc, time::Duration};

use acquaint_core::{
    identifier::Identifier,
    limits::ELEMENT_BYTES,
    manifest::VerifiedManifest,
    oprf::{self, Blinding, Padding, TrustedKey},
    tag::{LabelKey, Tag},
};
use acquaint_proto::v1;

use super::plan::Batch;
use crate::{
    address_book::Contact, builder::Core, error::ClientError, outcome::Quota, traffic::Meter,
};

/// How many blinded elements a report shows.
const SAMPLE_ELEMENTS: usize = 3;

/// A contact with what its OPRF output yields. Wiped on drop, and never sent.
pub(super) struct Evaluated {
    pub(super) contact: usize,
    pub(super) tag: Tag,
    pub(super) label_key: LabelKey,
}

/// An account of all batches of a lookup.
#[derive(Default)]
pub(super) struct Evaluation {
    pub(super) n_batches: usize,
    pub(super) n_elements: usize,
    pub(super) quota: Option<Quota>,
    pub(super) blinded_sample: Vec<[u8; ELEMENT_BYTES]>,
    /// The epoch under which the following holds.
    pub(super) epoch: u32,
    /// The quota did not cover a batch; after which time it would, if the server said so.
    pub(super) exhausted: Option<Option<Duration>>,
}

/// One answered batch.
pub(super) struct Answer {
    contacts: Vec<Evaluated>,
    /// Of the batch, padding included.
    elements: usize,
    quota: Option<Quota>,
    blinded_sample: Vec<[u8; ELEMENT_BYTES]>,
}

impl Evaluation {
    /// Goes on under an epoch. A new one comes with a credit: nothing is exhausted under it yet.
    pub(super) fn enter(&mut self, epoch: u32) {
        if self.epoch != epoch {
            (self.epoch, self.exhausted) = (epoch, None);
        }
    }

    /// Notes that the quota did not cover a batch. Of several refusals the shortest time counts.
    pub(super) fn exhaust(&mut self, retry_after: Option<Duration>) {
        let shortest = match (self.exhausted.flatten(), retry_after) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        self.exhausted = Some(shortest);
    }

    /// Counts an answer; gives the contacts in it.
    pub(super) fn add(&mut self, answer: Answer) -> Vec<Evaluated> {
        self.n_batches += 1;
        self.n_elements += answer.elements;
        // Answers overtake each other; the quota only falls during a lookup.
        self.quota = match (self.quota, answer.quota) {
            (Some(a), Some(b)) => Some(if b.remaining < a.remaining { b } else { a }),
            (a, b) => a.or(b),
        };
        let missing = SAMPLE_ELEMENTS.saturating_sub(self.blinded_sample.len());
        self.blinded_sample.extend(answer.blinded_sample.into_iter().take(missing));
        answer.contacts
    }
}

/// The identifiers of a batch, with the contacts they belong to.
pub(super) fn inputs(batch: &Batch, contacts: &[Contact]) -> Vec<(usize, Identifier)> {
    let identifier =
        |contact: &usize| Some((*contact, contacts.get(*contact)?.identifier().clone()));
    batch.contacts.iter().filter_map(identifier).collect()
}

/// Evaluates one batch. A repeated attempt sends the same bytes, which are charged once.
pub(super) async fn evaluate_batch(
    core: Arc<Core>,
    manifest: Arc<VerifiedManifest>,
    meter: Arc<Meter>,
    class: usize,
    inputs: Vec<(usize, Identifier)>,
) -> Result<Answer, ClientError> {
    let key = manifest.trusted_key().clone();
    let (contacts, blinding) = core.cpu.run(move || blind(&key, &inputs, class)).await??;
    let blinded = blinding.to_bytes();
    let blinded_sample = blinded.as_chunks().0.iter().take(SAMPLE_ELEMENTS).copied().collect();
    let message =
        v1::EvaluateRequest { epoch: manifest.current().epoch, blinded_elements: blinded.into() };
    let connection = &core.connection;
    let answer: v1::EvaluateResponse = connection
        .unary(message, &meter, |request| {
            let mut client = connection.discovery();
            async move { client.evaluate(request).await }
        })
        .await?;
    let quota = answer.quota.map(Quota::from);
    let contacts = core
        .cpu
        .run(move || {
            let public_key = &manifest.current().public_key;
            let verified =
                blinding.verify(public_key, &answer.evaluated_elements, &answer.proof)?;
            Ok::<_, ClientError>(
                contacts
                    .into_iter()
                    .zip(verified.unblind())
                    .map(|(contact, element)| Evaluated {
                        contact,
                        tag: element.tag(),
                        label_key: element.label_key(),
                    })
                    .collect(),
            )
        })
        .await??;
    Ok(Answer { contacts, elements: class, quota, blinded_sample })
}

fn blind(
    key: &TrustedKey,
    inputs: &[(usize, Identifier)],
    class: usize,
) -> Result<(Vec<usize>, Blinding), ClientError> {
    let bytes: Vec<&[u8]> = inputs.iter().map(|(_, identifier)| identifier.as_bytes()).collect();
    let contacts = inputs.iter().map(|(contact, _)| *contact).collect();
    // The plan keeps the sizes, and nobody can find an input that hashes to the identity.
    oprf::blind_for(key, &bytes, Padding::Class(class), &mut rand::rng())
        .map(|blinding| (contacts, blinding))
        .map_err(|_| ClientError::Internal)
}
