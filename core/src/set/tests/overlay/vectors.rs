//! Known answers of the independent script in `vectors/set`.

use data_encoding::HEXLOWER;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::*;

const VECTORS: &str = include_str!("../../../../vectors/set/overlays.json");

#[test]
fn histories() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let number = number(&vectors["snapshot_number"]);
    for history in list(&vectors["histories"]) {
        let name = text(&history["name"]);
        let universe = Universe::with_capacity(history["capacity"].as_u64().unwrap()).unwrap();
        let states: Vec<Vec<Record>> = list(&history["states"]).iter().map(records).collect();
        let published = publish(&universe, number, &states[0]);
        let view = with_epoch_of(&vectors, &universe, &published);

        let overlays = advance_through(&universe, &view, &states);
        for (overlay, known) in overlays.iter().zip(list(&history["overlays"])) {
            assert_eq!(HEXLOWER.encode(&overlay.encode()), text(known), "{name}");
            let decoded = Overlay::decode(view.identity(), &bytes(known)).unwrap();
            assert_eq!(decoded, *overlay, "{name}");
        }
        for known in list(&history["deltas"]) {
            let [from, to] = ["from", "to"].map(|field| known[field].as_u64().unwrap());
            let (before, after) = (&overlays[from as usize], &overlays[to as usize]);
            let versions = DeltaVersions { from, to };
            let delta = Delta::between(versions, before, after).unwrap();
            let known = &known["bytes"];
            assert_eq!(HEXLOWER.encode(&delta.encode()), text(known), "{name}, {from} to {to}");
            let decoded = Delta::decode(view.identity(), versions, &bytes(known)).unwrap();
            assert_eq!(decoded.apply(before).as_ref(), Ok(after), "{name}, {from} to {to}");
        }
        compare_compacted(history, compact(&view, overlays.last().unwrap(), number + 1).unwrap());
    }
}

/// The overlays of all states, each from the one before.
fn advance_through(
    universe: &Universe,
    view: &SnapshotView<&[u8]>,
    states: &[Vec<Record>],
) -> Vec<Overlay> {
    let mut overlays = vec![Overlay::empty(*view.identity())];
    for pair in states.windows(2) {
        let (gone, new) = (world::entries(universe, &pair[0]), world::entries(universe, &pair[1]));
        overlays.push(overlays.last().unwrap().advance(view, &gone, &new).unwrap());
    }
    overlays
}

fn compare_compacted(history: &Value, compaction: Compaction<'_, &[u8]>) {
    let mut known = list(&history["compacted"]).iter().peekable();
    let mut labels = Sha256::new();
    for (index, segment) in (0u64..).zip(compaction) {
        let segment = segment.unwrap();
        labels.update(&segment.labels);
        if let Some(answer) = known.next_if(|answer| number(&answer["index"]) == index) {
            assert_eq!(u64::from(segment.count), number(&answer["count"]));
            let digest = HEXLOWER.encode(&Sha256::digest(&segment.bytes));
            assert_eq!(digest, text(&answer["sha256"]), "segment {index}");
        } else {
            assert_eq!((segment.count, segment.bytes.len()), (0, 32), "segment {index}");
        }
    }
    assert!(known.next().is_none(), "no segment is left over");
    assert_eq!(HEXLOWER.encode(&labels.finalize()), text(&history["compacted_labels"]));
}

#[test]
fn refuses_the_bad_overlays() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let snapshot = bad_identity(&vectors);
    let cases = list(&vectors["bad"]["overlays"]);
    assert_eq!(cases.len(), 20);
    for case in cases {
        let error = Overlay::decode(&snapshot, &bytes(&case["bytes"])).unwrap_err();
        assert_eq!(format!("{error:?}"), text(&case["error"]), "{}", case["name"]);
    }
}

#[test]
fn refuses_the_bad_deltas() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let snapshot = bad_identity(&vectors);
    let bad = &vectors["bad_deltas"];
    let versions = DeltaVersions { from: number(&bad["from"]), to: number(&bad["to"]) };
    let start = Overlay::decode(&snapshot, &bytes(&bad["start"])).unwrap();
    let result = |case: &Value| {
        Delta::decode(&snapshot, versions, &bytes(case)).and_then(|delta| delta.apply(&start))
    };
    let changed = result(&bad["good"]).unwrap();
    assert_eq!(changed.removed(), [3, 5, 60, 99]);
    assert_eq!(changed.added().len(), 4);
    let cases = list(&bad["cases"]);
    assert_eq!(cases.len(), 23);
    for case in cases {
        let error = result(&case["bytes"]).unwrap_err();
        assert_eq!(format!("{error:?}"), text(&case["error"]), "{}", case["name"]);
    }
}

fn bad_identity(vectors: &Value) -> SnapshotIdentity {
    SnapshotIdentity {
        universe: Universe::with_capacity(number(&vectors["bad"]["capacity"])).unwrap(),
        epoch: number(&vectors["epoch"]) as u32,
        number: number(&vectors["snapshot_number"]),
        members: number(&vectors["bad"]["members"]) as u32,
    }
}

fn with_epoch_of<'a>(
    vectors: &Value,
    universe: &Universe,
    published: &'a [EncodedSegment],
) -> SnapshotView<&'a [u8]> {
    let segments = published.iter().map(SnapshotSegment::from).collect();
    let epoch = number(&vectors["epoch"]) as u32;
    SnapshotView::new(universe, epoch, number(&vectors["snapshot_number"]), segments).unwrap()
}

fn records(state: &Value) -> Vec<Record> {
    let record = |record: &Value| {
        let label = (number(&record[1]) as u32).to_le_bytes();
        Record {
            tag: u64::from_str_radix(text(&record[0]), 16).unwrap(),
            sealed_label: Sha256::new()
                .chain_update(b"label")
                .chain_update(label)
                .finalize()
                .into(),
        }
    };
    list(state).iter().map(record).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

fn bytes(value: &Value) -> Vec<u8> {
    HEXLOWER.decode(text(value).as_bytes()).unwrap()
}
