//! The steps of a lookup, each on one thread, with a named baseline where there is one.

mod directory;
mod protocol;

pub use directory::{manifest, set};
pub use protocol::{labels, oprf};
