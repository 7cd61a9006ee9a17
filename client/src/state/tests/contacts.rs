//! Contacts in a state: never in clear, gone when deleted, compared with the last lookup.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Everything that a state knows about a contact.
fn traces(state: &State, epoch: u32, n: u32) -> Vec<Vec<u8>> {
    let contact = state.local_key(&identifier(n));
    let evaluation = state.epoch(epoch).unwrap().evaluation(&contact).unwrap();
    let mut traces = vec![
        contact.0.to_vec(),
        evaluation.expose_tag().to_vec(),
        evaluation.expose_label_key().to_vec(),
    ];
    traces.extend(state.matches(&book([n])).iter().map(|found| found.label.0.to_vec()));
    traces
}

#[test]
fn a_deleted_contact_leaves_no_trace_in_what_is_saved() {
    let mut world = World::new(8);
    let mut state = world.state();
    let before = book(0..6);
    for epoch in [1, 2] {
        world.add_epoch(&mut state, epoch);
        world.evaluate(&mut state, epoch, &before);
    }
    let bytes = state.encode().unwrap();
    let all: Vec<(u32, Vec<u8>)> = [1, 2]
        .into_iter()
        .flat_map(|epoch| (0..6).map(move |n| (epoch, n)))
        .flat_map(|(epoch, n)| traces(&state, epoch, n).into_iter().map(move |trace| (n, trace)))
        .collect();
    assert_eq!(all.len(), 2 * (6 * 3 + 3), "contacts 0, 2 and 4 match");
    assert!(all.iter().all(|(_, trace)| contains(&bytes, trace)));

    // 3 and 4 are deleted, 7 is new.
    state.retain_contacts(&book([0, 1, 2, 5, 7]));
    let bytes = state.encode().unwrap();
    for (n, trace) in &all {
        assert_eq!(contains(&bytes, trace), ![3, 4].contains(n), "contact {n}");
    }
    assert_eq!(state.epochs().iter().map(EpochState::evaluated).collect::<Vec<_>>(), [4, 4]);
    assert_eq!(state.matches(&before).iter().map(|m| m.contact).collect::<Vec<_>>(), [0, 2]);

    state.retain_contacts(&book([]));
    let bytes = state.encode().unwrap();
    assert!(all.iter().all(|(_, trace)| !contains(&bytes, trace)));
}

#[test]
fn no_identifier_is_saved_in_clear_or_under_a_known_key() {
    let mut world = World::new(9);
    let mut state = world.state();
    world.add_epoch(&mut state, 1);
    world.evaluate(&mut state, 1, &book(0..3));
    let bytes = state.encode().unwrap();
    for n in 0..3 {
        let identifier = identifier(n);
        let digits = &identifier.as_bytes()[5..];
        assert!(!contains(&bytes, digits));
        assert!(!contains(&bytes, blake3::hash(identifier.as_bytes()).as_bytes()));
    }
    // Two states of the same person have nothing in common.
    let other = world.state();
    assert_ne!(other.local_key(&identifier(0)), state.local_key(&identifier(0)));
}

#[test]
fn evaluations_are_found_by_contact_and_added_once() {
    let mut world = World::new(10);
    let mut state = world.state();
    world.add_epoch(&mut state, 1);
    let mut oracle = BTreeMap::new();
    for people in [0..5_u32, 3..9, 0..0, 8..10] {
        let added: Vec<SavedEvaluation> = people
            .map(|n| {
                let new = world.evaluation(state.local_key(&identifier(n)));
                oracle.entry(n).or_insert(new).clone()
            })
            .collect();
        state.epoch_mut(1).unwrap().add_evaluations(added);
    }
    let epoch = state.epoch(1).unwrap();
    assert_eq!(epoch.evaluated(), oracle.len());
    for n in 0..12 {
        let found = epoch.evaluation(&state.local_key(&identifier(n)));
        let tag = |evaluation: &SavedEvaluation| *evaluation.expose_tag();
        assert_eq!(found.map(tag), oracle.get(&n).map(tag));
    }
}

