//! Wrong tokens come slowly: past ten a second from one address each is answered later than the one before.

use std::{
    collections::BTreeMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The time that one wrong token costs.
const COST: Duration = Duration::from_millis(100);

/// Costs up to this are forgiven: ten tokens at once.
const FORGIVEN: Duration = Duration::from_secs(1);

/// Nobody waits longer: what waits holds a connection.
const LONGEST: Duration = Duration::from_secs(5);

/// Addresses that are remembered.
const MOST: usize = 4096;

/// What each address still has to pay, as the moment when it is paid.
#[derive(Debug, Default)]
pub(super) struct Throttle(Mutex<BTreeMap<IpAddr, Instant>>);

impl Throttle {
    /// Counts a wrong token from `address` and returns how long its answer has to wait.
    pub(super) fn wrong(&self, address: IpAddr, now: Instant) -> Duration {
        let mut paid = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if paid.len() >= MOST {
            paid.retain(|_, at| *at > now);
        }
        if paid.len() >= MOST {
            paid.pop_first();
        }
        let at = paid.entry(whose(address)).or_insert(now);
        *at = (*at).max(now) + COST;
        *at = (*at).min(now + FORGIVEN + LONGEST);
        at.duration_since(now).saturating_sub(FORGIVEN)
    }
}

/// Whoever has one IPv6 address has the 64 bits after its network too.
fn whose(address: IpAddr) -> IpAddr {
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
    fn ten_a_second_are_free_and_then_each_waits_longer_than_the_last() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let wrong = |address: &str, after| {
            let address = address.parse().unwrap();
            throttle
                .wrong(address, now + Duration::from_millis(after))
                .as_millis()
        };
        let first: Vec<u128> = (0..12).map(|_| wrong("2001:db8::1", 0)).collect();
        assert_eq!(first, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 200]);
        assert_eq!(wrong("2001:db8::2", 0), 300);
        assert_eq!(wrong("192.0.2.1", 0), 0);
        assert_eq!(wrong("2001:db8::1", 1_000), 0);
        let waits: Vec<u128> = (0..100).map(|_| wrong("192.0.2.2", 0)).collect();
        assert_eq!(waits.iter().max(), Some(&5_000));
    }
}
