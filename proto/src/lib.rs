//! The wire of Acquaint: generated gRPC code, the error model, and the conversions between wire
//! and core types.
//!
//! Arrows: `acquaint-core <- acquaint-proto <- {acquaint-server, acquaint-client}`. Only this crate
//! meets both wire and core types; the server and the client never know each other.
//!
//! # What it guarantees
//!
//! - **Messages do not print what they carry.** Elements, labels and manifests have no way into a
//!   log line through `Debug`: a message prints its name only, `EvaluateRequest(..)`.
//! - **Errors are constants.** A [`Refusal`] has no place for input, so no status text or detail
//!   can echo any. Every reason has one canonical code and one text, in one table ([`Reason`]).
//! - **Waiting is told.** `RESOURCE_EXHAUSTED` and `UNAVAILABLE` never leave without `RetryInfo`.
//! - **A status is untrusted input.** [`Received`] reads any status of any server without
//!   panicking, and never asks a caller to wait for longer than an hour.
//!
//! # What it does not
//!
//! - The fields of a message are raw bytes. Nothing is valid before it became a core type.
//! - Redaction covers `Debug`. A caller that prints a field prints its content.
//! - Messages are not wiped from memory: they hold only what the other side knows anyway.
//!
//! # Example
//!
//! ```
//! use std::time::Duration;
//!
//! use acquaint_proto::{Reason, Received, Refusal};
//!
//! // The server refuses ...
//! let refusal = Refusal::new(Reason::QueueFull).retry_after(Duration::from_millis(250));
//! let status = tonic::Status::from(refusal);
//!
//! // ... and the client knows what to do.
//! let received = Received::from(&status);
//! assert_eq!(received.reason, Some(Reason::QueueFull));
//! assert_eq!(received.retry_after, Some(Duration::from_millis(250)));
//!
//! let request = acquaint_proto::v1::EvaluateRequest::default();
//! assert_eq!(format!("{request:?}"), "EvaluateRequest(..)");
//! ```

mod convert;
mod method;
pub mod status;
pub mod v1;

pub use convert::Malformed;
pub use method::Method;
pub use status::{DOMAIN, Reason, Received, Refusal};
pub use v1::FILE_DESCRIPTOR_SET;
