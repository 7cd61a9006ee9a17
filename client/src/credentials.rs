//! Where the bearer credential of a call comes from.

use std::{fmt, future::Future, pin::Pin};

use acquaint_core::credential::Credential;
use tonic::metadata::{Ascii, MetadataValue};
use zeroize::Zeroizing;

use crate::error::ClientError;

/// Gives the credential for each call, usually from the operator's back end.
///
/// It is asked before every attempt, several times at once: keep the credential in memory. A
/// refresh may be asked for by several calls together, once each; make it one.
pub trait CredentialProvider: Send + Sync {
    /// The credential to send now.
    ///
    /// `refresh` is true when the server has called the last one expired: fetch a new one.
    ///
    /// # Errors
    /// [`CredentialUnavailable`] ends the call with [`ClientError::CredentialUnavailable`].
    fn credential(&self, refresh: bool) -> CredentialFuture<'_>;
}

/// What a [`CredentialProvider`] returns: boxed, so that providers can be trait objects.
pub type CredentialFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Credential, CredentialUnavailable>> + Send + 'a>>;

/// A provider has no credential. The provider knows why; the SDK does not need to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no credential is available")]
pub struct CredentialUnavailable;

/// One credential that is never refreshed: for command lines and tests.
#[derive(Clone)]
pub struct StaticCredential(Credential);

impl StaticCredential {
    /// Always gives this credential.
    #[must_use]
    pub const fn new(credential: Credential) -> Self {
        Self(credential)
    }
}

impl CredentialProvider for StaticCredential {
    fn credential(&self, _refresh: bool) -> CredentialFuture<'_> {
        Box::pin(std::future::ready(Ok(self.0.clone())))
    }
}

impl fmt::Debug for StaticCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StaticCredential(REDACTED)")
    }
}

/// The metadata entry of a call, marked sensitive: HTTP/2 then keeps it out of its compression
/// table, and `Debug` does not print it. The transport's copy is not wiped.
pub(crate) async fn authorization(
    provider: &dyn CredentialProvider,
    refresh: bool,
) -> Result<MetadataValue<Ascii>, ClientError> {
    let credential = provider
        .credential(refresh)
        .await
        .map_err(|CredentialUnavailable| ClientError::CredentialUnavailable)?;
    let text = Zeroizing::new(format!("Bearer {}", credential.expose_text()));
    let mut value =
        MetadataValue::try_from(text.as_bytes()).map_err(|_| ClientError::CredentialRefused)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_entry_is_a_bearer_and_does_not_print() {
        let provider = StaticCredential::new(Credential::from_text("c2VjcmV0"));
        let value = authorization(&provider, false).await.unwrap();
        assert_eq!(value.to_str().unwrap(), "Bearer c2VjcmV0");
        assert!(!format!("{value:?} {provider:?}").contains("c2VjcmV0"));
    }

    #[tokio::test]
    async fn what_cannot_be_sent_is_refused() {
        let provider = StaticCredential::new(Credential::from_text("two\nlines"));
        let error = authorization(&provider, false).await.unwrap_err();
        assert_eq!(error, ClientError::CredentialRefused);
    }
}
