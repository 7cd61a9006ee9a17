//! `acquaint selfcheck`: what this machine and this configuration will do.

use acquaint_core::engine::Engine;
use acquaint_server::{config::Config, keystore::Keys};
use clap::Args;
use serde::Serialize;

use crate::{
    configuration::ConfigurationFile,
    output::{Format, Outcome, print},
};

/// Show what does the arithmetic here, and check a configuration without starting anything.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    file: ConfigurationFile,

    /// Look at the machine only, at no configuration.
    #[arg(long)]
    machine: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    /// Back end of the curve engine.
    engine: String,
    /// Vector back end that curve25519-dalek was compiled with, for what stays with it.
    dalek: &'static str,
    threads: usize,
    configuration: Option<Configuration>,
}

#[derive(Debug, Serialize)]
struct Configuration {
    tenant: String,
    pin: String,
    quota_elements: u64,
    quota_refill_per_day: u64,
    keys_apart_from_store: bool,
    faults: Vec<String>,
}

pub(crate) fn run(arguments: &Arguments, format: Format) -> anyhow::Result<Outcome> {
    let configuration = match arguments.machine {
        true => None,
        false => Some(check(&arguments.file.load()?)?),
    };
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        engine: Engine::current().backend().to_string(),
        dalek: if cfg!(curve25519_dalek_backend = "avx512") { "avx512" } else { "stock" },
        threads: std::thread::available_parallelism().map_or(1, usize::from),
        configuration,
    };
    print(format, &report, || text(&report))?;
    let faulty = report.configuration.is_some_and(|checked| !checked.faults.is_empty());
    Ok(if faulty { Outcome::Failure } else { Outcome::Success })
}

/// Reads everything that `serve` would read, but opens neither the port nor the store.
fn check(config: &Config) -> anyhow::Result<Configuration> {
    let (tenant, policy) = config.check()?;
    let pin = Keys::load(&config.keys)?.manifest.pin();
    let missing = [&config.tls.certificate, &config.tls.key].into_iter().filter(|p| !p.is_file());
    Ok(Configuration {
        tenant: tenant.to_string(),
        pin: pin.to_string(),
        quota_elements: policy.quota_elements,
        quota_refill_per_day: policy.quota_refill_per_day,
        keys_apart_from_store: are_on_different_disks(config),
        faults: missing.map(|path| format!("{} is missing", path.display())).collect(),
    })
}

#[cfg(unix)]
fn are_on_different_disks(config: &Config) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let device = |path: &std::path::Path| std::fs::metadata(path).map(|found| found.dev()).ok();
    let store = config.store.parent().and_then(device);
    store.is_some() && device(&config.keys).is_some_and(|keys| Some(keys) != store)
}

#[cfg(not(unix))]
fn are_on_different_disks(_: &Config) -> bool {
    false
}

fn text(report: &Report) -> String {
    let Report { version, engine, dalek, threads, configuration } = report;
    let mut text = format!(
        "acquaint {version}\nengine        {engine} (curve25519-dalek: {dalek})\n\
         threads       {threads}\n"
    );
    let Some(checked) = configuration else {
        return text;
    };
    text += &format!(
        "tenant        {}\npin           {}\nquota         {} elements at once, {} more a day\n",
        checked.tenant, checked.pin, checked.quota_elements, checked.quota_refill_per_day
    );
    text += if checked.keys_apart_from_store {
        "keys          on another disk than the store\n"
    } else {
        "keys          on the same disk as the store: whoever copies both can test guesses\n"
    };
    for fault in &checked.faults {
        text += &format!("FAULT         {fault}\n");
    }
    text + "\nGuaranteed: no identifier reaches the server; what is acknowledged is durable; a lookup \
            is\ncharged before it is answered. Not guaranteed: whoever holds the keys can test \
            guesses\nagainst the registered users. docs/THREAT_MODEL.md says it in full.\n"
}
