//! Which engine the protocol uses: detected once, or chosen; for tests and benches, per thread.

use std::{cell::Cell, sync::OnceLock};

use super::{Backend, Engine};

static CHOSEN: OnceLock<Engine> = OnceLock::new();

thread_local! {
    static SCOPED: Cell<Option<Engine>> = const { Cell::new(None) };
}

/// The back end cannot be chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChooseError {
    /// This machine lacks the instructions.
    #[error("this machine lacks the instructions of that back end")]
    Unsupported,
    /// The engine is in use already, with another back end.
    #[error("the engine is in use already: choose its back end first")]
    InUse,
}

impl Engine {
    /// The engine that the protocol uses on this thread: the fastest of this machine, unless
    /// [`choose`] or [`scoped`] said otherwise. Results do not depend on it.
    #[must_use]
    pub fn current() -> Self {
        SCOPED.get().unwrap_or_else(|| *CHOSEN.get_or_init(Self::detect))
    }
}

/// Fixes the back end of this process, before its first use.
///
/// # Errors
/// [`ChooseError`].
pub fn choose(backend: Backend) -> Result<(), ChooseError> {
    let engine = Engine::with_backend(backend).ok_or(ChooseError::Unsupported)?;
    let chosen = CHOSEN.get_or_init(|| engine);
    if chosen.backend() == backend { Ok(()) } else { Err(ChooseError::InUse) }
}

/// Runs `work` with a certain back end on this thread: for tests and benches, which compare back
/// ends in one process. `None`, without running it, if this machine lacks the back end.
pub fn scoped<R>(backend: Backend, work: impl FnOnce() -> R) -> Option<R> {
    /// Puts the engine back on return and on unwinding.
    struct Restore(Option<Engine>);
    impl Drop for Restore {
        fn drop(&mut self) {
            SCOPED.set(self.0);
        }
    }
    let engine = Engine::with_backend(backend)?;
    let _restore = Restore(SCOPED.replace(Some(engine)));
    Some(work())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_ends_with_its_work_and_with_its_panic() {
        let outside = Engine::current().backend();
        let inside = scoped(Backend::Dalek, || Engine::current().backend());
        assert_eq!(inside, Some(Backend::Dalek));
        assert_eq!(Engine::current().backend(), outside);
        let panicked = std::panic::catch_unwind(|| {
            scoped(Backend::Dalek, || std::panic::resume_unwind(Box::new(())))
        });
        assert!(panicked.is_err());
        assert_eq!(Engine::current().backend(), outside);
    }

    #[test]
    fn a_back_end_in_use_cannot_be_replaced() {
        let current = Engine::current().backend();
        assert_eq!(choose(current), Ok(()));
        for other in Backend::ALL.into_iter().filter(|b| *b != current) {
            assert!(choose(other).is_err());
        }
    }
}
