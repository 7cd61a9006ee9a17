//! How many connections there are, in all and from each network.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use super::{Counted, bucket::Bucket};

/// Bits of an address that tell networks apart: what one customer or site usually has.
const PREFIX_V4: u32 = 24;
const PREFIX_V6: u32 = 56;

/// Where a connection comes from, as far as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Network(u128);

impl Network {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // An address of IPv4 and one of IPv6 never are the same number here: the latter's
            // upper half is zero for reserved addresses only.
            IpAddr::V4(v4) => Self(u128::from(u32::from(v4) >> (32 - PREFIX_V4))),
            IpAddr::V6(v6) => Self(u128::from(v6) >> (128 - PREFIX_V6) << (128 - PREFIX_V6)),
        }
    }
}

/// Seconds in which a network may make as many new connections as it may have at a time.
const REFILL_S: u64 = 8;

/// Counts connections, and how fast they come.
#[derive(Debug)]
pub(super) struct Census {
    connections_max: usize,
    per_network_max: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    networks: HashMap<Network, Crowd>,
}

/// The connections of a network.
#[derive(Debug)]
struct Crowd {
    open: usize,
    /// New connections, in units of one times [`REFILL_S`] seconds in milliseconds.
    new: Bucket,
}

/// A connection that is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Counting {
    census: Arc<Census>,
    network: Option<Network>,
}

impl Census {
    pub(super) fn new(connections_max: usize, per_network_max: usize) -> Arc<Self> {
        Arc::new(Self { connections_max, per_network_max, counts: Mutex::default() })
    }

    /// Counts one more; or says which limit is reached. A connection without an address, over a
    /// Unix socket, belongs to no network.
    pub(super) fn enter(self: &Arc<Self>, from: Option<IpAddr>) -> Result<Counting, Counted> {
        let network = from.map(Network::of);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.all >= self.connections_max {
            return Err(Counted::Full);
        }
        if let Some(network) = network {
            let crowd = counts.networks.entry(network).or_insert_with(Crowd::new);
            if crowd.open >= self.per_network_max {
                return Err(Counted::NetworkFull);
            }
            if !crowd.hurry(self.per_network_max as u64) {
                return Err(Counted::NetworkFast);
            }
            crowd.open += 1;
        }
        counts.all += 1;
        Ok(Counting { census: Arc::clone(self), network })
    }
}

impl Census {
    /// Forgets the networks that have left some time ago. To be called now and then.
    pub(super) fn sweep(&self) {
        let per_refill = self.per_network_max as u64;
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.networks.retain(|_, crowd| crowd.new.leak(per_refill) > 0 || crowd.open > 0);
        if counts.networks.capacity() > 4 * counts.networks.len() {
            counts.networks.shrink_to_fit();
        }
    }
}

impl Counting {
    /// Where the connection comes from.
    pub(super) const fn network(&self) -> Option<Network> {
        self.network
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let mut counts = self.census.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        let Some(network) = self.network else { return };
        if let Some(crowd) = counts.networks.get_mut(&network) {
            crowd.open = crowd.open.saturating_sub(1);
        }
    }
}

impl Crowd {
    fn new() -> Self {
        Self { open: 0, new: Bucket::new() }
    }

    /// Whether a new connection does not come too fast.
    fn hurry(&mut self, per_refill: u64) -> bool {
        let unit = REFILL_S * 1_000;
        let fits = self.new.leak(per_refill) + unit <= per_refill * unit;
        self.new.add(if fits { unit } else { 0 });
        fits
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn limits_hold_at_the_edge_and_refuse_one_more() {
        let census = Census::new(3, 2);
        let first = census.enter(ip("192.0.2.1")).unwrap();
        let _second = census.enter(ip("192.0.2.250")).unwrap();
        assert_eq!(census.enter(ip("192.0.2.7")).unwrap_err(), Counted::NetworkFull);
        let _third = census.enter(ip("192.0.3.1")).unwrap();
        assert_eq!(census.enter(ip("198.51.100.1")).unwrap_err(), Counted::Full);
        drop(first);
        advance(Duration::from_secs(REFILL_S)).await;
        let _fourth = census.enter(ip("192.0.2.7")).unwrap();
        assert_eq!(census.enter(None).unwrap_err(), Counted::Full);
    }

    #[tokio::test(start_paused = true)]
    async fn networks_that_left_are_forgotten() {
        let census = Census::new(9, 8);
        let staying = census.enter(ip("198.51.100.1")).unwrap();
        drop((census.enter(ip("192.0.2.1")), census.enter(ip("2001:db8::1"))));
        assert_eq!(census.counts.lock().unwrap().all, 1);
        advance(Duration::from_secs(REFILL_S)).await;
        census.sweep();
        assert_eq!(census.counts.lock().unwrap().networks.len(), 1);
        drop(staying);
    }

    /// Eight seconds' worth at once, then one each second: however quickly they leave again.
    #[tokio::test(start_paused = true)]
    async fn a_network_may_make_so_many_connections_a_second() {
        let census = Census::new(9, 8);
        let enter = || census.enter(ip("192.0.2.1")).map(drop);
        for _ in 0..8 {
            enter().unwrap();
        }
        assert_eq!(enter(), Err(Counted::NetworkFast));
        census.sweep();
        advance(Duration::from_millis(999)).await;
        assert_eq!(enter(), Err(Counted::NetworkFast), "forgetting gives nothing back");
        advance(Duration::from_millis(1)).await;
        enter().unwrap();
        assert_eq!(enter(), Err(Counted::NetworkFast));
        census.enter(ip("198.51.100.1")).map(drop).unwrap();
    }

    #[test]
    fn a_network_is_a_24_or_a_56() {
        let same = |a, b| Network::of(ip(a).unwrap()) == Network::of(ip(b).unwrap());
        assert!(same("192.0.2.0", "192.0.2.255"));
        assert!(!same("192.0.2.0", "192.0.3.0"));
        assert!(same("2001:db8:0:100::1", "2001:db8:0:1ff:f::f"));
        assert!(!same("2001:db8:0:100::1", "2001:db8:0:200::1"));
        assert!(same("::ffff:192.0.2.9", "192.0.2.1"), "an IPv4 address in IPv6 clothes");
    }
}
