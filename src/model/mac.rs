//! MAC addresses (EUI-48).

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A MAC address. Written as `00:50:56:aa:bb:01`; parsed with colons, hyphens, dots or no separators, because
/// firmware, switches and iPXE use different forms.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

/// Why a text is not a MAC address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MacError {
    #[error(
        "`{0}` is not a MAC address: expected six hexadecimal pairs such as `00:50:56:aa:bb:01`"
    )]
    Invalid(String),
    /// The 20 octets of an IPoIB device (RFC 4391 section 9.1.1), or the eight of a port.
    #[error(
        "`{0}` is an InfiniBand address, which no NIC here can have: identify the machine by the `mac` of an Ethernet NIC, by `serial`, `uuid` or `asset`, and set up the InfiniBand device in a script of `first-boot`"
    )]
    InfiniBand(String),
}

impl Mac {
    /// Returns the form with hyphens, as used by iPXE's `hexhyp`, `BOOTIF=01-…` and ESXi's directories.
    pub fn hyphens(self) -> String {
        text(&self.bytes(b'-')).into()
    }

    /// Returns the ASCII text with this separator.
    fn bytes(self, separator: u8) -> [u8; 17] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut bytes = [separator; 17];
        for (pair, byte) in bytes.chunks_mut(3).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 0xf)];
        }
        bytes
    }

    /// Whether it can be the address of one NIC: neither all zeros nor a group address (which includes all ones).
    pub fn is_unicast(self) -> bool {
        self.0 != [0; 6] && self.0[0] & 1 == 0
    }
}

impl FromStr for Mac {
    type Err = MacError;

    fn from_str(text: &str) -> Result<Self, MacError> {
        let wrong = || match is_infiniband(text) {
            true => MacError::InfiniBand(text.into()),
            false => MacError::Invalid(text.into()),
        };
        let digits: Vec<u8> = match text.len() {
            17 if has_separators(text, b":-", 3) => without_separators(text),
            14 if has_separators(text, b".", 5) => without_separators(text),
            12 => text.bytes().collect(),
            _ => return Err(wrong()),
        };
        let mut mac = [0; 6];
        for (byte, pair) in mac.iter_mut().zip(digits.chunks(2)) {
            *byte = hex(pair[0])
                .zip(hex(pair[1]))
                .map(|(high, low)| high << 4 | low)
                .ok_or_else(wrong)?;
        }
        Ok(Mac(mac))
    }
}

/// Whether every `step`th byte of `text` is the same one of `allowed`.
fn has_separators(text: &str, allowed: &[u8], step: usize) -> bool {
    let bytes = text.as_bytes();
    let separator = bytes[step - 1];
    allowed.contains(&separator)
        && (step - 1..bytes.len())
            .step_by(step)
            .all(|at| bytes[at] == separator)
}

/// Whether a text is 20 octets, or eight: the address of an IPoIB device, or the GUID of a port.
fn is_infiniband(text: &str) -> bool {
    let digits: Vec<u8> = text.bytes().filter(|byte| !b":-.".contains(byte)).collect();
    [16, 40].contains(&digits.len()) && digits.iter().all(u8::is_ascii_hexdigit)
}

fn without_separators(text: &str) -> Vec<u8> {
    text.bytes()
        .filter(|byte| !b":-.".contains(byte))
        .chain([b'-'; 12])
        .take(12)
        .collect()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

fn text(bytes: &[u8; 17]) -> &str {
    str::from_utf8(bytes).expect("digits and separators are ASCII")
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(text(&self.bytes(b':')))
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_usual_spelling_is_the_same_address() {
        let mac = Mac([0x00, 0x50, 0x56, 0xaa, 0xbb, 0x01]);
        for text in [
            "00:50:56:aa:bb:01",
            "00-50-56-AA-BB-01",
            "0050.56aa.bb01",
            "005056AABB01",
        ] {
            assert_eq!(text.parse(), Ok(mac), "{text}");
        }
        assert_eq!(mac.to_string(), "00:50:56:aa:bb:01");
        assert_eq!(mac.hyphens(), "00-50-56-aa-bb-01");
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "00:50:56:aa:bb",
            "00:50:56:aa:bb:0g",
            "00:50-56:aa:bb:01",
            "00::0:56:aa:bb:01",
            "é0:50:56:aa:bb:0",
        ] {
            assert_eq!(text.parse::<Mac>(), Err(MacError::Invalid(text.into())));
        }
    }

    #[test]
    fn an_infiniband_address_is_named_as_one() {
        for text in [
            "80:00:02:08:fe:80:00:00:00:00:00:00:7c:fe:90:03:00:29:1b:8b",
            "80000208FE80000000000000-7CFE-9003-0029-1B8B",
            "7c:fe:90:03:00:29:1b:8b",
            "7cfe:9003:0029:1b8b",
        ] {
            assert_eq!(
                text.parse::<Mac>(),
                Err(MacError::InfiniBand(text.into())),
                "{text}"
            );
        }
    }

    #[test]
    fn zeros_and_groups_are_not_unicast() {
        for (mac, unicast) in [
            ([0; 6], false),
            ([0xff; 6], false),
            ([1, 0, 0x5e, 0, 0, 1], false),
            ([2, 0, 0, 0, 0, 1], true),
        ] {
            assert_eq!(Mac(mac).is_unicast(), unicast, "{:?}", Mac(mac));
        }
    }
}
