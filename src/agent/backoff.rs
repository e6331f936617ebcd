//! How long to wait before something is tried again.

use std::time::Duration;

use rustix::rand::GetRandomFlags;

/// The longest pause after a failure.
const LONGEST: Duration = Duration::from_secs(60);

/// The pause after so many failures in a row: a second, then twice as long each time.
pub(super) fn after(failures: u32) -> Duration {
    let seconds = 2_u64.saturating_pow(failures.saturating_sub(1).min(6));
    Duration::from_secs(seconds).min(LONGEST)
}

/// A pause and up to a fifth more, so that machines that were switched on together do not ask together. `chance` is any number.
pub(super) fn spread(pause: Duration, chance: u32) -> Duration {
    pause + (pause / 5).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

/// Any number. It need not be one that nobody can guess: a machine that has just started would wait for those.
pub(super) fn chance() -> u32 {
    let mut bytes = [0; 4];
    // Without chance machines ask together, which a server bears.
    match rustix::rand::getrandom(&mut bytes, GetRandomFlags::INSECURE) {
        Ok(_) => u32::from_ne_bytes(bytes),
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_have_an_end() {
        let pauses: Vec<_> = (1..10).map(|failures| after(failures).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(after(u32::MAX), LONGEST);
    }

    #[test]
    fn a_fifth_is_added_at_most() {
        let pause = Duration::from_secs(30);
        assert_eq!(spread(pause, 0), pause);
        assert_eq!(spread(pause, u32::MAX), Duration::from_secs(36));
    }
}
