//! What is timed: one closure for each implementation, operation and batch size.
//!
//! Criterion and the last table run the same closures. All jobs of an operation and a batch size
//! give the same bytes.

use acquaint_core::limits::BATCH_ELEMENTS_MAX;

use super::{Answer, Implementation, Stream, Verifiable, inputs, slices};

/// A timed part of the protocol.
#[derive(Clone, Copy)]
pub enum Operation {
    /// The server without a proof: decode, multiply, encode.
    Evaluate,
    /// The server with one proof a batch.
    EvaluateWithProof,
    /// The client: blind, verify, unblind, `Finalize`.
    Client,
}

impl Operation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Evaluate, Self::EvaluateWithProof, Self::Client];

    /// The name in criterion's ids.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Evaluate => "evaluate",
            Self::EvaluateWithProof => "evaluate_with_proof",
            Self::Client => "client",
        }
    }
}

/// A named closure to time. What it returns is compared between implementations.
pub struct Job<'a> {
    /// The implementation.
    pub name: &'static str,
    /// One call: the operation over the whole batch.
    pub run: Box<dyn Fn() -> Vec<u8> + 'a>,
}

/// The jobs of all implementations that have the operation, ours first.
///
/// More than [`BATCH_ELEMENTS_MAX`] elements become several batches of that many, each with its
/// own proof, for every implementation.
pub fn jobs(
    implementations: &[Box<dyn Implementation>],
    operation: Operation,
    batch: usize,
) -> Vec<Job<'_>> {
    let inputs = inputs(batch);
    let ours = implementations.first().and_then(|i| i.verifiable()).unwrap();
    let blinded = |(number, chunk): (u64, &[Vec<u8>])| {
        ours.blind(&slices(chunk), &mut Stream::new(number)).elements()
    };
    let requests: Vec<_> = (0..).zip(inputs.chunks(BATCH_ELEMENTS_MAX)).map(blinded).collect();
    let mut jobs = Vec::new();
    for implementation in implementations.iter().map(Box::as_ref) {
        let run = match (operation, implementation.verifiable()) {
            (Operation::Evaluate, _) => server(implementation, requests.clone()),
            (Operation::EvaluateWithProof, Some(side)) => prover(side, requests.clone()),
            (Operation::Client, Some(side)) => client(side, inputs.clone()),
            (_, None) => continue,
        };
        jobs.push(Job { name: implementation.name(), run });
    }
    jobs
}

fn server(side: &dyn Implementation, requests: Vec<Vec<u8>>) -> Box<dyn Fn() -> Vec<u8> + '_> {
    Box::new(move || requests.iter().map(|r| side.evaluate(r)).collect::<Vec<_>>().concat())
}

fn prover(side: &dyn Verifiable, requests: Vec<Vec<u8>>) -> Box<dyn Fn() -> Vec<u8> + '_> {
    Box::new(move || {
        let answer = |request: &Vec<u8>| {
            let answer = side.evaluate_with_proof(request, &mut Stream::new(0));
            [answer.elements, answer.proof.to_vec()].concat()
        };
        requests.iter().map(answer).collect::<Vec<_>>().concat()
    })
}

/// The answers are made beforehand, by the same implementation: equal streams blind equally.
fn client(side: &dyn Verifiable, inputs: Vec<Vec<u8>>) -> Box<dyn Fn() -> Vec<u8> + '_> {
    let answer = |chunk: &[Vec<u8>]| {
        let request = side.blind(&slices(chunk), &mut Stream::new(1)).elements();
        side.evaluate_with_proof(&request, &mut Stream::new(2))
    };
    let answers: Vec<Answer> = inputs.chunks(BATCH_ELEMENTS_MAX).map(answer).collect();
    Box::new(move || {
        let mut outputs = Vec::new();
        for (chunk, answer) in inputs.chunks(BATCH_ELEMENTS_MAX).zip(&answers) {
            let inputs = slices(chunk);
            let blinded = side.blind(&inputs, &mut Stream::new(1));
            std::hint::black_box(blinded.elements());
            outputs.extend_from_slice(&blinded.finalize(&inputs, answer));
        }
        outputs
    })
}

/// Runs each job once.
///
/// # Panics
/// If two implementations differ in a byte: then their times mean nothing.
pub fn assert_agreement(jobs: &[Job<'_>], operation: Operation, batch: usize) {
    let Some((first, rest)) = jobs.split_first() else { return };
    let expected = (first.run)();
    for job in rest {
        assert!(
            (job.run)() == expected,
            "{} and {} differ in {} of {batch} elements",
            job.name,
            first.name,
            operation.name(),
        );
    }
}
