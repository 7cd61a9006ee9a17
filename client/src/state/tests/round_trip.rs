//! What is saved comes back, bit for bit.

use proptest::prelude::*;

use super::*;

/// How much of everything a state holds.
#[derive(Clone, Debug)]
struct Shape {
    seed: u64,
    manifest_bytes: Option<usize>,
    /// For each epoch: number of contacts, and whether a snapshot is kept.
    epochs: Vec<(u32, bool)>,
    n_matches: u32,
}

fn shape() -> impl Strategy<Value = Shape> {
    let epochs = prop::collection::vec((0..30_u32, any::<bool>()), 0..=2);
    (any::<u64>(), prop::option::of(0..200_usize), epochs, 0..20_u32).prop_map(
        |(seed, manifest_bytes, epochs, n_matches)| Shape {
            seed,
            manifest_bytes,
            epochs,
            n_matches,
        },
    )
}

fn build(shape: &Shape) -> (World, State) {
    let mut world = World::new(shape.seed);
    let mut state = world.state();
    if let Some(bytes) = shape.manifest_bytes {
        state.set_manifest(world.manifest(3, bytes));
    }
    for (epoch, (n_contacts, is_held)) in (5..).zip(&shape.epochs) {
        world.add_epoch(&mut state, epoch);
        world.evaluate(&mut state, epoch, &book(0..*n_contacts));
        if *is_held {
            let snapshot = world.snapshot(&state, epoch, 8, false);
            state.epoch_mut(epoch).unwrap().hold(world.held(&snapshot)).unwrap();
        }
    }
    let matches: Vec<Match> = (0..shape.n_matches as usize)
        .map(|contact| Match { contact, label: world.label() })
        .collect();
    state.set_matches(&book(0..shape.n_matches), &matches);
    (world, state)
}

fn assert_same(read: &State, state: &State, n_contacts: u32) {
    assert_eq!(read.tenant(), state.tenant());
    assert_eq!(read.manifest(), state.manifest());
    assert_eq!(read.epochs().len(), state.epochs().len());
    for (read_epoch, epoch) in read.epochs().iter().zip(state.epochs()) {
        assert_eq!(read_epoch.epoch(), epoch.epoch());
        assert_eq!(read_epoch.public_key(), epoch.public_key());
        assert_eq!(read_epoch.held(), epoch.held());
        assert_eq!(read_epoch.evaluated(), epoch.evaluated());
        for n in 0..n_contacts {
            let contact = state.local_key(&identifier(n));
            assert_eq!(contact, read.local_key(&identifier(n)));
            let expected = epoch.evaluation(&contact);
            let found = read_epoch.evaluation(&contact);
            assert_eq!(found.map(|e| *e.expose_tag()), expected.map(|e| *e.expose_tag()));
            assert_eq!(
                found.map(|e| *e.expose_label_key()),
                expected.map(|e| *e.expose_label_key())
            );
        }
    }
    let book = book(0..n_contacts);
    assert_eq!(read.matches(&book), state.matches(&book));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_state_is_read_as_it_was_written(shape in shape()) {
        let (world, state) = build(&shape);
        let bytes = state.encode().unwrap();
        let read = State::decode(&bytes, &world.binding()).unwrap();
        assert_same(&read, &state, 30);
        prop_assert_eq!(&read.encode().unwrap()[..], &bytes[..]);
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written(
        seed in any::<u64>(),
        set in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..50), 0..9),
        has_labels in any::<bool>(),
    ) {
        let mut world = World::new(seed);
        let owner = world.state();
        let labels: Vec<Vec<u8>> = set.iter().map(|segment| segment.repeat(2)).collect();
        let kept = has_labels.then_some(&labels[..]);
        let snapshot = Snapshot::encode(&owner, 4, 11, &set, kept).unwrap();
        let read = Snapshot::decode(snapshot.part().clone(), &world.binding()).unwrap();
        prop_assert_eq!(read.id(), snapshot.id());
        prop_assert_eq!((read.id().epoch(), read.id().number()), (4, 11));
        prop_assert_eq!(read.id().bytes(), read.part().len() as u64);
        prop_assert_eq!(read.segment_count(), set.len());
        for (i, segment) in set.iter().enumerate() {
            prop_assert_eq!(read.set(i).unwrap(), &segment[..]);
            prop_assert_eq!(read.labels(i), has_labels.then_some(&labels[i][..]));
        }
        prop_assert_eq!(read.set(set.len()), None);
        prop_assert_eq!(read.labels(set.len()), None);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0..2_u8) {
        let world = World::new(1);
        let pin = blake3::derive_key("acquaint v1 state pin", world.pin.to_string().as_bytes());
        let preamble = [b"ACQS".as_slice(), &[1, kind, 1, b'a'], &pin].concat();
        for content in [bytes.clone(), [preamble, bytes].concat()] {
            let bytes = resealed(&content);
            // What can be read at all is written back as it was.
            if let Ok(state) = State::decode(&bytes, &world.binding()) {
                prop_assert_eq!(&state.encode().unwrap()[..], &bytes[..]);
            }
            let _ = Snapshot::decode(PartBytes::from(bytes), &world.binding());
        }
    }
}

