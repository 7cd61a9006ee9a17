//! Whatever is not exactly what was saved is refused, with the reason.

use super::*;

fn sample() -> (World, Vec<u8>, Vec<u8>) {
    let mut world = World::new(3);
    let (state, snapshot) = world.sample(4);
    let core = state.encode().unwrap().to_vec();
    (world, core, snapshot.part().to_vec())
}

fn decode_core(world: &World, bytes: &[u8]) -> Result<(), StateError> {
    State::decode(bytes, &world.binding()).map(|_| ())
}

fn decode_snapshot(world: &World, bytes: &[u8]) -> Result<(), StateError> {
    Snapshot::decode(PartBytes::from(bytes.to_vec()), &world.binding()).map(|_| ())
}

type Decode = fn(&World, &[u8]) -> Result<(), StateError>;

/// Both parts, each with its decoder.
fn parts() -> (World, [(Vec<u8>, Decode); 2]) {
    let (world, core, snapshot) = sample();
    (world, [(core, decode_core as Decode), (snapshot, decode_snapshot as Decode)])
}

#[test]
fn every_truncation_is_corrupt() {
    let (world, parts) = parts();
    for (bytes, decode) in parts {
        assert_eq!(decode(&world, &bytes), Ok(()));
        for length in 0..bytes.len() {
            let cut = decode(&world, &bytes[..length]);
            assert_eq!(cut, Err(StateError::Corrupt), "{length} bytes");
        }
        // Even with a trailer that fits, no beginning of a part is a part.
        for length in 0..bytes.len() - 32 {
            let cut = decode(&world, &resealed(&bytes[..length]));
            assert_eq!(cut, Err(StateError::Corrupt), "{length} bytes, resealed");
        }
    }
}

#[test]
fn every_flipped_bit_is_corrupt() {
    let (world, parts) = parts();
    for (bytes, decode) in parts {
        for i in 0..bytes.len() {
            for bit in 0..8 {
                let mut flipped = bytes.clone();
                flipped[i] ^= 1 << bit;
                let result = decode(&world, &flipped);
                assert_eq!(result, Err(StateError::Corrupt), "bit {bit} of byte {i}");
            }
        }
    }
}

/// Without the trailer the test above would fail: most flipped bits decode.
#[test]
fn only_the_trailer_notices_most_flipped_bits() {
    let (world, parts) = parts();
    for (bytes, decode) in parts {
        let content = &bytes[..bytes.len() - 32];
        let n_decoded = (0..content.len())
            .filter(|&i| {
                let mut flipped = content.to_vec();
                flipped[i] ^= 1;
                decode(&world, &resealed(&flipped)).is_ok()
            })
            .count();
        assert!(n_decoded > content.len() / 3, "{n_decoded} of {}", content.len());
    }
}

#[test]
fn trailing_bytes_are_corrupt() {
    let (world, parts) = parts();
    for (bytes, decode) in parts {
        let content = &bytes[..bytes.len() - 32];
        for more in [&[0_u8][..], &[0; 100]] {
            assert_eq!(decode(&world, &[&bytes, more].concat()), Err(StateError::Corrupt));
            let longer = resealed(&[content, more].concat());
            assert_eq!(decode(&world, &longer), Err(StateError::Corrupt));
        }
    }
}

#[test]
fn one_part_is_not_taken_for_the_other() {
    let (world, core, snapshot) = sample();
    assert_eq!(decode_core(&world, &snapshot), Err(StateError::Corrupt));
    assert_eq!(decode_snapshot(&world, &core), Err(StateError::Corrupt));
}

