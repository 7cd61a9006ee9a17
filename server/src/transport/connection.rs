//! One connection: HTTP/2, watched over.

use std::{
    convert::Infallible,
    sync::{Arc, OnceLock},
    time::Duration,
};

use acquaint_proto::{Method, Reason, Refusal};
use http::{HeaderMap, Request, Response};
use hyper::{body::Incoming, server::conn::http2, service::service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::SemaphorePermit,
    time::{Instant, interval_at, sleep, timeout},
};
use tonic::{Status, body::Body};
use tower::Service as _;
use tracing::Instrument as _;

use super::{
    Counted,
    accounts::{Held, OpenCallPlace},
    activity::{Activity, Verdict},
    body::{Heard, StreamPlace, Taken},
    census::Network,
    frames::{Budget, Metered},
    hub::{Hub, Seat},
    listener::Entry,
};
use crate::admission::{Admitted, Peer};

/// How often a connection is looked at. Timeouts are exact to this.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// Whether the peer still lives is asked this often, and waited for so long.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(30);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);

const HEADER_LIST_BYTES_MAX: u32 = 16 * 1_024;

/// Bytes of answers that wait for a slow reader, for each stream: two chunks.
const SEND_BUFFER_BYTES: usize = 256 * 1_024;

/// Streams that were reset before they were looked at, and streams that this side had to reset:
/// past it, the connection ends (rapid reset).
const PENDING_RESETS_MAX: usize = 20;
const LOCAL_RESETS_MAX: usize = 128;

/// From the headers of a call that anybody may make to the head of its answer: its message is a few
/// bytes, which come with the headers.
const OPEN_CALL_TIMEOUT: Duration = Duration::from_secs(1);

/// Control frames as which a call counts that came to nothing.
const UNWELCOME_COST: u32 = 10;

/// When the server ends: so long may who has asked nothing in anybody's name take to leave. It is
/// for the last word of a watch of the health.
const PARTING: Duration = Duration::from_millis(250);

/// Told to a client whose call was given up or not begun.
const BUSY_WAIT: Duration = Duration::from_secs(1);

/// The rpc whose answer waits for a change, as long as the connection lives.
const PATIENT: &str = "/grpc.health.v1.Health/Watch";

/// What the calls of one connection share.
struct Calls {
    hub: Arc<Hub>,
    entry: Arc<Entry>,
    seat: Arc<Seat>,
    peer: Peer,
    network: Option<Network>,
    activity: Arc<Activity>,
    budget: Arc<Budget>,
    /// The connection's place among those of the account that made its first admitted call, and of
    /// its tenant.
    account: OnceLock<Held>,
}

/// What a call takes: places until its answer begins, and others until it ends.
#[derive(Default)]
struct Room<'a> {
    call: (Option<SemaphorePermit<'a>>, Option<Held>),
    stream: Option<StreamPlace>,
    open_call: Option<OpenCallPlace>,
}

