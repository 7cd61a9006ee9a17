//! Lies about what changed: deltas are not signed, so whatever one says, it leads to what the
//! manifest names or is not followed.

use acquaint_client::MemoryStateStore;
use acquaint_core::set::{Delta, DeltaVersions, Entry};

use super::*;

/// The version after [`SMALL`], over the same snapshot: one of the people is gone, one is new.
struct Next {
    signed: SignedManifest,
    people: HashMap<Identifier, Label>,
    honest: Vec<FetchDeltaResponse>,
    /// An invented person more.
    invented: Vec<FetchDeltaResponse>,
    /// The one who is gone is not.
    omitted: Vec<FetchDeltaResponse>,
}

const GONE: u64 = 20;
const NEW: u64 = 45;
const INVENTED: u64 = 50;

static NEXT: LazyLock<Next> = LazyLock::new(|| {
    let (_, snapshot) = OPERATOR.publish(7, |_, _| {});
    let (view, empty) = (snapshot.view(), Overlay::empty(*snapshot.view().identity()));
    let [gone, new, invented] = [GONE, NEW, INVENTED].map(entry);
    let overlay = |gone: &[Entry], new: &[Entry]| empty.advance(view, gone, new).unwrap();
    let messages = |overlay: &Overlay| {
        let delta = Delta::between(DeltaVersions { from: 7, to: 8 }, &empty, overlay).unwrap();
        vec![message(8, delta.encode())]
    };
    let honest = overlay(&[gone], &[new]);
    let bytes = honest.encode();
    let mut manifest = SMALL.manifest.clone();
    (manifest.sequence, manifest.previous) = (8, SMALL.signed.digest());
    manifest.epochs[0].version = 8;
    manifest.epochs[0].overlay = OverlayInfo {
        bytes: bytes.len() as u64,
        removed: 1,
        added: 1,
        digest: *blake3::hash(&bytes).as_bytes(),
    };
    let mut people = OPERATOR.people.clone();
    people.remove(&number(GONE));
    people.insert(number(NEW), label(NEW));
    Next {
        signed: manifest.sign(&OPERATOR.manifest_key).unwrap(),
        people,
        honest: messages(&honest),
        invented: messages(&overlay(&[gone], &[new, invented])),
        omitted: messages(&overlay(&[], &[new])),
    }
});

/// How a person is published in the universe of [`SMALL`].
fn entry(i: u64) -> Entry {
    let element = outputs(&OPERATOR.seed, &[number(i)]).remove(0);
    let record = record(EPOCH, &Row { element, label: label(i), hidden: false }).unwrap();
    Entry::new(&SMALL.manifest.epochs[0].snapshot.universe, &record)
}

fn message(version: u64, delta: Vec<u8>) -> FetchDeltaResponse {
    let delta_bytes = delta.len() as u64;
    FetchDeltaResponse { snapshot: 7, version, delta_bytes, offset: 0, data: delta.into() }
}

/// A client that holds version 7 is shown version 8, and these deltas on its way there; whoever
/// asks once more gets the honest one. Gives the people it finds and the calls for the set.
async fn followed(
    lie: Vec<FetchDeltaResponse>,
    repeated: bool,
) -> (Result<SyncOutcome, ClientError>, usize) {
    let manifest = |call: usize, _: &GetManifestRequest| {
        Ok(manifest_answer(if call == 0 { &SMALL.signed } else { &NEXT.signed }))
    };
    let delta = move |call: usize, request: &FetchDeltaRequest| {
        let FetchDeltaRequest { snapshot, version, to_snapshot, to_version } = *request;
        assert_eq!((snapshot, version, to_snapshot, to_version), (7, 7, 7, 8));
        Ok(if call == 0 || repeated { lie.clone() } else { NEXT.honest.clone() })
    };
    let script =
        Script { manifest: Box::new(manifest), delta: Box::new(delta), ..Script::honest(&SMALL) };
    let lying = Lying::start(script).await;
    let client = lying.builder().state_store(MemoryStateStore::default()).build().unwrap();
    assert_honest(&sync(&client).await.0.unwrap());
    let outcome = sync(&client).await.0;
    (outcome, lying.calls()[2])
}

