//! What goes over the wire, counted.

use std::{
    ops::Sub,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use prost::Message;

/// A gRPC message is preceded by one byte of flags and four of length.
const GRPC_HEADER_BYTES: u64 = 5;

/// Bytes on the TCP connections of a client, both ways: TLS, HTTP/2 and gRPC included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes sent.
    pub bytes_up: u64,
    /// Bytes received.
    pub bytes_down: u64,
}

/// What one phase took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PhaseReport {
    /// Wall-clock time. Phases that run at the same time overlap.
    pub duration: Duration,
    /// gRPC messages sent, with their 5-byte headers, in bytes; repetitions count. Requests for
    /// static files do not.
    pub bytes_up: u64,
    /// gRPC messages received, with their 5-byte headers, and static files, in bytes.
    pub bytes_down: u64,
}

impl Sub for Traffic {
    type Output = Self;

    /// What came on top of an earlier state.
    fn sub(self, earlier: Self) -> Self {
        Self {
            bytes_up: self.bytes_up.saturating_sub(earlier.bytes_up),
            bytes_down: self.bytes_down.saturating_sub(earlier.bytes_down),
        }
    }
}

/// Counts bytes from several places at once.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
}

impl Meter {
    pub(crate) fn add_up(&self, n_bytes: usize) {
        self.bytes_up.fetch_add(n_bytes as u64, Relaxed);
    }

    pub(crate) fn add_down(&self, n_bytes: usize) {
        self.bytes_down.fetch_add(n_bytes as u64, Relaxed);
    }

    pub(crate) fn sent(&self, message: &impl Message) {
        self.bytes_up.fetch_add(message.encoded_len() as u64 + GRPC_HEADER_BYTES, Relaxed);
    }

    pub(crate) fn received(&self, message: &impl Message) {
        self.bytes_down.fetch_add(message.encoded_len() as u64 + GRPC_HEADER_BYTES, Relaxed);
    }

    pub(crate) fn traffic(&self) -> Traffic {
        Traffic { bytes_up: self.bytes_up.load(Relaxed), bytes_down: self.bytes_down.load(Relaxed) }
    }

    pub(crate) fn report(&self, duration: Duration) -> PhaseReport {
        let Traffic { bytes_up, bytes_down } = self.traffic();
        PhaseReport { duration, bytes_up, bytes_down }
    }
}