#[test]
fn other_versions_are_told_apart_from_damage() {
    let (world, parts) = parts();
    for (bytes, decode) in parts {
        let with_format = |format| {
            let mut content = bytes[..bytes.len() - 32].to_vec();
            content[4] = format;
            resealed(&content)
        };
        for format in [2, 3, 255] {
            assert_eq!(decode(&world, &with_format(format)), Err(StateError::NewerVersion));
        }
        assert_eq!(decode(&world, &with_format(0)), Err(StateError::Corrupt));
        // A newer version of somebody else is foreign first: it must not be replaced.
        assert_eq!(decode(&World::new(4), &with_format(2)), Err(StateError::Foreign));
    }
}

#[test]
fn another_pin_or_tenant_is_foreign() {
    let (world, core, snapshot) = sample();
    let own: TenantName = world.tenant.clone();
    let other: TenantName = "tenant-b".parse().unwrap();
    for (binding, expected) in [
        (world.binding(), Ok(())),
        (world.binding().tenant(own.clone()), Ok(())),
        (world.binding().tenant(other), Err(StateError::Foreign)),
        (World::new(4).binding(), Err(StateError::Foreign)),
        (World::new(4).binding().tenant(own), Err(StateError::Foreign)),
    ] {
        assert_eq!(State::decode(&core, &binding).map(|_| ()), expected);
        let part = PartBytes::from(snapshot.clone());
        assert_eq!(Snapshot::decode(part, &binding).map(|_| ()), expected);
    }
}

/// A count is believed only if as many records are there: nothing is allocated for it.
#[test]
fn counts_that_the_bytes_do_not_hold_are_corrupt() {
    let mut world = World::new(5);
    let state = world.state();
    let bytes = state.encode().unwrap();
    let content = &bytes[..bytes.len() - 32];
    // An empty state ends with its number of epochs and its number of matches.
    let (start, epochs_and_matches) = content.split_at(content.len() - 5);
    assert_eq!(epochs_and_matches, [0; 5]);
    for end in [[0, 1, 0, 0, 0], [0, 255, 255, 255, 255], [3, 0, 0, 0, 0], [255, 0, 0, 0, 0]] {
        let result = decode_core(&world, &resealed(&[start, &end].concat()));
        assert_eq!(result, Err(StateError::Corrupt), "{end:?}");
    }
    let snapshot = Snapshot::encode::<&[u8]>(&state, 1, 1, &[], None).unwrap();
    let content = &snapshot.part()[..snapshot.part().len() - 32];
    let start = &content[..content.len() - 4];
    for count in [1_u32, 8_192, u32::MAX] {
        let bytes = resealed(&[start, &count.to_le_bytes()].concat());
        assert_eq!(decode_snapshot(&world, &bytes), Err(StateError::Corrupt), "{count}");
    }
}

/// Equal content has equal bytes: lists that do not ascend are refused.
#[test]
fn disorder_is_corrupt() {
    let mut world = World::new(6);
    let (state, _) = world.sample(1);
    let mut swapped = state.clone();
    swapped.epochs.swap(0, 1);
    let mut repeated = state.clone();
    let first = repeated.epochs[0].evaluations[0].clone();
    repeated.epochs[0].evaluations.insert(0, first);
    let mut matches = state.clone();
    matches.matches.swap(0, 1);
    let mut flag = state.encode().unwrap().to_vec();
    let has_manifest = 4 + 2 + 1 + 8 + 32 + 32;
    assert_eq!(flag[has_manifest], 1);
    flag[has_manifest] = 2;
    let flag = resealed(&flag[..flag.len() - 32]);
    assert_eq!(decode_core(&world, &flag), Err(StateError::Corrupt));
    for state in [swapped, repeated, matches] {
        let bytes = state.encode().unwrap();
        assert_eq!(decode_core(&world, &bytes), Err(StateError::Corrupt));
    }
}

#[test]
fn as_many_labels_as_segments() {
    let mut world = World::new(7);
    let owner = world.state();
    let two = [[1_u8; 3], [2; 3]];
    let result = Snapshot::encode(&owner, 1, 1, &two, Some(&two[..1]));
    assert_eq!(result.unwrap_err(), StateError::Corrupt);
}
