//! `acquaint init`: keys, a certificate for trying out, a commented configuration.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use acquaint_core::manifest::TenantName;
use acquaint_server::keystore::Keys;
use anyhow::Context as _;
use serde_json::json;

use crate::{
    output::{Format, Outcome, print},
    tls::SelfSigned,
};

/// Make keys, a TLS certificate for trying out, and a commented configuration.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The directory to fill; made if it is missing. Nothing in it is overwritten.
    #[arg(value_name = "DIRECTORY", default_value = ".")]
    directory: PathBuf,

    /// The tenant's name: a-z, 0-9 and -.
    #[arg(long, default_value = "default")]
    tenant: TenantName,

    /// Host names for the self-signed certificate.
    #[arg(long = "host", value_name = "NAME", default_value = "localhost")]
    hosts: Vec<String>,
}

const TEMPLATE: &str = include_str!("acquaint.toml");

pub(crate) fn run(arguments: &Arguments, format: Format) -> anyhow::Result<Outcome> {
    let directory = &arguments.directory;
    let configuration = directory.join("acquaint.toml");
    let certificate = directory.join("tls/certificate.pem");
    let key = directory.join("tls/key.pem");
    for path in [&configuration, &certificate, &key] {
        anyhow::ensure!(
            !path.exists(),
            "{} exists: nothing is overwritten, choose another directory",
            path.display()
        );
    }
    let identity = SelfSigned::for_hosts(arguments.hosts.clone())?;
    let keys = Keys::generate(&mut rand::rng());
    keys.create(&directory.join("keys"))?;
    make_directory(&directory.join("tls"))?;
    write_new(&certificate, &identity.certificate, 0o644)?;
    write_new(&key, &identity.key, 0o600)?;
    let text = TEMPLATE.replace("@TENANT@", arguments.tenant.as_str());
    write_new(&configuration, &text, 0o644)?;

    let pin = keys.manifest.pin().to_string();
    let value = json!({
        "configuration": configuration,
        "keys": directory.join("keys"),
        "certificate": certificate,
        "pin": pin,
    });
    print(format, &value, || next_steps(&configuration, &certificate, &pin))?;
    Ok(Outcome::Success)
}

fn next_steps(configuration: &Path, certificate: &Path, pin: &str) -> String {
    let config = configuration.display();
    let ca = certificate.display();
    format!(
        "Made keys, a self-signed certificate and {config}.
The pin, for apps to carry: {pin}

Next:
  acquaint serve --config {config}
  acquaint credential mint --config {config} --account back-end --scope register > registrar.cred
  acquaint credential mint --config {config} --account alice > alice.cred
  acquaint registry import users.csv --ca {ca} --pin {pin} --credential-file registrar.cred
  acquaint discover contacts.vcf --ca {ca} --pin {pin} --credential-file alice.cred

Keep the key directory on another disk than the store and its backups: together they let
whoever has them test guesses of phone numbers against the registered users."
    )
}

fn make_directory(path: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(path)
        .with_context(|| format!("cannot make {}: check the path", path.display()))
}

fn write_new(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use acquaint_server::config::Config;

    use super::*;

    #[test]
    fn the_commented_configuration_states_the_defaults() {
        let text = TEMPLATE.replace("@TENANT@", "default");
        let stated: Config = toml::from_str(&text).unwrap();
        assert_eq!(stated, Config::default());
        // Every field is there: serializing the defaults gives no key that the template lacks.
        for line in toml::to_string(&Config::default()).unwrap().lines() {
            let key = line.split(" = ").next().unwrap();
            assert!(text.lines().any(|line| line.starts_with(key)), "{key}");
        }
    }
}
