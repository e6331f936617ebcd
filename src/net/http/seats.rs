//! How many connections there may be, in all and from one address.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The seats of one listener.
#[derive(Debug)]
pub(super) struct ConnectionLimit {
    most: usize,
    most_per_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// A connection's seat, free again when it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    seats: Arc<ConnectionLimit>,
    address: IpAddr,
}

impl ConnectionLimit {
    /// Makes so many seats in all, and so many for one address.
    pub(super) fn new(most: usize, most_per_address: usize) -> Arc<ConnectionLimit> {
        Arc::new(ConnectionLimit {
            most,
            most_per_address,
            taken: Mutex::default(),
        })
    }

    /// Takes a seat for `address`; none when all are taken, or all of this address. Loopback has no bound of
    /// its own: tunnels and proxies come from there.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr) -> Option<ConnectionPermit> {
        let mut taken = self.taken();
        let of_address = taken.by_address.get(&address).copied().unwrap_or_default();
        let crowded = !address.is_loopback() && of_address >= self.most_per_address;
        if taken.all >= self.most || crowded {
            return None;
        }
        taken.all += 1;
        taken.by_address.insert(address, of_address + 1);
        Some(ConnectionPermit {
            seats: self.clone(),
            address,
        })
    }

    /// Tells whether nobody is left.
    pub(super) fn is_empty(&self) -> bool {
        self.taken().all == 0
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        taken.all -= 1;
        let left = taken.by_address.get_mut(&self.address);
        let left = left.expect("a seat is counted for its address");
        *left -= 1;
        if *left == 0 {
            taken.by_address.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_bounded_in_all_and_for_one_address() {
        let seats = ConnectionLimit::new(4, 2);
        let take = |address: &str| seats.take(address.parse().unwrap());
        let mine = [take("192.0.2.1"), take("192.0.2.1")];
        assert!(mine.iter().all(Option::is_some));
        assert!(take("192.0.2.1").is_none());
        let others = [take("192.0.2.2"), take("::1")];
        assert!(others.iter().all(Option::is_some));
        assert!(take("192.0.2.3").is_none());
        drop(mine);
        assert_eq!(
            [take("127.0.0.1"), take("192.0.2.1")]
                .iter()
                .flatten()
                .count(),
            2
        );
        drop(others);
        assert!(seats.is_empty());
        assert!(seats.taken().by_address.is_empty());
    }
}
