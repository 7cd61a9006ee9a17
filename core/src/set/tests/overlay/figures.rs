//! Sizes, and speeds on the machine at hand.

use std::hint::black_box;
use std::time::Instant;

use super::*;

/// A directory in which a part of the members left and as many came.
fn churned(members: usize, half_churn: f64, rng: &mut ChaCha12Rng) -> (World, usize) {
    let universe = Universe::for_members(members as u64).unwrap();
    let mut world = World::new(universe, 1, random_records(rng, members));
    let changes = (members as f64 * half_churn) as usize;
    let new = random_records(rng, changes);
    // The records are random: the first are as good as any.
    let (gone, kept) = world.members.split_at(changes);
    let (gone, mut after) = (gone.to_vec(), kept.to_vec());
    after.extend(&new);
    world.members = after;
    world.advance(&gone, &new);
    (world, changes)
}

/// The bits that tell which `part` of all places a list has, per item.
fn entropy(part: f64) -> f64 {
    -(part * part.log2() + (1.0 - part) * (1.0 - part).log2()) / part
}

/// Against information theory: what a list of random places must take at least.
#[test]
fn bytes_per_change() {
    let mut rng = seeded_rng(70);
    let members = 200_000;
    for (churn, removal_target, addition_target) in [(0.001, 1.56, 4.13), (0.01, 1.14, 3.73)] {
        let (world, changes) = churned(members, churn / 2.0, &mut rng);
        let bytes = Delta::between(VERSIONS, &world.history[0], &world.overlay).unwrap().encode();
        let length = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as f64;
        let (removal, addition) = (length(64) / changes as f64, length(72) / changes as f64);

        let density = changes as f64 / world.universe.width() as f64;
        let removal_bound = entropy(changes as f64 / members as f64) / 8.0;
        let addition_bound = entropy(density) / 8.0;
        eprintln!(
            "{members} members, churn {churn}: {removal:.3} B/removal (bound {removal_bound:.3}), \
             {addition:.3} B/addition (bound {addition_bound:.3}) + 32 B label; delta {} B, \
             overlay {} B",
            bytes.len(),
            world.overlay.encode().len(),
        );
        assert!(removal < removal_target * 1.03 && addition < addition_target * 1.03);
        let lists = bytes.len() as f64 - (32 * changes) as f64;
        let bound = (removal_bound + addition_bound) * changes as f64;
        assert!(lists < 1.2 * bound || churn < 0.01, "with header: {lists} against {bound}");
        assert!(lists < 1.2 * (removal_target + addition_target) * changes as f64 || churn < 0.01);
    }
}

/// Run with `cargo test --release -p acquaint-core -- --ignored --nocapture figures_of_the_overlay`.
#[test]
#[ignore = "prints figures; meaningful in a release build on an idle machine"]
fn figures_of_the_overlay() {
    let mut rng = seeded_rng(71);
    for members in [1_000_000, 10_000_000] {
        let (world, changes) = churned(members, 0.01, &mut rng);
        eprintln!("{members} members, {changes} left and as many came");
        let report = |what: &str, seconds: f64| eprintln!("  {what}: {:.1} ms", seconds * 1e3);
        let view = world.view();
        report(
            "compact",
            best_of(3, || {
                for segment in compact(&view, &world.overlay, 2).unwrap() {
                    black_box(segment.unwrap());
                }
            }),
        );
        let compacted: Vec<_> =
            compact(&view, &world.overlay, 2).unwrap().map(Result::unwrap).collect();
        assert!(compacted == publish(&world.universe, 2, &world.members));
        report(
            "overlay, encode",
            best_of(3, || {
                black_box(world.overlay.encode());
            }),
        );
        let bytes = world.overlay.encode();
        report(
            "overlay, decode",
            best_of(3, || {
                black_box(Overlay::decode(world.overlay.snapshot(), &bytes).unwrap());
            }),
        );
        let (from, to) = (&world.history[0], &world.overlay);
        report(
            "delta from nothing: between, encode, decode, apply",
            best_of(3, || {
                let bytes = Delta::between(VERSIONS, from, to).unwrap().encode();
                let delta = Delta::decode(to.snapshot(), VERSIONS, &bytes).unwrap();
                assert!(delta.apply(from).unwrap() == *to);
            }),
        );
        for count in [10, 1_000, members / 1_000] {
            let gone = world.entries(&world.members[..count]);
            let new = world.entries(&random_records(&mut rng, count));
            report(
                &format!("advance by {count} and {count}"),
                best_of(3, || {
                    black_box(to.advance(&view, &gone, &new).unwrap());
                }),
            );
        }
    }
}

/// The shortest of some runs in seconds.
fn best_of(runs: usize, mut run: impl FnMut()) -> f64 {
    let seconds = (0..runs).map(|_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    });
    seconds.fold(f64::INFINITY, f64::min)
}
