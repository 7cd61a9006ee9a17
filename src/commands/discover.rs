//! `acquaint discover`: an address book from a file, its matches to the screen.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    time::Duration,
};

use acquaint_client::{
    AddressBook, Client, FileStateStore, Pending, Progress, SyncOutcome,
    address_book::{Format as FileFormat, Import, Region},
};
use anyhow::Context as _;
use data_encoding::HEXLOWER;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::{
    connection::ServerArguments,
    output::{Format, Outcome, note, print, progress_bar},
};

/// Find out who of an address book is registered.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    book: BookArguments,

    /// Directory in which to keep what was found, so that the next run only asks for new contacts
    /// and only downloads changes. As private as the address book.
    #[arg(long, value_name = "DIR", env = "ACQUAINT_STATE")]
    state: Option<PathBuf>,

    #[command(flatten)]
    server: ServerArguments,

    /// Get what is published over HTTPS from this folder, as `acquaint publish --to` wrote it,
    /// instead of from the server.
    #[arg(long, value_name = "URL", env = "ACQUAINT_STATIC_FILES")]
    static_files: Option<String>,
}

/// An address book to read.
#[derive(Debug, clap::Args)]
pub(crate) struct BookArguments {
    /// vCard 2.1, 3.0 or 4.0, CSV with a header, or one identifier a line; `-` reads standard
    /// input.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    pub(crate) import: ImportArguments,
}

/// How to read an address book.
#[derive(Debug, clap::Args)]
pub(crate) struct ImportArguments {
    /// The country of numbers that are written without one, for example DE.
    #[arg(long, value_name = "COUNTRY", env = "ACQUAINT_REGION")]
    region: Option<Region>,

    /// Pass over columns of a CSV file whose meaning is not known.
    #[arg(long)]
    ignore_unknown_columns: bool,
}

impl ImportArguments {
    pub(crate) const fn region(&self) -> Option<Region> {
        self.region
    }

    pub(crate) fn import(&self) -> Import {
        Import::new()
            .default_region(self.region)
            .ignore_unknown_columns(self.ignore_unknown_columns)
    }
}

impl BookArguments {
    fn read(&self) -> anyhow::Result<AddressBook> {
        if self.file == Path::new("-") {
            let mut bytes = Vec::new();
            let limit = acquaint_client::limits::IMPORT_BYTES_MAX + 1;
            std::io::stdin()
                .lock()
                .take(limit)
                .read_to_end(&mut bytes)
                .context("cannot read standard input")?;
            return Ok(self
                .import
                .import()
                .read_bytes(&bytes, FileFormat::detect(None, &bytes))?);
        }
        Ok(self.import.import().read_path(&self.file)?)
    }
}

pub(crate) async fn run(arguments: Arguments, format: Format) -> anyhow::Result<Outcome> {
    let book = arguments.book.read()?;
    for skipped in book.skipped() {
        note(format, &format!("line {}: skipped, {}", skipped.line, skipped.reason));
    }
    let server = &arguments.server;
    let mut builder = server.configure(Client::builder(&server.server))?;
    if let Some(directory) = &arguments.state {
        builder = builder.state_store(FileStateStore::open(directory)?);
    }
    if let Some(address) = &arguments.static_files {
        builder = builder.static_files(address);
    }
    let client = builder.build()?;
    let bars = PhaseBars::new(format);
    let outcome = client.sync(&book, |progress| bars.show(progress)).await?;
    bars.finish();
    if let Some(reason) = outcome.state_discarded {
        note(format, &format!("what was kept was not used: {reason}"));
    }
    if let Some(pending) = &outcome.pending {
        note(format, &pending_text(pending));
    }
    print(format, &to_json(&book, &outcome), || to_text(&book, &outcome))?;
    Ok(Outcome::Success)
}

