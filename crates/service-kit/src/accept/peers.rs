//! How many connections each address has.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What stands for the machine, or the NAT, that an address belongs to: an IPv4 address itself, of an
/// IPv6 address the first 64 bits, since one machine may use all that begin with them.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let bits = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        address @ IpAddr::V4(_) => address,
    }
}

/// The addresses that are connected; those that are not take no memory.
#[derive(Clone, Debug)]
pub(super) struct Peers {
    limit: usize,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One of an address's places; dropping it gives it back.
#[derive(Debug)]
pub(super) struct PeerPlace {
    peers: Peers,
    network: IpAddr,
}

/// All places of an address are taken.
#[derive(Debug)]
pub(super) struct Full;

impl Peers {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            counts: Arc::default(),
        }
    }

    pub(super) fn enter(&self, address: IpAddr) -> Result<PeerPlace, Full> {
        let network = network(address);
        let mut counts = self.lock();
        let count = counts.entry(network).or_insert(0);
        if *count >= self.limit {
            return Err(Full);
        }
        *count += 1;
        drop(counts);
        Ok(PeerPlace {
            peers: self.clone(),
            network,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PeerPlace {
    fn drop(&mut self) {
        let mut counts = self.peers.lock();
        if let Entry::Occupied(mut count) = counts.entry(self.network) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_address_has_its_own_places_and_gives_them_back() {
        let peers = Peers::new(2);
        let places: Vec<_> = (0..2).map(|_| peers.enter(address("10.0.0.1"))).collect();
        assert!(peers.enter(address("10.0.0.1")).is_err());
        let other = peers.enter(address("10.0.0.2"));
        assert!(other.is_ok());
        drop(places);
        drop(peers.enter(address("10.0.0.1")).unwrap());
        assert_eq!(peers.lock().len(), 1);
        drop(other);
        assert!(peers.lock().is_empty());
    }

    #[test]
    fn a_network_stands_for_its_machine() {
        for (one, other, same) in [
            ("10.0.0.1", "10.0.0.1", true),
            ("10.0.0.1", "10.0.0.2", false),
            ("::ffff:10.0.0.1", "10.0.0.1", true),
            ("2001:db8:0:1::1", "2001:db8:0:1:9::2", true),
            ("2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ] {
            let is_same = network(address(one)) == network(address(other));
            assert_eq!(is_same, same, "{one} {other}");
        }
    }
}
