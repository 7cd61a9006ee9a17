//! How the operator's commands reach a running server: over its admin socket.

use std::path::Path;

use acquaint_proto::v1::admin_service_client::AdminServiceClient;
use acquaint_server::config::Config;
use anyhow::Context as _;
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};

/// Connects to the server that runs with a configuration.
pub(crate) async fn connect(config: &Config) -> anyhow::Result<AdminServiceClient<Channel>> {
    let socket = config.admin_socket.as_deref();
    let socket =
        socket.context("the configuration has no `admin_socket`: name one, and restart")?;
    let connected = open(socket).await;
    connected.with_context(|| {
        format!("no server answers at {}: start it, or check `admin_socket`", socket.display())
    })
}

async fn open(socket: &Path) -> anyhow::Result<AdminServiceClient<Channel>> {
    // An absolute path: a URI has no other.
    let socket = std::path::absolute(socket)?;
    let endpoint = Endpoint::from_shared(format!("unix://{}", socket.display()))?;
    Ok(AdminServiceClient::new(endpoint.connect().await?))
}

/// The server's refusal, in its own constant words.
pub(crate) fn refused(status: Status) -> anyhow::Error {
    anyhow::Error::msg(status.message().to_owned())
}
