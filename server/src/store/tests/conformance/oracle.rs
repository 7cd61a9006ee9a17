//! Random operations on a store and on plain maps, compared.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::super::*;
use super::Harness;
use crate::store::{Applied, Copied, Credit, History, LoggedChange, REPEAT_FREE_MS};

const EPOCHS: [u32; 5] = [0, 1, 2, 3, u32::MAX];

/// What the store should hold, in plain maps.
#[derive(Default)]
struct Oracle {
    rows: BTreeMap<(u32, Handle), Vec<u8>>,
    head: Head,
    log: Vec<(u32, LoggedChange)>,
    log_start: u64,
    dropped: BTreeSet<u32>,
    /// Per account: elements in use times the milliseconds of a day, and the latest charge.
    quotas: HashMap<u8, (i128, u64)>,
    /// Per account and batch: the times of its charges that are remembered.
    charges: HashMap<(u8, u64), Vec<u64>>,
    credits: HashMap<(u32, u8), u64>,
    publications: Vec<u64>,
    meta: Option<Vec<u8>>,
}

impl Oracle {
    fn apply(&mut self, parts: &[(u32, Vec<Change>)], at: u64) -> Result<Applied, StoreError> {
        if parts.iter().any(|(epoch, _)| self.dropped.contains(epoch)) {
            return Err(StoreError::EpochDropped);
        }
        let mut counts = Vec::new();
        for (epoch, changes) in parts {
            let mut changes = changes.clone();
            changes.sort_by_key(|change| *change.handle());
            let mut applied = Applied::default();
            for change in changes {
                self.change(*epoch, change, at, &mut applied);
            }
            counts.push(applied);
        }
        let first = counts.first().copied().unwrap_or_default();
        Ok(Applied { version: self.head.version, ..first })
    }

    fn change(&mut self, epoch: u32, change: Change, at: u64, applied: &mut Applied) {
        let handle = *change.handle();
        let before = match change {
            Change::Put { sealed, .. } => {
                let before = self.rows.insert((epoch, handle), sealed.clone());
                match &before {
                    Some(before) if *before == sealed => return,
                    Some(_) => applied.updated += 1,
                    None => applied.added += 1,
                }
                before
            }
            Change::Remove { .. } => {
                let Some(before) = self.rows.remove(&(epoch, handle)) else { return };
                applied.removed += 1;
                Some(before)
            }
        };
        let entries = self.rows.len() as u64;
        self.head = Head { version: self.head.version + 1, entries, changed_at: at };
        self.log.push((epoch, LoggedChange { version: self.head.version, handle, before }));
    }

    fn copy(
        &mut self,
        to: u32,
        from: u32,
        rows: &[CopiedRow],
        at: u64,
    ) -> Result<Copied, StoreError> {
        if self.dropped.contains(&to) || self.dropped.contains(&from) {
            return Err(StoreError::EpochDropped);
        }
        let mut rows = rows.to_vec();
        rows.sort_by_key(|row| row.handle);
        let mut copied = Copied::default();
        for row in rows {
            if self.rows.get(&(from, row.source)) == Some(&row.expected) {
                let put = Change::Put { handle: row.handle, sealed: row.sealed };
                self.change(to, put, at, &mut Applied::default());
                copied.copied += 1;
            } else {
                copied.stale += 1;
            }
        }
        Ok(Copied { version: self.head.version, ..copied })
    }

    fn drop_epoch(&mut self, dropped: u32) {
        self.dropped.insert(dropped);
        self.rows.retain(|(epoch, _), _| *epoch != dropped);
        self.log.retain(|(epoch, _)| *epoch != dropped);
        self.head.entries = self.rows.len() as u64;
    }

    fn prune_log(&mut self, up_to: u64) {
        self.log_start = self.log_start.max(up_to.min(self.head.version));
        self.log.retain(|(_, change)| change.version > self.log_start);
    }

    fn prune_publications(&mut self, up_to: u64) {
        let last = self.publications.last().copied();
        self.publications.retain(|sequence| *sequence > up_to || Some(*sequence) == last);
    }

