//! `acquaint credential`: what the operator's back end does for each verified account.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use acquaint_core::credential::{Claims, Credential, Pseudonym, Scope};
use acquaint_server::keystore::{CREDENTIAL_KEY_ID, Keys};
use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::{
    configuration::ConfigurationFile,
    output::{Format, Outcome, print},
};

/// Make credentials.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print a credential for an account. It is a secret: whoever has it spends the account's
    /// quota.
    Mint(Mint),
}

#[derive(Debug, Args)]
pub(crate) struct Mint {
    #[command(flatten)]
    file: ConfigurationFile,

    /// The account's id. The server sees a keyed hash of it only.
    #[arg(long, value_name = "ID")]
    account: String,

    /// What the credential allows.
    #[arg(long, value_enum, default_value_t = ScopeName::Discover)]
    scope: ScopeName,

    /// How long it is valid: a number, at least 1, and s, m, h or d.
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = parse_duration)]
    valid_for: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ScopeName {
    /// Look up contacts, within the quota.
    Discover,
    /// Register and remove accounts.
    Register,
}

pub(crate) fn run(command: &Command, format: Format) -> anyhow::Result<Outcome> {
    let Command::Mint(mint) = command;
    let config = mint.file.load()?;
    let (tenant, _) = config.check()?;
    let key = Keys::load_credential_key(&config.keys)?;
    let pseudonym_key = Keys::load_pseudonym_key(&config.keys)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let claims = Claims {
        tenant,
        audience: config.audience()?,
        pseudonym: Pseudonym::of_account(&pseudonym_key, mint.account.as_bytes()),
        scope: match mint.scope {
            ScopeName::Discover => Scope::Discover,
            ScopeName::Register => Scope::Register,
        },
        class: 0,
        issued_at: now.as_secs(),
        expires_at: now.saturating_add(mint.valid_for).as_secs(),
        account_since: 0,
        key_id: CREDENTIAL_KEY_ID,
    };
    let credential = Credential::mint(&key, &claims);
    let value = json!({
        "credential": credential.expose_text(),
        "expires_at": claims.expires_at,
    });
    print(format, &value, || credential.expose_text().to_owned())?;
    Ok(Outcome::Success)
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
