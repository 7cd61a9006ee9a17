//! Connections that have not shown yet that they are of use.
//!
//! To connect costs nothing, so a table of connections can be filled by anybody. An admitted call
//! costs a credential. Until its first one a connection is on probation, for which there is a fixed
//! number of places. When they are taken, the network that has most of them gives one up to whoever
//! comes from one that has none, or far fewer: the one that has waited longest. Others are turned
//! away at once, before anything was spent on a handshake. An honest client is through within some
//! round trips, and seldom comes with a crowd.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio_util::sync::CancellationToken;

use super::census::Network;

/// The places.
#[derive(Debug)]
pub(super) struct Probation {
    places: usize,
    next: AtomicU64,
    waiting: Mutex<Waiting>,
}

/// Who waits, by network and in the order in which they came.
#[derive(Debug, Default)]
struct Waiting {
    all: usize,
    networks: HashMap<Option<Network>, BTreeMap<u64, CancellationToken>>,
}

/// A connection's place, given up on proof or when dropped.
#[derive(Debug)]
pub(super) struct Place {
    probation: Arc<Probation>,
    network: Option<Network>,
    number: u64,
    lost: CancellationToken,
}

impl Probation {
    pub(super) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { places, next: AtomicU64::new(0), waiting: Mutex::default() })
    }

    /// Takes a place; whether another one had to be given up for it. `None` if they are taken and
    /// no network has far more of them than this one.
    pub(super) fn enter(self: &Arc<Self>, network: Option<Network>) -> Option<(Place, bool)> {
        let mut waiting = self.waiting();
        let full = waiting.all >= self.places;
        let victim = if full { Some(waiting.take_longest(network)?) } else { None };
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let lost = CancellationToken::new();
        waiting.networks.entry(network).or_default().insert(number, lost.clone());
        waiting.all += 1;
        drop(waiting);
        let gave_way = victim.map(|token| token.cancel()).is_some();
        Some((Place { probation: Arc::clone(self), network, number, lost }, gave_way))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// Removes the one that has waited longest in the largest crowd, if a newcomer is the first of
    /// its network or that crowd is more than twice as large as its own.
    fn take_longest(&mut self, newcomer: Option<Network>) -> Option<CancellationToken> {
        let own = self.networks.get(&newcomer).map_or(0, BTreeMap::len);
        let largest = self.networks.iter().max_by_key(|(_, crowd)| crowd.len());
        // Not at the first difference: crowds of one size would throw each other out for ever.
        let (network, _) = largest.filter(|(_, crowd)| own == 0 || crowd.len() > 2 * own)?;
        let network = *network;
        let number = *self.networks.get(&network)?.first_key_value()?.0;
        self.remove(network, number)
    }

    fn remove(&mut self, network: Option<Network>, number: u64) -> Option<CancellationToken> {
        let crowd = self.networks.get_mut(&network)?;
        let token = crowd.remove(&number)?;
        self.all -= 1;
        if crowd.is_empty() {
            self.networks.remove(&network);
        }
        Some(token)
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
        self.probation.waiting().remove(self.network, self.number);
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

    fn network(last: u8) -> Option<Network> {
        Some(Network::of([198, 51, last, 1].into()))
    }

    #[test]
    fn the_longest_waiting_gives_way_and_the_proven_do_not() {
        let probation = Probation::new(2);
        let (proven, _) = probation.enter(network(1)).unwrap();
        proven.prove();
        let (oldest, gave_way) = probation.enter(network(1)).unwrap();
        assert!(!gave_way);
        let (younger, gave_way) = probation.enter(network(1)).unwrap();
        assert!(!gave_way, "two places, and the proven one needs none");
        let (youngest, gave_way) = probation.enter(network(2)).unwrap();
        assert!(gave_way);
        let lost = [&proven, &oldest, &younger, &youngest].map(|place| place.lost.is_cancelled());
        assert_eq!(lost, [false, true, false, false]);
    }

    #[test]
    fn the_largest_crowd_gives_way_to_others_and_not_to_itself() {
        let probation = Probation::new(4);
        let (honest, _) = probation.enter(network(1)).unwrap();
        let crowd: Vec<_> = (0..50).filter_map(|_| probation.enter(network(2))).collect();
        assert_eq!(crowd.len(), 3, "who comes after them is turned away");
        let (late, gave_way) = probation.enter(network(3)).unwrap();
        assert!(gave_way);
        assert!(!honest.lost.is_cancelled() && !late.lost.is_cancelled());
        assert!(crowd[0].0.lost.is_cancelled());
        // Two against one is no reason; and down to one each, the longest waiting of any gives way to whoever has none.
        assert!(probation.enter(network(3)).is_none());
        let (_fourth, _) = probation.enter(network(4)).unwrap();
        assert!(probation.enter(network(4)).is_none());
        assert!(probation.enter(network(5)).is_some());
    }

    #[test]
    fn a_place_is_free_again_when_its_connection_ends() {
        let probation = Probation::new(1);
        drop(probation.enter(network(1)));
        let (_place, gave_way) = probation.enter(network(1)).unwrap();
        assert!(!gave_way);
        let waiting = probation.waiting();
        assert_eq!((waiting.all, waiting.networks.len()), (1, 1));
    }
}
