//! T6: what the quota leaves to an attacker, as the command tells it and as the README quotes it.

use std::collections::BTreeMap;

use rand::RngExt as _;
use serde_json::Value;

use crate::{
    binary::{Installation, Ran, acquaint, run},
    world,
};

/// The table of the README: accounts, numbers tried, share of the directory in percent at most.
fn quoted() -> BTreeMap<u64, (u64, f64)> {
    let readme = include_str!("../../README.md");
    let (_, section) = readme.split_once("## What an attacker finds out").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let rows = section.lines().filter_map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        let figure = |cell: &str| cell.replace(',', "").parse().ok();
        let share = cells.get(3)?.strip_suffix(" %")?.parse().ok()?;
        Some((figure(cells[0])?, (figure(cells[1])?, share)))
    });
    rows.collect()
}

#[track_caller]
fn simulated(arguments: &[&str]) -> Value {
    told(&run(&mut acquaint(&[&["simulate-enumeration", "--json"], arguments].concat())).ok())
}

/// The object, whose figures fit together.
fn told(ran: &Ran) -> Value {
    let object = ran.json();
    let figure = |name: &str| object[name].as_u64().unwrap_or_else(|| panic!("{name}: {object}"));
    assert!(figure("found") <= figure("tried").min(figure("registered")), "{object}");
    assert!(figure("tried") <= figure("granted").min(figure("numbers")), "{object}");
    assert!(figure("granted") <= figure("granted_max"), "{object}");
    assert!(figure("calls") > 0 && object["elapsed_ms"].is_u64(), "{object}");
    for (share, part, whole) in
        [("share_of_numbers", "tried", "numbers"), ("share_of_directory", "found", "registered")]
    {
        let expected = figure(part) as f64 / figure(whole) as f64;
        assert!((object[share].as_f64().unwrap() - expected).abs() < 1e-12, "{object}");
    }
    object
}

#[test]
fn attackers_find_no_larger_share_than_the_readme_says() {
    let mut random = world::seeded("attackers_find_no_larger_share_than_the_readme_says");
    let quoted = quoted();
    assert_eq!(quoted.keys().copied().collect::<Vec<_>>(), [1, 10, 100]);
    for (accounts, (tried, share_percent)) in quoted {
        let seed: u64 = random.random();
        // The defaults: 30 days, a million registered among twenty million numbers.
        let (accounts, seed) = (accounts.to_string(), seed.to_string());
        let told = simulated(&["--accounts", &accounts, "--seed", &seed]);
        println!("{told}");
        assert_eq!((&told["days"], &told["registered"]), (&30.into(), &1_000_000.into()));
        assert_eq!((&told["numbers"], &told["tried"]), (&20_000_000.into(), &tried.into()));
        let found_percent = told["share_of_directory"].as_f64().unwrap() * 100.0;
        assert!(found_percent <= share_percent, "{found_percent} % are found");
        assert!(found_percent > share_percent * 0.8, "the README says far too much");
    }
}

#[test]
fn the_quotas_of_a_configuration_are_simulated() {
    let site = Installation::new();
    let configuration = site.path("acquaint.toml");
    let simulate = |overrides: &[(&str, &str)], arguments: &[&str]| {
        let few = ["--numbers", "100000", "--registered", "50000", "--accounts", "2"];
        let command = [&["simulate-enumeration", "--json"], &few[..], arguments].concat();
        told(&run(site.command(&command).envs(overrides.iter().copied())).ok())
    };
    let overrides = [
        ("ACQUAINT__QUOTA__ELEMENTS", "8000"),
        ("ACQUAINT__QUOTA__REFILL_PER_DAY", "100"),
        ("ACQUAINT__QUOTA__RAMP_DAYS", "20"),
        ("ACQUAINT__QUOTA__RAMP_START_PERCENT", "50"),
    ];
    let granted = |told: &Value| told["granted"].as_u64().unwrap();
    let old = simulate(&overrides, &["--days", "10"]);
    assert_eq!(old["configuration"], configuration.to_str().unwrap());
    assert_eq!((granted(&old), &old["quota_elements"]), (2 * 9_000, &8_000.into()));
    let young = simulate(&overrides, &["--days", "10", "--account-age-days", "0"]);
    assert_eq!((granted(&young), &young["quota_elements"]), (2 * 7_000, &6_000.into()));
    let rotated = simulate(&overrides, &["--days", "10", "--rotations", "1"]);
    assert_eq!(granted(&rotated), 2 * 17_000);
    // What no quota holds is found whole, and it is said when.
    let rest = simulate(&[("ACQUAINT__QUOTA__ELEMENTS", "100000")], &["--days", "1"]);
    assert_eq!((&rest["found"], &rest["days_to_try_all"]), (&50_000.into(), &0.0.into()));
    assert_eq!(rest["accounts_to_try_all"], 1);
    let never = [("ACQUAINT__QUOTA__REFILL_PER_DAY", "0")];
    assert_eq!(simulate(&never, &[])["days_to_try_all"], Value::Null);
}

#[test]
fn the_command_says_what_it_assumes_and_what_it_cannot_do() {
    let help = run(&mut acquaint(&["simulate-enumeration", "--help"])).ok().stdout;
    for words in ["The attacker:", "waits no longer than it was told", "simulated clock"] {
        assert!(help.contains(words), "{words}: {help}");
    }
    let text = run(&mut acquaint(&["simulate-enumeration", "--seed", "1"])).ok().stdout;
    for words in ["8,192,000", "40.960 %", "100 x (20480 + 30 x 2048)", "Numbers, not people"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    for (arguments, words) in [
        (&["--numbers", "0"][..], "there must be 1 to 4294967296 numbers"),
        (&["--numbers", "4294967297"], "there must be 1 to 4294967296 numbers"),
        (&["--numbers", "10"], "more registered numbers than numbers"),
        (&["--rotations", "5"], "so many rotations do not fit"),
        (&["--accounts", "2000000"], "more than 20000000 calls"),
        (&["--accounts", "0"], "--accounts"),
        (&["--config", "missing.toml"], "does not exist"),
    ] {
        let command = [&["simulate-enumeration"], arguments].concat();
        let error = run(&mut acquaint(&command)).error();
        assert!(error.contains(words), "{error}");
    }
}