/// The layout of the documentation, built by hand: a change of it must be a new version.
#[test]
fn the_layout_is_the_documented_one() {
    let mut world = World::new(2);
    let (state, snapshot) = world.sample(6);
    let (epoch_1, epoch_2) = (&state.epochs()[0], &state.epochs()[1]);
    let (manifest, held) = (state.manifest().unwrap(), epoch_1.held().unwrap());
    let pin = blake3::derive_key("acquaint v1 state pin", world.pin.to_string().as_bytes());
    let preamble = |kind| [b"ACQS".as_slice(), &[1, kind, 8], b"tenant-a", &pin].concat();

    let mut core = preamble(0);
    core.extend(state.local.0);
    core.push(1);
    core.extend(6_u64.to_le_bytes());
    core.push(2);
    core.extend([1, 0, 0, 0, 2, 0, 0, 0]);
    core.extend(manifest.signed.signature);
    core.extend(50_u32.to_le_bytes());
    core.extend(&manifest.signed.content);
    core.push(2);
    core.extend(1_u32.to_le_bytes());
    core.extend(epoch_1.public_key().as_bytes());
    core.push(1);
    core.extend(6_u64.to_le_bytes());
    core.extend(blake3::hash(&snapshot.part()[..snapshot.part().len() - 32]).as_bytes());
    core.extend((snapshot.part().len() as u64).to_le_bytes());
    core.extend(7_u64.to_le_bytes());
    core.extend(9_u64.to_le_bytes());
    core.extend(20_u32.to_le_bytes());
    core.extend(&held.overlay);
    let mut people: Vec<(LocalKey, u32)> =
        (0..3).map(|n| (state.local_key(&identifier(n)), n)).collect();
    people.sort();
    core.extend(3_u32.to_le_bytes());
    for (contact, _) in &people {
        let evaluation = epoch_1.evaluation(contact).unwrap();
        core.extend(contact.0);
        core.extend(evaluation.expose_tag());
        core.extend(evaluation.expose_label_key());
    }
    core.extend(2_u32.to_le_bytes());
    core.extend(epoch_2.public_key().as_bytes());
    core.push(0);
    core.extend(0_u32.to_le_bytes());
    core.extend(2_u32.to_le_bytes());
    let labels = state.matches(&book(0..3));
    for (contact, n) in &people {
        for found in labels.iter().filter(|found| found.contact == *n as usize) {
            core.extend(contact.0);
            core.extend(found.label.0);
        }
    }
    assert_eq!(&state.encode().unwrap()[..], resealed(&core));

    let mut bytes = preamble(1);
    bytes.extend(1_u32.to_le_bytes());
    bytes.extend(6_u64.to_le_bytes());
    bytes.push(1);
    bytes.extend(2_u32.to_le_bytes());
    for i in 0..2 {
        for field in [snapshot.set(i).unwrap(), snapshot.labels(i).unwrap()] {
            bytes.extend(u32::try_from(field.len()).unwrap().to_le_bytes());
            bytes.extend(field);
        }
    }
    assert_eq!(&snapshot.part()[..], resealed(&bytes));
}
