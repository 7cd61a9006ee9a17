//! Which contact is evaluated in which batch.

use acquaint_core::manifest::Policy;
use rand::{Rng, seq::SliceRandom};

/// One batch: contacts by index, and the number of elements that it is padded to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Batch {
    pub(super) class: usize,
    /// Between 1 and `class` of them.
    pub(super) contacts: Vec<usize>,
}

/// Cuts contacts, given by their positions, into batches of the manifest's classes.
///
/// Up to the largest class, one batch of the smallest class that fits: the server learns the
/// class. Past it, batches of exactly the largest class: it learns their number. Contacts are
/// shuffled first, so that neither a batch's place nor its neighbors say which part of the
/// address book it holds.
///
/// Shape: `classes` ascending and not empty, as in a verified manifest.
pub(super) fn plan(contacts: &[usize], classes: &[u32], rng: &mut impl Rng) -> Vec<Batch> {
    let classes = || classes.iter().map(|class| *class as usize);
    let largest = classes().next_back().unwrap_or(1);
    let class = classes().find(|class| *class >= contacts.len()).unwrap_or(largest);
    let mut contacts = contacts.to_vec();
    contacts.shuffle(rng);
    contacts.chunks(class).map(|part| Batch { class, contacts: part.to_vec() }).collect()
}

/// The classes of the manifest that its quota covers; the smallest one, if it covers none.
pub(super) fn classes(policy: &Policy) -> Vec<u32> {
    let all = &policy.padding_classes;
    let covered = all.iter().copied().filter(|class| u64::from(*class) <= policy.quota_elements);
    let covered: Vec<_> = covered.collect();
    if covered.is_empty() { all.iter().copied().take(1).collect() } else { covered }
}

/// Elements that a plan sends, padding included: what the quota is charged.
pub(super) fn elements(batches: &[Batch]) -> usize {
    batches.iter().map(|batch| batch.class).sum()
}

#[cfg(test)]
mod tests {
    use acquaint_core::limits::PADDING_CLASSES;
    use proptest::prelude::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    fn planned(n_contacts: usize, classes: &[u32], seed: u64) -> Vec<Batch> {
        plan(&(0..n_contacts).collect::<Vec<_>>(), classes, &mut ChaCha20Rng::seed_from_u64(seed))
    }

    fn default_classes() -> Vec<u32> {
        PADDING_CLASSES.iter().map(|class| u32::try_from(*class).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn every_contact_is_in_one_batch_and_every_batch_has_a_class(
            n_contacts in 0usize..5_000,
            classes in prop::collection::btree_set(1u32..2_000, 1..6),
            seed: u64,
        ) {
            let classes: Vec<u32> = classes.into_iter().collect();
            let batches = planned(n_contacts, &classes, seed);
            let mut contacts: Vec<usize> =
                batches.iter().flat_map(|batch| batch.contacts.clone()).collect();
            contacts.sort_unstable();
            prop_assert!(contacts.into_iter().eq(0..n_contacts));
            for batch in &batches {
                prop_assert!(classes.contains(&u32::try_from(batch.class).unwrap()));
                prop_assert!((1..=batch.class).contains(&batch.contacts.len()));
            }
            let largest = *classes.last().unwrap() as usize;
            prop_assert_eq!(batches.len(), n_contacts.div_ceil(largest));
            if batches.len() > 1 {
                prop_assert!(batches.iter().all(|batch| batch.class == largest));
            }
        }
    }

    #[test]
    fn edges_of_the_classes() {
        let sizes = |n| -> Vec<usize> {
            planned(n, &default_classes(), 1).iter().map(|batch| batch.class).collect()
        };
        assert_eq!(sizes(0), Vec::<usize>::new());
        assert_eq!(sizes(1), [16]);
        assert_eq!(sizes(16), [16]);
        assert_eq!(sizes(17), [32]);
        assert_eq!(sizes(1_024), [1_024]);
        assert_eq!(sizes(1_025), [1_024, 1_024]);
        assert_eq!(elements(&planned(2_500, &default_classes(), 1)), 3 * 1_024);
    }

    #[test]
    fn no_class_is_above_the_quota() {
        let policy = |quota_elements| Policy {
            padding_classes: default_classes(),
            quota_elements,
            quota_refill_per_day: 0,
            repeat_retention_seconds: 600,
            delta_retention_seconds: 0,
        };
        for (quota, largest) in [(1_024, 1_024), (1_023, 512), (64, 64), (16, 16), (3, 16)] {
            assert_eq!(classes(&policy(quota)).last(), Some(&largest), "{quota}");
        }
    }

    #[test]
    fn contacts_are_shuffled() {
        let contacts = |seed| planned(64, &default_classes(), seed).remove(0).contacts;
        assert_ne!(contacts(1), contacts(2));
    }
}
