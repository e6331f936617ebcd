//! Both clocks of this process.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::model::{Mono, Now, Timestamp};

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
            mono: Mono(self.0.elapsed().as_millis() as i64),
        }
    }
}
