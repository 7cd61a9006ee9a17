//! Every malformed input is refused for its own reason.

use super::rice::RiceWriter;
use super::*;
use crate::limits::SEGMENT_BYTES_MAX;

const EXPECTED: Expected = Expected { snapshot_number: 7, index: 1, count: 4 };

fn universe() -> Universe {
    Universe::with_capacity(30_000).unwrap()
}

/// Four members; the codes end one bit before the last byte does.
fn good() -> Vec<u8> {
    let bytes = encode_segment(&universe(), 7, 1, &[3, 3, 1 << 20, 3 << 20]).unwrap();
    assert_eq!(bytes.len(), 32 + 11);
    Segment::decode(&universe(), EXPECTED, &bytes).unwrap();
    bytes
}

fn refusal(bytes: &[u8]) -> SetError {
    refusal_of(EXPECTED, bytes)
}

/// Decoding and streaming give the same answer.
fn refusal_of(expected: Expected, bytes: &[u8]) -> SetError {
    let error = Segment::decode(&universe(), expected, bytes).unwrap_err();
    assert_eq!(find_in_segment(&universe(), expected, bytes, &[u64::MAX]), Err(error));
    error
}

fn altered(offset: usize, value: u8) -> SetError {
    let mut bytes = good();
    assert_ne!(bytes[offset], value);
    bytes[offset] = value;
    refusal(&bytes)
}

