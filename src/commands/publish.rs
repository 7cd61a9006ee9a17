//! `acquaint publish`: publishes now, and writes the publication as files for any web server.

use std::{
    path::PathBuf,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use acquaint_server::export::{Exported, Published, Remote, export};
use anyhow::Context as _;
use serde_json::{Value, json};

use crate::{
    configuration::TenantArguments,
    output::{Format, Outcome, human_bytes, print, progress_bar},
};

const SECONDS_PER_DAY: u64 = 86_400;

/// Publish what is registered, now; with --to, also as files that any web server can serve.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    file: TenantArguments,

    /// Write the publication to this directory. What is there already is not written again.
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,

    /// Days for which files stay that the publication no longer needs; by default as long as
    /// clients get deltas (`publication.delta_retention_s`).
    #[arg(long, value_name = "DAYS", requires = "to")]
    keep_days: Option<u32>,
}

pub(crate) async fn run(arguments: Arguments, format: Format) -> anyhow::Result<Outcome> {
    let (config, tenant) = arguments.file.load()?;
    let socket = config
        .admin_socket
        .as_ref()
        .context("the configuration has no `admin_socket`: name one, and start the server again")?;
    let mut remote = Remote::connect(socket, tenant.name.as_str()).await?;
    let published = remote.publish().await?;
    let Some(to) = &arguments.to else {
        print(format, &to_json(&published, None), || published_text(&published))?;
        return Ok(Outcome::Success);
    };
    let keep = match arguments.keep_days {
        Some(days) => u64::from(days) * SECONDS_PER_DAY,
        None => tenant.policy.delta_retention_seconds.into(),
    };
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is before 1970")?;
    let bar = progress_bar(format, "files").with_message("exporting");
    let exported = export(&remote, to, Duration::from_secs(keep), now_s.as_secs(), |n, of| {
        bar.set_length(of);
        bar.set_position(n);
    })
    .await
    .with_context(|| format!("cannot export to {}", to.display()))?;
    bar.finish_and_clear();
    print(format, &to_json(&published, Some(&exported)), || {
        format!("{}\n{}", published_text(&published), exported_text(&exported))
    })?;
    Ok(Outcome::Success)
}

/// `exported` is null if nothing was asked for.
fn to_json(published: &Published, exported: Option<&Exported>) -> Value {
    let exported = exported.map(|exported| {
        json!({
            "files": exported.files,
            "bytes": exported.bytes,
            "files_written": exported.files_written,
            "bytes_written": exported.bytes_written,
            "files_removed": exported.files_removed,
        })
    });
    json!({
        "snapshot": published.snapshot,
        "version": published.version,
        "members": published.members,
        "exported": exported,
    })
}

fn published_text(published: &Published) -> String {
    let Published { snapshot, version, members } = published;
    format!("Published: version {version} over snapshot {snapshot}, {members} members.")
}

fn exported_text(exported: &Exported) -> String {
    format!(
        "Exported: {} files, {}; {} of them new, {}; {} removed.",
        exported.files,
        human_bytes(exported.bytes),
        exported.files_written,
        human_bytes(exported.bytes_written),
        exported.files_removed,
    )
}
