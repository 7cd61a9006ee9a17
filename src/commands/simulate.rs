//! `acquaint simulate-enumeration`: what the quota leaves to an attacker.

use std::{path::PathBuf, time::Instant};

use acquaint_core::manifest::TenantName;
use acquaint_server::{
    admission::{
        Quotas,
        bucket::QuotaPolicy,
        simulation::{Attack, Findings, Population, simulate},
    },
    config::Config,
};
use anyhow::Context as _;
use rand_chacha::{ChaCha20Rng, rand_core::SeedableRng as _};
use serde::Serialize;

use crate::{
    configuration::{ConfigurationFile, TenantArguments},
    output::{Format, Outcome, print},
};

/// Simulate how much of a directory accounts find out that ask for all that their quota allows.
///
/// Every batch is charged by the code that charges lookups, on a simulated clock and a store in
/// memory: nothing is sent to anybody, and nothing of a server is touched.
///
/// The attacker: all accounts work together from the first moment on. Each asks for the largest
/// batch that fits, at once, whenever it is granted, and waits no longer than it was told to. Each
/// number is tried once, in turn, and nothing is lost to padding. Who is registered is drawn at
/// random, so the share found is that of the numbers tried: an attacker who knows which numbers
/// are likely to be registered finds more with as many.
///
/// A hundred accounts for a month take less than a second, and 10,000 that try all German numbers
/// some seconds. What takes more than 20,000,000 calls is refused: figures grow in proportion to
/// the number of accounts.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Accounts that work together.
    #[arg(long, value_name = "N", default_value_t = 100,
          value_parser = clap::value_parser!(u32).range(1..))]
    accounts: u32,

    /// Days that they go on; 0: what they get at once.
    #[arg(long, value_name = "N", default_value_t = 30)]
    days: u32,

    /// Numbers that they try, from the first to the last, at most 4294967296. For comparison:
    /// 538333000 German and 505730000 US mobile numbers.
    #[arg(long, value_name = "N", default_value_t = 20_000_000)]
    numbers: u64,

    /// How many of the numbers are registered.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    registered: u64,

    /// Age of the accounts at the beginning, for quotas that grow with it; missing: old accounts,
    /// which have the whole quota.
    #[arg(long, value_name = "N")]
    account_age_days: Option<u32>,

    /// Class of their credentials: 0 for ordinary accounts.
    #[arg(long, value_name = "N", default_value_t = 0)]
    class: u8,

    /// Rotations of the key in that time; each gives every account one quota more, for the grace
    /// period.
    #[arg(long, value_name = "N", default_value_t = 0)]
    rotations: u32,

    /// Decides which numbers are registered; random if missing.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    /// Take quota and grace period from this configuration instead of the defaults.
    #[arg(long, value_name = "FILE", env = "ACQUAINT_CONFIG")]
    config: Option<PathBuf>,

    /// The tenant of that configuration; needed only if it has several.
    #[arg(long, value_name = "NAME", env = "ACQUAINT_TENANT")]
    tenant: Option<TenantName>,
}

#[derive(Debug, Serialize)]
struct Report {
    accounts: u32,
    days: u32,
    account_age_days: Option<u32>,
    class: u8,
    rotations: u32,
    seed: u64,
    /// The configuration; `None`: the defaults.
    configuration: Option<PathBuf>,
    /// What an account has at the end.
    quota_elements: u64,
    quota_refill_per_day: u64,
    numbers: u64,
    registered: u64,
    calls: u64,
    granted: u64,
    /// Most that arithmetic allows all accounts.
    granted_max: u64,
    tried: u64,
    found: u64,
    share_of_numbers: f64,
    share_of_directory: f64,
    /// When these accounts have tried every number, in days; `None`: never.
    days_to_try_all: Option<f64>,
    /// Accounts that try every number in the given days.
    accounts_to_try_all: u64,
    elapsed_ms: u64,
}

pub(crate) async fn run(arguments: Arguments, format: Format) -> anyhow::Result<Outcome> {
    let started = Instant::now();
    let seed = arguments.seed.unwrap_or_else(rand::random);
    let (quotas, grace_s) = arguments.quotas()?;
    let attack = arguments.attack(grace_s);
    let mut random = ChaCha20Rng::seed_from_u64(seed);
    let population = Population::draw(arguments.numbers, arguments.registered, &mut random)?;
    let findings = simulate(quotas.clone(), &attack, &population).await?;
    let mut report = Report::new(arguments, seed, &quotas, &attack, &findings);
    report.elapsed_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
    print(format, &report, || text(&report))?;
    Ok(Outcome::Success)
}

