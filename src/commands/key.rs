//! `acquaint key`: what apps need to know of the keys, and the rotation of the OPRF key.

use std::time::Duration;

use acquaint_proto::v1::{
    self, GetStatusRequest, ListKeysRequest, RotateKeyRequest, RotationPhase,
    admin_service_client::AdminServiceClient,
};
use acquaint_server::{
    config::{Config, TenantSettings},
    keystore::{Keys, SeedFiles},
};
use clap::Subcommand;
use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::json;
use tokio::time::sleep;
use tonic::transport::Channel;

use crate::{
    admin,
    configuration::TenantArguments,
    output::{Format, Outcome, print, progress_bar},
};

/// How often `--wait` asks.
const WAIT_INTERVAL: Duration = Duration::from_millis(200);

/// Show keys, never the secret ones, and rotate the OPRF key.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Print the pin: the public manifest key that apps carry, in hexadecimal digits.
    Pin(TenantArguments),
    /// List the OPRF keys of all epochs: public keys, and what each is used for. Asks the running
    /// server; without one, tells what the key directory holds.
    List(TenantArguments),
    /// Begin a rotation of the OPRF key: a new key, every entry moved to it, both served for the
    /// grace period, then the old key destroyed. It goes on by itself, also after a restart.
    Rotate(Rotate),
}

/// How to rotate.
#[derive(Debug, clap::Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    file: TenantArguments,

    /// Wait until every entry is moved and the new key is being published.
    #[arg(long)]
    wait: bool,
}

/// A key, as it is listed.
#[derive(Debug, Serialize)]
struct Key {
    epoch: u32,
    public_key: String,
    phase: &'static str,
}

pub(crate) async fn run(command: Command, format: Format) -> anyhow::Result<Outcome> {
    match command {
        Command::Pin(file) => pin(&file.load()?.1, format),
        Command::List(file) => {
            let (config, tenant) = file.load()?;
            list(&config, &tenant, format).await
        }
        Command::Rotate(Rotate { file, wait }) => {
            let (config, tenant) = file.load()?;
            rotate(&config, &tenant, wait, format).await
        }
    }
}

fn pin(tenant: &TenantSettings, format: Format) -> anyhow::Result<Outcome> {
    let pin = Keys::load_manifest_key(&tenant.keys)?.pin().to_string();
    print(format, &json!({ "pin": pin }), || pin.clone())?;
    Ok(Outcome::Success)
}

async fn list(config: &Config, tenant: &TenantSettings, format: Format) -> anyhow::Result<Outcome> {
    let (running, keys) = match admin::connect(config).await {
        Ok(mut server) => {
            let answer =
                server.list_keys(ListKeysRequest { tenant: tenant.name.to_string() }).await;
            let answer = answer.map_err(admin::refused)?;
            (true, answer.into_inner().keys.iter().map(served).collect())
        }
        // Nobody listens: what the files tell is all there is to know.
        Err(_) => (false, kept(tenant)?),
    };
    print(format, &json!({ "server_running": running, "keys": keys }), || table(running, &keys))?;
    Ok(Outcome::Success)
}

fn served(key: &v1::EpochKey) -> Key {
    let phase = match key.phase() {
        v1::KeyPhase::Serving => "serving",
        v1::KeyPhase::Moving => "moving",
        v1::KeyPhase::Grace => "grace",
        v1::KeyPhase::Retiring => "retiring",
        v1::KeyPhase::Destroyed => "destroyed",
        v1::KeyPhase::Unused => "unused",
        v1::KeyPhase::Unspecified => "unknown",
    };
    Key { epoch: key.epoch, public_key: HEXLOWER.encode(&key.public_key), phase }
}

/// The keys that the key directory knows of.
fn kept(tenant: &TenantSettings) -> anyhow::Result<Vec<Key>> {
    let listed = SeedFiles::new(&tenant.keys).list()?;
    let keys = listed.into_iter().map(|key| Key {
        epoch: key.epoch,
        public_key: HEXLOWER.encode(key.public_key.as_bytes()),
        phase: if key.destroyed { "destroyed" } else { "kept" },
    });
    Ok(keys.collect())
}

fn table(running: bool, keys: &[Key]) -> String {
    let mut text = String::from("EPOCH  PHASE      PUBLIC KEY\n");
    for Key { epoch, public_key, phase } in keys {
        text += &format!("{epoch:<5}  {phase:<9}  {public_key}\n");
    }
    if !running {
        text += "No server is running: this is what the key directory holds.\n";
    }
    text
}

async fn rotate(
    config: &Config,
    tenant: &TenantSettings,
    wait: bool,
    format: Format,
) -> anyhow::Result<Outcome> {
    let mut server = admin::connect(config).await?;
    let request = RotateKeyRequest { tenant: tenant.name.to_string() };
    let begun = server.rotate_key(request).await.map_err(admin::refused)?.into_inner();
    let (from, to) = (begun.from_epoch, begun.to_epoch);
    let phase =
        if wait { moved(&mut server, tenant, format).await? } else { begun.rotation_phase() };
    let value = json!({ "from_epoch": from, "to_epoch": to, "phase": word(phase) });
    print(format, &value, || {
        format!(
            "Rotation from epoch {from} to epoch {to}: {}.\nOnce every entry is moved, both keys \
             are served for {} seconds; then the old one is destroyed. `acquaint key list` shows \
             it.",
            word(phase),
            tenant.grace_s
        )
    })?;
    Ok(Outcome::Success)
}

/// Waits until no entry is left to be moved.
async fn moved(
    server: &mut AdminServiceClient<Channel>,
    tenant: &TenantSettings,
    format: Format,
) -> anyhow::Result<RotationPhase> {
    let bar = progress_bar(format, "entries");
    bar.set_message("moving");
    loop {
        let request = GetStatusRequest { tenant: tenant.name.to_string() };
        let status = server.get_status(request).await.map_err(admin::refused)?.into_inner();
        if status.rotation_phase() != RotationPhase::Moving {
            bar.finish_and_clear();
            return Ok(status.rotation_phase());
        }
        bar.set_length(status.entries);
        bar.set_position(status.moved_entries);
        sleep(WAIT_INTERVAL).await;
    }
}

fn word(phase: RotationPhase) -> &'static str {
    match phase {
        RotationPhase::Settled => "settled",
        RotationPhase::Moving => "moving",
        RotationPhase::Grace => "grace",
        RotationPhase::Retiring => "retiring",
        RotationPhase::Unspecified => "unknown",
    }
}
