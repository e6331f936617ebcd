//! A range of UDP ports.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use serde::{Deserialize, Serialize};

/// Ports that another host has to guess, both ends included: `50000-59999`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PortRange {
    first: u16,
    last: u16,
}

/// Why a text is not such a range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortRangeError {
    #[error("`{0}` is not a range of ports: expected such as `50000-59999`")]
    Text(String),
    #[error("`{0}` has ports below {least}, which other services use", least = PortRange::LEAST)]
    Privileged(String),
    #[error("`{0}` has {1} ports, which can be guessed: expected at least {least}", least = PortRange::FEWEST)]
    Count(String, u32),
}

impl PortRange {
    const LEAST: u16 = 1024;
    /// An acknowledgement to each of them is 4 KiB: more than a fifth of what the transfer at one of them then sends.
    const FEWEST: u32 = 1024;

    pub fn ports(self) -> RangeInclusive<u16> {
        self.first..=self.last
    }
}

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        let wrong = || PortRangeError::Text(text.into());
        let (first, last) = text.split_once('-').ok_or_else(wrong)?;
        let first: u16 = first.trim().parse().map_err(|_| wrong())?;
        let last: u16 = last.trim().parse().map_err(|_| wrong())?;
        if first > last {
            return Err(wrong());
        }
        if first < PortRange::LEAST {
            return Err(PortRangeError::Privileged(text.into()));
        }
        let count = u32::from(last - first) + 1;
        if count < PortRange::FEWEST {
            return Err(PortRangeError::Count(text.into(), count));
        }
        Ok(PortRange { first, last })
    }
}

impl TryFrom<String> for PortRange {
    type Error = PortRangeError;

    fn try_from(text: String) -> Result<Self, PortRangeError> {
        text.parse()
    }
}

impl From<PortRange> for String {
    fn from(range: PortRange) -> String {
        range.to_string()
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_both_ends_and_enough_ports() {
        let range: PortRange = " 50000 - 59999".parse().unwrap();
        assert_eq!(
            (range.ports().len(), &*range.to_string()),
            (10_000, "50000-59999")
        );
        let text = |text: &str| PortRangeError::Text(text.into());
        let count = |text: &str, count| PortRangeError::Count(text.into(), count);
        for (range, error) in [
            ("", text("")),
            ("50000", text("50000")),
            ("59999-50000", text("59999-50000")),
            ("50000-", text("50000-")),
            ("65000-65536", text("65000-65536")),
            ("69-2000", PortRangeError::Privileged("69-2000".into())),
            ("50000-51022", count("50000-51022", 1_023)),
        ] {
            assert_eq!(range.parse::<PortRange>(), Err(error));
        }
    }
}
