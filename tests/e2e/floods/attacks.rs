//! What attacks there are and how heavy, for two cores.

use std::time::Duration;

/// A way to abuse a server without breaking in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// TCP connections that say nothing.
    IdleTcp,
    /// A ClientHello begun, then silence.
    HalfHandshake,
    /// TLS and the HTTP/2 preface, then silence.
    SilentHttp2,
    /// A header block at one byte a second, in one frame or in CONTINUATION frames.
    SlowHeaders,
    /// Set and labels requested, and read at a few bytes a second.
    SlowReader,
    /// The same with a window of zero bytes that never opens.
    ZeroWindow,
    /// HEADERS and RST_STREAM (CVE-2023-44487).
    RapidReset,
    /// HEADERS and what makes the server reset the stream (CVE-2025-8671).
    ProvokedReset,
    /// CONTINUATION without end (CVE-2024-27316 and others).
    Continuation,
    /// DATA frames without data on open calls (CVE-2019-9518).
    EmptyData,
    /// PING; every other attacker reads no answers (CVE-2019-9512).
    Ping,
    /// SETTINGS; every other attacker reads no answers (CVE-2019-9515).
    Settings,
    /// Connect, shake hands, close.
    Churn,
    /// Calls without a credential, as fast as they are refused.
    NoCredential,
    /// The largest batches, from accounts that all have a credential.
    LargeBatches,
}

/// How heavy an attack is.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Connections at a time.
    pub connections: usize,
    /// Calls at a time on each, where that matters.
    pub streams: usize,
    /// Between two connections of [`Attack::Churn`] from one attacker.
    pub pause: Duration,
}

/// How long and how heavy everything is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// For every change: some seconds an attack, and nothing that hurts the tests beside it.
    Quick,
    /// For measuring.
    Full,
}

impl Scale {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }

    pub fn by_name(name: &str) -> Option<Self> {
        [Self::Quick, Self::Full].into_iter().find(|scale| scale.name() == name)
    }

    /// Undisturbed, before each attack.
    pub const fn quiet(self) -> Duration {
        match self {
            Self::Quick => Duration::from_millis(600),
            Self::Full => Duration::from_secs(10),
        }
    }

    /// Under each attack.
    pub const fn attacked(self) -> Duration {
        match self {
            Self::Quick => Duration::from_millis(1_500),
            Self::Full => Duration::from_secs(25),
        }
    }

    /// Entries of the directory, so that copies of set and labels take more than slow readers may.
    pub const fn entries(self) -> u64 {
        match self {
            Self::Quick => 80_000,
            Self::Full => 200_000,
        }
    }
}

impl Attack {
    /// Those that are judged by memory come first: what an attack leaves free, the next one may
    /// use without growth.
    pub const ALL: [Self; 15] = [
        Self::ZeroWindow,
        Self::SlowReader,
        Self::IdleTcp,
        Self::HalfHandshake,
        Self::SilentHttp2,
        Self::SlowHeaders,
        Self::RapidReset,
        Self::ProvokedReset,
        Self::Continuation,
        Self::EmptyData,
        Self::Ping,
        Self::Settings,
        Self::Churn,
        Self::NoCredential,
        Self::LargeBatches,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::IdleTcp => "idle TCP",
            Self::HalfHandshake => "half handshakes",
            Self::SilentHttp2 => "silent HTTP/2",
            Self::SlowHeaders => "slow headers",
            Self::SlowReader => "slow reader",
            Self::ZeroWindow => "zero window",
            Self::RapidReset => "rapid reset",
            Self::ProvokedReset => "provoked reset",
            Self::Continuation => "CONTINUATION",
            Self::EmptyData => "empty DATA",
            Self::Ping => "PING",
            Self::Settings => "SETTINGS",
            Self::Churn => "churn",
            Self::NoCredential => "no credential",
            Self::LargeBatches => "large batches",
        }
    }

    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|attack| attack.name() == name)
    }

    pub const fn load(self, scale: Scale) -> Load {
        let full = matches!(scale, Scale::Full);
        let (connections, streams) = match self {
            Self::IdleTcp | Self::HalfHandshake => (if full { 4_000 } else { 200 }, 0),
            Self::SilentHttp2 | Self::SlowHeaders => (if full { 2_000 } else { 50 }, 0),
            // Many more than a fair client has: 1,024 slow streams.
            Self::SlowReader | Self::ZeroWindow => {
                if full {
                    (32, 32)
                } else {
                    (4, 8)
                }
            }
            Self::RapidReset
            | Self::ProvokedReset
            | Self::Continuation
            | Self::EmptyData
            | Self::Ping
            | Self::Settings => (if full { 10 } else { 4 }, 0),
            Self::Churn => (if full { 16 } else { 4 }, 0),
            Self::NoCredential => (if full { 8 } else { 2 }, 4),
            Self::LargeBatches => (if full { 100 } else { 8 }, 1),
        };
        // 16 attackers, 10,000 connections a minute.
        Load { connections, streams, pause: Duration::from_millis(96) }
    }

    /// Calls that the attack keeps open, each of which would cost the memory of an answer.
    pub const fn slow_streams(self, load: Load) -> Option<usize> {
        match self {
            Self::SlowReader | Self::ZeroWindow => Some(load.connections * load.streams),
            _ => None,
        }
    }

    /// The load in words.
    pub fn describe(self, load: Load) -> String {
        let Load { connections, streams, pause } = load;
        match self {
            Self::Churn => {
                format!("{:.0} connections/s", connections as f64 / pause.as_secs_f64())
            }
            _ if streams > 1 => format!("{connections} connections × {streams} calls"),
            _ => format!("{connections} connections"),
        }
    }
}
