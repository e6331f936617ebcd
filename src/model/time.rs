//! Points in time. The core never reads a clock: the caller passes the time.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A time of the wall clock: milliseconds since 1970-01-01T00:00:00Z. The clock may jump, so this is for display;
/// formatted as RFC 3339 with milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(pub i64);

/// A time of the monotonic clock: milliseconds since an arbitrary point of this run. Deadlines and delays use it.
/// It may be negative: an attempt that an earlier run opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct MonotonicTime(pub i64);

/// The time of both clocks at one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Now {
    pub wall: Timestamp,
    pub mono: MonotonicTime,
}

impl Timestamp {
    /// Whether it is 1970-01-01T00:00:00Z, which no event has.
    pub fn is_zero(&self) -> bool {
        self.0 == 0
    }

    /// The time since `earlier`; zero if the clock was set back meanwhile.
    pub fn since(self, earlier: Timestamp) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }
}

impl MonotonicTime {
    /// The time since `earlier`; zero if `earlier` is later.
    pub fn since(self, earlier: MonotonicTime) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0).max(0) as u64)
    }

    /// Returns the time `span` later.
    pub fn after(self, span: Duration) -> MonotonicTime {
        MonotonicTime(
            self.0
                .saturating_add(i64::try_from(span.as_millis()).unwrap_or(i64::MAX)),
        )
    }
}

impl Now {
    /// Converts an earlier time `at` of the wall clock to the monotonic clock; at the latest the present.
    pub fn earlier(self, at: Timestamp) -> MonotonicTime {
        let age = i64::try_from(self.wall.since(at).as_millis()).unwrap_or(i64::MAX);
        MonotonicTime(self.mono.0.saturating_sub(age))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(at) => write!(f, "{at:.3}"),
            Err(_) => write!(f, "{} ms", self.0),
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl FromStr for Timestamp {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let at: jiff::Timestamp = text.parse()?;
        Ok(Timestamp(at.as_millisecond()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_rfc_3339_with_milliseconds() {
        let at = Timestamp(1_795_348_800_120);
        assert_eq!(at.to_string(), "2026-11-22T12:00:00.120Z");
        let json = serde_json::to_string(&at).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), at);
    }
}
