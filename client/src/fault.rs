//! One failed attempt: what it means, and whether another one is worth it.

use std::{error::Error, io, time::Duration};

use acquaint_proto::{Reason, Received};
use tonic::{Code, Status};

use crate::error::{ClientError, Misbehavior};

/// A failed attempt at a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// What to report if there is no further attempt.
    pub(crate) error: ClientError,
    /// What promises success.
    pub(crate) remedy: Remedy,
}

/// What may turn a failed attempt into a successful one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// Nothing that the SDK could do.
    None,
    /// The same bytes again, not before this delay.
    Repeat { not_before: Duration },
    /// The same bytes with another credential.
    RefreshCredential,
}

impl Fault {
    /// No answer in time: the connection may be dead without anybody having said so.
    pub(crate) const TIMEOUT: Self = Self {
        error: ClientError::Unreachable,
        remedy: Remedy::Repeat { not_before: Duration::ZERO },
    };

    const fn final_(error: ClientError) -> Self {
        Self { error, remedy: Remedy::None }
    }

    pub(crate) const fn transient(error: ClientError, retry_after: Option<Duration>) -> Self {
        let not_before = match retry_after {
            Some(delay) => delay,
            None => Duration::ZERO,
        };
        Self { error, remedy: Remedy::Repeat { not_before } }
    }

    fn of_reason(reason: Reason, retry_after: Option<Duration>) -> Option<Self> {
        use ClientError as E;
        Some(match reason {
            Reason::CredentialMissing | Reason::CredentialInvalid => {
                Self::final_(E::CredentialRefused)
            }
            Reason::CredentialExpired => {
                Self { error: E::CredentialExpired, remedy: Remedy::RefreshCredential }
            }
            Reason::ScopeMissing => Self::final_(E::ScopeMissing),
            Reason::CertificateRequired => Self::final_(E::CertificateRequired),
            Reason::StoreUnavailable | Reason::QueueFull | Reason::RequestTimeout => {
                Self::transient(E::Busy { retry_after }, retry_after)
            }
            // The last one is for operators, whose service the SDK never calls.
            Reason::BatchSize
            | Reason::InvalidElement
            | Reason::Position
            | Reason::LabelLength
            | Reason::TenantUnknown
            | Reason::RotationRunning => Self::final_(E::InvalidRequest),
            Reason::EpochUnknown | Reason::SnapshotUnknown => Self::final_(E::DirectoryChanged),
            Reason::QuotaExhausted => Self::final_(E::QuotaExhausted { retry_after }),
            Reason::DirectoryFull => Self::final_(E::DirectoryFull),
            Reason::Internal => Self::final_(E::ServerFailed),
            // A reason of a newer server: its code says enough.
            _ => return None,
        })
    }

    fn of_code(code: Code, retry_after: Option<Duration>) -> Self {
        use ClientError as E;
        match code {
            // `Cancelled` is how the server's transport ends a call that took it too long.
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled => {
                let error = match retry_after {
                    Some(_) => E::Busy { retry_after },
                    None => E::Unreachable,
                };
                Self::transient(error, retry_after)
            }
            // Of a proxy: whether waiting helps, only the caller can judge.
            Code::ResourceExhausted => Self::final_(E::Busy { retry_after }),
            Code::Unauthenticated => Self::final_(E::CredentialRefused),
            Code::PermissionDenied => Self::final_(E::ScopeMissing),
            Code::InvalidArgument | Code::FailedPrecondition => Self::final_(E::InvalidRequest),
            Code::Internal | Code::DataLoss | Code::Unknown => Self::final_(E::ServerFailed),
            // tonic's own codes for a message past the decode limit.
            Code::OutOfRange => Self::final_(Misbehavior::Message.into()),
            _ => Self::final_(Misbehavior::Protocol.into()),
        }
    }
}

