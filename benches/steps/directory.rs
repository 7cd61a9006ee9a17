//! The published set and the manifest, at 100,000 members.

use acquaint_core::{
    keys::ManifestKey,
    limits::{PADDING_CLASSES, SEALED_LABEL_BYTES},
    manifest::{DIGEST_BYTES, EpochInfo, Manifest, OverlayInfo, Policy, SnapshotInfo},
    oprf::{Mode, derive_key_pair},
    set::{self, EncodedSegment, Expected, Record, Segment, Set, Universe},
};
use criterion::{BatchSize, Criterion, Throughput};
use rand_chacha::rand_core::Rng as _;

use crate::baseline::{KEY_INFO, KEY_SEED, stream::Stream};

const MEMBERS: u64 = 100_000;
/// Searches in one call: the largest padding class.
const SEARCHES: u64 = 1_024;
const SNAPSHOT: u64 = 1;

/// Coding, decoding and searching the set; the baseline is a sorted `Vec<u64>` of whole tags,
/// 8 bytes a member on the wire instead of 2.8.
pub fn set(criterion: &mut Criterion) {
    let universe = Universe::for_members(MEMBERS).unwrap();
    let tags = random_tags(MEMBERS);
    let sealed_label = [0; SEALED_LABEL_BYTES];
    let records: Vec<_> = tags.iter().map(|&tag| Record { tag, sealed_label }).collect();
    let segments = encode(&universe, &mut records.clone());
    let decoded = decode(&universe, &segments);
    let sorted = sort(tags.clone());
    let wire = to_bytes(&sorted);
    // Every second one is a member.
    let strangers = random_tags(MEMBERS + SEARCHES).split_off(tags.len());
    let searched: Vec<_> =
        tags.iter().zip(&strangers).flat_map(|(a, b)| [*a, *b]).take(SEARCHES as usize).collect();

    let mut group = criterion.benchmark_group("steps");
    group.throughput(Throughput::Elements(MEMBERS));
    group.bench_function("set_encode/acquaint", |b| {
        let encode = |mut records: Vec<Record>| encode(&universe, &mut records);
        b.iter_batched(|| records.clone(), encode, BatchSize::LargeInput);
    });
    group.bench_function("set_encode/sorted_vec", |b| {
        let encode = |tags| to_bytes(&sort(tags));
        b.iter_batched(|| tags.clone(), encode, BatchSize::LargeInput);
    });
    group.bench_function("set_decode/acquaint", |b| b.iter(|| decode(&universe, &segments)));
    group.bench_function("set_decode/sorted_vec", |b| b.iter(|| from_bytes(&wire)));

    group.throughput(Throughput::Elements(SEARCHES));
    group.bench_function("set_search/acquaint", |b| {
        b.iter(|| searched.iter().filter(|tag| decoded.lookup(**tag).is_some()).count());
    });
    group.bench_function("set_search/sorted_vec", |b| {
        b.iter(|| searched.iter().filter(|tag| sorted.binary_search(tag).is_ok()).count());
    });
    group.finish();
}

fn random_tags(n: u64) -> Vec<u64> {
    let mut stream = Stream::new(4).0;
    (0..n).map(|_| stream.next_u64()).collect()
}

fn encode(universe: &Universe, records: &mut [Record]) -> Vec<EncodedSegment> {
    set::build(universe, SNAPSHOT, records).map(Result::unwrap).collect()
}

fn decode(universe: &Universe, segments: &[EncodedSegment]) -> Set {
    let decode = |(index, segment): (u32, &EncodedSegment)| {
        let expected = Expected { snapshot_number: SNAPSHOT, index, count: segment.count };
        Segment::decode(universe, expected, &segment.bytes).unwrap()
    };
    Set::new(universe, SNAPSHOT, (0..).zip(segments).map(decode).collect()).unwrap()
}

fn sort(mut tags: Vec<u64>) -> Vec<u64> {
    tags.sort_unstable();
    tags
}

fn to_bytes(tags: &[u64]) -> Vec<u8> {
    tags.iter().flat_map(|tag| tag.to_le_bytes()).collect()
}

/// Checks that the tags ascend, as a decoder must.
fn from_bytes(bytes: &[u8]) -> Vec<u64> {
    let tags: Vec<_> = bytes.as_chunks().0.iter().map(|&tag| u64::from_le_bytes(tag)).collect();
    assert!(tags.is_sorted());
    tags
}

/// Signing and verifying the manifest of the directory.
pub fn manifest(criterion: &mut Criterion) {
    let key = ManifestKey::from_bytes([7; 32]);
    let pin = key.pin();
    let manifest = example();
    let signed = manifest.sign(&key).unwrap();
    let mut group = criterion.benchmark_group("steps");
    group.bench_function("manifest_sign/acquaint", |b| b.iter(|| manifest.sign(&key).unwrap()));
    group.bench_function("manifest_verify/acquaint", |b| b.iter(|| signed.verify(&pin).unwrap()));
    group.finish();
}

fn example() -> Manifest {
    let universe = Universe::for_members(MEMBERS).unwrap();
    let snapshot = SnapshotInfo {
        number: SNAPSHOT,
        version: MEMBERS,
        universe,
        members: MEMBERS,
        set_bytes: MEMBERS * 11 / 4,
        index_digest: [1; DIGEST_BYTES],
    };
    Manifest {
        tenant: "bench".parse().unwrap(),
        sequence: SNAPSHOT,
        changed_at: 1_700_000_000,
        previous: [0; DIGEST_BYTES],
        policy: Policy {
            padding_classes: PADDING_CLASSES.map(|class| u32::try_from(class).unwrap()).to_vec(),
            quota_elements: 20_480,
            quota_refill_per_day: 2_048,
            repeat_retention_seconds: 600,
            delta_retention_seconds: 604_800,
        },
        epochs: vec![EpochInfo {
            epoch: 1,
            public_key: derive_key_pair(Mode::Voprf, &KEY_SEED, KEY_INFO).unwrap().1,
            version: MEMBERS,
            snapshot,
            overlay: OverlayInfo { bytes: 80, removed: 0, added: 0, digest: [2; DIGEST_BYTES] },
        }],
    }
}