/// The control: an honest delta is followed, and nothing else is downloaded.
#[tokio::test]
async fn an_honest_delta_is_followed() {
    let (outcome, set_calls) = followed(NEXT.honest.clone(), true).await;
    let outcome = outcome.unwrap();
    assert_eq!(found(&outcome), oracle(&contacts(), &NEXT.people));
    assert_eq!((set_calls, outcome.report.elements), (1, 0));
    assert_eq!((outcome.changes.joined.len(), outcome.changes.left.len()), (1, 1));
}

/// Every lie costs the client a download, and never a wrong answer; whoever goes on lying is
/// refused.
#[tokio::test]
async fn deltas_that_lead_elsewhere_are_not_followed() {
    let honest = &NEXT.honest[0];
    let with = |change: fn(&mut FetchDeltaResponse)| {
        let mut message = honest.clone();
        change(&mut message);
        vec![message]
    };
    let flipped = |at: usize| {
        let mut bytes = honest.data.to_vec();
        bytes[at] ^= 1;
        vec![message(8, bytes)]
    };
    let lies = [
        ("an invented person", NEXT.invented.clone()),
        ("a person who is gone and is not", NEXT.omitted.clone()),
        ("nothing happened", vec![message(7, Vec::new())]),
        ("nothing happened up to now", vec![message(8, Vec::new())]),
        ("no step", Vec::new()),
        ("another snapshot", with(|m| m.snapshot = 8)),
        ("another version", with(|m| m.version = 9)),
        ("a flipped bit of the header", flipped(0)),
        ("a flipped bit of the version", flipped(20)),
        ("a flipped bit of a label", flipped(honest.data.len() - 1)),
        ("one byte less", with(|m| m.data.truncate(m.data.len() - 1))),
        ("one byte more", vec![message(8, [&honest.data[..], &[0]].concat())]),
        ("the same step twice", vec![honest.clone(), honest.clone()]),
        ("a step that leaves a gap", with(|m| m.offset = 1)),
    ];
    for (name, lie) in lies {
        let (outcome, set_calls) = followed(lie.clone(), false).await;
        assert_eq!(found(&outcome.unwrap()), oracle(&contacts(), &NEXT.people), "{name}");
        assert_eq!(set_calls, 2, "{name}: the snapshot is downloaded");
        let (outcome, _) = followed(lie, true).await;
        assert!(matches!(outcome, Err(ClientError::ServerMisbehaved(_))), "{name}: {outcome:?}");
    }
}

/// A server that was restored uses the number of a snapshot again, for other people: what a client
/// holds under that number is not taken for it, now or later.
#[tokio::test]
async fn a_snapshot_number_that_is_used_again_is_noticed() {
    let again = OPERATOR.publish(7, |manifest, records| {
        manifest.sequence = 9;
        records.retain(|record| record.tag != tag_of(GONE));
    });
    let again = Shown::new(&again);
    let shown = [SMALL.clone(), again];
    let [manifests, indexes] = [shown.clone(), shown.clone()];
    let [sets, labels] = [shown.clone(), shown];
    let script = Script {
        manifest: Box::new(move |call, _| Ok(manifest_answer(&manifests[call.min(1)].signed))),
        index: Box::new(move |call, _| Ok(indexes[call.min(1)].index.clone())),
        set: Box::new(move |call, _| Ok(sets[call.min(1)].set.clone())),
        labels: Box::new(move |call, _| Ok(labels[call.min(1)].labels.clone())),
        ..Script::honest(&SMALL)
    };
    let lying = Lying::start(script).await;
    let client = lying.builder().state_store(MemoryStateStore::default()).build().unwrap();
    assert_honest(&sync(&client).await.0.unwrap());
    let mut people = OPERATOR.people.clone();
    people.remove(&number(GONE));
    for _ in 0..2 {
        assert_eq!(found(&sync(&client).await.0.unwrap()), oracle(&contacts(), &people));
    }
    assert_eq!(lying.calls()[2], 2, "downloaded once more, and kept");
}

fn tag_of(i: u64) -> u64 {
    outputs(&OPERATOR.seed, &[number(i)]).remove(0).tag().expose_u64()
}
