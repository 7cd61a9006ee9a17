//! The registrar: the operator's back end, which lists verified accounts without naming them.

use std::{fmt, sync::Arc};

use acquaint_core::{
    identifier::Identifier,
    limits::BATCH_ELEMENTS_MAX,
    manifest::{ManifestHead, SignedManifest, VerifiedManifest},
    oprf::{self, Blinding, ElementError, OprfElement, Padding, TrustedKey},
    tag::Label,
};
use acquaint_proto::v1;
use futures_util::{StreamExt, TryStreamExt, stream};

use crate::{
    builder::{Builder, Core},
    connection::required,
    error::ClientError,
    registration::{Chunk, Registration},
    traffic::{Meter, Traffic},
};

/// Registers and removes accounts. The server never receives an identifier.
///
/// Needs a credential with the scope `register`. Cheap to clone; see [`Client`](crate::Client)
/// for what clones share.
#[derive(Clone, Debug)]
pub struct Registrar {
    core: Arc<Core>,
}

/// Whether those who look an account up find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Published with the next snapshot.
    Discoverable,
    /// Kept, and not published.
    Hidden,
}

/// What a registration did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Registered {
    /// Rows that are durable: all of them.
    pub acknowledged: u64,
    /// Rows that were new. A chunk that was repeated, because its acknowledgment was lost, counts
    /// as what it was the second time.
    pub added: u64,
    /// Rows that existed and were given another label or visibility.
    pub updated: u64,
    /// Position of the last change in the change log; nothing if there were no rows.
    pub version: Option<u64>,
}

/// A registration that did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{acknowledged} rows from the start are registered; continue or repeat from there")]
pub struct RegisterError {
    /// Rows from the start that are durable. Those after them may be, too; registering them again
    /// does no harm.
    pub acknowledged: u64,
    /// Why the rest is not registered.
    pub source: ClientError,
}

/// What a removal did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removed {
    /// Accounts that were registered and are gone. One whose answer was lost, so that its removal
    /// was repeated, is not counted.
    pub removed: u64,
}

impl Registrar {
    /// Starts to set up a registrar for the server at an `https://` address.
    #[must_use]
    pub fn builder(endpoint: &str) -> Builder<Self> {
        Builder::new(endpoint)
    }

    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Registers accounts: each identifier with the label that those who look it up find.
    ///
    /// One that is registered already gets the new label and visibility. Rows are evaluated in
    /// batches of [`BATCH_ELEMENTS_MAX`], some batches ahead, and sent on one stream in order; a
    /// broken stream goes on with the first chunk that was not acknowledged. Memory does not
    /// depend on the number of rows. The iterator runs inside the future: if it reads a slow
    /// file, calls of the same task wait for it.
    ///
    /// `progress` is given the number of rows that are durable, after each chunk.
    ///
    /// Dropping the future stops the registration; what was acknowledged stays registered.
    ///
    /// # Errors
    /// [`RegisterError`], which says how many rows are durable. If its source is
    /// [`ClientError::DirectoryChanged`], the key was replaced meanwhile: continue at that row.
    pub async fn register(
        &self,
        rows: impl Iterator<Item = (Identifier, Label)> + Send,
        visibility: Visibility,
        progress: impl Fn(u64) + Send + Sync,
    ) -> Result<Registered, RegisterError> {
        let nothing = |source| RegisterError { acknowledged: 0, source };
        let manifest = self.manifest().await.map_err(nothing)?;
        let chunks = stream::iter(Batches { rows })
            .map(|rows| evaluate_rows(Arc::clone(&self.core), Arc::clone(&manifest), rows))
            .buffered(self.core.in_flight);
        let hidden = visibility == Visibility::Hidden;
        Registration::new(&self.core.connection, manifest.current().epoch, hidden, &progress)
            .run(std::pin::pin!(chunks))
            .await
    }

