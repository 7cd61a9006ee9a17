//! What an export remembers for the next one: from which versions clients come, and since when a
//! file has not been needed.
//!
//! A line each. What cannot be read is passed over: without the ledger nothing breaks, but clients
//! download a snapshot instead of a delta, and old files stay for longer.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use acquaint_core::{
    limits::EXPORTED_VERSIONS_MAX,
    publication::{DirectoryVersion, FileName},
};

/// The memory of a directory's exports.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    /// The versions that were exported last, at most [`EXPORTED_VERSIONS_MAX`]. How far back a way
    /// reaches, the server knows.
    exported: BTreeSet<DirectoryVersion>,
    /// When a file was found not to be needed any more, in seconds since 1970.
    unlisted: BTreeMap<FileName, u64>,
}

impl Ledger {
    /// Reads what [`Self::to_text`] wrote.
    pub(super) fn parse(text: &str) -> Self {
        let mut ledger = Self::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            match *words.as_slice() {
                ["exported", snapshot, version] => {
                    if let (Ok(snapshot), Ok(version)) = (snapshot.parse(), version.parse()) {
                        ledger.exported.insert(DirectoryVersion { snapshot, version });
                    }
                }
                ["unlisted", at, name] => {
                    if let (Ok(at), Ok(name)) = (at.parse(), name.parse()) {
                        ledger.unlisted.insert(name, at);
                    }
                }
                _ => {}
            }
        }
        ledger
    }

    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        let written = "writing to a string cannot fail";
        for DirectoryVersion { snapshot, version } in &self.exported {
            writeln!(text, "exported {snapshot} {version}").expect(written);
        }
        for (name, at) in &self.unlisted {
            writeln!(text, "unlisted {at} {name}").expect(written);
        }
        text
    }

    /// The versions that were exported, oldest first.
    pub(super) fn versions(&self) -> Vec<DirectoryVersion> {
        self.exported.iter().copied().collect()
    }

    /// Notes an export. Returns those of the unlisted files that have been so for `keep`.
    ///
    /// A clock that went back keeps files for longer, never for shorter.
    pub(super) fn note(
        &mut self,
        now_s: u64,
        versions: &[DirectoryVersion],
        unlisted: Vec<FileName>,
        keep: Duration,
    ) -> Vec<FileName> {
        self.exported.extend(versions);
        while self.exported.len() > EXPORTED_VERSIONS_MAX {
            // Snapshots and versions both rise: the first is the oldest.
            self.exported.pop_first();
        }
        let before = std::mem::take(&mut self.unlisted);
        let since = |name: &FileName| before.get(name).copied().unwrap_or(now_s);
        self.unlisted = unlisted.into_iter().map(|name| (name, since(&name))).collect();
        let is_due = |at: u64| now_s.checked_sub(at).is_some_and(|age| age >= keep.as_secs());
        let due = self.unlisted.iter().filter(|(_, at)| is_due(**at));
        due.map(|(name, _)| *name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEP: Duration = Duration::from_secs(100);

    const fn version(version: u64) -> DirectoryVersion {
        DirectoryVersion { snapshot: 1, version }
    }

    const fn delta(to: u64) -> FileName {
        FileName::Delta { snapshot: 1, from: 0, to }
    }

    #[test]
    fn a_ledger_reads_as_it_was_written() {
        let mut ledger = Ledger::default();
        ledger.note(7, &[version(3), version(4)], vec![delta(1), FileName::Set([9; 32])], KEEP);
        assert_eq!(Ledger::parse(&ledger.to_text()), ledger);
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        let text = "exported 1 3\nexported 7\nunlisted x manifest\nunlisted 7 ../keys\n?\n";
        let ledger = Ledger::parse(text);
        assert_eq!(ledger.to_text(), "exported 1 3\n");
    }

    #[test]
    fn files_are_due_once_they_were_not_needed_for_the_whole_time() {
        let mut ledger = Ledger::default();
        assert!(ledger.note(1_000, &[], vec![delta(1)], KEEP).is_empty());
        assert!(ledger.note(1_099, &[], vec![delta(1), delta(2)], KEEP).is_empty());
        assert_eq!(ledger.note(1_100, &[], vec![delta(1), delta(2)], KEEP), [delta(1)]);
        // Needed again, then not: the time starts over.
        assert!(ledger.note(1_150, &[], vec![], KEEP).is_empty());
        assert!(ledger.note(1_199, &[], vec![delta(2)], KEEP).is_empty());
        // The clock went back.
        assert!(ledger.note(10, &[], vec![delta(2)], KEEP).is_empty());
        assert_eq!(ledger.note(5, &[], vec![delta(3)], Duration::ZERO), [delta(3)]);
    }

    #[test]
    fn the_last_versions_are_remembered() {
        let most = EXPORTED_VERSIONS_MAX as u64;
        let mut ledger = Ledger::default();
        let versions = |range: std::ops::Range<u64>| range.map(version).collect::<Vec<_>>();
        for i in 0..most {
            ledger.note(1_000 + i, &[version(i)], vec![], KEEP);
        }
        assert_eq!(ledger.versions(), versions(0..most));
        ledger.note(2_000, &[version(most)], vec![], KEEP);
        assert_eq!(ledger.versions(), versions(1..most + 1));
        ledger.note(3_000, &[version(most)], vec![], KEEP);
        assert_eq!(ledger.versions(), versions(1..most + 1), "the same version is one");
    }
}
