//! Fictional people: who is registered, who is in the address book, and the plain answer.

use std::collections::HashMap;

use acquaint_client::{AddressBook, Identifier, Label};
use rand::{Rng as _, RngExt as _, SeedableRng as _, seq::SliceRandom as _};
use rand_chacha::ChaCha20Rng;

/// A directory and an address book, with everything in the clear: what the system never has.
pub(crate) struct People {
    /// Registered identifiers and their labels: the oracle.
    pub(crate) registered: HashMap<Identifier, Label>,
    /// The same, in the order of registration.
    pub(crate) order: Vec<Identifier>,
    /// The address book.
    pub(crate) book: AddressBook,
}

/// Share of an address book that uses the messenger, in percent.
const REGISTERED_PERCENT: u32 = 50;

impl People {
    /// `n_users` registered people. Of the contacts given, about half are among them; so are about
    /// half of `n_synthetic` generated contacts.
    ///
    /// Generated numbers begin with `+999`, a country code that nobody has.
    pub(crate) fn invent(
        seed: u64,
        n_users: usize,
        book: &AddressBook,
        n_synthetic: usize,
    ) -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let mut contacts: Vec<(String, Identifier)> = book
            .contacts()
            .iter()
            .map(|contact| (contact.names().join(", "), contact.identifier().clone()))
            .collect();
        contacts.extend((0..n_synthetic).map(|i| (format!("Contact {i}"), number(1, i))));

        let mut registered: HashMap<Identifier, Label> = contacts
            .iter()
            .filter_map(|(_, identifier)| {
                let is_user = rng.random_range(0..100) < REGISTERED_PERCENT;
                is_user.then(|| (identifier.clone(), label(&mut rng)))
            })
            .take(n_users)
            .collect();
        let strangers = n_users - registered.len();
        registered.extend((0..strangers).map(|i| (number(2, i), label(&mut rng))));

        let mut order: Vec<Identifier> = registered.keys().cloned().collect();
        // A HashMap's order differs from run to run; the seed shall decide.
        order.sort_unstable();
        order.shuffle(&mut rng);
        Self { registered, order, book: AddressBook::from_identifiers(contacts) }
    }

    /// The plain intersection: contacts that are registered, with their labels, by position.
    pub(crate) fn expected(&self) -> Vec<(usize, Label)> {
        let contacts = self.book.contacts().iter().enumerate();
        contacts
            .filter_map(|(i, contact)| {
                Some((i, self.registered.get(contact.identifier())?.clone()))
            })
            .collect()
    }
}

fn number(series: u64, i: usize) -> Identifier {
    Identifier::tel(&format!("+999{series}{i:010}"))
        .expect("three digits, one digit and ten digits make a number of E.164 form")
}

fn label(rng: &mut ChaCha20Rng) -> Label {
    let mut label = Label([0; 16]);
    rng.fill_bytes(&mut label.0);
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_everything() {
        let book = AddressBook::from_identifiers([("A", number(3, 1)), ("B", number(3, 2))]);
        let make = |seed| People::invent(seed, 500, &book, 100);
        let (a, b, c) = (make(1), make(1), make(2));
        assert_eq!(a.registered.len(), 500);
        assert_eq!(a.order, b.order);
        assert_eq!(a.expected(), b.expected());
        assert_ne!(a.expected(), c.expected());
        assert_eq!(a.book.contacts().len(), 102);
        assert!((20..80).contains(&a.expected().len()));
    }

    #[test]
    fn a_directory_smaller_than_the_address_book_is_filled_from_it() {
        let people =
            People::invent(1, 3, &AddressBook::from_identifiers([("A", number(3, 1))]), 50);
        assert_eq!(people.registered.len(), 3);
        assert_eq!(people.expected().len(), 3);
        assert_eq!(People::invent(1, 0, &people.book, 0).registered.len(), 0);
    }
}
