//! One state, one overlay: whatever path led there.

use super::*;

/// Equal records, ties, and records that are nothing special.
fn pool(rng: &mut ChaCha12Rng) -> Vec<Record> {
    let mut records = random_records(rng, 40);
    for i in 0..10u8 {
        let tag = records[usize::from(i)].tag;
        records.extend([record(tag, i), record(tag, i), record(tag, i + 1), record(tag, i)]);
    }
    records
}

#[test]
fn many_paths_give_the_same_bytes() {
    let mut rng = seeded_rng(30);
    let universe = Universe::with_capacity(1).unwrap();
    for _ in 0..20 {
        let mut records = pool(&mut rng);
        shuffle(&mut records, &mut rng);
        let (before, after) = (records[..50].to_vec(), records[25..].to_vec());
        let (gone, new) = (&before[..25], &after[25..]);

        let mut straight = World::new(universe, 1, before.clone());
        straight.change(gone, new);
        straight.check();
        let bytes = straight.overlay.encode();

        for _ in 0..10 {
            let mut world = World::new(universe, 1, before.clone());
            winding_path(&mut world, gone, new, &mut rng);
            assert_eq!(world.overlay, straight.overlay);
            assert_eq!(world.overlay.encode(), bytes);
        }
    }
}

/// The same changes one by one in random order, with detours that are taken back.
fn winding_path(world: &mut World, gone: &[Record], new: &[Record], rng: &mut ChaCha12Rng) {
    let mut steps: Vec<(bool, Record)> = gone.iter().map(|record| (false, *record)).collect();
    steps.extend(new.iter().map(|record| (true, *record)));
    shuffle(&mut steps, rng);
    for (comes, step) in steps {
        match below(rng, 4) {
            0 => {
                let detour = world.members[below(rng, world.members.len())];
                world.change(&[detour], &[]);
                world.change(&[], &[detour]);
            }
            1 => {
                let detour = record((rng.next_u64() % 4) << 62, 7);
                world.change(&[], &[detour, detour]);
                world.change(&[detour, detour], &[]);
            }
            _ => {}
        }
        // A record that leaves may be one of equals, one of which came a step ago.
        if comes {
            world.change(&[], &[step]);
        } else {
            world.change(&[step], &[]);
        }
    }
}

#[test]
fn order_of_the_changes_is_irrelevant() {
    let mut rng = seeded_rng(31);
    let universe = Universe::with_capacity(1).unwrap();
    let records = pool(&mut rng);
    let world = World::new(universe, 1, records[..50].to_vec());
    let mut gone = world.entries(&records[..40]);
    let mut new = world.entries(&records[30..]);
    let advance =
        |gone: &[Entry], new: &[Entry]| world.overlay.advance(&world.view(), gone, new).unwrap();
    let expected = advance(&gone, &new);
    for _ in 0..20 {
        shuffle(&mut gone, &mut rng);
        shuffle(&mut new, &mut rng);
        assert_eq!(advance(&gone, &new), expected);
    }
}

#[test]
fn the_lowest_of_equal_ranks_go_first_and_come_back_last() {
    let universe = Universe::with_capacity(1).unwrap();
    let (one, other) = (record(1 << 63, 1), record(1 << 63, 2));
    let members = vec![record(0, 9), one, one, one, other, record(u64::MAX, 9)];
    let mut world = World::new(universe, 1, members);
    let mut expect = |gone: &[Record], new: &[Record], removed: &[u32], added: usize| {
        world.change(gone, new);
        world.check();
        assert_eq!(world.overlay.removed(), removed);
        assert_eq!(world.overlay.added().len(), added);
    };
    expect(&[one], &[], &[1], 0);
    expect(&[one, other], &[], &[1, 2, 4], 0);
    expect(&[], &[one], &[1, 4], 0);
    expect(&[], &[one, one, one], &[4], 2);
    expect(&[one], &[], &[4], 1);
    expect(&[one, one, one], &[], &[1, 2, 4], 0);
    expect(&[one], &[other, other], &[1, 2, 3], 1);
}

#[test]
fn entries_that_left_and_came_cancel_even_if_never_there() {
    let universe = Universe::with_capacity(1).unwrap();
    let world = World::new(universe, 1, vec![record(5, 1)]);
    let passing = world.entries(&[record(7 << 60, 1), record(5, 1)]);
    let overlay = world.overlay.advance(&world.view(), &passing, &passing).unwrap();
    assert_eq!(overlay, world.overlay);
}

#[test]
fn deltas_between_states_are_minimal() {
    let mut rng = seeded_rng(32);
    let universe = Universe::with_capacity(1).unwrap();
    let mut world = World::new(universe, 1, random_records(&mut rng, 50));
    let new = random_records(&mut rng, 5);
    let gone = world.members[..7].to_vec();
    world.change(&gone, &new);
    let delta = Delta::between(VERSIONS, &world.history[0], &world.overlay).unwrap();
    assert_eq!(delta.entries(), 12);
    assert_eq!((delta.versions(), delta.snapshot()), (VERSIONS, world.overlay.snapshot()));
    // All taken back but one of each: 7 restored or still removed, 5 dropped or still added.
    let middle = world.overlay.clone();
    world.change(&new[1..], &gone[1..]);
    let delta = Delta::between(VERSIONS, &middle, &world.overlay).unwrap();
    assert_eq!(delta.entries(), 10);
    let nothing = Delta::between(VERSIONS, &middle, &middle).unwrap();
    assert_eq!((nothing.entries(), nothing.encode().len()), (0, 80));
}
