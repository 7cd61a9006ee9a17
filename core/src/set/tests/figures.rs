//! Sizes, and speeds on the machine at hand.

use std::hint::black_box;
use std::time::Instant;

use super::*;

#[test]
fn bytes_per_member() {
    let mut rng = seeded_rng(11);
    for (capacity, members, limit) in [
        (100_000, 100_000, 2.765),
        (100_000, 109_999, 2.75),
        (100_000, 82_000, 2.81),
        (100_000, 50_000, 2.95),
        (100_000, 150_000, 2.705),
    ] {
        let universe = Universe::with_capacity(capacity).unwrap();
        let published = publish(&universe, 1, &random_records(&mut rng, members));
        let per_member = size(&published) / members as f64;
        assert!(per_member < limit && per_member > limit - 0.02, "{members}: {per_member}");
    }
}

/// Run with `cargo test --release -p acquaint-core -- --ignored --nocapture figures_of_the_set`.
#[test]
#[ignore = "prints figures; meaningful in a release build on an idle machine"]
fn figures_of_the_set() {
    let mut rng = seeded_rng(12);
    for members in [100_000, 1_000_000] {
        let records = random_records(&mut rng, members);
        let universe = Universe::for_members(members as u64).unwrap();
        let published = publish(&universe, 1, &records);
        let sizes: Vec<usize> = published.iter().map(|segment| segment.bytes.len()).collect();
        let body = size(&published) - 32.0 * sizes.len() as f64;
        eprintln!(
            "{members} members: {:.4} B/member, body {:.4}; {} segments of {} to {} bytes",
            size(&published) / members as f64,
            body / members as f64,
            sizes.len(),
            sizes.iter().min().unwrap(),
            sizes.iter().max().unwrap(),
        );

        let mut copies = vec![records.clone(); 5];
        let report = |what: &str, nanoseconds: f64| {
            eprintln!("  {what}: {:.2} ns/member", nanoseconds / members as f64);
        };
        let mut sorted = Vec::new();
        report(
            "sort (40-byte records)",
            best_of_5(|i| {
                let _ = build(&universe, 1, &mut copies[i]);
            }),
        );
        sorted.append(&mut copies[0]);
        report(
            "build from sorted (values, codes, labels)",
            best_of_5(|_| {
                black_box(encode_sorted(&universe, 1, &sorted).map(Result::unwrap).count());
            }),
        );
        let set = decode_all(&universe, 1, &published);
        let values: Vec<Vec<u64>> = set.segments().iter().map(|s| s.values().collect()).collect();
        report(
            "encode",
            best_of_5(|_| {
                for (index, values) in (0..).zip(&values) {
                    black_box(encode_segment(&universe, 1, index, values).unwrap());
                }
            }),
        );
        report(
            "decode",
            best_of_5(|_| {
                black_box(decode_all(&universe, 1, &published));
            }),
        );
        let tags: Vec<u64> = (0..500).map(|_| rng.next_u64()).collect();
        report(
            "streamed look-up of 500 tags",
            best_of_5(|_| {
                for (index, segment) in (0..).zip(&published) {
                    let expected = Expected { snapshot_number: 1, index, count: segment.count };
                    black_box(find_in_segment(&universe, expected, &segment.bytes, &tags).unwrap());
                }
            }),
        );
        let tags: Vec<u64> = (0..members).map(|_| rng.next_u64()).collect();
        report(
            "look-up, per tag",
            best_of_5(|_| {
                black_box(tags.iter().filter(|tag| set.lookup(**tag).is_some()).count());
            }),
        );
    }
}

fn size(published: &[EncodedSegment]) -> f64 {
    published.iter().map(|segment| segment.bytes.len() as f64).sum()
}

/// The shortest of five runs in nanoseconds.
fn best_of_5(mut run: impl FnMut(usize)) -> f64 {
    let seconds = (0..5).map(|i| {
        let start = Instant::now();
        run(i);
        start.elapsed().as_secs_f64()
    });
    seconds.fold(f64::INFINITY, f64::min) * 1e9
}
