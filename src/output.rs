//! What the commands print: text for people, one JSON object for machines.

use std::io::{self, Write as _};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;

/// For whom to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// People.
    Text,
    /// Machines.
    Json,
}

/// Whether a command that ran to its end did what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It did: exit code 0.
    Success,
    /// It ran, and something is not as it should be; what, was printed. Exit code 1.
    Failure,
}

/// Prints a result: `text` for people, the value itself for machines.
pub(crate) fn print(
    format: Format,
    value: &impl Serialize,
    text: impl FnOnce() -> String,
) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match format {
        Format::Text => writeln!(out, "{}", text().trim_end())?,
        Format::Json => writeln!(out, "{}", serde_json::to_string(value)?)?,
    }
    Ok(())
}

/// Prints an error with its causes on standard error.
pub(crate) fn print_error(format: Format, error: &anyhow::Error) {
    match format {
        Format::Text => eprintln!("error: {error:#}"),
        Format::Json => eprintln!("{}", serde_json::json!({ "error": format!("{error:#}") })),
    }
}

/// Prints a note for people on standard error; machines find it in the object.
pub(crate) fn note(format: Format, text: &str) {
    if format == Format::Text {
        eprintln!("{text}");
    }
}

/// A progress bar on a terminal; nothing elsewhere, and nothing for machines.
pub(crate) fn progress_bar(format: Format, unit: &str) -> ProgressBar {
    let bar = match format {
        Format::Text => ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()),
        Format::Json => ProgressBar::hidden(),
    };
    let template = match unit {
        "bytes" => "  {msg:<11} [{bar:32}] {bytes}/{total_bytes}".to_owned(),
        unit => format!("  {{msg:<11}} [{{bar:32}}] {{human_pos}}/{{human_len}} {unit}"),
    };
    let style = ProgressStyle::with_template(&template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ");
    bar.with_style(style)
}

/// `12.3 kB` and the like, decimal.
pub(crate) fn human_bytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let value = bytes as f64;
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.1} kB", value / 1e3),
        _ => format!("{:.2} MB", value / 1e6),
    }
}