fn to_json(book: &AddressBook, outcome: &SyncOutcome) -> Value {
    let matches: Vec<Value> = outcome
        .matches
        .iter()
        .filter_map(|found| {
            let contact = book.contacts().get(found.contact)?;
            Some(json!({
                "identifier": String::from_utf8_lossy(contact.identifier().as_bytes()),
                "names": contact.names(),
                "lines": contact.lines(),
                "label": HEXLOWER.encode(&found.label.0),
            }))
        })
        .collect();
    let skipped: Vec<Value> = book
        .skipped()
        .iter()
        .map(|skipped| json!({ "line": skipped.line, "reason": skipped.reason.to_string() }))
        .collect();
    json!({
        "users": outcome.report.users,
        "contacts": outcome.report.contacts,
        "matches": matches,
        "skipped": skipped,
        "elements": outcome.report.elements,
        "changes": {
            "joined": identifiers(book, &outcome.changes.joined),
            "left": identifiers(book, &outcome.changes.left),
            "label_changed": identifiers(book, &outcome.changes.label_changed),
        },
        "pending": outcome.pending.as_ref().map(|pending| json!({
            "contacts": identifiers(book, &pending.contacts),
            "retry_after_s": pending.retry_after.map(wait_seconds),
        })),
        "quota_remaining": outcome.quota.map(|quota| quota.remaining),
        "bytes_up": outcome.report.traffic.bytes_up,
        "bytes_down": outcome.report.traffic.bytes_down,
    })
}

fn pending_text(pending: &Pending) -> String {
    let wait = match pending.retry_after {
        Some(wait) => format!("again in {} seconds", wait_seconds(wait)),
        None => "again later".to_owned(),
    };
    let n = pending.contacts.len();
    format!(
        "the quota does not cover {n} contacts: look up {wait}, with --state to go on from here"
    )
}

/// Whole seconds, rounded up: a second too early would be for nothing.
fn wait_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

/// The canonical identifiers of contacts, given by position.
fn identifiers(book: &AddressBook, contacts: &[usize]) -> Vec<String> {
    let identifier = |contact: &usize| {
        let contact = book.contacts().get(*contact)?;
        Some(String::from_utf8_lossy(contact.identifier().as_bytes()).into_owned())
    };
    contacts.iter().filter_map(identifier).collect()
}

fn to_text(book: &AddressBook, outcome: &SyncOutcome) -> String {
    let mut text = String::new();
    for found in &outcome.matches {
        if let Some(contact) = book.contacts().get(found.contact) {
            let identifier = String::from_utf8_lossy(contact.identifier().as_bytes());
            let names = contact.names().join(", ");
            let label = HEXLOWER.encode(&found.label.0);
            text.push_str(&format!("{identifier:<36} {label}  {names}\n"));
        }
    }
    let report = &outcome.report;
    let summary = format!(
        "{} of {} contacts are registered; {} lines skipped",
        outcome.matches.len(),
        report.contacts,
        book.skipped().len()
    );
    // What is new is worth a line only if something was known before.
    let known = outcome.changes.joined.len() < outcome.matches.len();
    let news = [("+", &outcome.changes.joined), ("-", &outcome.changes.left)];
    for (sign, contacts) in news.into_iter().filter(|_| known) {
        for identifier in identifiers(book, contacts) {
            text.push_str(&format!("{sign} {identifier}\n"));
        }
    }
    text + &summary
}

/// A bar for each phase; those of evaluation and set move at the same time.
pub(crate) struct PhaseBars {
    evaluate: ProgressBar,
    set: ProgressBar,
    labels: ProgressBar,
    all: indicatif::MultiProgress,
}

impl PhaseBars {
    pub(crate) fn new(format: Format) -> Self {
        let all = indicatif::MultiProgress::new();
        let bar = |name, unit| {
            let bar = match format {
                Format::Text => all.add(progress_bar(format, unit)),
                Format::Json => progress_bar(format, unit),
            };
            bar.with_message(name)
        };
        Self {
            evaluate: bar("evaluating", "contacts"),
            set: bar("set", "bytes"),
            labels: bar("labels", "bytes"),
            all,
        }
    }

    pub(crate) fn show(&self, progress: Progress) {
        let (bar, done, total) = match progress {
            Progress::Evaluate { done, total } => (&self.evaluate, done, total),
            Progress::Set { bytes, total } => (&self.set, bytes, total),
            Progress::Labels { bytes, total } => (&self.labels, bytes, total),
            _ => return,
        };
        bar.set_length(total);
        bar.set_position(done);
    }

    pub(crate) fn finish(&self) {
        for bar in [&self.evaluate, &self.set, &self.labels] {
            bar.finish_and_clear();
        }
        // Bars that were cleared leave no line; there is nothing to do about a terminal that
        // cannot be written to.
        drop(self.all.clear());
    }
}
