//! Errors on the wire, after AIP-193: what a server refuses with, and what a client reads.
//!
//! The words in the comments of the `.proto` files and the table of [`Reason`] are the same; a test
//! compares them.

mod received;
#[cfg(test)]
mod tests;

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

pub use received::Received;

/// The domain of every `ErrorInfo` of this service: a reason is only known within its domain.
pub const DOMAIN: &str = "acquaint.v1";

/// Told to clients when nobody knows better how long waiting takes.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(1);

/// The subject of a `QuotaFailure`. A constant: the account's pseudonym would end up in logs.
const QUOTA_SUBJECT: &str = "account";

/// Defines [`Reason`] from one table: variant, stable word, canonical code, text.
macro_rules! reasons {
    ($($variant:ident, $word:literal, $code:ident, $text:literal;)+) => {
        /// Why a call was refused. The words are stable; new ones may be added.
        #[non_exhaustive]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason {
            $(#[doc = concat!("`", $word, "`: ", $text)] $variant,)+
        }

        impl Reason {
            /// Every reason, in the order of the table.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            const fn row(self) -> (&'static str, Code, &'static str) {
                match self {
                    $(Self::$variant => ($word, Code::$code, $text),)+
                }
            }

            /// Finds a reason by its stable word; `None` for a word of a newer server.
            pub fn parse(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    CredentialMissing, "CREDENTIAL_MISSING", Unauthenticated,
        "No credential was sent. Send one as `Bearer` in the metadata entry `authorization`.";
    CredentialInvalid, "CREDENTIAL_INVALID", Unauthenticated,
        "The credential was not accepted. Obtain a new one from the operator.";
    CredentialExpired, "CREDENTIAL_EXPIRED", Unauthenticated,
        "The credential has expired. Refresh it once and repeat the call.";
    ScopeMissing, "SCOPE_MISSING", PermissionDenied,
        "The credential is valid but lacks the scope of this service. Use one that has it.";
    CertificateRequired, "CERTIFICATE_REQUIRED", PermissionDenied,
        "This call needs a client certificate of the tenant besides the credential. Send both.";
    TenantUnknown, "TENANT_UNKNOWN", InvalidArgument,
        "There is no such tenant here, or there are several and none was named. Name one.";
    RequestTimeout, "REQUEST_TIMEOUT", Unavailable,
        "The call took too long and was given up. Repeat it after the given delay.";
    StoreUnavailable, "STORE_UNAVAILABLE", Unavailable,
        "The store cannot be written; nothing was done. Repeat the call after the given delay.";
    BatchSize, "BATCH_SIZE", InvalidArgument,
        "The batch is empty, too large, or its parts differ in number. Send 1 to 4096 elements.";
    InvalidElement, "INVALID_ELEMENT", InvalidArgument,
        "An element is not a canonical ristretto255 encoding, or is the identity. \
         Nothing was done; correct the batch.";
    EpochUnknown, "EPOCH_UNKNOWN", FailedPrecondition,
        "The epoch is not served. Fetch the manifest and use one of its epochs.";
    QuotaExhausted, "QUOTA_EXHAUSTED", ResourceExhausted,
        "The account's quota does not cover the batch. Repeat the call after the given delay.";
    QueueFull, "QUEUE_FULL", ResourceExhausted,
        "The server is busy. Repeat the call after the given delay.";
    SnapshotUnknown, "SNAPSHOT_UNKNOWN", NotFound,
        "The snapshot is not kept. Fetch the manifest and use the snapshot that it names.";
    Position, "POSITION", InvalidArgument,
        "The first segment lies past the end. Use at most the number of segments in the manifest.";
    LabelLength, "LABEL_LENGTH", InvalidArgument,
        "The labels do not fit the elements. Send one label of 16 bytes for each element.";
    DirectoryFull, "DIRECTORY_FULL", FailedPrecondition,
        "The directory has reached its largest size. Remove entries, or raise the limit.";
    RotationRunning, "ROTATION_RUNNING", FailedPrecondition,
        "A rotation of the key is under way. Wait until the old key is destroyed, then ask again.";
    Internal, "INTERNAL", Internal,
        "The server failed. Report it to the operator; do not repeat the call automatically.";
}

impl Reason {
    /// The stable word, as it stands in `ErrorInfo.reason`.
    pub const fn as_str(self) -> &'static str {
        self.row().0
    }

    /// The canonical code that every refusal with this reason carries.
    pub const fn code(self) -> Code {
        self.row().1
    }

    /// The constant text for people: what happened, and the remedy.
    pub const fn text(self) -> &'static str {
        self.row().2
    }

    /// Whether the code promises that the same call may succeed later.
    const fn waiting_helps(self) -> bool {
        matches!(self.code(), Code::ResourceExhausted | Code::Unavailable)
    }
}

/// A refused call, as a server states it; becomes a [`Status`] with its details.
///
/// It consists of constants and one duration: it cannot echo input. The fields are private so that
/// a reason for which waiting helps always has a delay: 1 s unless a better figure is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {}", .reason.as_str(), .reason.text())]
pub struct Refusal {
    reason: Reason,
    retry_after: Option<Duration>,
    field: Option<&'static str>,
}

impl Refusal {
    /// Refuses for a reason.
    pub const fn new(reason: Reason) -> Self {
        let retry_after = if reason.waiting_helps() { Some(RETRY_AFTER_DEFAULT) } else { None };
        Self { reason, retry_after, field: None }
    }

    /// Says how long to wait before the call may succeed.
    #[must_use]
    pub const fn retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }

    /// Names the request field at fault, as the `.proto` file spells it.
    #[must_use]
    pub const fn field(mut self, name: &'static str) -> Self {
        self.field = Some(name);
        self
    }

    /// The reason, for metrics and audit records.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// How long the caller is told to wait, exactly; `None` if no waiting helps.
    pub const fn delay(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        let Refusal { reason, retry_after, field } = refusal;
        let mut details = ErrorDetails::new();
        details.set_error_info(reason.as_str(), DOMAIN, []);
        if let Some(delay) = retry_after {
            details.set_retry_info(Some(delay));
        }
        if let Some(name) = field {
            details.add_bad_request_violation(name, reason.text());
        }
        if reason == Reason::QuotaExhausted {
            details.add_quota_failure_violation(QUOTA_SUBJECT, reason.text());
        }
        Self::with_error_details(reason.code(), reason.text(), details)
    }
}
