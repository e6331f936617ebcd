//! The wall clock and the monotonic clock.

use std::{
    io,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crate::model::{MonotonicTime, Now, Timestamp};

/// Reads both clocks. The monotonic time counts from [`Clock::start`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Clock(Instant::now())
    }

    pub(crate) fn now(self) -> Now {
        // A time before 1970 is wrong anyway and counts as 1970.
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            wall: Timestamp(wall.as_millis() as i64),
            mono: MonotonicTime(self.0.elapsed().as_millis() as i64),
        }
    }
}

/// Returns whether the kernel's clock is synchronised (adjtimex(2)).
#[expect(
    unsafe_code,
    reason = "adjtimex(2) has no safe wrapper; it fills one structure of numbers"
)]
pub(crate) fn is_synchronised() -> io::Result<bool> {
    // SAFETY: all zeros is a value of this structure of numbers; no mode means that nothing is changed.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `timex` is valid for the duration of the call.
    match unsafe { libc::adjtimex(&raw mut timex) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(timex.status & libc::STA_UNSYNC == 0),
    }
}
