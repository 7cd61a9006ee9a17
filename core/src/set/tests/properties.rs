//! Round trips and arbitrary bytes.

use proptest::collection::vec;
use proptest::prelude::*;

use super::rice::{RiceReader, RiceWriter};
use super::*;

/// Small and boundary capacities; segments overfull, planned and nearly empty.
fn universes() -> impl Strategy<Value = Universe> {
    prop_oneof![1u64..3, 900u64..1_100, 24_570u64..24_590, 1u64..200_000]
        .prop_map(|capacity| Universe::with_capacity(capacity).unwrap())
}

/// Spread over the whole range, or close together so that values tie.
fn tags() -> impl Strategy<Value = Vec<u64>> {
    prop_oneof![vec(any::<u64>(), 0..200), vec(0u64..1 << 45, 0..200)]
}

/// A body that often passes the header checks: right fields, random codes.
fn plausible_segment() -> impl Strategy<Value = (u32, Vec<u8>)> {
    let body = prop_oneof![vec(any::<u8>(), 0..64), vec(prop_oneof![Just(0u8), Just(255)], 0..64)];
    (0u32..20, body).prop_map(|(count, body)| {
        let mut bytes = encode_segment(&Universe::with_capacity(9).unwrap(), 3, 0, &[]).unwrap();
        bytes[20..24].copy_from_slice(&count.to_le_bytes());
        bytes[24..28].copy_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend(body);
        (count, bytes)
    })
}

proptest! {
    #[test]
    fn decoding_inverts_encoding(universe in universes(), tags in tags(), number: u64) {
        let record = |tag: &u64| Record { tag: *tag, sealed_label: [*tag as u8; 32] };
        let mut records: Vec<Record> = tags.iter().map(record).collect();
        let published = publish(&universe, number, &records);
        let set = decode_all(&universe, number, &published);
        let mut values: Vec<u64> = tags.iter().map(|tag| universe.scaled(*tag)).collect();
        values.sort_unstable();
        let mut decoded = Vec::new();
        for (index, segment) in (0u32..).zip(set.segments()) {
            let first = u64::from(index) * universe.segment_width();
            decoded.extend(segment.values().map(|value| first + value));
            let inside: Vec<u64> = segment.values().collect();
            let again = encode_segment(&universe, number, index, &inside).unwrap();
            prop_assert_eq!(&again, &published[index as usize].bytes);
        }
        prop_assert_eq!(decoded, values);
        records.reverse();
        prop_assert_eq!(publish(&universe, number, &records), published);
    }

    #[test]
    fn accepted_bytes_are_canonical((count, bytes) in plausible_segment()) {
        let universe = Universe::with_capacity(9).unwrap();
        let expected = Expected { snapshot_number: 3, index: 0, count };
        let streamed = find_in_segment(&universe, expected, &bytes, &[0, u64::MAX]);
        match Segment::decode(&universe, expected, &bytes) {
            Ok(segment) => {
                prop_assert!(streamed.is_ok());
                prop_assert_eq!(segment.count(), count);
                let values: Vec<u64> = segment.values().collect();
                prop_assert_eq!(encode_segment(&universe, 3, 0, &values).unwrap(), bytes);
            }
            Err(error) => prop_assert_eq!(streamed, Err(error)),
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), count: u32, index: u32) {
        let universe = Universe::with_capacity(30_000).unwrap();
        let expected = Expected { snapshot_number: 0, index, count };
        prop_assert!(Segment::decode(&universe, expected, &bytes).is_err());
    }

    #[test]
    fn flipped_bits_are_refused_or_another_set(flip in 0usize..43 * 8) {
        let universe = Universe::with_capacity(9).unwrap();
        let values = [3, 3, 1 << 20, 3 << 20];
        let mut bytes = encode_segment(&universe, 1, 0, &values).unwrap();
        bytes[flip / 8] ^= 1 << (flip % 8);
        let expected = Expected { snapshot_number: 1, index: 0, count: 4 };
        if let Ok(segment) = Segment::decode(&universe, expected, &bytes) {
            prop_assert!(!segment.values().eq(values));
        }
    }

    #[test]
    fn gaps_round_trip_with_every_parameter(
        gaps in vec((0u64..300, any::<u64>()), 0..40),
        p in 0u32..=56,
    ) {
        let gaps: Vec<u64> = gaps
            .iter()
            .map(|(quotient, low)| ((quotient & (u64::MAX >> p)) << p) | (low & ((1 << p) - 1)))
            .collect();
        let mut writer = RiceWriter::append_to(Vec::new());
        gaps.iter().for_each(|gap| writer.write(*gap, p));
        let bytes = writer.finish();
        let bits: u64 = gaps.iter().map(|gap| (gap >> p) + 1 + u64::from(p)).sum();
        prop_assert_eq!(bytes.len() as u64, bits.div_ceil(8));
        let mut reader = RiceReader::new(&bytes);
        for gap in gaps {
            prop_assert_eq!(reader.read(p), Ok(gap));
        }
        prop_assert_eq!(reader.finish(), Ok(()));
    }
}

#[test]
fn a_gap_past_64_bits_is_refused() {
    // 256 one-bits, a zero-bit, 56 low bits: 2^64 and more.
    let mut bytes = vec![0xff; 32];
    bytes.extend([0; 8]);
    assert_eq!(RiceReader::new(&bytes).read(56), Err(SetError::ValueRange));
}
