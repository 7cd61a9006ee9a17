//! OPRF and labels, over a batch of the largest padding class.

use std::hint::black_box;

use acquaint_core::{
    limits::LABEL_BYTES,
    oprf::{BlindedBatch, Mode, OprfElement, Padding, blind_evaluate, blind_for, derive_key_pair},
    tag::Label,
};
use criterion::{Criterion, Throughput};

use crate::baseline::{
    Implementation as _, KEY_INFO, KEY_SEED, inputs, slices, stream::Stream, voprf::Voprf,
};

/// Elements in a batch: the largest padding class.
const BATCH: usize = 1_024;
const EPOCH: u32 = 1;

/// `blind`, `blind_evaluate`, `verify`, `unblind`.
///
/// The `voprf` crate has one call for the last two, which hashes to the output of the RFC, too:
/// compare it with the sum of ours.
pub fn oprf(criterion: &mut Criterion) {
    let (secret, public) = derive_key_pair(Mode::Voprf, &KEY_SEED, KEY_INFO).unwrap();
    let key = secret.trusted_key();
    let inputs = inputs(BATCH);
    let inputs = slices(&inputs);
    let blind = || blind_for(&key, &inputs, Padding::None, &mut Stream::new(1).0).unwrap();
    let blinding = blind();
    let request = blinding.to_bytes();
    let evaluate = || {
        let batch = BlindedBatch::try_from(&request[..]).unwrap();
        blind_evaluate(Mode::Voprf, &secret, &batch, &mut Stream::new(2).0)
    };
    let evaluation = evaluate();
    let (elements, proof) = (evaluation.elements.concat(), evaluation.proof.unwrap().to_bytes());
    let verify = || blinding.verify(&public, &elements, &proof).unwrap();
    let verified = verify();

    let voprf = Voprf::new();
    let theirs = voprf.verifiable().unwrap();
    let pending = theirs.blind(&inputs, &mut Stream::new(1));
    let their_request = pending.elements();
    let answer = theirs.evaluate_with_proof(&their_request, &mut Stream::new(2));

    let mut group = criterion.benchmark_group("steps");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("blind/acquaint", |b| b.iter(|| blind().to_bytes()));
    group.bench_function("blind/voprf", |b| {
        b.iter(|| theirs.blind(&inputs, &mut Stream::new(1)).elements());
    });
    group.bench_function("blind_evaluate/acquaint", |b| b.iter(evaluate));
    group.bench_function("blind_evaluate/voprf", |b| {
        b.iter(|| theirs.evaluate_with_proof(&their_request, &mut Stream::new(2)));
    });
    group.bench_function("verify/acquaint", |b| b.iter(verify));
    group.bench_function("unblind/acquaint", |b| b.iter(|| verified.unblind()));
    group.bench_function("verify_unblind_finalize/voprf", |b| {
        b.iter(|| pending.finalize(&inputs, &answer));
    });
    group.finish();
}

/// From OPRF outputs to tags, label keys and labels.
pub fn labels(criterion: &mut Criterion) {
    let voprf = Voprf::new();
    let request =
        voprf.verifiable().unwrap().blind(&slices(&inputs(BATCH)), &mut Stream::new(1)).elements();
    // Any element serves as an output.
    let elements = OprfElement::parse_batch(&request).unwrap();
    let label = Label([5; LABEL_BYTES]);
    let keys: Vec<_> = elements.iter().map(|e| (e.tag(), e.label_key())).collect();
    let sealed: Vec<_> = keys.iter().map(|(tag, key)| key.seal(tag, EPOCH, &label)).collect();

    let mut group = criterion.benchmark_group("steps");
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("tag_and_label_key/acquaint", |b| {
        b.iter(|| elements.iter().for_each(|e| drop(black_box((e.tag(), e.label_key())))));
    });
    group.bench_function("seal_label/acquaint", |b| {
        b.iter(|| {
            for (tag, key) in &keys {
                black_box(key.seal(tag, EPOCH, &label));
            }
        });
    });
    group.bench_function("open_label/acquaint", |b| {
        b.iter(|| {
            for ((tag, key), sealed) in keys.iter().zip(&sealed) {
                black_box(key.open(tag, EPOCH, sealed).unwrap());
            }
        });
    });
    group.finish();
}