/// Serves a connection to its end.
pub(super) async fn serve<S>(io: S, peer: Peer, entry: Arc<Entry>, hub: Arc<Hub>, seat: Arc<Seat>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Activity::new();
    let budget = Budget::new(hub.limits.control_frames_per_s);
    let io = TokioIo::new(Metered::new(io, Arc::clone(&budget)));
    let calls = Arc::new(Calls {
        hub: Arc::clone(&hub),
        network: seat.network(),
        entry,
        seat,
        peer,
        activity: Arc::clone(&activity),
        budget: Arc::clone(&budget),
        account: OnceLock::new(),
    });
    let service = service_fn(move |request| {
        let calls = Arc::clone(&calls);
        async move { Ok::<_, Infallible>(calls.answer(request).await) }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .max_concurrent_streams(hub.limits.calls_per_connection)
        .max_header_list_size(HEADER_LIST_BYTES_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_local_error_reset_streams(LOCAL_RESETS_MAX)
        .max_send_buf_size(SEND_BUFFER_BYTES)
        .serve_connection(io, service);
    let parted = async {
        hub.closing.cancelled().await;
        sleep(PARTING).await;
    };
    tokio::pin!(connection, parted);

    let mut watch = interval_at(Instant::now() + WATCH_INTERVAL, WATCH_INTERVAL);
    let mut leaving = false;
    loop {
        tokio::select! {
            // How it ended is the peer's business, unless it was made to.
            _ = &mut connection => {
                if budget.is_overdrawn() {
                    hub.count(Counted::ControlFrames);
                }
                return;
            }
            () = &mut parted, if !activity.is_proven() => {
                // Its first call in somebody's name may have been let in since.
                if !activity.is_proven() {
                    return;
                }
            }
            () = hub.closing.cancelled(), if !leaving => {
                connection.as_mut().graceful_shutdown();
                leaving = true;
            }
            _ = watch.tick() => match activity.verdict(&hub.limits.timeouts, leaving) {
                // By refusals, and silent since.
                _ if budget.is_overdrawn() => {
                    hub.count(Counted::ControlFrames);
                    return;
                }
                Verdict::Stay => {}
                Verdict::Leave => {
                    connection.as_mut().graceful_shutdown();
                    leaving = true;
                }
                Verdict::Cut(reason) => {
                    reason.into_iter().for_each(|reason| hub.count(reason));
                    return;
                }
            },
        }
    }
}

impl Calls {
    /// Admission first, then room, then the work, within a time.
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        let (method, patient) = (Method::of_path(path), path == PATIENT);
        let admitted = match self.entry.door.admit(path, request.headers(), &self.peer) {
            Ok(admitted) => admitted,
            Err(status) => {
                self.hub.refused(method, status.code());
                return self.unwelcome(status);
            }
        };
        let Some(room) = self.room(&admitted, method) else {
            return self.unwelcome(self.busy(Counted::Shed, Reason::QueueFull));
        };
        let Room { call: _until_answered, stream, open_call } = room;
        let limit = match admitted {
            Admitted::Anybody => OPEN_CALL_TIMEOUT,
            _ => self.hub.limits.timeouts.call(),
        };
        let at_most = call_timeout(request.headers(), limit);
        let call = Arc::new(self.activity.begin(patient));
        let mut request = request.map(|body| Heard::new(body, Arc::clone(&call)));
        let span = admitted.span();
        request.extensions_mut().insert(admitted);
        let answer = self.entry.routes.clone().call(request).instrument(span);
        match timeout(at_most, answer).await {
            Ok(Ok(response)) => {
                response.map(|body| Body::new(Taken::new(body, call, stream, open_call)))
            }
            Err(_) => self.unwelcome(self.busy(Counted::CallTimeout, Reason::RequestTimeout)),
        }
    }

    /// Room for a call, and for its stream if it answers with one. With the first one in
    /// somebody's name the connection has shown that it is of use, and counts as that account's.
    fn room(&self, admitted: &Admitted, method: Option<Method>) -> Option<Room<'_>> {
        let accounts = &self.hub.accounts;
        if matches!(admitted, Admitted::Anybody) {
            let open_call = Some(accounts.open_call(self.network)?);
            self.activity.greet();
            return Some(Room { open_call, ..Room::default() });
        }
        if self.account.get().is_none() {
            match accounts.connection(admitted) {
                // Another call of this connection may have been first.
                Some(Some(connection)) => drop(self.account.set(connection)),
                Some(None) => {}
                None if self.account.get().is_some() => {}
                None => return None,
            }
        }
        if !self.activity.is_proven() {
            self.activity.prove();
            self.seat.place.prove();
        }
        let call = (Some(self.hub.calls.try_acquire().ok()?), accounts.call(admitted)?);
        let stream = match method.is_some_and(Method::streams_answer) {
            true => Some(self.stream_place(admitted)?),
            false => None,
        };
        Some(Room { call, stream, open_call: None })
    }

    /// A place for a stream. Half of them are for the first one of an account: a few accounts of
    /// slow readers would otherwise keep everybody else from downloading.
    fn stream_place(&self, admitted: &Admitted) -> Option<StreamPlace> {
        let Hub { streams, accounts, limits, .. } = &*self.hub;
        let few_left = streams.available_permits() <= limits.streams / 2;
        if few_left && accounts.has_stream(admitted) {
            return None;
        }
        Some((Arc::clone(streams).try_acquire_owned().ok()?, accounts.stream(admitted)?))
    }

    /// Answers a call that came to nothing. It cost its caller nothing, and this server a little:
    /// on a connection that has not shown yet that it is of use it counts as some control frames.
    fn unwelcome(&self, status: Status) -> Response<Body> {
        if !self.activity.is_proven() {
            self.budget.spend(UNWELCOME_COST);
        }
        status.into_http()
    }

    fn busy(&self, what: Counted, reason: Reason) -> Status {
        self.hub.count(what);
        Refusal::new(reason).retry_after(BUSY_WAIT).into()
    }
}

/// The time for a call: what the client gives it, if that is less than the limit.
fn call_timeout(headers: &HeaderMap, limit: Duration) -> Duration {
    let given = headers.get("grpc-timeout").and_then(|value| value.to_str().ok());
    given.and_then(parse_timeout).map_or(limit, |given| given.min(limit))
}

/// At most eight digits and a unit, as gRPC over HTTP/2 has it.
fn parse_timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let digits = Some(digits).filter(|d| d.len() <= 8 && d.bytes().all(|b| b.is_ascii_digit()))?;
    let number: u64 = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number * 3_600)),
        "M" => Some(Duration::from_secs(number * 60)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_read_and_capped() {
        let limit = Duration::from_secs(10);
        for (text, expected) in [
            ("1S", Duration::from_secs(1)),
            ("1500m", Duration::from_millis(1_500)),
            ("0n", Duration::ZERO),
            ("99999999u", limit),
            ("2M", limit),
            ("99999999H", limit),
            ("100000000n", limit),
            ("-1S", limit),
            ("1s", limit),
            ("S", limit),
            ("", limit),
        ] {
            let headers = HeaderMap::from_iter(
                [("grpc-timeout".parse().unwrap(), text)]
                    .map(|(name, value): (http::HeaderName, &str)| (name, value.parse().unwrap())),
            );
            assert_eq!(call_timeout(&headers, limit), expected, "{text}");
        }
        assert_eq!(call_timeout(&HeaderMap::new(), limit), limit);
    }
}
