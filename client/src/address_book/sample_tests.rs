//! The samples say what their README promises.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::{AddressBook, Import, SkipReason};
use crate::user_list::UserListReader;

fn sample(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../samples").join(name)
}

fn read(name: &str) -> AddressBook {
    Import::new().default_region("DE".parse().ok()).read_path(&sample(name)).unwrap()
}

fn identifiers(book: &AddressBook) -> HashSet<&[u8]> {
    book.contacts().iter().map(|contact| contact.identifier().as_bytes()).collect()
}

#[test]
fn the_cards() {
    let book = read("contacts.vcf");
    let reasons: Vec<_> = book.skipped().iter().map(|skipped| skipped.reason).collect();
    assert_eq!(reasons, [SkipReason::NotANumber, SkipReason::UnknownCountryCode]);
    assert_eq!(book.contacts().len(), 28);
    let anna = book.contacts().first().unwrap();
    assert_eq!(anna.names(), ["Anna Becker", "Anna B. (Arbeit)"]);
    assert_eq!(anna.lines().len(), 2);
}

#[test]
fn the_table() {
    let book = read("contacts.csv");
    assert_eq!((book.contacts().len(), book.skipped().len()), (12, 0));
    let anna = book.contacts().first().unwrap();
    assert_eq!(anna.lines(), [2, 8]);
}

#[test]
fn the_users() {
    let users: Result<Vec<_>, _> = UserListReader::open(&sample("users.csv")).unwrap().collect();
    let users = users.unwrap();
    let distinct: HashSet<_> = users.iter().map(|user| user.identifier.as_bytes()).collect();
    assert_eq!((users.len(), distinct.len()), (14, 14));
    assert_eq!(users.iter().filter(|user| !user.discoverable).count(), 2);
    let cards = read("contacts.vcf");
    assert_eq!(identifiers(&cards).intersection(&distinct).count(), 10);
}
