//! Whole directories against plain maps and wide arithmetic.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::*;

/// For each scaled value the sealed labels in order: what the set must say, computed the long way.
fn in_the_clear(universe: &Universe, records: &[Record]) -> BTreeMap<u128, Vec<[u8; 32]>> {
    let whole = u128::from(universe.segment_width()) << universe.segment_bits();
    let mut members: BTreeMap<u128, Vec<[u8; 32]>> = BTreeMap::new();
    for record in records {
        let scaled = (u128::from(record.tag) * whole) >> 64;
        members.entry(scaled).or_default().push(record.sealed_label);
    }
    members.values_mut().for_each(|labels| labels.sort_unstable());
    members
}

/// Every member is found, at the ranks and with the labels of the oracle; so does each tag that
/// shares a scaled value, and no other.
fn compare_with_oracle(universe: &Universe, records: &[Record], rng: &mut ChaCha12Rng) {
    let published = publish(universe, 5, records);
    let set = decode_all(universe, 5, &published);
    assert_eq!(set.members(), records.len() as u64);

    let oracle = in_the_clear(universe, records);
    let labels: Vec<[u8; 32]> = oracle.values().flatten().copied().collect();
    let stored = published.iter().flat_map(|segment| segment.labels.chunks_exact(32));
    assert!(stored.eq(labels.iter().map(<[u8; 32]>::as_slice)), "labels lie in rank order");

    let mut ranks_of = HashMap::new();
    let mut next_rank = 0;
    for (scaled, labels) in &oracle {
        ranks_of.insert(*scaled, next_rank..next_rank + labels.len() as u64);
        next_rank += labels.len() as u64;
    }
    let whole = u128::from(universe.segment_width()) << universe.segment_bits();
    let expect = |tag: u64| ranks_of.get(&((u128::from(tag) * whole) >> 64)).cloned();
    for record in records {
        let found = set.lookup(record.tag);
        assert_eq!(found, expect(record.tag));
        let range = found.unwrap();
        assert!(labels[range.start as usize..range.end as usize].contains(&record.sealed_label));
        for neighbor in [record.tag.wrapping_sub(1 << 20), record.tag.wrapping_add(1 << 44)] {
            assert_eq!(set.lookup(neighbor), expect(neighbor));
        }
    }
    for tag in (0..10_000).map(|_| rng.next_u64()).chain([0, u64::MAX]) {
        assert_eq!(set.lookup(tag), expect(tag));
    }
}

#[test]
fn small_directories() {
    let mut rng = seeded_rng(2);
    for members in [0, 1, 2, 3, 100, 1_000] {
        let universe = Universe::for_members(members).unwrap();
        let records = random_records(&mut rng, members as usize);
        compare_with_oracle(&universe, &records, &mut rng);
    }
}

#[test]
fn around_the_first_split() {
    let mut rng = seeded_rng(3);
    for members in [24_575, 24_576, 24_577, 49_153] {
        for universe in [Universe::for_members(members), Universe::with_capacity(members)] {
            let records = random_records(&mut rng, members as usize);
            compare_with_oracle(&universe.unwrap(), &records, &mut rng);
        }
    }
}

#[test]
fn members_on_segment_boundaries() {
    let mut rng = seeded_rng(4);
    let universe = Universe::with_capacity(200_000).unwrap();
    let mut records = random_records(&mut rng, 50);
    for segment in 0..u64::from(universe.segment_count()) {
        let edge = segment << (64 - universe.segment_bits());
        for tag in [edge.wrapping_sub(1), edge, edge + 1] {
            records.push(Record { tag, sealed_label: [segment as u8; 32] });
        }
    }
    compare_with_oracle(&universe, &records, &mut rng);
}

