//! `acquaint`: private contact discovery. One binary: server, registrar, client, demo.

mod admin;
mod commands;
mod configuration;
mod connection;
mod demo;
mod hardening;
mod logging;
mod output;
mod tls;

use std::process::ExitCode;

use acquaint_core::engine::{self, Backend};
use clap::{Parser, Subcommand, ValueEnum};

use crate::output::{Format, Outcome};

/// Private contact discovery: who in an address book already uses the messenger, without the
/// server learning who is in the address book.
#[derive(Debug, Parser)]
#[command(name = "acquaint", version, max_term_width = 100)]
struct Arguments {
    /// Print one JSON object on standard output, for machines.
    #[arg(long, global = true)]
    json: bool,

    /// Curve arithmetic with a certain back end instead of the fastest of this machine. Results
    /// are the same.
    #[arg(long, global = true, value_enum, env = "ACQUAINT_ENGINE", hide = true)]
    engine: Option<EngineName>,

    #[command(subcommand)]
    command: Command,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum EngineName {
    /// Eight lanes of AVX-512 IFMA.
    Ifma,
    /// Eight lanes of AVX2.
    Avx2,
    /// curve25519-dalek.
    Dalek,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Show the whole system at work, in this process, on fictional people.
    Demo(demo::Arguments),
    /// Make keys, a TLS certificate for trying out, and a commented configuration.
    Init(commands::init::Arguments),
    /// Run the server.
    Serve(commands::serve::Arguments),
    /// Make credentials.
    #[command(subcommand)]
    Credential(commands::credential::Command),
    /// Tell the server who is registered.
    #[command(subcommand)]
    Registry(commands::registry::Command),
    /// Publish what is registered, now, and as files for any web server.
    Publish(commands::publish::Arguments),
    /// Find out who of an address book is registered.
    Discover(commands::discover::Arguments),
    /// Show keys, never the secret ones, and rotate the OPRF key.
    #[command(subcommand)]
    Key(commands::key::Command),
    /// Add a tenant, or list them.
    #[command(subcommand)]
    Tenant(commands::tenant::Command),
    /// Show what does the arithmetic here, and check a configuration.
    Selfcheck(commands::selfcheck::Arguments),
    // Explained where its arguments are: a line here would take the place of the long help there.
    SimulateEnumeration(commands::simulate::Arguments),
}

/// Exit code for arguments that cannot be understood, as clap has it.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let Arguments { json, engine, command } = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return refuse_arguments(&error),
    };
    let format = if json { Format::Json } else { Format::Text };
    // One cryptographic provider for the process, before anything asks for one.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        eprintln!("error: another TLS provider is installed in this process");
        return ExitCode::FAILURE;
    }
    match choose(engine).and_then(|()| run(command, format)) {
        Ok(Outcome::Success) => ExitCode::SUCCESS,
        Ok(Outcome::Failure) => ExitCode::FAILURE,
        Err(error) => {
            output::print_error(format, &error);
            ExitCode::FAILURE
        }
    }
}

/// Prints help or what is wrong with the arguments; as an object if machines asked for one.
fn refuse_arguments(error: &clap::Error) -> ExitCode {
    if error.use_stderr() && std::env::args_os().any(|argument| argument == "--json") {
        let text = error.render().to_string();
        let first = text.split("\n\n").next().unwrap_or_default();
        let reason = first.strip_prefix("error: ").unwrap_or(first).to_owned();
        output::print_error(Format::Json, &anyhow::Error::msg(reason));
        return ExitCode::from(USAGE);
    }
    error.exit()
}

/// Fixes the back end before its first use.
fn choose(engine: Option<EngineName>) -> anyhow::Result<()> {
    let backend = match engine {
        None => return Ok(()),
        Some(EngineName::Ifma) => Backend::Ifma,
        Some(EngineName::Avx2) => Backend::Avx2,
        Some(EngineName::Dalek) => Backend::Dalek,
    };
    Ok(engine::choose(backend)?)
}

fn run(command: Command, format: Format) -> anyhow::Result<Outcome> {
    match command {
        Command::Init(arguments) => commands::init::run(&arguments, format),
        Command::Credential(command) => commands::credential::run(&command, format),
        Command::Tenant(command) => commands::tenant::run(&command, format),
        Command::Selfcheck(arguments) => commands::selfcheck::run(&arguments, format),
        Command::Demo(arguments) => on_runtime(demo::run(arguments, format)),
        Command::SimulateEnumeration(arguments) => {
            on_runtime(commands::simulate::run(arguments, format))
        }
        Command::Serve(arguments) => on_runtime(commands::serve::run(arguments, format)),
        Command::Key(command) => on_runtime(commands::key::run(command, format)),
        Command::Registry(command) => on_runtime(commands::registry::run(command, format)),
        Command::Publish(arguments) => on_runtime(commands::publish::run(arguments, format)),
        Command::Discover(arguments) => on_runtime(commands::discover::run(arguments, format)),
    }
}

fn on_runtime(command: impl Future<Output = anyhow::Result<Outcome>>) -> anyhow::Result<Outcome> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(command)
}
