//! A directory in the clear beside its snapshot and overlay.

use super::*;

pub(super) const EPOCH: u32 = 9;

/// One snapshot as published, the members since, and the overlay that should tell the difference.
pub(super) struct World {
    pub(super) universe: Universe,
    pub(super) number: u64,
    pub(super) published: Vec<EncodedSegment>,
    /// The snapshot's members by rank.
    pub(super) snapshot: Vec<Entry>,
    pub(super) members: Vec<Record>,
    pub(super) overlay: Overlay,
    /// The overlays of all versions since the snapshot.
    pub(super) history: Vec<Overlay>,
}

impl World {
    pub(super) fn new(universe: Universe, number: u64, members: Vec<Record>) -> Self {
        let published = publish(&universe, number, &members);
        let mut snapshot = entries(&universe, &members);
        snapshot.sort_unstable();
        let overlay = Overlay::empty(*view_of(&universe, number, &published).identity());
        let history = vec![overlay.clone()];
        Self { universe, number, published, snapshot, members, overlay, history }
    }

    pub(super) fn view(&self) -> SnapshotView<&[u8]> {
        view_of(&self.universe, self.number, &self.published)
    }

    pub(super) fn entries(&self, records: &[Record]) -> Vec<Entry> {
        entries(&self.universe, records)
    }

    /// Members leave and records come: in the clear, and in the overlay.
    pub(super) fn change(&mut self, gone: &[Record], new: &[Record]) {
        self.change_in_the_clear(gone, new);
        self.advance(gone, new);
    }

    pub(super) fn change_in_the_clear(&mut self, gone: &[Record], new: &[Record]) {
        for record in gone {
            let at = self.members.iter().position(|member| member == record).unwrap();
            self.members.swap_remove(at);
        }
        self.members.extend(new);
    }

    pub(super) fn advance(&mut self, gone: &[Record], new: &[Record]) {
        let (gone, new) = (self.entries(gone), self.entries(new));
        self.overlay = self.overlay.advance(&self.view(), &gone, &new).unwrap();
        self.history.push(self.overlay.clone());
    }

    /// Removed ranks and additions, computed from the definition: for each different entry, how
    /// often the snapshot has it and how often it is a member now.
    pub(super) fn difference(&self) -> (Vec<u32>, Vec<Entry>) {
        let mut balance: BTreeMap<Entry, (Vec<u32>, usize)> = BTreeMap::new();
        for (rank, entry) in (0..).zip(&self.snapshot) {
            balance.entry(*entry).or_default().0.push(rank);
        }
        for entry in self.entries(&self.members) {
            balance.entry(entry).or_default().1 += 1;
        }
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for (entry, (ranks, now)) in balance {
            removed.extend(ranks.iter().take(ranks.len().saturating_sub(now)));
            added.extend(std::iter::repeat_n(entry, now.saturating_sub(ranks.len())));
        }
        (removed, added)
    }

    /// The overlay is the difference, its codes read back, and look-ups find who is there.
    pub(super) fn check(&self) {
        let (removed, added) = self.difference();
        assert_eq!(self.overlay.removed(), removed);
        assert!(self.overlay.added() == added, "additions");
        assert_eq!(self.overlay.members(), self.members.len() as u64);
        let bytes = self.overlay.encode();
        let decoded = Overlay::decode(self.overlay.snapshot(), &bytes).unwrap();
        assert_eq!(decoded, self.overlay);
        assert_eq!(decoded.encode(), bytes);
    }

    /// Every tag finds the places the definition names, with the labels of the members now.
    pub(super) fn check_lookups(&self, tags: impl Iterator<Item = u64>) {
        let (removed, added) = self.difference();
        let removed: HashSet<u32> = removed.into_iter().collect();
        let set = decode_all(&self.universe, self.number, &self.published);
        let view = self.view();
        let mut labels_now: HashMap<u64, Vec<[u8; 32]>> = HashMap::new();
        for entry in self.entries(&self.members) {
            labels_now.entry(entry.value).or_default().push(entry.sealed_label);
        }
        for tag in tags {
            let value = self.universe.scaled(tag);
            let ranks = view.ranks_of(value).unwrap();
            let wide = u64::from(ranks.start)..u64::from(ranks.end);
            assert_eq!(set.lookup(tag), (!wide.is_empty()).then_some(wide));
            let hit = self.overlay.lookup(tag, ranks);

            let survivors = (0..)
                .zip(&self.snapshot)
                .filter(|(rank, entry)| entry.value == value && !removed.contains(rank));
            assert!(survivors.map(|(rank, _)| rank).eq(hit.ranks.iter().copied()));
            let places = (0..).zip(&added).filter(|(_, entry)| entry.value == value);
            assert!(places.map(|(ordinal, _)| ordinal).eq(hit.added.clone()));

            let additions = &added[hit.added.start as usize..hit.added.end as usize];
            let mut labels: Vec<[u8; 32]> =
                hit.ranks.iter().map(|rank| *view.label(*rank).unwrap()).collect();
            labels.extend(additions.iter().map(|entry| entry.sealed_label));
            labels.sort_unstable();
            let mut expected = labels_now.get(&value).cloned().unwrap_or_default();
            expected.sort_unstable();
            assert_eq!(hit.is_empty(), expected.is_empty());
            assert!(labels == expected, "labels of the members with this value");
        }
    }

    /// From every earlier version a delta leads to the overlay now, through its bytes.
    pub(super) fn check_deltas(&self) {
        let to = self.history.len() as u64 - 1;
        for (from, earlier) in (0..to).zip(&self.history) {
            let versions = DeltaVersions { from, to };
            let delta = Delta::between(versions, earlier, &self.overlay).unwrap();
            let bytes = delta.encode();
            let decoded = Delta::decode(self.overlay.snapshot(), versions, &bytes).unwrap();
            assert_eq!(decoded, delta);
            assert_eq!(decoded.encode(), bytes);
            assert_eq!(decoded.apply(earlier).unwrap(), self.overlay);
        }
    }

    /// Compaction gives what building anew gives; the next snapshot takes over.
    pub(super) fn compact(self) -> Self {
        let number = self.number + 1;
        let compacted: Vec<EncodedSegment> =
            compact(&self.view(), &self.overlay, number).unwrap().map(Result::unwrap).collect();
        assert!(compacted == publish(&self.universe, number, &self.members), "byte-identical");
        Self::new(self.universe, number, self.members)
    }
}

pub(super) fn entries(universe: &Universe, records: &[Record]) -> Vec<Entry> {
    records.iter().map(|record| Entry::new(universe, record)).collect()
}

pub(super) fn view_of<'a>(
    universe: &Universe,
    number: u64,
    published: &'a [EncodedSegment],
) -> SnapshotView<&'a [u8]> {
    let segments = published.iter().map(SnapshotSegment::from).collect();
    SnapshotView::new(universe, EPOCH, number, segments).unwrap()
}