    fn history(&self, epoch: u32, after: u64, changes_max: usize) -> Option<History> {
        let told =
            !self.dropped.contains(&epoch) && (self.log_start..=self.head.version).contains(&after);
        let changes: Vec<_> = self
            .log
            .iter()
            .filter(|(e, change)| *e == epoch && change.version > after)
            .map(|(_, change)| change.clone())
            .collect();
        let current = changes
            .iter()
            .filter_map(|change| {
                let row = self.rows.get(&(epoch, change.handle))?;
                Some((change.handle, row.clone()))
            })
            .collect();
        (told && changes.len() <= changes_max).then_some(History {
            head: self.head,
            changes,
            current,
        })
    }

    fn charge(&mut self, request: &ChargeRequest, batch: u64) -> Option<u64> {
        let day = 86_400_000;
        let ChargeRequest { account: [account, ..], cost, now_ms, .. } = *request;
        let (used, latest) = self.quotas.get(&account).copied().unwrap_or((0, 0));
        let now = now_ms.max(latest);
        let leaked = i128::from(now - latest) * i128::from(POLICY.refill_per_day);
        let used = (used - leaked).max(0);
        let mut earlier = self.charges.get(&(account, batch)).into_iter().flatten();
        if cost == 0 || earlier.any(|at| at.abs_diff(now_ms) <= REPEAT_FREE_MS) {
            return Some(0);
        }
        let credit = request.credit.filter(|credit| !self.dropped.contains(&credit.epoch));
        let mut from_credit = 0;
        if let Some(credit) = credit {
            let drawn = self.credits.entry((credit.epoch, account)).or_default();
            from_credit = cost.min(credit.elements.saturating_sub(*drawn));
        }
        let rest = i128::from(cost - from_credit) * day;
        if rest > 0 && used + rest > i128::from(POLICY.capacity) * day {
            return None;
        }
        if let Some(credit) = credit {
            *self.credits.entry((credit.epoch, account)).or_default() += from_credit;
        }
        self.quotas.insert(account, (used + rest, now));
        self.charges.entry((account, batch)).or_default().push(now_ms);
        self.forget_charges(now_ms);
        Some(cost)
    }

    /// With a clock that only goes forward, no answer changes with it.
    fn forget_rested(&mut self, now_ms: u64) {
        self.forget_charges(now_ms);
        self.quotas.retain(|_, (used, latest)| {
            let leaked = now_ms.saturating_sub(*latest) as i128 * POLICY.refill_per_day as i128;
            *used > leaked
        });
    }

    fn forget_charges(&mut self, now_ms: u64) {
        let period = |at_ms: u64| at_ms / REPEAT_FREE_MS;
        for charges in self.charges.values_mut() {
            charges.retain(|at| period(*at) + 2 > period(now_ms));
        }
    }

    fn compare(&self, store: &dyn Store) {
        assert_eq!(store.head().unwrap(), self.head);
        for epoch in EPOCHS {
            let expected: Vec<Row> = self
                .rows
                .iter()
                .filter(|((e, _), _)| *e == epoch)
                .map(|((_, handle), sealed)| (*handle, sealed.clone()))
                .collect();
            assert_eq!(store.entries(epoch).unwrap(), expected.len() as u64);
            let (head, found) = rows(store, epoch).unwrap();
            assert!(head == self.head && found == expected);
            assert!(paged(store, epoch, 7) == expected);
        }
        let last = self.publications.last();
        assert_eq!(store.last_publication().unwrap(), last.map(|last| publication(*last)));
        for after in [0, last.map_or(1, |last| last / 2), u64::MAX] {
            let kept = self.publications.iter().filter(|sequence| **sequence > after);
            let kept: Vec<_> = kept.map(|sequence| publication(*sequence)).collect();
            assert_eq!(store.publications_after(after).unwrap(), kept);
        }
        assert_eq!(store.meta(MetaName::Rotation).unwrap(), self.meta);
    }

    fn compare_history(&self, store: &dyn Store, random: &mut ChaCha8Rng) {
        for epoch in EPOCHS {
            let after = below(random, self.head.version + 2);
            let changes_max = [0, 5, 10_000][below(random, 3) as usize];
            let found = store.history(epoch, after, changes_max).unwrap();
            assert!(found == self.history(epoch, after, changes_max), "{epoch}: {after}");
        }
    }
}

/// All rows of an epoch, page by page.
fn paged(store: &dyn Store, epoch: u32, limit: usize) -> Vec<Row> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = store.scan_after(epoch, after, limit).unwrap();
        let last = page.len() < limit;
        after = page.last().map(|(handle, _)| *handle);
        all.extend(page);
        if last {
            return all;
        }
    }
}

