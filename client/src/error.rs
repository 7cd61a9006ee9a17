//! What can go wrong in a call, told as what the caller can do next.

use std::time::Duration;

use acquaint_core::{
    manifest::{ChainError, ManifestError},
    oprf::ProofError,
};

use crate::state::StateError;

/// Why a call failed, after the SDK has tried everything that promises success by itself.
///
/// The texts are constants that name the remedy. None holds an identifier, a credential, an
/// address or anything that the server wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No answer within the time for retries.
    #[error("the server cannot be reached: check the address and the network, then try again")]
    Unreachable,
    /// The TLS certificate of the server is not acceptable. Nothing was sent.
    #[error(
        "the server's certificate is not trusted: check the address, the clock of this device, \
         and the root certificate that the client was given"
    )]
    UntrustedServer,
    /// The server cannot take the call now.
    #[error("the server is busy: try again later")]
    Busy {
        /// How long to wait, if the server said so.
        retry_after: Option<Duration>,
    },
    /// The account has used up its quota of lookups.
    #[error("the account's quota does not cover this lookup: try again later")]
    QuotaExhausted {
        /// How long to wait, if the server said so; at most an hour is ever reported.
        retry_after: Option<Duration>,
    },
    /// The address book needs more elements than the quota of a rested account has.
    #[error(
        "the address book is larger than the operator's quota: look up a part of it, or keep state \
         between lookups"
    )]
    TooManyContacts {
        /// Elements, padding included, that the address book takes.
        elements: u64,
        /// Elements that a rested account may evaluate at once.
        elements_max: u64,
    },
    /// The credential has expired, and so has the one that the provider gave on refreshing.
    #[error("the credential has expired: sign in again, or check this device's clock")]
    CredentialExpired,
    /// The server does not accept the credential.
    #[error("the credential is not valid for this server: obtain one from its operator")]
    CredentialRefused,
    /// The credential provider gave none.
    #[error("no credential is available: see what the credential provider reports")]
    CredentialUnavailable,
    /// The credential is valid and does not allow this call.
    #[error("the credential lacks the scope of this call: use one that has it")]
    ScopeMissing,
    /// The tenant takes registrar's calls only over a connection with a client certificate.
    #[error("a client certificate is needed besides the credential: configure one")]
    CertificateRequired,
    /// The manifest is not what the pinned key vouches for. Nothing of it was used.
    #[error("the manifest was refused, check the pin with the operator")]
    UntrustedManifest(#[source] ManifestError),
    /// The manifest contradicts one that was accepted before. Nothing of it was used.
    #[error("the manifest was refused, report it to the operator: the directory's history changed")]
    Chain(#[source] ChainError),
    /// An answer was not what an honest server sends. No output was released.
    #[error("the server misbehaved, report it to the operator: {0}")]
    ServerMisbehaved(Misbehavior),
    /// Key or snapshot were replaced during the call, more often than the SDK starts over.
    #[error("the directory changed during the call: try again")]
    DirectoryChanged,
    /// The directory has reached its largest size.
    #[error("the directory is full: remove entries, or ask the operator to raise the limit")]
    DirectoryFull,
    /// The server does not accept what this version of the SDK sends.
    #[error("the server does not accept this request: update the app or the server")]
    InvalidRequest,
    /// The server had a fault. Repeating the call automatically could make it worse.
    #[error("the server failed: report it to the operator")]
    ServerFailed,
    /// What was kept from earlier lookups belongs to somebody else, or cannot be read or written.
    #[error("{0}")]
    State(#[source] StateError),
    /// The SDK had a fault.
    #[error("the client failed: report it to the developers of the SDK")]
    Internal,
}

/// What a server did that an honest one does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Misbehavior {
    /// The proof does not hold: another key, or other elements.
    #[error("the proof of an evaluation does not hold")]
    ProofRefuted,
    /// Wrong number of elements, elements that are none, or a proof that is none.
    #[error("an evaluation is malformed")]
    Evaluation,
    /// A segment of the set or of the labels differs from the manifest.
    #[error("downloaded data differs from the signed manifest")]
    DigestMismatch,
    /// Pieces of a download that leave gaps, overlap, repeat, or pass the end.
    #[error("a download is out of order or too long")]
    ChunkSequence,
    /// A download ended without error before everything was there.
    #[error("a download ended early")]
    Truncated,
    /// A segment with the right digest that is not a coded set: the operator's mistake.
    #[error("the published set cannot be read")]
    SetMalformed,
    /// A delta that is none, or does not fit what it is said to change.
    #[error("a delta is malformed")]
    DeltaMalformed,
    /// A message lacks a part, is too large, or cannot be decoded.
    #[error("a message is malformed")]
    Message,
    /// Acknowledgments that do not count the chunks that were sent.
    #[error("an acknowledgment does not match what was sent")]
    Acknowledgment,
    /// A status that this protocol does not have: perhaps not a server of this service at all.
    #[error("the answer is not one of this protocol; check the address")]
    Protocol,
}

impl ClientError {
    /// Whether the same call may succeed later without anything being corrected first.
    ///
    /// See [`ClientError::retry_after`] for when. The SDK has already retried on its own.
    #[must_use]
    pub const fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unreachable
                | Self::Busy { .. }
                | Self::QuotaExhausted { .. }
                | Self::CredentialUnavailable
                | Self::DirectoryChanged
        )
    }

    /// How long to wait before the same call, if the server said so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after } | Self::QuotaExhausted { retry_after } => *retry_after,
            _ => None,
        }
    }
}

impl From<StateError> for ClientError {
    fn from(error: StateError) -> Self {
        Self::State(error)
    }
}

impl From<Misbehavior> for ClientError {
    fn from(misbehavior: Misbehavior) -> Self {
        Self::ServerMisbehaved(misbehavior)
    }
}

impl From<ManifestError> for ClientError {
    fn from(error: ManifestError) -> Self {
        match error {
            ManifestError::Digest => Self::ServerMisbehaved(Misbehavior::DigestMismatch),
            error => Self::UntrustedManifest(error),
        }
    }
}

impl From<ChainError> for ClientError {
    fn from(error: ChainError) -> Self {
        Self::Chain(error)
    }
}

impl From<ProofError> for ClientError {
    fn from(error: ProofError) -> Self {
        Self::ServerMisbehaved(match error {
            ProofError::Refuted => Misbehavior::ProofRefuted,
            _ => Misbehavior::Evaluation,
        })
    }
}

impl From<acquaint_proto::Malformed> for ClientError {
    fn from(_: acquaint_proto::Malformed) -> Self {
        Self::ServerMisbehaved(Misbehavior::Message)
    }
}
