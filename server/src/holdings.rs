//! Who holds how much of what everybody shares: a count for each holder, and a limit.

use std::{
    collections::HashMap,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// Counts what holders hold. A holder that holds nothing is forgotten.
pub(crate) struct Holdings<K> {
    counts: Mutex<HashMap<K, usize>>,
}

/// Held until this is dropped.
pub(crate) struct Held<K: Eq + Hash> {
    holdings: Arc<Holdings<K>>,
    holder: K,
    n: usize,
}

impl<K: Clone + Eq + Hash> Holdings<K> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { counts: Mutex::default() })
    }

    /// Takes `n` more for a holder, if it then has at most `limit`.
    pub(crate) fn take(self: &Arc<Self>, holder: &K, n: usize, limit: usize) -> Option<Held<K>> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let held = counts.get(holder).copied().unwrap_or_default();
        let held = held.checked_add(n).filter(|held| *held <= limit)?;
        counts.insert(holder.clone(), held);
        drop(counts);
        Some(Held { holdings: Arc::clone(self), holder: holder.clone(), n })
    }

    /// Whether a holder holds anything.
    pub(crate) fn holds(&self, holder: &K) -> bool {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).contains_key(holder)
    }
}

impl<K: Eq + Hash> Drop for Held<K> {
    fn drop(&mut self) {
        let mut counts = self.holdings.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = counts.get_mut(&self.holder) else { return };
        *held = held.saturating_sub(self.n);
        if *held == 0 {
            counts.remove(&self.holder);
        }
    }
}

// Who holds what is nobody's business.
impl<K> fmt::Debug for Holdings<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Holdings").finish_non_exhaustive()
    }
}

impl<K: Eq + Hash> fmt::Debug for Held<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held").field("n", &self.n).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_holder_has_the_limit_and_no_more() {
        let holdings = Holdings::new();
        let first = holdings.take(&"alice", 3, 5).unwrap();
        let _second = holdings.take(&"alice", 2, 5).unwrap();
        assert!(holdings.holds(&"alice") && !holdings.holds(&"bob"));
        assert!(holdings.take(&"alice", 1, 5).is_none());
        assert!(holdings.take(&"alice", usize::MAX, 5).is_none());
        assert!(holdings.take(&"bob", 6, 5).is_none());
        let _others = holdings.take(&"bob", 5, 5).unwrap();
        drop(first);
        assert!(holdings.take(&"alice", 3, 5).is_some());
    }

    #[test]
    fn who_holds_nothing_is_forgotten() {
        let holdings = Holdings::new();
        assert!(holdings.take(&"refused", 2, 1).is_none());
        drop(holdings.take(&"alice", 1, 1));
        assert!(holdings.counts.lock().unwrap().is_empty());
    }
}
