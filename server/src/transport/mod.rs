//! Connections: accepted, encrypted, limited and ended here; what they ask is answered elsewhere.
//!
//! tonic serves whoever connects, for as long as they like. This module decides first:
//!
//! - **How many.** A cap on all connections and on those of one network (`census`). A connection
//!   is on probation until its first admitted call; there is room for some, and the largest crowd
//!   gives way (`probation`). So silent, half-open and slow ones cannot keep others
//!   out, however many they are.
//! - **Each account** gets a few connections, calls and streams at a time, and each tenant a part of
//!   them (`accounts`), so that no handful of credentials takes what there is for all.
//! - **How long.** For the handshake, for the first call, for a call, without a call, without
//!   progress, and in all (`activity`).
//! - **How much.** Calls and streams at a time in all and on one connection; control frames per
//!   second, which HTTP/2 itself does not limit (`frames`).
//!
//! Limits are counted when they strike (`counters`), and the counts are logged.

mod accounts;
mod activity;
mod body;
mod bucket;
mod census;
mod connection;
mod counters;
mod frames;
mod hub;
mod listener;
mod probation;
mod tls;

pub use counters::Counted;
pub(crate) use hub::Hub;
pub(crate) use listener::{AdminSocket, Entry, accept_tcp, accept_unix, listen};
pub(crate) use tls::{TlsFiles, TlsPort};
