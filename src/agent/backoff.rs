//! Delays before a retry.

use std::time::Duration;

use rustix::rand::GetRandomFlags;

/// The longest delay after a failure.
const MAX_DELAY: Duration = Duration::from_secs(60);

/// The delay after this many consecutive failures: one second, doubled each time.
pub(super) fn after(failures: u32) -> Duration {
    let seconds = 2_u64.saturating_pow(failures.saturating_sub(1).min(6));
    Duration::from_secs(seconds).min(MAX_DELAY)
}

/// Adds up to a fifth to a delay, so that machines that were powered on together do not poll together. `random` is any number.
pub(super) fn with_jitter(delay: Duration, random: u32) -> Duration {
    delay + (delay / 5).mul_f64(f64::from(random) / f64::from(u32::MAX))
}

/// A random number that need not be unpredictable: for secure ones, a machine that has just started would have to wait.
pub(super) fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without random numbers machines poll together, which the server can handle.
    match rustix::rand::getrandom(&mut bytes, GetRandomFlags::INSECURE) {
        Ok(_) => u32::from_ne_bytes(bytes),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_maximum() {
        let delays: Vec<_> = (1..10).map(|failures| after(failures).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(after(u32::MAX), MAX_DELAY);
    }

    #[test]
    fn jitter_adds_at_most_a_fifth() {
        let delay = Duration::from_secs(30);
        assert_eq!(with_jitter(delay, 0), delay);
        assert_eq!(with_jitter(delay, u32::MAX), Duration::from_secs(36));
    }
}