fn with_body(count: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = good();
    bytes.truncate(32);
    bytes[20..24].copy_from_slice(&count.to_le_bytes());
    bytes[24..28].copy_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

#[test]
fn truncation_at_every_byte() {
    let bytes = good();
    for length in 0..bytes.len() {
        assert_eq!(refusal(&bytes[..length]), SetError::Truncated, "{length} bytes");
    }
}

#[test]
fn truncation_with_the_length_adjusted() {
    let body = &good()[32..];
    for length in 0..body.len() {
        let error = refusal(&with_body(4, &body[..length]));
        assert!(matches!(error, SetError::Truncated | SetError::CountTooHigh), "{length} bytes");
    }
}

#[test]
fn wrong_magic() {
    for offset in 0..4 {
        assert_eq!(altered(offset, 0), SetError::Magic);
    }
}

#[test]
fn wrong_version() {
    assert_eq!(altered(4, 2), SetError::Version);
}

#[test]
fn wrong_rice_parameter() {
    assert_eq!(altered(5, 19), SetError::RiceParameter);
}

#[test]
fn wrong_segment_bits() {
    assert_eq!(altered(6, 0), SetError::SegmentBits);
}

#[test]
fn reserved_bytes() {
    for offset in [7, 28, 29, 30, 31] {
        assert_eq!(altered(offset, 1), SetError::Reserved);
    }
}

#[test]
fn wrong_snapshot_number() {
    for offset in 8..16 {
        assert_eq!(altered(offset, 99), SetError::SnapshotNumber);
    }
}

#[test]
fn wrong_index() {
    assert_eq!(altered(16, 0), SetError::Index);
    assert_eq!(altered(19, 1), SetError::Index);
}

#[test]
fn index_past_the_universe() {
    let mut bytes = good();
    bytes[16] = 2;
    assert_eq!(refusal_of(Expected { index: 2, ..EXPECTED }, &bytes), SetError::Index);
    assert_eq!(encode_segment(&universe(), 7, 2, &[]), Err(SetError::Index));
}

#[test]
fn wrong_count() {
    assert_eq!(altered(20, 3), SetError::Count);
    assert_eq!(altered(20, 5), SetError::Count);
}

#[test]
fn huge_count_is_refused_before_allocation() {
    for count in [5, 1 << 20, u32::MAX] {
        let bytes = with_body(count, &good()[32..]);
        let expected = Expected { count, ..EXPECTED };
        assert_eq!(refusal_of(expected, &bytes), SetError::CountTooHigh);
    }
}

#[test]
fn one_member_too_few() {
    // The code of the fourth member is left over.
    let bytes = with_body(3, &good()[32..]);
    assert_eq!(refusal_of(Expected { count: 3, ..EXPECTED }, &bytes), SetError::TrailingBytes);
}

#[test]
fn no_members_but_a_body() {
    let expected = Expected { count: 0, ..EXPECTED };
    assert_eq!(refusal_of(expected, &with_body(0, &[0])), SetError::TrailingBytes);
    assert_eq!(Segment::decode(&universe(), expected, &with_body(0, &[])).unwrap().count(), 0);
}

#[test]
fn bytes_after_the_body() {
    let mut bytes = good();
    bytes.push(0);
    assert_eq!(refusal(&bytes), SetError::TrailingBytes);
}

#[test]
fn eight_or_more_bits_of_padding() {
    let mut body = good()[32..].to_vec();
    for _ in 0..9 {
        body.push(0);
        assert_eq!(refusal(&with_body(4, &body)), SetError::TrailingBytes);
    }
    // Exactly eight: a body whose codes end on a byte.
    let eight = encode_segment(&universe(), 7, 1, &[3 << 20]).unwrap();
    assert_eq!(eight.len(), 32 + 3);
    let bytes = with_body(1, &[&eight[32..], &[0]].concat());
    assert_eq!(refusal_of(Expected { count: 1, ..EXPECTED }, &bytes), SetError::TrailingBytes);
}

#[test]
fn padding_that_is_not_zero() {
    assert_eq!(altered(32 + 10, good()[32 + 10] | 0x80), SetError::Padding);
}

#[test]
fn all_ones() {
    for length in [11, 64, SEGMENT_BYTES_MAX - 32] {
        assert_eq!(refusal(&with_body(4, &vec![0xff; length])), SetError::Truncated);
    }
}

#[test]
fn value_at_the_width_and_just_below() {
    let width = universe().segment_width();
    let bytes = encode_segment(&universe(), 7, 1, &[0, 0, 0, width - 1]).unwrap();
    let decoded = Segment::decode(&universe(), EXPECTED, &bytes).unwrap();
    assert!(decoded.values().eq([0, 0, 0, width - 1]));
    assert_eq!(decoded.ranks_of(width - 1), 3..4);
    assert!(decoded.ranks_of(width).is_empty());
    assert!(decoded.ranks_of(u64::MAX).is_empty());

    let smaller = Universe::with_capacity(29_999).unwrap();
    assert_eq!(Segment::decode(&smaller, EXPECTED, &bytes), Err(SetError::ValueRange));
    for value in [width, width + 1, 1 << 42] {
        let mut writer = RiceWriter::append_to(Vec::new());
        [0, 0, 0, value].iter().for_each(|gap| writer.write(*gap, RICE_PARAMETER.into()));
        assert_eq!(refusal(&with_body(4, &writer.finish())), SetError::ValueRange);
    }
}

#[test]
fn larger_than_the_limit() {
    assert_eq!(refusal(&vec![0; SEGMENT_BYTES_MAX + 1]), SetError::TooLarge);
    assert_eq!(refusal(&vec![0; SEGMENT_BYTES_MAX]), SetError::Magic);
    // 21 bits each: the largest number of members whose body fits, and one more.
    let most = (SEGMENT_BYTES_MAX - 32) * 8 / 21;
    let bytes = encode_segment(&universe(), 7, 1, &vec![0; most]).unwrap();
    let expected = Expected { count: most as u32, ..EXPECTED };
    let decoded = Segment::decode(&universe(), expected, &bytes).unwrap();
    assert_eq!(decoded.ranks_of(0), 0..most as u32);
    assert_eq!(encode_segment(&universe(), 7, 1, &vec![0; most + 1]), Err(SetError::TooLarge));
}

#[test]
fn encoder_refuses_what_the_decoder_would() {
    let width = universe().segment_width();
    assert_eq!(encode_segment(&universe(), 7, 1, &[2, 1]), Err(SetError::Order));
    assert_eq!(encode_segment(&universe(), 7, 1, &[2, width]), Err(SetError::ValueRange));
}

#[test]
fn records_out_of_order_or_of_another_segment() {
    let record = |tag, label| Record { tag, sealed_label: [label; 32] };
    let first_error =
        |records: &[Record]| encode_sorted(&universe(), 1, records).find_map(Result::err);
    assert_eq!(first_error(&[record(1, 1), record(1, 2)]), None);
    assert_eq!(first_error(&[record(1, 2), record(1, 1)]), Some(SetError::Order));
    assert_eq!(first_error(&[record(1 << 50, 1), record(1, 1)]), Some(SetError::Order));
    assert_eq!(first_error(&[record(1 << 63, 1), record(1, 1)]), Some(SetError::ForeignRecord));
    let mut records = [record(1 << 63, 1)];
    assert_eq!(build_segment(&universe(), 1, 0, &mut records), Err(SetError::ForeignRecord));
    assert_eq!(build_segment(&universe(), 1, 2, &mut []), Err(SetError::Index));
}

#[test]
fn a_set_is_complete_and_in_order() {
    let universe = universe();
    let segment = |number, index| {
        let bytes = encode_segment(&universe, number, index, &[9]).unwrap();
        let expected = Expected { snapshot_number: number, index, count: 1 };
        Segment::decode(&universe, expected, &bytes).unwrap()
    };
    assert_eq!(Set::new(&universe, 1, vec![segment(1, 0), segment(1, 1)]).unwrap().members(), 2);
    let other = Universe::with_capacity(30_001).unwrap();
    for (universe, number, segments) in [
        (universe, 1, vec![]),
        (universe, 1, vec![segment(1, 0)]),
        (universe, 1, vec![segment(1, 1), segment(1, 0)]),
        (universe, 1, vec![segment(1, 0), segment(1, 0)]),
        (universe, 1, vec![segment(1, 0), segment(1, 1), segment(1, 1)]),
        (universe, 1, vec![segment(1, 0), segment(2, 1)]),
        (universe, 2, vec![segment(1, 0), segment(1, 1)]),
        (other, 1, vec![segment(1, 0), segment(1, 1)]),
    ] {
        let error = Set::new(&universe, number, segments).unwrap_err();
        assert_eq!(error, SetError::SegmentSequence);
    }
}

#[test]
fn debug_shows_no_members() {
    let record = Record { tag: 0x1234_5678_9abc_def0, sealed_label: [0xaa; 32] };
    let published = publish(&universe(), 1, &[record]);
    let set = decode_all(&universe(), 1, &published);
    let expected = Expected { snapshot_number: 1, index: 0, count: 1 };
    let hits = find_in_segment(&universe(), expected, &published[0].bytes, &[record.tag]).unwrap();
    assert_eq!(hits.len(), 1);
    assert_eq!(format!("{record:?} {hits:?}"), "Record(REDACTED) [SegmentHit(REDACTED)]");
    let text = format!("{published:?} {set:?} {:?}", set.segments());
    for secret in [record.tag, universe().value_of(record.tag), 0xaa] {
        assert!(!text.contains(&secret.to_string()), "{text}");
    }
}
