//! Who may ask, and how much.

pub mod access;
pub mod bucket;
mod door;
mod gate;
mod quotas;
pub(crate) mod rest;
pub mod simulation;

pub use door::{Admitted, Door, Peer};
pub(crate) use gate::store_refusal;
pub use gate::{Allowance, Charged, Gate};
pub use quotas::Quotas;
