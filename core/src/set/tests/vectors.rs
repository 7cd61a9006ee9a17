//! Known answers of the independent script in `vectors/set`.

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;

const VECTORS: &str = include_str!("../../../vectors/set/vectors.json");

#[test]
fn encodes_and_decodes_the_known_answers() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    for case in list(&vectors["good"]) {
        let name = case["name"].as_str().unwrap();
        let segment_bits = u8::try_from(number(&case["segment_bits"])).unwrap();
        let (capacity, width) = (number(&case["capacity"]), number(&case["segment_width"]));
        let universe = Universe::from_parts(capacity, segment_bits, width).unwrap();
        let snapshot = number(&case["snapshot_number"]);
        let records: Vec<Record> =
            (0u32..).zip(list(&case["tags"])).map(|(i, tag)| record(i, tag)).collect();
        let published = publish(&universe, snapshot, &records);

        let mut known = list(&case["segments"]).iter().peekable();
        for (index, segment) in (0u64..).zip(&published) {
            if let Some(answer) = known.next_if(|answer| number(&answer["index"]) == index) {
                assert_eq!(u64::from(segment.count), number(&answer["count"]), "{name}");
                assert_eq!(segment.bytes, bytes(&answer["bytes"]), "{name}, segment {index}");
            } else {
                assert_eq!((segment.count, segment.bytes.len()), (0, 32), "{name}");
            }
        }
        assert!(known.next().is_none(), "{name}: no segment is left over");

        let order = list(&case["order"]);
        let labels: Vec<u8> =
            order.iter().flat_map(|i| records[number(i) as usize].sealed_label).collect();
        assert_eq!(published.iter().flat_map(|s| s.labels.clone()).collect::<Vec<_>>(), labels);
        let set = decode_all(&universe, snapshot, &published);
        let mut ties = order.len() as u64;
        for (rank, position) in (0u64..).zip(order) {
            let ranks = set.lookup(records[number(position) as usize].tag).unwrap();
            assert!(ranks.contains(&rank), "{name}, rank {rank}");
            ties -= u64::from(ranks.start == rank);
        }
        assert_eq!(ties, number(&case["ties"]), "{name}");
    }
}

#[test]
fn refuses_the_bad_cases() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let bad = &vectors["bad"];
    let universe = Universe::with_capacity(number(&bad["capacity"])).unwrap();
    let expected = Expected {
        snapshot_number: number(&bad["snapshot_number"]),
        index: number(&bad["index"]) as u32,
        count: number(&bad["count"]) as u32,
    };
    for case in list(&bad["cases"]) {
        let error = Segment::decode(&universe, expected, &bytes(&case["bytes"])).unwrap_err();
        assert_eq!(format!("{error:?}"), case["error"].as_str().unwrap(), "{}", case["name"]);
    }
}

fn record(position: u32, tag: &Value) -> Record {
    let sealed_label = Sha256::new().chain_update(b"label").chain_update(position.to_le_bytes());
    Record {
        tag: u64::from_str_radix(tag.as_str().unwrap(), 16).unwrap(),
        sealed_label: sealed_label.finalize().into(),
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}
