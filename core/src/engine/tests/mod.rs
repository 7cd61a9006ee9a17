//! The engine against curve25519-dalek, bit for bit.

#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

mod edges;
mod exact;
mod properties;
mod support;
mod vectors;