impl Fault {
    /// A connection that could not be opened, or broke.
    pub(crate) fn of_transport(cause: &(dyn Error + 'static)) -> Self {
        let mut next = Some(cause);
        while let Some(error) = next {
            if is_certificate_error(error) {
                return Self::final_(ClientError::UntrustedServer);
            }
            next = error.source();
        }
        Self::transient(ClientError::Unreachable, None)
    }
}

impl From<ClientError> for Fault {
    /// An error of the SDK's own making: another attempt would end the same way.
    fn from(error: ClientError) -> Self {
        Self::final_(error)
    }
}

impl From<Misbehavior> for Fault {
    fn from(misbehavior: Misbehavior) -> Self {
        Self::final_(misbehavior.into())
    }
}

impl From<Status> for Fault {
    fn from(status: Status) -> Self {
        let Received { reason, code, retry_after, retry_forbidden, .. } = Received::from(&status);
        let stated = reason.and_then(|reason| Self::of_reason(reason, retry_after));
        let fault = match (stated, status.source()) {
            (Some(fault), _) => fault,
            // A status with a cause was made on this side: the transport failed under the call.
            (None, Some(cause)) => Self::of_transport(cause),
            (None, None) => Self::of_code(code, retry_after),
        };
        match fault.remedy {
            Remedy::Repeat { .. } if retry_forbidden => Self::final_(fault.error),
            _ => fault,
        }
    }
}

/// Whether TLS refused the peer's identity: repeating cannot help, and the remedy is another one.
fn is_certificate_error(error: &(dyn Error + 'static)) -> bool {
    // An I/O error does not give what it wraps as its source, but the source of that.
    let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
    let tls = inner
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .or_else(|| error.downcast_ref::<rustls::Error>());
    matches!(tls, Some(rustls::Error::InvalidCertificate(_)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use acquaint_proto::Refusal;

    use super::*;

    fn refused(reason: Reason) -> Fault {
        let refusal = Refusal::new(reason).retry_after(Duration::from_secs(7));
        Fault::from(Status::from(refusal))
    }

    #[test]
    fn every_reason_says_what_to_do_next() {
        use ClientError as E;
        let retry_after = Some(Duration::from_secs(7));
        let repeat = Remedy::Repeat { not_before: Duration::from_secs(7) };
        for &reason in Reason::ALL {
            let expected = match reason {
                Reason::CredentialMissing | Reason::CredentialInvalid => {
                    (E::CredentialRefused, Remedy::None)
                }
                Reason::CredentialExpired => (E::CredentialExpired, Remedy::RefreshCredential),
                Reason::ScopeMissing => (E::ScopeMissing, Remedy::None),
                Reason::CertificateRequired => (E::CertificateRequired, Remedy::None),
                Reason::StoreUnavailable | Reason::QueueFull | Reason::RequestTimeout => {
                    (E::Busy { retry_after }, repeat)
                }
                Reason::BatchSize
                | Reason::InvalidElement
                | Reason::Position
                | Reason::LabelLength
                | Reason::TenantUnknown
                | Reason::RotationRunning => (E::InvalidRequest, Remedy::None),
                Reason::EpochUnknown | Reason::SnapshotUnknown => {
                    (E::DirectoryChanged, Remedy::None)
                }
                Reason::QuotaExhausted => (E::QuotaExhausted { retry_after }, Remedy::None),
                Reason::DirectoryFull => (E::DirectoryFull, Remedy::None),
                Reason::Internal => (E::ServerFailed, Remedy::None),
                _ => panic!("a new reason needs a decision: {}", reason.as_str()),
            };
            let fault = refused(reason);
            assert_eq!((fault.error, fault.remedy), expected, "{}", reason.as_str());
        }
    }

    #[test]
    fn a_negative_pushback_forbids_every_repetition() {
        let mut status = Status::from(Refusal::new(Reason::QueueFull));
        status.metadata_mut().insert("grpc-retry-pushback-ms", "-1".parse().unwrap());
        let fault = Fault::from(status);
        assert_eq!(fault.remedy, Remedy::None);
        assert_eq!(fault.error, ClientError::Busy { retry_after: None });
    }

    #[test]
    fn codes_of_proxies_are_understood_without_a_reason() {
        let fault = |code| Fault::from(Status::new(code, "whatever a proxy writes"));
        for code in [Code::Unavailable, Code::DeadlineExceeded, Code::Cancelled] {
            assert_eq!(fault(code), Fault::TIMEOUT);
        }
        for (code, error) in [
            (Code::Internal, ClientError::ServerFailed),
            (Code::ResourceExhausted, ClientError::Busy { retry_after: None }),
            (Code::Unauthenticated, ClientError::CredentialRefused),
            (Code::PermissionDenied, ClientError::ScopeMissing),
            (Code::OutOfRange, Misbehavior::Message.into()),
            (Code::Unimplemented, Misbehavior::Protocol.into()),
        ] {
            assert_eq!(fault(code), Fault::final_(error), "{code:?}");
        }
    }

    #[test]
    fn broken_connections_are_repeated_and_bad_certificates_are_not() {
        let caused_by = |cause: io::Error| {
            let mut status = Status::new(Code::Unknown, "transport error");
            status.set_source(Arc::new(cause));
            Fault::from(status)
        };
        assert_eq!(caused_by(io::ErrorKind::ConnectionReset.into()), Fault::TIMEOUT);
        let refused = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let fault = caused_by(io::Error::new(io::ErrorKind::InvalidData, refused));
        assert_eq!(fault, Fault::final_(ClientError::UntrustedServer));
    }

    #[test]
    fn only_what_waiting_helps_is_retryable() {
        assert!(refused(Reason::QueueFull).error.is_retryable());
        assert!(refused(Reason::QuotaExhausted).error.is_retryable());
        assert_eq!(refused(Reason::QuotaExhausted).error.retry_after().unwrap().as_secs(), 7);
        assert!(!refused(Reason::Internal).error.is_retryable());
        assert!(!ClientError::UntrustedServer.is_retryable());
        assert_eq!(ClientError::Unreachable.retry_after(), None);
    }
}
