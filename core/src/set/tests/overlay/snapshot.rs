//! The view of a published snapshot.

use super::world::{entries, view_of};
use super::*;

fn several_segments() -> (Universe, Vec<EncodedSegment>, Vec<Entry>) {
    let mut rng = seeded_rng(60);
    let universe = Universe::with_capacity(200_000).unwrap();
    // Segments 0, 5 and 15 stay empty.
    let mut records = random_records(&mut rng, 3_000);
    records.retain(|record| ![0, 5, 15].contains(&universe.segment_of(record.tag)));
    for i in 0..20 {
        records[i + 20].tag = records[i].tag;
    }
    let published = publish(&universe, 3, &records);
    let mut sorted = entries(&universe, &records);
    sorted.sort_unstable();
    (universe, published, sorted)
}

#[test]
fn ranks_and_labels_are_those_of_the_sorted_records() {
    let (universe, published, sorted) = several_segments();
    let view = view_of(&universe, 3, &published);
    assert_eq!(view.identity().members as usize, sorted.len());
    assert_eq!(view.segments().len(), 16);
    for (rank, entry) in (0..).zip(&sorted) {
        assert_eq!(view.label(rank), Some(&entry.sealed_label));
    }
    assert_eq!(view.label(sorted.len() as u32), None);
    assert_eq!(view.label(u32::MAX), None);

    let mut values: Vec<u64> = sorted.iter().map(|entry| entry.value).collect();
    let neighbors: Vec<u64> = values.iter().flat_map(|v| [v.saturating_sub(1), v + 1]).collect();
    let width = universe.width();
    values.extend(neighbors.into_iter().chain([0, 0, width - 1, width, width + 1, u64::MAX]));
    values.sort_unstable();
    let ranges = view.ranks_of_sorted(&values).unwrap();
    assert_eq!(ranges.len(), values.len());
    for (value, range) in values.iter().zip(&ranges) {
        let found = (0..).zip(&sorted).filter(|(_, entry)| entry.value == *value);
        assert!(found.map(|(rank, _)| rank).eq(range.clone()), "value {value}");
    }
    for value in values.iter().step_by(97) {
        let at = values.partition_point(|other| other < value);
        assert_eq!(view.ranks_of(*value).unwrap(), ranges[at]);
    }
    assert_eq!(view.ranks_of_sorted(&[]), Ok(Vec::new()));
    assert_eq!(view.ranks_of_sorted(&[2, 1]), Err(OverlayError::Order));
}

#[test]
fn segments_are_complete_in_order_and_have_their_labels() {
    let (universe, published, _) = several_segments();
    let refusal = |epoch_number: u64, change: &dyn Fn(&mut Vec<EncodedSegment>)| {
        let mut published = published.clone();
        change(&mut published);
        let segments = published.iter().map(SnapshotSegment::from).collect();
        SnapshotView::new(&universe, EPOCH, epoch_number, segments).unwrap_err()
    };
    let sequence = OverlayError::Segment(SetError::SegmentSequence);
    assert_eq!(refusal(3, &|parts| parts.truncate(15)), sequence);
    assert_eq!(refusal(3, &|parts| parts.push(parts[0].clone())), sequence);
    assert_eq!(refusal(3, &|parts| parts.swap(1, 2)), OverlayError::Segment(SetError::Index));
    assert_eq!(refusal(4, &|_| ()), OverlayError::Segment(SetError::SnapshotNumber));
    let count = OverlayError::Segment(SetError::Count);
    assert_eq!(refusal(3, &|parts| parts[1].count += 1), count);
    for change in [-1, 1, -32, 32] {
        let resize = |parts: &mut Vec<EncodedSegment>| {
            let length = parts[1].labels.len().strict_add_signed(change);
            parts[1].labels.resize(length, 0);
        };
        assert_eq!(refusal(3, &resize), OverlayError::LabelBytes, "{change} bytes");
    }
}

#[test]
fn a_malformed_body_is_found_when_it_is_decoded() {
    let (universe, mut published, _) = several_segments();
    let last = published[3].bytes.len() - 8;
    published[3].bytes[last..].fill(0xff);
    let view = view_of(&universe, 3, &published);
    let value = |segment: u64| segment * universe.segment_width() + 5;
    assert!(view.ranks_of(value(2)).is_ok());
    let broken = view.ranks_of(value(3)).unwrap_err();
    assert!(matches!(broken, OverlayError::Segment(_)));
    let overlay = Overlay::empty(*view.identity());
    let mut compaction = compact(&view, &overlay, 4).unwrap();
    assert_eq!(compaction.len(), 16);
    assert!(compaction.by_ref().take(3).all(|segment| segment.is_ok()));
    assert_eq!(compaction.next().unwrap(), Err(broken));
    assert!(compaction.all(|segment| segment.is_ok()));
}

#[test]
fn members_up_to_the_limit() {
    use crate::limits::DIRECTORY_MEMBERS_MAX;
    use crate::set::snapshot::first_ranks;
    let most = DIRECTORY_MEMBERS_MAX as u32;
    assert_eq!(first_ranks([3, 0, most - 3].into_iter()), Ok((vec![0, 3, 3], most)));
    for counts in [[3, most - 2], [most, 1], [u32::MAX, 0], [1, u32::MAX]] {
        assert_eq!(first_ranks(counts.into_iter()), Err(OverlayError::Capacity));
    }
}
