//! The running server as the exporter sees it: calls over its admin socket.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use acquaint_core::{
    limits::MESSAGE_BYTES_MAX,
    manifest::SignedManifest,
    publication::{DirectoryVersion, FileName},
};
use acquaint_proto::v1::{
    FetchFileRequest, ListPublicationRequest, ListPublicationResponse, PublishRequest,
    PublishedFile, PublishedVersion, admin_service_client::AdminServiceClient,
};
use hyper_util::rt::TokioIo;
use tokio::{net::UnixStream, time::sleep};
use tonic::{
    Code, Response, Status,
    transport::{Channel, Endpoint, Uri},
};

use super::{ExportError, Listing};

/// How often, and how long apart, a busy server is asked.
const ATTEMPTS_MAX: usize = 30;
const BUSY_DELAY: Duration = Duration::from_secs(1);

/// The admin socket of a running server.
#[derive(Debug)]
pub struct Remote {
    client: AdminServiceClient<Channel>,
    tenant: String,
}

/// What a server publishes now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    /// Number of the newest snapshot.
    pub snapshot: u64,
    /// Position in the change log that is published.
    pub version: u64,
    /// Members of the published version.
    pub members: u64,
}

impl Remote {
    /// Connects to a socket, for a tenant; with an empty name, for the only one.
    ///
    /// # Errors
    /// [`ExportError::Unreachable`].
    pub async fn connect(socket: &Path, tenant: &str) -> Result<Self, ExportError> {
        let path: PathBuf = socket.to_owned();
        let connect = tower::service_fn(move |_: Uri| {
            let path = path.clone();
            async move { UnixStream::connect(path).await.map(TokioIo::new) }
        });
        // The address is never looked up: the connector knows where to go.
        let endpoint = Endpoint::from_static("http://admin.invalid");
        let channel = endpoint.connect_with_connector(connect).await;
        let channel = channel.map_err(|_| ExportError::Unreachable)?;
        let client = AdminServiceClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { client, tenant: tenant.to_owned() })
    }

    /// Publishes everything registered so far.
    ///
    /// # Errors
    /// [`ExportError::Refused`].
    pub async fn publish(&mut self) -> Result<Published, ExportError> {
        let answer = self
            .client
            .publish(PublishRequest { tenant: self.tenant.clone() })
            .await
            .map_err(refused)?
            .into_inner();
        Ok(Published {
            snapshot: answer.snapshot,
            version: answer.version,
            members: answer.members,
        })
    }

    /// What the publication consists of, with deltas from versions that were exported before.
    pub(super) async fn list(&self, exported: &[DirectoryVersion]) -> Result<Listing, ExportError> {
        let version = |DirectoryVersion { snapshot, version }: &DirectoryVersion| {
            PublishedVersion { snapshot: *snapshot, version: *version }
        };
        let request = ListPublicationRequest {
            exported: exported.iter().map(version).collect(),
            tenant: self.tenant.clone(),
        };
        let client = &self.client;
        let mut stream = patiently(|| {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.list_publication(request).await }
        })
        .await?;
        let first = stream.message().await.map_err(refused)?.ok_or(ExportError::Answer)?;
        let ListPublicationResponse { manifest, versions, .. } = first;
        let manifest = SignedManifest::try_from(manifest.ok_or(ExportError::Answer)?)
            .map_err(|_| ExportError::Answer)?;
        let version =
            |PublishedVersion { snapshot, version }| DirectoryVersion { snapshot, version };
        let versions = versions.into_iter().map(version).collect();
        let mut files = BTreeMap::new();
        while let Some(message) = stream.message().await.map_err(refused)? {
            for PublishedFile { name, bytes } in message.files {
                files.insert(name.parse().map_err(|_| ExportError::Answer)?, bytes);
            }
        }
        Ok(Listing { manifest, versions, files })
    }

    /// A file by name. It has the length that was listed, and the digest of its name.
    pub(super) async fn fetch(&self, name: &FileName, bytes: u64) -> Result<Vec<u8>, ExportError> {
        let request = FetchFileRequest { name: name.to_string(), tenant: self.tenant.clone() };
        let client = &self.client;
        let mut stream = patiently(|| {
            let (mut client, request) = (client.clone(), request.clone());
            async move { client.fetch_file(request).await }
        })
        .await?;
        let mut content = Vec::new();
        while let Some(message) = stream.message().await.map_err(refused)? {
            content.extend_from_slice(&message.data);
            if content.len() as u64 > bytes {
                return Err(ExportError::Answer);
            }
        }
        let fits = content.len() as u64 == bytes && name.fits(&content);
        if fits { Ok(content) } else { Err(ExportError::Answer) }
    }
}

/// Makes a call again for as long as the server has no room for it: clients come first.
async fn patiently<T, F>(call: impl Fn() -> F) -> Result<T, ExportError>
where
    F: Future<Output = Result<Response<T>, Status>>,
{
    let mut n_attempts = 1;
    loop {
        match call().await {
            Ok(answer) => return Ok(answer.into_inner()),
            Err(status)
                if status.code() == Code::ResourceExhausted && n_attempts < ATTEMPTS_MAX =>
            {
                n_attempts += 1;
                sleep(BUSY_DELAY).await;
            }
            Err(status) => return Err(refused(status)),
        }
    }
}

fn refused(status: Status) -> ExportError {
    ExportError::Refused(Box::new(status))
}
