//! The client inside a messenger app.

use std::sync::Arc;

use acquaint_core::manifest::ManifestHead;
use acquaint_proto::v1;

use crate::{
    address_book::AddressBook,
    builder::{Builder, Core},
    connection::required,
    discovery::Lookup,
    error::ClientError,
    outcome::{Progress, Quota, SyncOutcome},
    traffic::{Meter, Traffic},
};

/// Finds out which contacts are registered, without the server learning who they are.
///
/// Cheap to clone; clones share connection, threads and memory of the newest manifest. Calls must
/// be made within one tokio runtime. The connection opens with the first call, reopens by itself,
/// and closes when the last clone is gone.
#[derive(Clone, Debug)]
pub struct Client {
    core: Arc<Core>,
}

impl Client {
    /// Starts to set up a client of the server at an `https://` address.
    #[must_use]
    pub fn builder(endpoint: &str) -> Builder<Self> {
        Builder::new(endpoint)
    }

    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Looks up an address book.
    ///
    /// No output exists before the manifest's signature and history and each batch's proof have
    /// been checked. The server sees the number of batches and their class, and that the whole
    /// set and all labels are downloaded, whatever matches. What of it matches never leaves the
    /// device.
    ///
    /// `progress` is called from within the future, often: it should return at once.
    ///
    /// **Cancellation.** Dropping the future stops everything that it started: calls are reset,
    /// waiting computations are skipped, and one that runs ends within a batch, its result wiped.
    /// Nothing has to be undone; elements that were evaluated stay charged.
    ///
    /// **State.** With a [`StateStore`](crate::StateStore) a lookup evaluates only contacts that
    /// are new, downloads only what changed, and keeps what was charged even if it fails later.
    /// Without one every lookup begins anew.
    ///
    /// **Quota.** What it does not cover is [`SyncOutcome::pending`], with the time to wait; the
    /// matches hold what is known so far.
    ///
    /// Cost: the padded elements of evaluated contacts count against the account's quota.
    /// Memory: coded set and labels, 35 bytes per user of the directory.
    ///
    /// # Errors
    /// [`ClientError`]. [`ClientError::State`] if what was kept belongs to another operator, or
    /// cannot be read or written. [`ClientError::UntrustedManifest`] and [`ClientError::Chain`] come before
    /// anything about the address book has been sent, [`ClientError::ServerMisbehaved`] before
    /// anything has been concluded; [`ClientError::TooManyContacts`] if the address book passes
    /// the quota of a rested account, and [`ClientError::QuotaExhausted`] if it passes what is left,
    /// and there is no state store to go on from; [`ClientError::DirectoryChanged`] if the
    /// directory was replaced three times meanwhile.
    pub async fn sync(
        &self,
        address_book: &AddressBook,
        progress: impl Fn(Progress) + Send + Sync,
    ) -> Result<SyncOutcome, ClientError> {
        Lookup::new(&self.core, address_book, &progress).run().await
    }

    /// The account's quota now; asking is free.
    ///
    /// # Errors
    /// [`ClientError`], by what the caller can do next.
    pub async fn quota(&self) -> Result<Quota, ClientError> {
        self.core.quota(&Arc::default()).await
    }

    /// The newest manifest accepted so far, also by lookups that failed later: worth persisting.
    #[must_use]
    pub fn last_seen(&self) -> Option<ManifestHead> {
        self.core.trust.head()
    }

    /// Bytes on the wire since the client was built.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        self.core.connection.traffic()
    }
}

impl Core {
    /// The account's quota now.
    pub(crate) async fn quota(&self, meter: &Arc<Meter>) -> Result<Quota, ClientError> {
        let answer: v1::GetQuotaResponse = self
            .connection
            .unary(v1::GetQuotaRequest {}, meter, |request| {
                let mut client = self.connection.discovery();
                async move { client.get_quota(request).await }
            })
            .await?;
        required(answer.quota).map(Quota::from)
    }
}
