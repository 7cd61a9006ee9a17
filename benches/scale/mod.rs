//! The parts of the bench `directory`.

pub mod client;
pub mod report;
pub mod server;
pub mod sizes;
