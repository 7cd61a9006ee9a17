//! Choice and arithmetic of the universe.

use super::*;
use crate::limits::{DIRECTORY_MEMBERS_MAX, SEGMENT_MEMBERS_TARGET};

#[test]
fn examples_of_the_format_note() {
    for (members, segment_bits) in
        [(100_000, 3), (1_000_000, 6), (10_000_000, 9), (100_000_000, 12)]
    {
        let universe = Universe::for_members(members).unwrap();
        assert_eq!(universe.capacity(), members);
        assert_eq!(universe.segment_bits(), segment_bits);
        assert_eq!(universe.segment_count(), 1 << segment_bits);
    }
    assert_eq!(Universe::for_members(1_000_000).unwrap().segment_width(), 24_529_093_750);
}

#[test]
fn capacity_keeps_two_digits_and_has_a_floor() {
    for (members, capacity) in [
        (0, 1_000),
        (999, 1_000),
        (1_099, 1_000),
        (1_100, 1_100),
        (24_576, 24_000),
        (1_234_567, 1_200_000),
        (9_999_999, 9_900_000),
        (DIRECTORY_MEMBERS_MAX, DIRECTORY_MEMBERS_MAX),
    ] {
        let universe = Universe::for_members(members).unwrap();
        assert_eq!(universe.capacity(), capacity, "{members} members");
        assert!(universe.still_fits(members));
        assert!(members < 1_000 || members * 10 < capacity * 11);
    }
    for members in [DIRECTORY_MEMBERS_MAX + 1, u64::MAX] {
        assert_eq!(Universe::for_members(members), Err(SetError::Capacity));
    }
}

#[test]
fn fits_from_half_to_one_and_a_half() {
    let universe = Universe::with_capacity(100_001).unwrap();
    for (members, fits) in [(50_000, false), (50_001, true), (150_001, true), (150_002, false)] {
        assert_eq!(universe.still_fits(members), fits, "{members} members");
    }
    assert!(Universe::for_members(0).unwrap().still_fits(0));
    let largest = Universe::with_capacity(DIRECTORY_MEMBERS_MAX).unwrap();
    assert!(largest.still_fits(DIRECTORY_MEMBERS_MAX));
    assert!(!largest.still_fits(DIRECTORY_MEMBERS_MAX + 1));
}

#[test]
fn segment_bits_change_just_past_the_target() {
    for k in 0..13 {
        let limit = SEGMENT_MEMBERS_TARGET << k;
        assert_eq!(Universe::with_capacity(limit).unwrap().segment_bits(), k);
        assert_eq!(Universe::with_capacity(limit + 1).unwrap().segment_bits(), k + 1);
    }
    assert_eq!(Universe::with_capacity(DIRECTORY_MEMBERS_MAX).unwrap().segment_bits(), 13);
}

#[test]
fn parts_must_agree() {
    let good = Universe::with_capacity(1_000_000).unwrap();
    let (k, u) = (good.segment_bits(), good.segment_width());
    assert_eq!(Universe::from_parts(1_000_000, k, u), Ok(good));
    for (capacity, k, u) in [
        (1_000_001, k, u),
        (1_000_000, k + 1, u),
        (1_000_000, k - 1, u),
        (1_000_000, 255, u),
        (1_000_000, k, u + 1),
        (1_000_000, k, u - 1),
        (1_000_000, k, 0),
        (1_000_000, k, u64::MAX),
    ] {
        assert_eq!(Universe::from_parts(capacity, k, u), Err(SetError::Parameters));
    }
    for capacity in [0, DIRECTORY_MEMBERS_MAX + 1, u64::MAX] {
        assert_eq!(Universe::from_parts(capacity, k, u), Err(SetError::Capacity));
        assert_eq!(Universe::with_capacity(capacity), Err(SetError::Capacity));
    }
}

#[test]
fn cutting_by_prefix_and_by_scaled_value_agree() {
    let mut rng = seeded_rng(1);
    for capacity in [1, 1_000, 24_577, 1_000_000, 123_456_789, DIRECTORY_MEMBERS_MAX] {
        let universe = Universe::with_capacity(capacity).unwrap();
        let u = universe.segment_width();
        let k = u32::from(universe.segment_bits());
        let edges = (0..=1u128 << k.min(6)).flat_map(|s| {
            let edge = s << (64 - k);
            [edge.saturating_sub(1), edge, edge + 1].map(|tag| tag.min(u64::MAX.into()) as u64)
        });
        let random = (0..10_000).map(|_| rng.next_u64());
        for tag in edges.chain(random) {
            let v = (u128::from(tag) * (u128::from(u) << k)) >> 64;
            assert_eq!(u128::from(universe.scaled(tag)), v);
            assert_eq!(u128::from(universe.segment_of(tag)), v / u128::from(u));
            assert_eq!(u128::from(universe.value_of(tag)), v % u128::from(u));
        }
    }
}