    /// Removes accounts. One that is not registered is passed over.
    ///
    /// Memory and calls are in proportion to the number of identifiers, in batches of
    /// [`BATCH_ELEMENTS_MAX`].
    ///
    /// # Errors
    /// [`ClientError`]; some of the accounts may be removed then. Removing them again does no
    /// harm.
    pub async fn remove(&self, identifiers: &[Identifier]) -> Result<Removed, ClientError> {
        let manifest = self.manifest().await?;
        let mut evaluated = stream::iter(identifiers.chunks(BATCH_ELEMENTS_MAX).map(<[_]>::to_vec))
            .map(|batch| evaluate(Arc::clone(&self.core), Arc::clone(&manifest), batch))
            .buffered(self.core.in_flight);
        let connection = &self.core.connection;
        let mut removed = 0;
        while let Some(elements) = evaluated.try_next().await? {
            let message = v1::UnregisterRequest {
                epoch: manifest.current().epoch,
                elements: concat(&elements).into(),
            };
            let answer: v1::UnregisterResponse = connection
                .unary(message, &Meter::default(), |request| {
                    let mut client = connection.registry();
                    async move { client.unregister(request).await }
                })
                .await?;
            removed += u64::from(answer.removed);
        }
        Ok(Removed { removed })
    }

    /// The newest manifest accepted so far; see [`Client::last_seen`](crate::Client::last_seen).
    #[must_use]
    pub fn last_seen(&self) -> Option<ManifestHead> {
        self.core.trust.head()
    }

    /// Bytes on the wire since the registrar was built.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.core.connection.traffic()
    }

    async fn manifest(&self) -> Result<Arc<VerifiedManifest>, ClientError> {
        let connection = &self.core.connection;
        let request = v1::RegistryServiceGetManifestRequest {};
        let answer: v1::RegistryServiceGetManifestResponse = connection
            .unary(request, &Meter::default(), |request| {
                let mut client = connection.registry();
                async move { client.get_manifest(request).await }
            })
            .await?;
        let signed = SignedManifest::try_from(required(answer.manifest)?)?;
        self.core.trust.accept(&signed).map(Arc::new)
    }
}

/// Cuts rows into batches of the largest size, lazily.
struct Batches<I> {
    rows: I,
}

impl<I: Iterator> Iterator for Batches<I> {
    type Item = Vec<I::Item>;

    fn next(&mut self) -> Option<Vec<I::Item>> {
        // Full capacity at once: growing would leave copies of identifiers behind.
        let mut batch = Vec::with_capacity(BATCH_ELEMENTS_MAX);
        batch.extend(self.rows.by_ref().take(BATCH_ELEMENTS_MAX));
        if batch.is_empty() { None } else { Some(batch) }
    }
}

async fn evaluate_rows(
    core: Arc<Core>,
    manifest: Arc<VerifiedManifest>,
    rows: Vec<(Identifier, Label)>,
) -> Result<Chunk, ClientError> {
    let (identifiers, labels) = rows.into_iter().unzip();
    let elements = evaluate(core, manifest, identifiers).await?;
    Ok(Chunk { elements, labels })
}

/// `E = k·H(x)` of a batch, blinded on the way; released only if the proof holds.
async fn evaluate(
    core: Arc<Core>,
    manifest: Arc<VerifiedManifest>,
    identifiers: Vec<Identifier>,
) -> Result<Vec<OprfElement>, ClientError> {
    let key = manifest.trusted_key().clone();
    let blinding = core.cpu.run(move || blind(&key, &identifiers)).await?;
    let blinding = blinding.map_err(|_| ClientError::Internal)?;
    let message = v1::RegistryServiceEvaluateRequest {
        epoch: manifest.current().epoch,
        blinded_elements: blinding.to_bytes().into(),
    };
    let connection = &core.connection;
    let answer: v1::RegistryServiceEvaluateResponse = connection
        .unary(message, &Meter::default(), |request| {
            let mut client = connection.registry();
            async move { client.evaluate(request).await }
        })
        .await?;
    let elements = core.cpu.run(move || {
        let (evaluated, proof) = (&answer.evaluated_elements, &answer.proof);
        let verified = blinding.verify(&manifest.current().public_key, evaluated, proof)?;
        Ok(verified.unblind())
    });
    elements.await?
}

/// Without padding: how many accounts a registrar lists is no secret from the server.
fn blind(key: &TrustedKey, identifiers: &[Identifier]) -> Result<Blinding, ElementError> {
    let inputs: Vec<&[u8]> = identifiers.iter().map(Identifier::as_bytes).collect();
    oprf::blind_for(key, &inputs, Padding::None, &mut rand::rng())
}

/// Elements as they go over the wire; the transport's copy is not wiped.
pub(crate) fn concat(elements: &[OprfElement]) -> Vec<u8> {
    elements.iter().flat_map(|element| *element.expose_bytes()).collect()
}

impl fmt::Display for Visibility {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discoverable => "discoverable",
            Self::Hidden => "hidden",
        })
    }
}

#[cfg(test)]
mod tests;