impl Arguments {
    /// Quotas, and the grace period of a rotation in seconds.
    fn quotas(&self) -> anyhow::Result<(Quotas, u64)> {
        let settings = match &self.config {
            Some(config) => {
                let file = ConfigurationFile { config: config.clone() };
                TenantArguments { file, tenant: self.tenant.clone() }.load()?.1
            }
            None => {
                let tenants = Config::default().check()?.tenants;
                tenants.into_iter().next().context("the defaults have a tenant")?
            }
        };
        Ok((settings.quotas, settings.grace_s))
    }

    const fn attack(&self, grace_s: u64) -> Attack {
        Attack {
            accounts: self.accounts,
            days: self.days,
            account_age_days: self.account_age_days,
            class: self.class,
            rotations: self.rotations,
            grace_s,
        }
    }
}

impl Report {
    fn new(
        arguments: Arguments,
        seed: u64,
        quotas: &Quotas,
        attack: &Attack,
        findings: &Findings,
    ) -> Self {
        let Arguments { accounts, days, numbers, registered, .. } = arguments;
        let QuotaPolicy { capacity, refill_per_day } = attack
            .policy(quotas)
            .unwrap_or(QuotaPolicy { capacity: u64::MAX, refill_per_day: u64::MAX });
        let elements_max = attack.elements_max(quotas);
        let &Findings { calls, granted, tried, found, all_tried_after_ms } = findings;
        let refill = ratio(u64::from(accounts).saturating_mul(refill_per_day), 1);
        let days_to_try_all = match all_tried_after_ms {
            Some(after_ms) => Some(ratio(after_ms, DAY_MS)),
            None => (refill > 0.0).then(|| f64::from(days) + ratio(numbers - tried, 1) / refill),
        };
        Self {
            accounts,
            days,
            account_age_days: arguments.account_age_days,
            class: arguments.class,
            rotations: arguments.rotations,
            seed,
            configuration: arguments.config,
            quota_elements: capacity,
            quota_refill_per_day: refill_per_day,
            numbers,
            registered,
            calls,
            granted,
            granted_max: elements_max.saturating_mul(accounts.into()),
            tried,
            found,
            share_of_numbers: ratio(tried, numbers),
            share_of_directory: ratio(found, registered),
            days_to_try_all,
            accounts_to_try_all: numbers.div_ceil(elements_max.max(1)),
            elapsed_ms: 0,
        }
    }
}

const DAY_MS: u64 = 86_400_000;

/// A share; of nothing, nothing.
#[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn text(report: &Report) -> String {
    let Report { accounts, days, numbers, registered, .. } = *report;
    let percent = |share: f64| format!("{:.3} %", share * 100.0);
    let rows = [
        ("elements granted", grouped(report.granted), "".to_owned()),
        ("  most by arithmetic", grouped(report.granted_max), formula(report)),
        ("numbers tried", grouped(report.tried), percent(report.share_of_numbers)),
        ("registered ones found", grouped(report.found), percent(report.share_of_directory)),
    ];
    let rows: String = rows
        .map(|(name, figure, note)| {
            format!("{name:<22} {figure:>15}  {note}").trim_end().to_owned() + "\n"
        })
        .concat();
    let all = match report.days_to_try_all {
        Some(days) => format!("these accounts take {days:.1} days"),
        None => "these accounts never do".to_owned(),
    };
    format!(
        "{} accounts of class {}, {}, for {days} days with {} rotations of the key.\n\
         Quota at the end ({}): {} elements at once, {} more a day.\n\
         They try {} numbers, of which {} are registered (seed {}).\n\n\
         {rows}\n\
         To try every number, {all}; in {days} days it takes {} accounts.\n\
         Numbers, not people: who of them is registered was drawn at random.\n\
         {} calls, simulated in {} ms.",
        grouped(accounts.into()),
        report.class,
        age(report.account_age_days),
        report.rotations,
        source(report),
        grouped(report.quota_elements),
        grouped(report.quota_refill_per_day),
        grouped(numbers),
        grouped(registered),
        report.seed,
        grouped(report.accounts_to_try_all),
        grouped(report.calls),
        report.elapsed_ms,
    )
}

/// What the arithmetic is.
fn formula(report: &Report) -> String {
    let Report { accounts, days, rotations, quota_elements, quota_refill_per_day, .. } = report;
    let credits = if *rotations > 0 { " + credits" } else { "" };
    format!("{accounts} x ({quota_elements} + {days} x {quota_refill_per_day}{credits})")
}

fn age(days: Option<u32>) -> String {
    days.map_or("old ones".to_owned(), |days| format!("{days} days old at first"))
}

fn source(report: &Report) -> String {
    report.configuration.as_ref().map_or("defaults".to_owned(), |path| path.display().to_string())
}

/// `1,234,567`.
fn grouped(figure: u64) -> String {
    let digits = figure.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_grouped_by_thousands() {
        for (figure, text) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (20_480, "20,480"),
            (538_333_000, "538,333,000"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(grouped(figure), text);
        }
    }
}
