//! What a process that holds keys asks of the system: no copies of its memory on disk, and enough
//! descriptors for its connections.

use rustix::process::{
    DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit,
};

/// Keeps the memory out of core files and away from debuggers of the same user.
///
/// Swap is the operator's: encrypt it, or have none. A failure is logged and not fatal: whoever
/// denies this to a process can read its memory anyway.
pub(crate) fn keep_memory_private() {
    let no_core = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, no_core) {
        tracing::warn!(%error, "core files could not be switched off");
    }
    if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "the process could not be kept from debuggers");
    }
}

/// Raises the limit of open descriptors to what the system allows: the usual one is below the
/// default limit of connections.
pub(crate) fn raise_descriptor_limit() {
    let limits = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limits.maximum, ..limits }) {
        tracing::warn!(%error, limit = ?limits.current, "few descriptors: raise LimitNOFILE");
    }
}
