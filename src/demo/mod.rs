//! `acquaint demo`: the whole system in one process, on fictional people.

mod people;
mod report;
mod world;

use std::{collections::HashMap, path::PathBuf, time::Instant};

use acquaint_client::{
    AddressBook, Label, SyncOutcome, Visibility,
    address_book::{Format as FileFormat, Region},
};

use self::{
    people::People,
    report::{Comparison, Report},
    world::World,
};
use crate::{
    commands::discover::{ImportArguments, PhaseBars},
    output::{Format, Outcome, note, print, progress_bar},
};

/// The address book of the repository: fictional people, numbers reserved for films.
const SAMPLE: &[u8] = include_bytes!("../../samples/contacts.vcf");
/// The country of the sample's national numbers.
const SAMPLE_REGION: &str = "DE";
/// Every account of the demo may look up its address book, whatever its size.
const QUOTA_HEADROOM: u64 = 20_480;

/// Show the whole system at work, in this process, on fictional people: a real server on a
/// loopback port with real TLS and a temporary store, registration, one lookup, and a comparison
/// with a plain intersection. Exits with 1 if the answers differ.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Registered users.
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = parse_count)]
    users: usize,

    /// Look up this address book (vCard, CSV, or one identifier a line) instead of the sample.
    /// About half of it is registered first.
    #[arg(long, value_name = "FILE")]
    contacts: Option<PathBuf>,

    /// Look up this many generated contacts, too; without --contacts, instead of the sample.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = parse_count)]
    synthetic_contacts: usize,

    /// Decides who is registered; random if missing.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,

    #[command(flatten)]
    import: ImportArguments,
}

/// Ten digits number the generated people of a series.
const COUNT_MAX: usize = 10_000_000;

fn parse_count(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| *count <= COUNT_MAX);
    count.ok_or_else(|| format!("a number from 0 to {COUNT_MAX}"))
}

pub(crate) async fn run(arguments: Arguments, format: Format) -> anyhow::Result<Outcome> {
    let seed = arguments.seed.unwrap_or_else(rand::random);
    let read = arguments.read_book()?;
    for skipped in read.skipped() {
        note(format, &format!("line {}: skipped, {}", skipped.line, skipped.reason));
    }
    let people = People::invent(seed, arguments.users, &read, arguments.synthetic_contacts);
    let world = World::start(people.book.contacts().len() as u64 + QUOTA_HEADROOM).await?;

    let started = Instant::now();
    register(&world, &people, format).await?;
    let register_ms = elapsed_ms(started);
    let started = Instant::now();
    world.publish().await?;
    let publish_ms = elapsed_ms(started);

    let bars = PhaseBars::new(format);
    let outcome = world.client()?.sync(&people.book, |progress| bars.show(progress)).await?;
    bars.finish();
    world.stop().await?;

    let comparison = compare(&outcome, &people);
    let skipped = read.skipped().len();
    let report = Report::new(&outcome, comparison, skipped, register_ms, publish_ms, seed);
    print(format, &report, || report.text(&people.book, &outcome))?;
    Ok(if report.agrees() { Outcome::Success } else { Outcome::Failure })
}

impl Arguments {
    fn read_book(&self) -> anyhow::Result<AddressBook> {
        if let Some(path) = &self.contacts {
            return Ok(self.import.import().read_path(path)?);
        }
        if self.synthetic_contacts > 0 {
            return Ok(AddressBook::from_identifiers(std::iter::empty::<(String, _)>()));
        }
        let region: Region = SAMPLE_REGION.parse()?;
        let import = self.import.import().default_region(Some(region));
        Ok(import.read_bytes(SAMPLE, FileFormat::VCard)?)
    }
}

async fn register(world: &World, people: &People, format: Format) -> anyhow::Result<()> {
    let bar = progress_bar(format, "users").with_message("registering");
    bar.set_length(people.order.len() as u64);
    let rows: Vec<_> = people
        .order
        .iter()
        .filter_map(|identifier| {
            Some((identifier.clone(), people.registered.get(identifier)?.clone()))
        })
        .collect();
    world
        .registrar()?
        .register(rows.into_iter(), Visibility::Discoverable, |done| bar.set_position(done))
        .await?;
    bar.finish_and_clear();
    Ok(())
}

/// Holds the private answer against the plain one, label by label.
fn compare(outcome: &SyncOutcome, people: &People) -> Comparison {
    let expected: HashMap<usize, Label> = people.expected().into_iter().collect();
    let is_false = |found: &&acquaint_client::Match| {
        expected.get(&found.contact).is_none_or(|label| *label != found.label)
    };
    Comparison {
        expected: expected.len(),
        false_matches: outcome.matches.iter().filter(is_false).count(),
    }
}

fn elapsed_ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}
