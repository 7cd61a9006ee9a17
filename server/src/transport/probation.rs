//! Connections that have not shown yet that they are of use.
//!
//! To connect costs nothing, so a table of connections can be filled by anybody. An admitted call
//! costs a credential. Until its first one a connection is on probation, for which there is a fixed
//! number of places; when they are taken, the one that has waited longest loses its place. An
//! honest client is through within some round trips; what is thrown out is what stays silent.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

/// The places.
#[derive(Debug)]
pub(super) struct Probation {
    places: usize,
    next: AtomicU64,
    waiting: Mutex<BTreeMap<u64, CancellationToken>>,
}

/// A connection's place, given up on proof or when dropped.
#[derive(Debug)]
pub(super) struct Place {
    probation: Arc<Probation>,
    number: u64,
    lost: CancellationToken,
}

impl Probation {
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { places, next: AtomicU64::new(0), waiting: Mutex::default() })
    }

    /// Takes a place; whether another one had to be given up for it.
    pub(super) fn enter(self: &Arc<Self>) -> (Place, bool) {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let lost = CancellationToken::new();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let longest = if waiting.len() < self.places { None } else { waiting.pop_first() };
        waiting.insert(number, lost.clone());
        drop(waiting);
        let gave_way = longest.map(|(_, token)| token.cancel()).is_some();
        (Place { probation: Arc::clone(self), number, lost }, gave_way)
    }
}

impl Place {
    /// The connection has made an admitted call: it stays.
    pub(super) fn prove(&self) {
        self.leave();
    }

    /// Completes when the place is lost to another connection.
    pub(super) async fn lost(&self) {
        self.lost.cancelled().await;
    }

    fn leave(&self) {
        let mut waiting = self.probation.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.remove(&self.number);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_waiting_gives_way_and_the_proven_do_not() {
        let probation = Probation::new(2);
        let (proven, _) = probation.enter();
        proven.prove();
        let (oldest, gave_way) = probation.enter();
        assert!(!gave_way);
        let (younger, gave_way) = probation.enter();
        assert!(!gave_way, "two places, and the proven one needs none");
        let (youngest, gave_way) = probation.enter();
        assert!(gave_way);
        let lost = [&proven, &oldest, &younger, &youngest].map(|place| place.lost.is_cancelled());
        assert_eq!(lost, [false, true, false, false]);
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let probation = Probation::new(1);
        drop(probation.enter());
        let (_place, gave_way) = probation.enter();
        assert!(!gave_way);
        assert_eq!(probation.waiting.lock().unwrap().len(), 1);
    }
}