#[test]
fn an_epoch_is_kept_with_its_key_only() {
    let mut world = World::new(11);
    let mut state = world.state();
    for epoch in [1, 2] {
        world.add_epoch(&mut state, epoch);
        world.evaluate(&mut state, epoch, &book(0..2));
    }
    let (key_1, key_2) = (*state.epochs()[0].public_key(), *state.epochs()[1].public_key());
    let key_3 = world.public_key(3);
    let evaluated = |state: &State| {
        state.epochs().iter().map(|e| (e.epoch(), e.evaluated())).collect::<Vec<_>>()
    };
    state.set_live_epochs(&[(2, key_2), (1, key_1)]).unwrap();
    assert_eq!(evaluated(&state), [(1, 2), (2, 2)]);
    let too_many = state.set_live_epochs(&[(1, key_1), (2, key_2), (3, key_3)]);
    assert_eq!(too_many, Err(StateError::TooLarge));
    assert_eq!(evaluated(&state), [(1, 2), (2, 2)]);
    state.set_live_epochs(&[(3, key_3), (2, key_2)]).unwrap();
    assert_eq!(evaluated(&state), [(2, 2), (3, 0)]);
    state.set_live_epochs(&[(2, key_3)]).unwrap();
    assert_eq!(evaluated(&state), [(2, 0)]);

    let snapshot = world.snapshot(&state, 9, 1, false);
    let wrong = state.epoch_mut(2).unwrap().hold(world.held(&snapshot));
    assert_eq!(wrong, Err(StateError::UnknownSnapshot));
    assert!(state.epoch(2).unwrap().held().is_none());
}

/// Who is registered with which label, by person.
fn directory() -> impl Strategy<Value = BTreeMap<u32, u8>> {
    prop::collection::btree_map(0..12_u32, 0..3_u8, 0..12)
}

/// An address book: some people, in any order.
fn people() -> impl Strategy<Value = Vec<u32>> {
    prop::sample::subsequence((0..12).collect::<Vec<u32>>(), 0..=12).prop_shuffle()
}

fn matches(book: &[u32], registered: &BTreeMap<u32, u8>) -> Vec<Match> {
    let label = |n| Some(Label([*registered.get(n)?; 16]));
    book.iter()
        .enumerate()
        .filter_map(|(contact, n)| Some(Match { contact, label: label(n)? }))
        .collect()
}

proptest! {
    #[test]
    fn changes_are_those_of_a_plain_comparison(
        seed in any::<u64>(),
        old_people in people(),
        new_people in people(),
        before in directory(),
        now in directory(),
    ) {
        let mut state = World::new(seed).state();
        let old_book = book(old_people.iter().copied());
        state.set_matches(&old_book, &matches(&old_people, &before));
        let new_book = book(new_people.iter().copied());
        let new_matches = matches(&new_people, &now);
        let changes = state.changes(&new_book, &new_matches);

        let mut expected = Changes::default();
        for (i, n) in new_people.iter().enumerate() {
            let known = old_people.contains(n).then(|| before.get(n)).flatten();
            match (known, now.get(n)) {
                (None, Some(_)) => expected.joined.push(i),
                (Some(_), None) => expected.left.push(i),
                (Some(a), Some(b)) if a != b => expected.label_changed.push(i),
                _ => {}
            }
        }
        prop_assert_eq!(&changes, &expected);

        state.set_matches(&new_book, &new_matches);
        prop_assert_eq!(state.matches(&new_book), new_matches.clone());
        prop_assert!(state.changes(&new_book, &new_matches).is_empty());
    }
}

#[test]
fn positions_that_the_book_does_not_have_are_left_out() {
    let mut world = World::new(12);
    let mut state = world.state();
    let matches = [Match { contact: 2, label: world.label() }];
    assert!(state.changes(&book(0..2), &matches).is_empty());
    state.set_matches(&book(0..2), &matches);
    assert!(state.matches(&book(0..9)).is_empty());
}

#[test]
fn nothing_secret_prints() {
    let mut world = World::new(13);
    let (state, snapshot) = world.sample(5);
    let contact = state.local_key(&identifier(0));
    let evaluation = state.epoch(1).unwrap().evaluation(&contact).unwrap();
    let saved = state.matched(&contact).unwrap();
    assert_eq!(
        format!("{contact:?} {evaluation:?} {saved:?} {:?} {:?}", state.local, state.encode()),
        "LocalKey(REDACTED) SavedEvaluation(REDACTED) SavedMatch(REDACTED) \
         LocalSecret(REDACTED) Ok(PartBytes(734 bytes))"
    );
    let printed = format!("{state:?} {snapshot:?}");
    assert!(printed.contains("n_evaluations: 3") && printed.contains("n_matches: 2"), "{printed}");
    assert!(printed.contains("SignedManifest(50 bytes)"), "{printed}");
}