#[test]
fn equal_values_are_ranges_of_ranks() {
    let mut rng = seeded_rng(5);
    let universe = Universe::with_capacity(1).unwrap();
    let mut records = random_records(&mut rng, 20_000);
    for i in 0..1_000 {
        records[i + 1_000].tag = records[i].tag;
    }
    let values: HashSet<_> = records.iter().map(|record| universe.scaled(record.tag)).collect();
    assert!(values.len() < 18_950, "ties by tag and by rounding");
    compare_with_oracle(&universe, &records, &mut rng);
}

#[test]
fn hundred_thousand() {
    let mut rng = seeded_rng(6);
    let records = random_records(&mut rng, 100_000);
    compare_with_oracle(&Universe::for_members(100_000).unwrap(), &records, &mut rng);
}

#[test]
#[ignore = "several seconds"]
fn a_million() {
    let mut rng = seeded_rng(7);
    let records = random_records(&mut rng, 1_000_000);
    compare_with_oracle(&Universe::for_members(1_000_000).unwrap(), &records, &mut rng);
}

#[test]
fn false_positives_are_as_rare_as_computed() {
    let mut rng = seeded_rng(8);
    // Expected hits are look-ups · members / (capacity · 1,569,862); six standard deviations.
    for (capacity, lookups, hits) in [(100_000, 10_000_000, 0..=22), (1_000, 2_000_000, 59..=195)] {
        let records = random_records(&mut rng, 100_000);
        let members: HashSet<u64> = records.iter().map(|record| record.tag).collect();
        let universe = Universe::with_capacity(capacity).unwrap();
        let set = decode_all(&universe, 1, &publish(&universe, 1, &records));
        let false_positives = (0..lookups)
            .map(|_| rng.next_u64())
            .filter(|tag| set.lookup(*tag).is_some() && !members.contains(tag))
            .count();
        eprintln!("{false_positives} of {lookups}");
        assert!(hits.contains(&false_positives), "{false_positives} hits");
    }
}

#[test]
fn streamed_look_up_agrees_with_the_set() {
    let mut rng = seeded_rng(9);
    for capacity in [1, 100_000] {
        let universe = Universe::with_capacity(capacity).unwrap();
        let records = random_records(&mut rng, 30_000);
        let published = publish(&universe, 1, &records);
        let set = decode_all(&universe, 1, &published);
        let members = records.iter().step_by(7).map(|record| record.tag);
        let mut tags: Vec<u64> = members.chain((0..3_000).map(|_| rng.next_u64())).collect();
        tags.extend_from_within(..10);

        let mut found = Vec::new();
        let mut first_rank = 0;
        for (index, segment) in (0..).zip(&published) {
            let expected = Expected { snapshot_number: 1, index, count: segment.count };
            for hit in find_in_segment(&universe, expected, &segment.bytes, &tags).unwrap() {
                let global = |rank: u32| first_rank + u64::from(rank);
                found.push((hit.tag, global(hit.ranks.start)..global(hit.ranks.end)));
            }
            first_rank += u64::from(segment.count);
        }
        tags.sort_unstable();
        let wanted = tags.iter().filter_map(|tag| Some((*tag, set.lookup(*tag)?)));
        assert!(wanted.eq(found));
    }
}

#[test]
fn order_of_input_is_irrelevant() {
    let mut rng = seeded_rng(10);
    let universe = Universe::with_capacity(30_000).unwrap();
    let mut records = random_records(&mut rng, 5_000);
    records[7].tag = records[8].tag;
    let published = publish(&universe, 1, &records);
    records.reverse();
    assert_eq!(publish(&universe, 1, &records), published);
    for i in (1..records.len()).rev() {
        records.swap(i, rng.next_u64() as usize % (i + 1));
    }
    assert_eq!(publish(&universe, 1, &records), published);

    // One segment at a time, from that segment's records alone.
    for (index, whole) in (0..).zip(&published) {
        let mut part = records.clone();
        part.retain(|record| universe.segment_of(record.tag) == index);
        assert_eq!(build_segment(&universe, 1, index, &mut part).as_ref(), Ok(whole));
    }
}
