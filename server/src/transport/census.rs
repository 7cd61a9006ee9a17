//! How many connections there are, in all and from each network.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

use super::Counted;

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

/// Counts connections.
#[derive(Debug)]
pub(super) struct Census {
    connections_max: usize,
    per_network_max: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    networks: HashMap<Network, usize>,
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
            let count = counts.networks.entry(network).or_default();
            if *count >= self.per_network_max {
                return Err(Counted::NetworkFull);
            }
            *count += 1;
        }
        counts.all += 1;
        Ok(Counting { census: Arc::clone(self), network })
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        let mut counts = self.census.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.all = counts.all.saturating_sub(1);
        let Some(network) = self.network else { return };
        if let Some(count) = counts.networks.get_mut(&network) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.networks.remove(&network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn limits_hold_at_the_edge_and_refuse_one_more() {
        let census = Census::new(3, 2);
        let first = census.enter(ip("192.0.2.1")).unwrap();
        let _second = census.enter(ip("192.0.2.250")).unwrap();
        assert_eq!(census.enter(ip("192.0.2.7")).unwrap_err(), Counted::NetworkFull);
        let _third = census.enter(ip("192.0.3.1")).unwrap();
        assert_eq!(census.enter(ip("198.51.100.1")).unwrap_err(), Counted::Full);
        drop(first);
        let _fourth = census.enter(ip("192.0.2.7")).unwrap();
        assert_eq!(census.enter(None).unwrap_err(), Counted::Full);
    }

    #[test]
    fn networks_that_left_are_forgotten() {
        let census = Census::new(9, 1);
        drop((census.enter(ip("192.0.2.1")), census.enter(ip("2001:db8::1"))));
        assert!(census.counts.lock().unwrap().networks.is_empty());
        assert_eq!(census.counts.lock().unwrap().all, 0);
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
