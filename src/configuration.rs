//! The configuration file, with the environment on top.

use std::path::{Path, PathBuf};

use acquaint_server::config::Config;
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
