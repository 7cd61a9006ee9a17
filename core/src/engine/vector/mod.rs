//! Arithmetic on eight points at a time, generic over the vector word.

#![allow(
    clippy::indexing_slicing,
    reason = "indices are loop counters over arrays of fixed size, or public positions"
)]

pub(crate) mod batch;
mod constants;
pub(crate) mod decode;
pub(crate) mod digits;
pub(crate) mod elligator;
pub(crate) mod encode;
pub(crate) mod field;
pub(crate) mod fixed;
pub(crate) mod fma;
pub(crate) mod kernels;
pub(crate) mod ladder;
mod limbs;
pub(crate) mod madd52;
pub(crate) mod point;
mod power;
pub(crate) mod straus;
pub(crate) mod word;

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "fails on purpose")]
mod bounds;
#[cfg(test)]
#[allow(clippy::cast_possible_truncation, reason = "lanes and halves of products")]
pub(crate) mod emulated;
#[cfg(test)]
pub(crate) mod field_tests;
#[cfg(test)]
#[allow(clippy::cast_possible_truncation, clippy::unwrap_used, reason = "fails on purpose")]
mod interval;
