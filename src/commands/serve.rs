//! `acquaint serve`.

use acquaint_server::{
    reload::{ReloadHandle, Reloaded},
    serve::{Server, Stopped},
};
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    configuration::ConfigurationFile,
    hardening,
    logging::{self, Level, Style},
    output::{Format, Outcome, print},
};

/// Run the server until SIGTERM or SIGINT; a second signal ends it at once.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    file: ConfigurationFile,

    /// How much to log. Never identifiers, points, tags, labels, credentials or keys.
    #[arg(long, value_enum, default_value_t = Level::Info, env = "ACQUAINT_LOG_LEVEL")]
    log_level: Level,

    /// How to write a line of the log.
    #[arg(long, value_enum, default_value_t = Style::Auto, env = "ACQUAINT_LOG_STYLE")]
    log_style: Style,
}

pub(crate) async fn run(arguments: Arguments, format: Format) -> anyhow::Result<Outcome> {
    logging::start(arguments.log_level, arguments.log_style)?;
    hardening::keep_memory_private();
    hardening::raise_descriptor_limit();
    let config = arguments.file.load()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let hangup = signal(SignalKind::hangup())?;

    let server = Server::bind(config).await?;
    let (address, pin) = (server.address(), server.pin().to_string());
    print(format, &json!({ "address": address, "pin": pin }), || {
        format!("Serving on {address}. Pin for apps: {pin}")
    })?;

    tokio::spawn(reload_on(hangup, server.reload_handle()));
    let shutdown = async move {
        wait(&mut terminate, &mut interrupt).await;
        tokio::spawn(async move {
            wait(&mut terminate, &mut interrupt).await;
            tracing::warn!("second signal; stopping at once");
            std::process::exit(1);
        });
    };
    Ok(match server.serve(shutdown).await? {
        Stopped::Drained => Outcome::Success,
        Stopped::CutOff => Outcome::Failure,
    })
}

/// Takes up replaced certificates and credential keys at each signal.
async fn reload_on(mut hangup: tokio::signal::unix::Signal, handle: ReloadHandle) {
    while hangup.recv().await.is_some() {
        match handle.reload().await {
            Ok(Reloaded { certificates, credential_keys }) => {
                tracing::info!(certificates, credential_keys, "reloaded");
            }
            Err(error) => tracing::warn!(%error, "what was replaced could not all be taken up"),
        }
    }
}

async fn wait(
    terminate: &mut tokio::signal::unix::Signal,
    interrupt: &mut tokio::signal::unix::Signal,
) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
