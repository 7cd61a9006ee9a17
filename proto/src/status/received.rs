//! What a client reads from a status: untrusted input, whoever signed the certificate.

use std::time::Duration;

use prost::Message;
use tonic::{Code, Status};
use tonic_types::pb;

use super::{DOMAIN, Reason};

/// No status makes a caller wait for longer; a quota that returns tomorrow is asked again hourly.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60 * 60);

/// How a server or a proxy tells gRPC libraries when to retry (gRFC A6).
const PUSHBACK: &str = "grpc-retry-pushback-ms";

const ERROR_INFO: &str = "type.googleapis.com/google.rpc.ErrorInfo";
const RETRY_INFO: &str = "type.googleapis.com/google.rpc.RetryInfo";

/// A refused call, as a client sees it. Holds nothing of the status's text.
///
/// Reading never fails: details that cannot be decoded, belong to another domain or are not known
/// are as if they were not there.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// The canonical code.
    pub code: Code,
    /// The reason, if this crate knows it.
    pub reason: Option<Reason>,
    /// How long to wait before the same call, at most an hour: the longer one of `RetryInfo` and
    /// the metadata entry `grpc-retry-pushback-ms`.
    pub retry_after: Option<Duration>,
    /// Whether the server asked not to repeat the call at all: a pushback that is negative or
    /// unreadable means so (gRFC A6). `retry_after` is `None` then.
    pub retry_forbidden: bool,
}

impl From<&Status> for Received {
    fn from(status: &Status) -> Self {
        let details = details(status);
        let pushback = pushback(status);
        let retry_forbidden = pushback == Some(Pushback::Forbidden);
        let pushback_delay = match pushback {
            Some(Pushback::After(delay)) => Some(delay),
            Some(Pushback::Forbidden) | None => None,
        };
        let delay = retry_info(&details).max(pushback_delay).map(|d| d.min(RETRY_AFTER_MAX));
        Self {
            code: status.code(),
            reason: reason(&details),
            retry_after: delay.filter(|_| !retry_forbidden),
            retry_forbidden,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Pushback {
    After(Duration),
    Forbidden,
}

fn pushback(status: &Status) -> Option<Pushback> {
    let value = status.metadata().get(PUSHBACK)?;
    let delay_ms = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
    Some(delay_ms.map_or(Pushback::Forbidden, |ms| Pushback::After(Duration::from_millis(ms))))
}

/// The encoded details by type; empty if the whole cannot be decoded.
///
/// Not through `tonic_types::StatusExt`: there one malformed detail hides all others, and a retry
/// delay of `i64::MIN` seconds is negated, which panics in a build with overflow checks.
fn details(status: &Status) -> Vec<(String, Vec<u8>)> {
    let decoded = pb::Status::decode(status.details()).unwrap_or_default();
    decoded.details.into_iter().map(|any| (any.type_url, any.value)).collect()
}

fn of_type<'a, M: Message + Default>(
    details: &'a [(String, Vec<u8>)],
    type_url: &'a str,
) -> impl Iterator<Item = M> + 'a {
    let matching = details.iter().filter(move |(url, _)| url == type_url);
    matching.filter_map(|(_, value)| M::decode(value.as_slice()).ok())
}

/// The first reason of our domain: a proxy may have put its own `ErrorInfo` before it.
fn reason(details: &[(String, Vec<u8>)]) -> Option<Reason> {
    let mut infos = of_type::<pb::ErrorInfo>(details, ERROR_INFO);
    infos.find(|info| info.domain == DOMAIN).and_then(|info| Reason::parse(&info.reason))
}

fn retry_info(details: &[(String, Vec<u8>)]) -> Option<Duration> {
    let delay = of_type::<pb::RetryInfo>(details, RETRY_INFO).find_map(|info| info.retry_delay)?;
    let seconds = u64::try_from(delay.seconds).ok()?;
    let nanos = u32::try_from(delay.nanos).ok()?;
    // Below a second, so that the constructor cannot carry into the seconds, which may be full.
    Some(Duration::new(seconds, nanos.min(999_999_999)))
}
