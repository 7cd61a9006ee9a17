//! What the demo measured, as an object and as text.

use acquaint_client::{AddressBook, SyncOutcome, SyncReport};
use data_encoding::HEXLOWER;
use serde::Serialize;

use crate::output::human_bytes;

/// The object that `acquaint demo --json` prints. Times in milliseconds, sizes in bytes.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) users: u64,
    pub(crate) contacts: usize,
    pub(crate) skipped: usize,
    pub(crate) matches: usize,
    pub(crate) expected_matches: usize,
    pub(crate) false_matches: usize,
    pub(crate) register_ms: f64,
    pub(crate) publish_ms: f64,
    pub(crate) manifest_ms: f64,
    pub(crate) evaluate_ms: f64,
    pub(crate) set_ms: f64,
    pub(crate) labels_ms: f64,
    pub(crate) match_ms: f64,
    pub(crate) total_ms: f64,
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
    pub(crate) phases: Phases,
    pub(crate) batches: usize,
    pub(crate) elements: usize,
    pub(crate) set_bytes: u64,
    pub(crate) set_bytes_per_user: f64,
    pub(crate) labels_bytes: u64,
    pub(crate) blinded_sample: Vec<String>,
    pub(crate) seed: u64,
}

/// gRPC messages of each phase, in bytes.
#[derive(Debug, Serialize)]
pub(crate) struct Phases {
    manifest: Bytes,
    evaluate: Bytes,
    set: Bytes,
    labels: Bytes,
}

#[derive(Clone, Copy, Debug, Serialize)]
struct Bytes {
    up: u64,
    down: u64,
}

/// How the answer compares with the plain intersection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    /// Contacts in the plain intersection.
    pub(crate) expected: usize,
    /// Matches that are not in it, or have another label.
    pub(crate) false_matches: usize,
}

impl Report {
    pub(crate) fn new(
        outcome: &SyncOutcome,
        comparison: Comparison,
        skipped: usize,
        register_ms: f64,
        publish_ms: f64,
        seed: u64,
    ) -> Self {
        let report: &SyncReport = &outcome.report;
        let ms = |duration: std::time::Duration| round(duration.as_secs_f64() * 1e3);
        let bytes = |phase: &acquaint_client::PhaseReport| Bytes {
            up: phase.bytes_up,
            down: phase.bytes_down,
        };
        #[expect(clippy::cast_precision_loss, reason = "both are far below 2^52")]
        let set_bytes_per_user = report.set_bytes as f64 / report.users.max(1) as f64;
        Self {
            users: report.users,
            contacts: report.contacts,
            skipped,
            matches: outcome.matches.len(),
            expected_matches: comparison.expected,
            false_matches: comparison.false_matches,
            register_ms: round(register_ms),
            publish_ms: round(publish_ms),
            manifest_ms: ms(report.manifest.duration),
            evaluate_ms: ms(report.evaluate.duration),
            set_ms: ms(report.set.duration),
            labels_ms: ms(report.labels.duration),
            match_ms: ms(report.matching),
            total_ms: ms(report.total),
            bytes_up: report.traffic.bytes_up,
            bytes_down: report.traffic.bytes_down,
            phases: Phases {
                manifest: bytes(&report.manifest),
                evaluate: bytes(&report.evaluate),
                set: bytes(&report.set),
                labels: bytes(&report.labels),
            },
            batches: report.batches,
            elements: report.elements,
            set_bytes: report.set_bytes,
            set_bytes_per_user: (set_bytes_per_user * 1e4).round() / 1e4,
            labels_bytes: report.labels_bytes,
            blinded_sample: report.blinded_sample.iter().map(|e| HEXLOWER.encode(e)).collect(),
            seed,
        }
    }

    /// Whether the private answer is the plain one.
    pub(crate) const fn agrees(&self) -> bool {
        self.matches == self.expected_matches && self.false_matches == 0
    }

    /// The text for people.
    pub(crate) fn text(&self, book: &AddressBook, outcome: &SyncOutcome) -> String {
        [self.matches_text(book, outcome), self.wire_text(), self.times_text(), self.verdict()]
            .join("\n")
    }

    fn matches_text(&self, book: &AddressBook, outcome: &SyncOutcome) -> String {
        const SHOWN_MAX: usize = 24;
        let mut text = format!("{} of {} contacts are registered:\n", self.matches, self.contacts);
        for found in outcome.matches.iter().take(SHOWN_MAX) {
            if let Some(contact) = book.contacts().get(found.contact) {
                let identifier = String::from_utf8_lossy(contact.identifier().as_bytes());
                let account = HEXLOWER.encode(&found.label.0);
                let name = contact.names().join(", ");
                text.push_str(&format!("  {name:<28} {identifier:<34} account {account}\n"));
            }
        }
        if outcome.matches.len() > SHOWN_MAX {
            text.push_str(&format!("  and {} more\n", outcome.matches.len() - SHOWN_MAX));
        }
        text
    }

    fn wire_text(&self) -> String {
        let phase = |name: &str, Bytes { up, down }: Bytes| {
            format!("  {name:<10} {:>10} up {:>10} down\n", human_bytes(up), human_bytes(down))
        };
        let total = Bytes { up: self.bytes_up, down: self.bytes_down };
        let mut text = "Over the wire:\n".to_owned();
        text += &phase("manifest", self.phases.manifest);
        text += &phase("evaluate", self.phases.evaluate);
        text += &phase("set", self.phases.set);
        text += &phase("labels", self.phases.labels);
        text += &phase("all, TCP", total);
        text += &format!(
            "The set takes {} for {} users: {:.3} bytes each.\n\n",
            human_bytes(self.set_bytes),
            self.users,
            self.set_bytes_per_user
        );
        text += &format!(
            "About the contacts the server saw {} uniformly random points, {} of them padding:\n",
            self.elements,
            self.elements.saturating_sub(self.contacts)
        );
        for element in &self.blinded_sample {
            text += &format!("  {element}\n");
        }
        text + "It saw nothing else: no number, no name, no hash of any, and not who matched.\n"
    }

    fn times_text(&self) -> String {
        format!(
            "Time: register {:.0} ms, publish {:.0} ms; look up {:.0} ms\n  (manifest {:.0} ms, \
             evaluate {:.0} ms at the same time as set {:.0} ms, labels {:.0} ms, match {:.1} ms)\n",
            self.register_ms,
            self.publish_ms,
            self.total_ms,
            self.manifest_ms,
            self.evaluate_ms,
            self.set_ms,
            self.labels_ms,
            self.match_ms
        )
    }

    fn verdict(&self) -> String {
        if self.agrees() {
            format!(
                "A plain intersection of both lists gives the same {} matches with the same \
                 accounts.",
                self.expected_matches
            )
        } else {
            format!(
                "WRONG: a plain intersection gives {} matches; {} of ours are false. Seed {}.",
                self.expected_matches, self.false_matches, self.seed
            )
        }
    }
}

fn round(ms: f64) -> f64 {
    (ms * 1e3).round() / 1e3
}
