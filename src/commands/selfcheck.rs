//! `acquaint selfcheck`: what this machine and this configuration will do.

use acquaint_core::engine::Engine;
use acquaint_server::{
    config::{Config, TenantSettings},
    keystore::Keys,
};
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
    tenants: Vec<Tenant>,
    faults: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Tenant {
    tenant: String,
    pin: String,
    quota_elements: u64,
    quota_refill_per_day: u64,
    keys_apart_from_store: bool,
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

/// Reads configuration and keys as `serve` would, looks for the other files, and opens neither the
/// ports nor the stores.
fn check(config: &Config) -> anyhow::Result<Configuration> {
    let checked = config.check()?;
    let tenants = checked.tenants.iter().map(|tenant| {
        Ok(Tenant {
            tenant: tenant.name.to_string(),
            pin: Keys::load(&tenant.keys)?.manifest.pin().to_string(),
            quota_elements: tenant.policy.quota_elements,
            quota_refill_per_day: tenant.policy.quota_refill_per_day,
            keys_apart_from_store: are_on_different_disks(tenant),
        })
    });
    let authorities = checked.tenants.iter().filter_map(|t| t.registrar_authorities.as_ref());
    let admin = config.admin.as_ref().map(|admin| &admin.authorities);
    let files = [&config.tls.certificate, &config.tls.key].into_iter();
    let missing = files.chain(authorities).chain(admin).filter(|path| !path.is_file());
    Ok(Configuration {
        faults: missing.map(|path| format!("{} is missing", path.display())).collect(),
        tenants: tenants.collect::<anyhow::Result<_>>()?,
    })
}

#[cfg(unix)]
fn are_on_different_disks(tenant: &TenantSettings) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let device = |path: &std::path::Path| std::fs::metadata(path).map(|found| found.dev()).ok();
    let store = tenant.store.parent().and_then(device);
    store.is_some() && device(&tenant.keys).is_some_and(|keys| Some(keys) != store)
}

#[cfg(not(unix))]
fn are_on_different_disks(_: &TenantSettings) -> bool {
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
    for tenant in &checked.tenants {
        text += &format!(
            "\ntenant        {}\npin           {}\n\
             quota         {} elements at once, {} more a day\n",
            tenant.tenant, tenant.pin, tenant.quota_elements, tenant.quota_refill_per_day
        );
        text += if tenant.keys_apart_from_store {
            "keys          on another disk than the store\n"
        } else {
            "keys          on the same disk as the store: whoever copies both can test guesses\n"
        };
    }
    for fault in &checked.faults {
        text += &format!("FAULT         {fault}\n");
    }
    text + "\nGuaranteed: no identifier reaches the server; what is acknowledged is durable; a lookup \
            is\ncharged before it is answered. Not guaranteed: whoever holds the keys can test \
            guesses\nagainst the registered users. docs/THREAT_MODEL.md says it in full.\n"
}
