//! The versions that manifests named: the only ones between which a delta is made.
//!
//! Whoever could ask for any version of the log would see each registration and removal by itself,
//! also those that came and went between two publications.

use std::sync::Arc;

/// Versions that are copied when a list is cloned; the others are shared.
const TAIL_MAX: usize = 1_024;

/// An ascending list of versions. A clone shares all but the newest.
#[derive(Clone, Debug, Default)]
pub(super) struct Named {
    /// Which versions up to this one were named, nobody remembers: any may have been.
    forgotten: u64,
    /// Full pieces, each with its last version.
    pieces: Vec<(u64, Arc<[u64]>)>,
    tail: Vec<u64>,
}

/// What a process that starts finds of an epoch's versions in the manifests of before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Kept {
    forgotten: u64,
    versions: Vec<u64>,
}

impl Kept {
    /// From manifests in their order, as far back as they are kept: the sequence of each, and the
    /// version of the epoch if it names it.
    pub(super) fn of(manifests: impl IntoIterator<Item = (u64, Option<u64>)>) -> Self {
        let mut manifests = manifests.into_iter().peekable();
        // The first of all, or one from before the epoch: nothing is missing.
        let begins = |first: &(u64, Option<u64>)| first.0 == 1 || first.1.is_none();
        let is_whole = manifests.peek().is_none_or(begins);
        let versions: Vec<_> = manifests.filter_map(|(_, version)| version).collect();
        let forgotten = versions.first().filter(|_| !is_whole).copied().unwrap_or_default();
        Self { forgotten, versions }
    }

    /// The same, with nothing known before a version.
    pub(super) fn from(&self, version: u64) -> Self {
        Self { forgotten: self.forgotten.max(version), versions: self.versions.clone() }
    }
}

impl Named {
    /// A list about which nothing is known up to a version.
    pub(super) fn since(forgotten: u64) -> Self {
        Self { forgotten, ..Self::default() }
    }

    /// A list of what manifests that are kept named; about what was before nothing is known.
    pub(super) fn of(kept: &Kept) -> Self {
        let mut named = Self::since(kept.forgotten);
        kept.versions.iter().for_each(|version| named.add(*version));
        named
    }

    /// Adds a version, unless one as high is there.
    pub(super) fn add(&mut self, version: u64) {
        if version <= self.last() {
            return;
        }
        self.tail.push(version);
        if self.tail.len() == TAIL_MAX {
            self.pieces.push((version, self.tail.as_slice().into()));
            self.tail.clear();
        }
    }

    /// Whether a manifest may have named a version.
    pub(super) fn holds(&self, version: u64) -> bool {
        if version <= self.forgotten {
            return true;
        }
        let piece = self.pieces.partition_point(|(last, _)| *last < version);
        let among = self.pieces.get(piece).map_or(self.tail.as_slice(), |(_, piece)| piece);
        among.binary_search(&version).is_ok()
    }

    fn last(&self) -> u64 {
        let last_piece = self.pieces.last().map(|(last, _)| *last);
        self.tail.last().copied().or(last_piece).unwrap_or_default().max(self.forgotten)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand_chacha::{ChaCha20Rng, rand_core::Rng as _, rand_core::SeedableRng as _};

    use super::*;

    #[test]
    fn what_was_added_is_held_and_nothing_else() {
        let mut rng = ChaCha20Rng::seed_from_u64(7);
        let (mut named, mut oracle, mut version) = (Named::since(100), BTreeSet::new(), 100);
        for i in 0..5_000 {
            version += u64::from(rng.next_u32() % 4);
            let before = named.clone();
            named.add(version);
            if version > 100 {
                oracle.insert(version);
            }
            if i % 500 == 0 {
                assert_eq!(
                    before.holds(version),
                    oracle.contains(&version) && before.last() >= version
                );
            }
        }
        assert!(named.pieces.len() > 2 && named.tail.len() < TAIL_MAX);
        for version in 0..version + 10 {
            assert_eq!(
                named.holds(version),
                version <= 100 || oracle.contains(&version),
                "{version}"
            );
        }
    }

    #[test]
    fn what_is_missing_before_the_first_manifest_may_have_been_named() {
        for (manifests, forgotten, versions) in [
            (vec![], 0, vec![]),
            (vec![(1, Some(4)), (2, Some(4)), (3, Some(9))], 0, vec![4, 4, 9]),
            (vec![(2, Some(4)), (3, Some(9))], 4, vec![4, 9]),
            // The epoch is younger than the oldest manifest, and gone from the newest.
            (vec![(7, None), (8, Some(4)), (9, Some(5)), (10, None)], 0, vec![4, 5]),
        ] {
            assert_eq!(Kept::of(manifests), Kept { forgotten, versions });
        }
    }

    #[test]
    fn what_is_kept_is_known_and_what_was_before_may_have_been_named() {
        for (forgotten, versions, named) in [
            (0, vec![], vec![]),
            (0, vec![3, 3, 7], vec![3, 7]),
            // The manifests before are gone.
            (5, vec![5, 9], vec![1, 2, 3, 4, 5, 9]),
        ] {
            let kept = Kept { forgotten, versions };
            let held = |named: Named| (1..12).filter(|v| named.holds(*v)).collect::<Vec<_>>();
            assert_eq!(held(Named::of(&kept)), named);
            // From a snapshot on: only what is over it counts.
            let over: Vec<_> =
                held(Named::of(&kept.from(7))).into_iter().filter(|v| *v >= 7).collect();
            assert_eq!(
                over,
                [7].into_iter().chain(named.into_iter().filter(|v| *v > 7)).collect::<Vec<_>>()
            );
        }
    }
}