fn any_epoch(random: &mut ChaCha8Rng) -> u32 {
    EPOCHS[1 + below(random, 4) as usize]
}

fn any_changes(random: &mut ChaCha8Rng) -> Vec<Change> {
    (0..below(random, 40))
        .map(|_| match below(random, 3) {
            0 => remove(below(random, 60)),
            // Of any length, none included.
            _ => put(below(random, 60), &[7; 64][..below(random, 3) as usize * 32]),
        })
        .collect()
}

fn any_copies(random: &mut ChaCha8Rng) -> Vec<CopiedRow> {
    let content = |random: &mut ChaCha8Rng| &[7; 64][..below(random, 3) as usize * 32];
    (0..below(random, 40))
        .map(|_| {
            let number = below(random, 60);
            CopiedRow {
                handle: handle(59 - number),
                ..copied(number, content(random), content(random))
            }
        })
        .collect()
}

pub(in super::super) async fn random_operations(harness: &dyn Harness) {
    let mut random = seeded("random_operations", 1);
    let (mut store, mut oracle, mut now_ms) = (harness.open(), Oracle::default(), NOW_MS);
    for round in 0..600 {
        let now_s = now_ms / 1_000;
        match below(&mut random, 20) {
            0..=4 => {
                let mut parts = one(any_epoch(&mut random), any_changes(&mut random));
                if below(&mut random, 2) == 0 {
                    parts.extend(one(any_epoch(&mut random), any_changes(&mut random)));
                }
                let expected = oracle.apply(&parts, now_s);
                assert_eq!(store.apply(parts, now_s).await, expected);
            }
            5..=6 => {
                let (to, from) = (any_epoch(&mut random), any_epoch(&mut random));
                let copies = any_copies(&mut random);
                let expected = oracle.copy(to, from, &copies, now_s);
                assert_eq!(store.copy_rows(to, from, copies, now_s).await, expected);
            }
            7..=11 => {
                let (account, batch) = (below(&mut random, 3) as u8, below(&mut random, 12));
                let mut request = request(account, batch, below(&mut random, 400));
                request.now_ms = now_ms;
                request.credit = (below(&mut random, 2) == 0).then(|| Credit {
                    epoch: any_epoch(&mut random),
                    elements: 300 * below(&mut random, 3),
                });
                let expected = oracle.charge(&request, batch);
                let outcome = store.charge(request).await.unwrap();
                assert_eq!(charged(outcome), expected, "round {round}");
                let (ChargeOutcome::Granted { quota, .. } | ChargeOutcome::Refused { quota, .. }) =
                    outcome;
                assert_eq!(store.quota(&[account; 16], &POLICY, now_ms).await.unwrap(), quota);
            }
            12..=13 => {
                let next = oracle.publications.last().map_or(1, |last| last + 1);
                oracle.publications.push(next);
                store.record_publication(publication(next)).await.unwrap();
            }
            14 => {
                let up_to = below(&mut random, oracle.publications.len() as u64 + 2);
                oracle.prune_publications(up_to);
                store.prune_publications(up_to).await.unwrap();
            }
            15 => {
                let step_ms = [1, 1_000, REPEAT_FREE_MS, 3_600_000][below(&mut random, 4) as usize];
                now_ms =
                    if below(&mut random, 5) == 0 { now_ms - step_ms } else { now_ms + step_ms };
            }
            16 => {
                let up_to = below(&mut random, oracle.head.version + 20);
                oracle.prune_log(up_to);
                store.prune_log(up_to).await.unwrap();
            }
            17 => {
                let value = vec![round as u8; below(&mut random, 99) as usize];
                oracle.meta = Some(value.clone());
                store.set_meta(MetaName::Rotation, value).await.unwrap();
            }
            18 if below(&mut random, 2) == 0 => {
                store.forget_rested(POLICY.refill_per_day, now_ms).await.unwrap();
                oracle.forget_rested(now_ms);
            }
            18 if below(&mut random, 7) == 0 => {
                let epoch = any_epoch(&mut random);
                oracle.drop_epoch(epoch);
                store.drop_epoch(epoch).await.unwrap();
            }
            _ => {
                store.close().await.unwrap();
                store = harness.open();
            }
        }
        oracle.compare_history(&*store, &mut random);
        if round % 20 == 0 {
            oracle.compare(&*store);
        }
    }
    oracle.compare(&*store);
}
