//! `acquaint credential`: what the operator's back end does for each verified account, and the
//! keys with which it does.

mod keys;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use acquaint_core::{
    credential::{Claims, Credential, Pseudonym, Scope},
    keys::CredentialKey,
};
use acquaint_server::{
    config::TenantSettings,
    keystore::{CredentialKeyFiles, Keys},
};
use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::{
    configuration::TenantArguments,
    output::{Format, Outcome, print},
};

/// Make credentials, and manage the keys that authenticate them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print a credential for an account. It is a secret: whoever has it spends the account's
    /// quota.
    Mint(Mint),
    /// Add, list and retire the keys that authenticate credentials.
    #[command(subcommand)]
    Key(keys::Command),
}

#[derive(Debug, Args)]
pub(crate) struct Mint {
    #[command(flatten)]
    file: TenantArguments,

    /// The account's id. The server sees a keyed hash of it only.
    #[arg(long, value_name = "ID")]
    account: String,

    /// What the credential allows.
    #[arg(long, value_enum, default_value_t = ScopeName::Discover)]
    scope: ScopeName,

    /// How long it is valid: a number, at least 1, and s, m, h or d.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_duration)]
    valid_for: Duration,

    /// The class of the account, 0 to 255; 0 for ordinary ones.
    #[arg(long, value_name = "CLASS", default_value_t = 0)]
    class: u8,

    /// When the account was made, in seconds since 1970; 0 for long ago.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    account_since: u64,

    /// The key to mint with; the newest one if missing.
    #[arg(long, value_name = "ID")]
    key_id: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScopeName {
    /// Look up contacts, within the quota.
    Discover,
    /// Register and remove accounts.
    Register,
    /// Operate the tenant's directory.
    Admin,
}

pub(crate) fn run(command: &Command, format: Format) -> anyhow::Result<Outcome> {
    match command {
        Command::Mint(arguments) => mint(arguments, format),
        Command::Key(command) => keys::run(command, format),
    }
}

fn mint(arguments: &Mint, format: Format) -> anyhow::Result<Outcome> {
    let (config, tenant) = arguments.file.load()?;
    let (key_id, key) = chosen_key(&tenant, arguments.key_id)?;
    let pseudonym_key = Keys::load_pseudonym_key(&tenant.keys)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let claims = Claims {
        tenant: tenant.name,
        audience: config.audience()?,
        pseudonym: Pseudonym::of_account(&pseudonym_key, arguments.account.as_bytes()),
        scope: match arguments.scope {
            ScopeName::Discover => Scope::Discover,
            ScopeName::Register => Scope::Register,
            ScopeName::Admin => Scope::Admin,
        },
        class: arguments.class,
        issued_at: now.as_secs(),
        expires_at: now.saturating_add(arguments.valid_for).as_secs(),
        account_since: arguments.account_since,
        key_id,
    };
    let credential = Credential::mint(&key, &claims);
    let value = json!({
        "credential": credential.expose_text(),
        "expires_at": claims.expires_at,
        "key_id": key_id,
    });
    print(format, &value, || credential.expose_text().to_owned())?;
    Ok(Outcome::Success)
}

fn chosen_key(tenant: &TenantSettings, id: Option<u32>) -> anyhow::Result<(u32, CredentialKey)> {
    let mut keys = CredentialKeyFiles::new(&tenant.keys).load()?;
    if let Some(id) = id {
        keys.retain(|(kept, _)| *kept == id);
    }
    keys.pop().context(
        "there is no credential key with this id: `acquaint credential key list` shows them",
    )
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let explain = || "a number followed by s, m, h or d, for example 24h".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(explain)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(explain()),
    };
    let number: u64 = number.parse().map_err(|_| explain())?;
    let seconds = number.checked_mul(seconds).filter(|&seconds| seconds > 0);
    seconds.map(Duration::from_secs).ok_or_else(explain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed() {
        for (text, seconds) in
            [("1s", 1), ("90s", 90), ("5m", 300), ("24h", 86_400), ("2d", 172_800)]
        {
            assert_eq!(parse_duration(text), Ok(Duration::from_secs(seconds)));
        }
        for text in ["", "h", "24", "0s", "0d", "-1h", "1.5h", "1w", "99999999999999999999d", "1µ"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }
}
