//! Limiting the number of connections, in total and per address.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The connections of one listener.
#[derive(Debug)]
pub(super) struct ConnectionLimit {
    max: usize,
    max_per_address: usize,
    open: Mutex<OpenConnections>,
}

#[derive(Debug, Default)]
struct OpenConnections {
    total: usize,
    by_address: BTreeMap<IpAddr, usize>,
}

/// The permit of a connection. Dropping it releases it.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    limit: Arc<ConnectionLimit>,
    address: IpAddr,
}

impl ConnectionLimit {
    pub(super) fn new(max: usize, max_per_address: usize) -> Arc<ConnectionLimit> {
        Arc::new(ConnectionLimit {
            max,
            max_per_address,
            open: Mutex::default(),
        })
    }

    /// Returns a permit for `address`; none when the total or this address is at its limit. Loopback has no limit per
    /// address, because tunnels and proxies connect from there.
    pub(super) fn acquire(self: &Arc<Self>, address: IpAddr) -> Option<ConnectionPermit> {
        let mut open = self.open();
        let of_address = open.by_address.get(&address).copied().unwrap_or_default();
        let at_limit = !address.is_loopback() && of_address >= self.max_per_address;
        if open.total >= self.max || at_limit {
            return None;
        }
        open.total += 1;
        open.by_address.insert(address, of_address + 1);
        Some(ConnectionPermit {
            limit: self.clone(),
            address,
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.open().total == 0
    }

    fn open(&self) -> MutexGuard<'_, OpenConnections> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut open = self.limit.open();
        open.total -= 1;
        let count = open.by_address.get_mut(&self.address);
        let count = count.expect("a permit is counted for its address");
        *count -= 1;
        if *count == 0 {
            open.by_address.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_limited_in_total_and_per_address() {
        let limit = ConnectionLimit::new(4, 2);
        let acquire = |address: &str| limit.acquire(address.parse().unwrap());
        let first = [acquire("192.0.2.1"), acquire("192.0.2.1")];
        assert!(first.iter().all(Option::is_some));
        assert!(acquire("192.0.2.1").is_none());
        let others = [acquire("192.0.2.2"), acquire("::1")];
        assert!(others.iter().all(Option::is_some));
        assert!(acquire("192.0.2.3").is_none());
        drop(first);
        assert_eq!(
            [acquire("127.0.0.1"), acquire("192.0.2.1")]
                .iter()
                .flatten()
                .count(),
            2
        );
        drop(others);
        assert!(limit.is_empty());
        assert!(limit.open().by_address.is_empty());
    }
}
