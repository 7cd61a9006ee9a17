//! The configuration file, with the environment on top.

use std::path::{Path, PathBuf};

use acquaint_core::manifest::TenantName;
use acquaint_server::config::{Config, TenantSettings};
use anyhow::Context as _;
use figment::{
    Figment,
    providers::{Env, Format as _, Toml},
};

/// Where the configuration is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ConfigurationFile {
    /// The configuration file, as `acquaint init` makes it. Each of its fields can be overridden
    /// by a variable such as ACQUAINT__QUOTA__ELEMENTS.
    #[arg(long, value_name = "FILE", default_value = "acquaint.toml", env = "ACQUAINT_CONFIG")]
    pub(crate) config: PathBuf,
}

/// Where the configuration is, and which of its tenants is meant.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct TenantArguments {
    #[command(flatten)]
    pub(crate) file: ConfigurationFile,

    /// The tenant; needed only if the configuration has several.
    #[arg(long, value_name = "NAME", env = "ACQUAINT_TENANT")]
    pub(crate) tenant: Option<TenantName>,
}

impl TenantArguments {
    /// Reads the configuration, checks it and picks the tenant.
    pub(crate) fn load(&self) -> anyhow::Result<(Config, TenantSettings)> {
        let config = self.file.load()?;
        let mut tenants = config.check()?.tenants.into_iter();
        let settings = match &self.tenant {
            Some(name) => tenants.find(|tenant| tenant.name == *name).with_context(|| {
                format!("the configuration has no tenant {name}: see its [tenants.NAME] sections")
            })?,
            None => {
                let first = tenants.next().context("a configuration has a tenant")?;
                anyhow::ensure!(
                    tenants.next().is_none(),
                    "the configuration has several tenants: name one with --tenant"
                );
                first
            }
        };
        Ok((config, settings))
    }
}

impl ConfigurationFile {
    /// Reads the file and the environment; relative paths become relative to the file.
    pub(crate) fn load(&self) -> anyhow::Result<Config> {
        anyhow::ensure!(
            self.config.is_file(),
            "the configuration {} does not exist: run `acquaint init`, or name it with --config",
            self.config.display()
        );
        let config: Config = Figment::new()
            .merge(Toml::file_exact(&self.config))
            .merge(Env::prefixed("ACQUAINT__").split("__"))
            .extract()
            .with_context(|| format!("the configuration {} is wrong", self.config.display()))?;
        let directory = self.config.parent().unwrap_or(Path::new("."));
        Ok(config.resolve(directory))
    }
}
