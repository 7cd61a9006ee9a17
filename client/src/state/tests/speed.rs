//! What encoding costs, printed: `cargo test --release -p acquaint-client speed -- --nocapture`.

use std::time::Instant;

use super::*;

const N_CONTACTS: u32 = 100_000;

fn timed<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = run();
    println!("{what}: {:.1} ms", start.elapsed().as_secs_f64() * 1_000.0);
    result
}

#[test]
fn a_large_address_book_is_saved_and_read() {
    let mut world = World::new(60);
    let book = book(0..N_CONTACTS);
    let mut state = world.state();
    world.add_epoch(&mut state, 1);
    world.evaluate(&mut state, 1, &book);
    let matches = state.matches(&book);
    println!("{N_CONTACTS} evaluations, {} matches", matches.len());
    let bytes = timed("encode", || state.encode().unwrap());
    println!("{} bytes", bytes.len());
    let read = timed("decode", || State::decode(&bytes, &world.binding()).unwrap());
    assert_eq!(read.encode().unwrap()[..], bytes[..]);
    assert!(timed("changes", || state.changes(&book, &matches)).is_empty());
    timed("retain_contacts", || state.retain_contacts(&book));
    assert_eq!(state.encode().unwrap()[..], bytes[..]);

    // Set and labels of a million users, in 64 segments.
    let owner = world.state();
    let set: Vec<Vec<u8>> = (0..64).map(|_| world.random_bytes(43_000)).collect();
    let labels: Vec<Vec<u8>> = (0..64).map(|_| world.random_bytes(500_000)).collect();
    let encode = || Snapshot::encode(&owner, 1, 1, &set, Some(&labels)).unwrap();
    let snapshot = timed("snapshot of 35 MB, encode", encode);
    let part = snapshot.part().clone();
    let read = timed("decode", || Snapshot::decode(part, &world.binding()).unwrap());
    assert_eq!(read.labels(63).unwrap(), &labels[63][..]);
}
