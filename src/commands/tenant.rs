//! `acquaint tenant`: several companies on one server.

use std::path::Path;

use acquaint_core::manifest::TenantName;
use acquaint_server::keystore::Keys;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    configuration::ConfigurationFile,
    output::{Format, Outcome, print},
};

/// Add a tenant, or list them: each has keys, accounts and limits of its own.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the keys of another tenant, and print the section that the configuration needs.
    Add(Add),
    /// List the tenants of the configuration.
    List(ConfigurationFile),
}

#[derive(Debug, Args)]
pub(crate) struct Add {
    #[command(flatten)]
    file: ConfigurationFile,

    /// Its name: a-z, 0-9 and -.
    #[arg(value_name = "NAME")]
    name: TenantName,
}

pub(crate) fn run(command: &Command, format: Format) -> anyhow::Result<Outcome> {
    match command {
        Command::Add(add) => add_tenant(add, format),
        Command::List(file) => list(file, format),
    }
}

fn add_tenant(Add { file, name }: &Add, format: Format) -> anyhow::Result<Outcome> {
    let config = file.load()?;
    anyhow::ensure!(
        !config.tenants.contains_key(name.as_str()),
        "the configuration has a tenant {name} already: choose another name"
    );
    // Beside the configuration, where relative paths begin.
    let directory = file.config.parent().unwrap_or(Path::new("."));
    let (store, keys) = (format!("{name}.redb"), format!("keys-{name}"));
    let made = Keys::generate(&mut rand::rng());
    made.create(&directory.join(&keys))?;
    let pin = made.manifest.pin().to_string();
    let section = format!("[tenants.{name}]\nstore = \"{store}\"\nkeys = \"{keys}\"");
    let value = json!({ "tenant": name.as_str(), "keys": keys, "pin": pin, "section": section });
    print(format, &value, || {
        format!(
            "Made keys in {keys}. The pin, for the apps of this tenant: {pin}\n\n\
             Add to {} and start the server again:\n\n{section}",
            file.config.display()
        )
    })?;
    Ok(Outcome::Success)
}

fn list(file: &ConfigurationFile, format: Format) -> anyhow::Result<Outcome> {
    let tenants = file.load()?.check()?.tenants;
    let names: Vec<_> = tenants.iter().map(|tenant| tenant.name.as_str()).collect();
    print(format, &json!({ "tenants": names }), || names.join("\n"))?;
    Ok(Outcome::Success)
}
