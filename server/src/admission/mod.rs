//! Who may ask, and how much.

pub mod bucket;
mod gate;

pub(crate) use gate::store_refusal;
pub use gate::{Charged, Gate};
