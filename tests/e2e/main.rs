//! End to end: real servers, real clients, real processes, compared with plain sets.
//!
//! One binary, so that everything is linked once. Randomized tests print their seed; set
//! `ACQUAINT_TEST_SEED` to replay one.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout,
    missing_docs,
    unreachable_pub,
    reason = "a test harness: a failed expectation is how it reports"
)]

mod access;
mod authority;
mod bad_input;
mod binary;
mod crash;
mod credentials;
mod discovery;
mod floods;
mod limits;
mod logs;
mod lying;
mod process;
mod quota;
mod rotation;
mod simulate;
mod static_files;
mod sync;
mod tenants;
mod transport;
mod world;
