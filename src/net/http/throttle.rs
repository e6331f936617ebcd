//! Delaying responses to invalid tokens: after ten per second from one address, each is delayed longer than the last.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The time that one invalid token adds.
const COST: Duration = Duration::from_millis(100);

/// The time without a delay: ten tokens at once.
const ALLOWANCE: Duration = Duration::from_secs(1);

/// The longest delay. A delayed response occupies a connection.
const MAX_DELAY: Duration = Duration::from_secs(5);

/// The most addresses that are stored.
const MAX_ADDRESSES: usize = 4096;

/// For each address, the time until which its added time lasts.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<BTreeMap<IpAddr, Instant>>);

impl Throttle {
    /// Counts an invalid token from `address` and returns the delay of its response.
    pub(super) fn delay(&self, address: IpAddr, now: Instant) -> Duration {
        let mut busy_until = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if busy_until.len() >= MAX_ADDRESSES {
            busy_until.retain(|_, until| *until > now);
        }
        if busy_until.len() >= MAX_ADDRESSES {
            busy_until.pop_first();
        }
        let until = busy_until.entry(network_of(address)).or_insert(now);
        *until = (*until).max(now) + COST;
        *until = (*until).min(now + ALLOWANCE + MAX_DELAY);
        until.duration_since(now).saturating_sub(ALLOWANCE)
    }
}

/// A host with one IPv6 address usually has its whole /64 network, which counts as one.
fn network_of(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let network = u128::from(address) >> 64 << 64;
            IpAddr::V6(network.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_per_second_are_not_delayed_and_then_each_longer_than_the_last() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let delay = |address: &str, after| {
            let address = address.parse().unwrap();
            throttle
                .delay(address, now + Duration::from_millis(after))
                .as_millis()
        };
        let first: Vec<u128> = (0..12).map(|_| delay("2001:db8::1", 0)).collect();
        assert_eq!(first, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 200]);
        assert_eq!(delay("2001:db8::2", 0), 300);
        assert_eq!(delay("192.0.2.1", 0), 0);
        assert_eq!(delay("2001:db8::1", 1_000), 0);
        let waits: Vec<u128> = (0..100).map(|_| delay("192.0.2.2", 0)).collect();
        assert_eq!(waits.iter().max(), Some(&5_000));
    }
}
