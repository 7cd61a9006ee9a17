//! Limits of connections and calls. tonic has almost none of them by default.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How many connections and calls there may be, and how long they may take.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Transport {
    /// Connections at a time. Past it, new ones are closed at once.
    pub connections: usize,
    /// Connections at a time from one network: a /24 of IPv4, a /56 of IPv6; and new ones in any
    /// eight seconds. Behind a proxy, all connections come from one network: raise it to
    /// `connections`.
    pub connections_per_network: usize,
    /// Connections that have not made an admitted call yet. Past it, the network that has
    /// most of them loses the one that has waited longest to a new one of another network.
    pub connections_on_probation: usize,
    /// Connections at a time that made their first admitted call in the name of one account.
    pub connections_per_account: usize,
    /// Calls that wait for their answer at a time. Past it, calls are refused with a delay.
    pub calls: usize,
    /// Answers that are being streamed at a time. Past it, calls are refused with a delay.
    pub streams: usize,
    /// Calls of one account that wait for their answer at a time.
    pub calls_per_account: usize,
    /// Answers to one account that are being streamed at a time.
    pub streams_per_account: usize,
    /// Calls at a time on one connection.
    pub calls_per_connection: u32,
    /// Control frames (PING, SETTINGS, RST_STREAM, CONTINUATION and the like, empty DATA) that a
    /// connection may send per second, ten times as many at once. Past it, it is closed.
    pub control_frames_per_s: u32,
    /// Timeouts, in milliseconds.
    pub timeouts: Timeouts,
}

/// What a tenant may have at a time of what all share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportShare {
    /// Connections whose first admitted call was in the name of one of its accounts.
    pub connections: usize,
    /// Calls that wait for their answer.
    pub calls: usize,
    /// Answers that are being streamed.
    pub streams: usize,
}

/// How long things may take, in milliseconds.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct Timeouts {
    /// From the connection to the end of the TLS handshake.
    pub handshake_ms: u64,
    /// From there to the first admitted call.
    pub first_call_ms: u64,
    /// For which a connection without an open call is kept.
    pub idle_ms: u64,
    /// From a call's headers to the head of its answer, its message included.
    pub call_ms: u64,
    /// For which no byte of any open answer of a connection may be taken; at least `call_ms`.
    pub stall_ms: u64,
    /// After which a connection is asked to end, so that load spreads over new servers.
    pub age_ms: u64,
    /// Which its open calls then have to end.
    pub age_grace_ms: u64,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            connections: 4_096,
            connections_per_network: 512,
            connections_on_probation: 1_024,
            connections_per_account: 16,
            calls: 1_024,
            streams: 1_024,
            calls_per_account: 64,
            streams_per_account: 16,
            calls_per_connection: 64,
            control_frames_per_s: 100,
            timeouts: Timeouts::default(),
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake_ms: 5_000,
            first_call_ms: 10_000,
            idle_ms: 60_000,
            call_ms: 10_000,
            stall_ms: 30_000,
            age_ms: 600_000,
            age_grace_ms: 60_000,
        }
    }
}

macro_rules! durations {
    ($($name:ident, $field:ident, $text:literal;)+) => {
        impl Timeouts {
            $(
                #[doc = $text]
                #[must_use]
                pub const fn $name(&self) -> Duration {
                    Duration::from_millis(self.$field)
                }
            )+
        }
    };
}

durations! {
    handshake, handshake_ms, "Until the end of the TLS handshake.";
    first_call, first_call_ms, "Until the first admitted call.";
    idle, idle_ms, "Without an open call.";
    call, call_ms, "Until the head of an answer.";
    stall, stall_ms, "Without a byte taken of any open answer.";
    age, age_ms, "Of a connection.";
    age_grace, age_grace_ms, "For the open calls of an aged connection.";
}
