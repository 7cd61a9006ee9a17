//! The commands, one file each.

pub(crate) mod credential;
pub(crate) mod discover;
pub(crate) mod init;
pub(crate) mod key;
pub(crate) mod publish;
pub(crate) mod registry;
pub(crate) mod selfcheck;
pub(crate) mod serve;
pub(crate) mod simulate;
pub(crate) mod tenant;
