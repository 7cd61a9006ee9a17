//! Structured logs on standard error.
//!
//! The level applies to our own modules, which log counts, durations and codes. Libraries are kept
//! at warnings whatever the level: at TRACE an HTTP/2 library logs headers, and with them
//! credentials; the phone number library logs the numbers that it parses.

use std::io::{self, IsTerminal as _};

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer as _, filter::Targets, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// How much to log.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Level {
    /// Faults that need somebody.
    Error,
    /// Things that may become faults.
    Warn,
    /// Each call and each publication.
    Info,
    /// Counts within calls.
    Debug,
    /// Everything.
    Trace,
}

/// How to write a line.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Style {
    /// Text on a terminal, JSON elsewhere.
    Auto,
    /// One line of text.
    Text,
    /// One JSON object.
    Json,
}

/// Starts logging; once in a process.
pub(crate) fn start(level: Level, style: Style) -> anyhow::Result<()> {
    let terminal = io::stderr().is_terminal();
    let json = match style {
        Style::Auto => !terminal,
        Style::Text => false,
        Style::Json => true,
    };
    // Colors in a file are noise, and hide words from whoever searches it.
    let lines = tracing_subscriber::fmt::layer().with_writer(io::stderr).with_ansi(terminal);
    let layer = if json { lines.json().with_span_list(false).boxed() } else { lines.boxed() };
    tracing_subscriber::registry().with(layer.with_filter(filter(level))).try_init()?;
    Ok(())
}

fn filter(level: Level) -> Targets {
    let own = match level {
        Level::Error => LevelFilter::ERROR,
        Level::Warn => LevelFilter::WARN,
        Level::Info => LevelFilter::INFO,
        Level::Debug => LevelFilter::DEBUG,
        Level::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_default(LevelFilter::WARN.min(own))
        .with_target("acquaint", own)
        .with_target("rlibphonenumber", LevelFilter::OFF)
}

#[cfg(test)]
mod tests {
    use tracing::Level as TracingLevel;

    use super::*;

    #[test]
    fn libraries_stay_quiet_at_every_level() {
        for level in [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace] {
            let filter = filter(level);
            for library in ["h2::codec", "hyper::proto", "rustls::conn", "tonic::transport"] {
                assert!(!filter.would_enable(library, &TracingLevel::INFO), "{library}");
            }
            assert!(!filter.would_enable("rlibphonenumber", &TracingLevel::ERROR));
        }
        let trace = filter(Level::Trace);
        assert!(trace.would_enable("acquaint_server::serve", &TracingLevel::TRACE));
        assert!(!filter(Level::Warn).would_enable("acquaint_server", &TracingLevel::INFO));
    }
}
