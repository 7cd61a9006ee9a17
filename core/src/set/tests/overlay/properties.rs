//! Round trips of arbitrary states.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// Records that tie and repeat, or do not.
fn records() -> impl Strategy<Value = Vec<Record>> {
    let tag = prop_oneof![any::<u64>(), 0u64..1 << 45, (0u64..8).prop_map(|i| i << 61)];
    vec((tag, 0u8..3).prop_map(|(tag, label)| record(tag, label)), 0..60)
}

fn universes() -> impl Strategy<Value = Universe> {
    prop_oneof![1u64..3, 900u64..1_100, 49_000u64..200_000]
        .prop_map(|capacity| Universe::with_capacity(capacity).unwrap())
}

proptest! {
    #[test]
    fn any_two_states(
        universe in universes(),
        snapshot in records(),
        states in vec(records(), 2..4),
    ) {
        let mut world = World::new(universe, 3, snapshot);
        for state in states {
            let gone = world.members.clone();
            world.change(&gone, &state);
            world.check();
            world.check_deltas();
        }
        let tags: Vec<u64> = world.members.iter().map(|member| member.tag).collect();
        world.check_lookups(tags.into_iter());
        world.compact();
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        let snapshot = identity(1_000, 100);
        prop_assert!(Overlay::decode(&snapshot, &bytes).is_err());
        prop_assert!(Delta::decode(&snapshot, VERSIONS, &bytes).is_err());
    }
}
