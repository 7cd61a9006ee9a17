//! `acquaint registry`: what the operator's back end does when accounts come and go.

use std::path::{Path, PathBuf};

use acquaint_client::{
    Identifier, Label, Registered, Registrar, Visibility,
    address_book::{Normalizer as _, PhoneNumberNormalizer},
    user_list::{UserListReader, UserRow},
};
use anyhow::Context as _;
use clap::{Args, Subcommand};
use data_encoding::HEXLOWER_PERMISSIVE;
use serde_json::{Value, json};

use super::discover::ImportArguments;
use crate::{
    connection::ServerArguments,
    output::{Format, Outcome, note, print, progress_bar},
};

/// Tell the server who is registered. It learns labels and blinded elements, never identifiers.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Register everybody in a CSV file: a column `identifier`, `tel`, `email` or `id`, a column
    /// `label` (32 hexadecimal digits or a UUID), and optionally `discoverable`.
    Import(ImportCommand),
    /// Register one account.
    Register(RegisterCommand),
    /// Remove accounts.
    Remove(RemoveCommand),
}

#[derive(Debug, Args)]
pub(crate) struct ImportCommand {
    /// The CSV file.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    import: ImportArguments,

    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RegisterCommand {
    /// A phone number, an e-mail address, or `tel:`, `mailto:` or `id:` and a canonical form.
    #[arg(value_name = "IDENTIFIER")]
    identifier: String,

    /// The label that whoever finds the account gets: 32 hexadecimal digits or a UUID.
    #[arg(long, value_name = "HEX", value_parser = parse_label)]
    label: [u8; 16],

    /// Keep the account, but do not let it be found.
    #[arg(long)]
    hidden: bool,

    #[command(flatten)]
    import: ImportArguments,

    #[command(flatten)]
    server: ServerArguments,
}

#[derive(Debug, Args)]
pub(crate) struct RemoveCommand {
    /// Identifiers, written as for `register`.
    #[arg(value_name = "IDENTIFIER", required = true)]
    identifiers: Vec<String>,

    #[command(flatten)]
    import: ImportArguments,

    #[command(flatten)]
    server: ServerArguments,
}

pub(crate) async fn run(command: Command, format: Format) -> anyhow::Result<Outcome> {
    match command {
        Command::Import(command) => import(&command, format).await,
        Command::Register(command) => register(&command, format).await,
        Command::Remove(command) => remove(&command, format).await,
    }
}

/// Two passes over the file, one for each visibility, so that a file of any size is streamed.
async fn import(command: &ImportCommand, format: Format) -> anyhow::Result<Outcome> {
    let registrar = registrar(&command.server)?;
    let check = check_rows(&command.file, &command.import, format)?;
    let bar = progress_bar(format, "accounts").with_message("registering");
    bar.set_length(check.rows);
    let (mut acknowledged, mut added, mut updated) = (0, 0, 0);
    for visibility in [Visibility::Discoverable, Visibility::Hidden] {
        let discoverable = visibility == Visibility::Discoverable;
        let before = acknowledged;
        let rows = good_rows(&command.file, &command.import)?
            .filter(move |row| row.discoverable == discoverable)
            .map(|row| (row.identifier, Label(row.label)));
        let registered = registrar
            .register(rows, visibility, |done| bar.set_position(before + done))
            .await
            .with_context(|| "the import stopped; run it again, what is stored stays stored")?;
        acknowledged += registered.acknowledged;
        added += registered.added;
        updated += registered.updated;
    }
    bar.finish_and_clear();
    let value = json!({
        "acknowledged": acknowledged,
        "added": added,
        "updated": updated,
        "skipped": check.skipped,
        "skipped_rows": check.skipped_rows,
    });
    print(format, &value, || {
        format!(
            "{acknowledged} accounts stored: {added} new, {updated} changed; {} rows skipped",
            check.skipped
        )
    })?;
    Ok(if check.skipped == 0 { Outcome::Success } else { Outcome::Failure })
}

struct Check {
    rows: u64,
    skipped: u64,
    /// Line and reason of the first of them, for machines.
    skipped_rows: Vec<Value>,
}

/// A file of another kind would fill the memory with reasons.
const SKIPPED_ROWS_MAX: usize = 1_000;

/// Reports every row that cannot be read, before anything is sent.
fn check_rows(file: &Path, import: &ImportArguments, format: Format) -> anyhow::Result<Check> {
    let mut check = Check { rows: 0, skipped: 0, skipped_rows: Vec::new() };
    for row in reader(file, import)? {
        match row {
            Ok(_) => check.rows += 1,
            Err(error) => {
                check.skipped += 1;
                note(format, &format!("line {}: skipped, {}", error.line, error.reason));
                if check.skipped_rows.len() < SKIPPED_ROWS_MAX {
                    let reason = error.reason.to_string();
                    check.skipped_rows.push(json!({ "line": error.line, "reason": reason }));
                }
            }
        }
    }
    Ok(check)
}

fn good_rows(
    file: &Path,
    import: &ImportArguments,
) -> anyhow::Result<impl Iterator<Item = UserRow> + Send + use<>> {
    Ok(reader(file, import)?.filter_map(Result::ok))
}

fn reader(file: &Path, import: &ImportArguments) -> anyhow::Result<UserListReader<std::fs::File>> {
    Ok(UserListReader::open(file)?.default_region(import.region()))
}

async fn register(command: &RegisterCommand, format: Format) -> anyhow::Result<Outcome> {
    let identifier = read_identifier(&command.identifier, &command.import)?;
    let visibility = if command.hidden { Visibility::Hidden } else { Visibility::Discoverable };
    let rows = std::iter::once((identifier, Label(command.label)));
    let Registered { added, updated, .. } =
        registrar(&command.server)?.register(rows, visibility, |_| {}).await?;
    print(format, &json!({ "added": added, "updated": updated }), || match (added, updated) {
        (1, _) => "registered".to_owned(),
        (_, 1) => "changed".to_owned(),
        _ => "registered before, nothing changed".to_owned(),
    })?;
    Ok(Outcome::Success)
}

async fn remove(command: &RemoveCommand, format: Format) -> anyhow::Result<Outcome> {
    let identifiers = command
        .identifiers
        .iter()
        .map(|text| read_identifier(text, &command.import))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let removed = registrar(&command.server)?.remove(&identifiers).await?.removed;
    let unknown = identifiers.len() as u64 - removed;
    print(format, &json!({ "removed": removed, "unknown": unknown }), || {
        format!("{removed} removed, {unknown} were not registered")
    })?;
    Ok(Outcome::Success)
}

fn registrar(server: &ServerArguments) -> anyhow::Result<Registrar> {
    Ok(server.configure(Registrar::builder(&server.server))?.build()?)
}

fn read_identifier(text: &str, import: &ImportArguments) -> anyhow::Result<Identifier> {
    Ok(PhoneNumberNormalizer.identifier(text, import.region())?)
}

fn parse_label(text: &str) -> Result<[u8; 16], String> {
    let digits: String = text.chars().filter(|c| *c != '-').collect();
    HEXLOWER_PERMISSIVE
        .decode(digits.as_bytes())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| "a label is 32 hexadecimal digits or a UUID".to_owned())
}
