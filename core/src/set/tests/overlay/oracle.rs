//! Random histories against the definition.

use super::*;

/// Where the tags and labels of a test come from; small pools make ties and equal records.
struct Pool {
    tags: Vec<u64>,
    labels: u8,
}

impl Pool {
    fn draw(&self, rng: &mut ChaCha12Rng) -> Record {
        let tag = self.tags[below(rng, self.tags.len())];
        record(tag, below(rng, self.labels.into()) as u8)
    }
}

/// Some members leave, some records come, and some do both between two publications.
fn random_step(world: &mut World, pool: &Pool, most: usize, rng: &mut ChaCha12Rng) {
    let leaving = below(rng, most + 1).min(world.members.len());
    let mut rest = world.members.clone();
    let mut gone: Vec<Record> =
        (0..leaving).map(|_| rest.swap_remove(below(rng, rest.len()))).collect();
    let mut new: Vec<Record> = (0..below(rng, most + 1)).map(|_| pool.draw(rng)).collect();
    world.change_in_the_clear(&gone, &new);
    for _ in 0..below(rng, 3) {
        let passing = pool.draw(rng);
        gone.push(passing);
        new.insert(0, passing);
    }
    world.advance(&gone, &new);
}

fn run(universe: Universe, pool: &Pool, members: usize, most: usize, rng: &mut ChaCha12Rng) {
    let members = (0..members).map(|_| pool.draw(rng)).collect();
    let mut world = World::new(universe, 4, members);
    world.check();
    for _ in 0..3 {
        for _ in 0..12 {
            random_step(&mut world, pool, most, rng);
            world.check();
            world.check_deltas();
        }
        let known = pool.tags.iter().copied().take(60).collect::<Vec<_>>();
        world.check_lookups(known.into_iter().chain([0, u64::MAX, 1 << 40]));
        world = world.compact();
    }
}

#[test]
fn few_values_and_equal_records() {
    let mut rng = seeded_rng(20);
    for (values, labels) in [(1, 1), (1, 3), (5, 2), (40, 3)] {
        let tags = (0..values).map(|_| rng.next_u64()).collect();
        let universe = Universe::with_capacity(1).unwrap();
        run(universe, &Pool { tags, labels }, 60, 40, &mut rng);
    }
}

#[test]
fn many_values_that_tie_now_and_then() {
    let mut rng = seeded_rng(21);
    let tags: Vec<u64> = (0..6_000).map(|_| rng.next_u64()).collect();
    let universe = Universe::with_capacity(1).unwrap();
    run(universe, &Pool { tags, labels: 2 }, 3_000, 300, &mut rng);
}

#[test]
fn several_segments() {
    let mut rng = seeded_rng(22);
    let universe = Universe::with_capacity(200_000).unwrap();
    assert_eq!(universe.segment_count(), 16);
    let edges = (0..16u64).flat_map(|segment| {
        let edge = segment << 60;
        [edge.wrapping_sub(1), edge, edge + 1]
    });
    let mut tags: Vec<u64> = edges.collect();
    tags.extend((0..3_000).map(|_| rng.next_u64()));
    run(universe, &Pool { tags, labels: 4 }, 2_000, 200, &mut rng);
}

#[test]
fn from_nothing_and_to_nothing() {
    let mut rng = seeded_rng(23);
    let universe = Universe::with_capacity(30_000).unwrap();
    let records = random_records(&mut rng, 500);
    let mut world = World::new(universe, 1, Vec::new());
    world.change(&[], &records);
    world.check();
    world.check_deltas();
    let mut world = world.compact();
    world.change(&records, &[]);
    world.check();
    assert_eq!(world.overlay.removed().len(), 500);
    let mut world = world.compact();
    assert_eq!(world.snapshot.len(), 0);
    world.change(&[], &records[..1]);
    world.check();
}
