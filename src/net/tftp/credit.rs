//! How much is sent to a source address that may be forged.
//!
//! A request without options is answered with the first block at once, which is far larger than the request. Such a client gets it
//! when it has sent enough: a real one repeats its request.

use std::{collections::HashMap, net::SocketAddr, time::Duration};

/// The most bytes that are sent for one byte of requests.
const MAX_AMPLIFICATION: usize = 5;
/// The size of the first block with its header, in bytes.
const FIRST_BLOCK: usize = 516;
/// How long a request counts.
const LIFETIME: Duration = Duration::from_secs(60);
/// The most clients that wait.
const MAX_CLIENTS: usize = 1_024;

/// The bytes that clients may still get.
#[derive(Debug, Default)]
pub(super) struct Credits(HashMap<SocketAddr, (usize, Duration)>);

impl Credits {
    /// Adds a request of this length, and returns whether the first block may be sent now.
    pub(super) fn admits(&mut self, from: SocketAddr, length: usize, now: Duration) -> bool {
        if self.0.len() >= MAX_CLIENTS {
            self.0
                .retain(|_, (_, last)| now.saturating_sub(*last) < LIFETIME);
            if self.0.len() >= MAX_CLIENTS {
                self.0.clear();
            }
        }
        let (credit, last) = self.0.entry(from).or_insert((0, now));
        if now.saturating_sub(*last) >= LIFETIME {
            *credit = 0;
        }
        *last = now;
        *credit += length * MAX_AMPLIFICATION;
        let is_enough = *credit >= FIRST_BLOCK;
        if is_enough {
            *credit -= FIRST_BLOCK;
        }
        is_enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_gets_a_block_for_a_fifth_of_its_size() {
        let mut credits = Credits::default();
        let from = "192.0.2.7:2000".parse().unwrap();
        let request = "\0\x01pxelinux.0\0octet\0".len();
        let (mut sent, mut received) = (0, 0);
        for second in 0..1_000 {
            received += request;
            if credits.admits(from, request, Duration::from_secs(second)) {
                sent += FIRST_BLOCK;
            }
            assert!(sent <= MAX_AMPLIFICATION * received);
        }
        assert!(sent > 4 * received);
        // What was sent long ago does not count.
        let mut credits = Credits::default();
        let late = |number: u64| LIFETIME * number as u32;
        assert!((0..100).all(|number| !credits.admits(from, request, late(number))));
        // Forged addresses take a limited memory.
        for port in 0..60_000 {
            credits.admits(SocketAddr::new(from.ip(), port), request, Duration::ZERO);
            assert!(credits.0.len() <= MAX_CLIENTS);
        }
    }
}
