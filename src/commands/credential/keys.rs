//! `acquaint credential key`: one key replaces another without refusing anybody.

use acquaint_server::keystore::CredentialKeyFiles;
use clap::{Args, Subcommand};
use serde_json::json;

use crate::{
    configuration::TenantArguments,
    output::{Format, Outcome, print},
};

/// Add, list and retire the keys that authenticate credentials.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make another key, beside those there are. The next step, for server and back end, is
    /// printed.
    Add(TenantArguments),
    /// List the ids of the keys that the server accepts, and the one that mints.
    List(TenantArguments),
    /// Destroy a key: every credential minted with it is refused from then on. Never the last one.
    Retire(Retire),
}

#[derive(Debug, Args)]
pub(crate) struct Retire {
    #[command(flatten)]
    file: TenantArguments,

    /// The id of the key.
    #[arg(value_name = "ID")]
    id: u32,
}

pub(crate) fn run(command: &Command, format: Format) -> anyhow::Result<Outcome> {
    match command {
        Command::Add(file) => add(&files(file)?, format),
        Command::List(file) => list(&files(file)?, format),
        Command::Retire(Retire { file, id }) => retire(&files(file)?, *id, format),
    }
}

fn files(file: &TenantArguments) -> anyhow::Result<CredentialKeyFiles> {
    Ok(CredentialKeyFiles::new(&file.load()?.1.keys))
}

fn add(files: &CredentialKeyFiles, format: Format) -> anyhow::Result<Outcome> {
    let id = files.add(&mut rand::rng())?;
    let path = files.path(id);
    print(format, &json!({ "id": id, "file": path }), || {
        format!(
            "Made credential key {id}: {}

Next:
  1. Send the server SIGHUP, or wait a minute: it accepts credentials of this key then.
  2. Give the key to the back end, which mints with key id {id} from then on. This command line
     does so already.
  3. Once the last credential of an older key has expired: acquaint credential key retire ID",
            path.display()
        )
    })?;
    Ok(Outcome::Success)
}

fn list(files: &CredentialKeyFiles, format: Format) -> anyhow::Result<Outcome> {
    // Loaded, not only listed: an unreadable key is told here, not first when the server starts.
    let ids: Vec<u32> = files.load()?.into_iter().map(|(id, _)| id).collect();
    let newest = ids.last().copied();
    let keys: Vec<_> =
        ids.iter().map(|id| json!({ "id": id, "mints": Some(*id) == newest })).collect();
    print(format, &json!({ "keys": keys }), || {
        let mut text = String::from("ID          USE\n");
        for id in &ids {
            let minting = if Some(*id) == newest { ", mints" } else { "" };
            text += &format!("{id:<10}  accepted{minting}\n");
        }
        text
    })?;
    Ok(Outcome::Success)
}

fn retire(files: &CredentialKeyFiles, id: u32, format: Format) -> anyhow::Result<Outcome> {
    files.retire(id, &mut rand::rng())?;
    print(format, &json!({ "retired": id }), || {
        format!(
            "Destroyed credential key {id}.

Next: send the server SIGHUP, or wait a minute. From then on it refuses every credential minted
with this key; apps obtain another one from the back end."
        )
    })?;
    Ok(Outcome::Success)
}
