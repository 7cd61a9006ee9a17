//! `acquaint key`: what apps need to know of the keys.

use acquaint_server::keystore::Keys;
use clap::Subcommand;
use serde_json::json;

use crate::{
    configuration::ConfigurationFile,
    output::{Format, Outcome, print},
};

/// Show keys; never the secret ones.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the pin: the public manifest key that apps carry, in hexadecimal digits.
    Pin(ConfigurationFile),
}

pub(crate) fn run(command: &Command, format: Format) -> anyhow::Result<Outcome> {
    let Command::Pin(file) = command;
    let pin = Keys::load_manifest_key(&file.load()?.keys)?.pin().to_string();
    print(format, &json!({ "pin": pin }), || pin.clone())?;
    Ok(Outcome::Success)
}
