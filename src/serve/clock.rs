//! Both clocks of this process.

use std::{
    io,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use crate::model::{MonotonicTime, Now, Timestamp};

/// Reads both clocks; the monotonic one counts from here.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Clock(Instant::now())
    }

    pub(crate) fn now(self) -> Now {
        // A clock before 1970 is wrong anyway; it then reads as 1970.
        let wall = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            wall: Timestamp(wall.as_millis() as i64),
            mono: MonotonicTime(self.0.elapsed().as_millis() as i64),
        }
    }
}

/// Tells whether something keeps the wall clock right, as the kernel was told (adjtimex(2)).
#[expect(
    unsafe_code,
    reason = "adjtimex(2) has no safe wrapper; it fills one structure of numbers"
)]
pub(crate) fn is_synchronised() -> io::Result<bool> {
    // SAFETY: all zeros is a value of this structure of numbers; no mode means that nothing is changed.
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: it lives while the call fills it.
    match unsafe { libc::adjtimex(&raw mut timex) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(timex.status & libc::STA_UNSYNC == 0),
    }
}
