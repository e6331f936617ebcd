//! Host names (RFC 1123 §2.1, RFC 1035 §2.3.4).

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// A host name, with or without its domain: labels of letters, digits and `-`, at most 63 characters each and 253
/// in total.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hostname(String);

/// Why a text is not a host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostnameError {
    #[error(
        "`{0}` is not a host name: expected labels of letters, digits and `-` (none first or last), at most 63 characters each"
    )]
    Malformed(String),
    #[error("`{0}` is not a host name: programs would read it as an address")]
    Address(String),
    #[error("a host name of {0} characters: at most 253 are allowed")]
    Long(usize),
    /// By RFC 6761 §6.3 it always is the machine that asks. systemd and Anaconda treat it as no name.
    #[error("`{0}` cannot be the host name of a machine: every machine uses it for itself")]
    Loopback(String),
}

impl Hostname {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first label.
    pub fn short(&self) -> &str {
        self.0
            .split('.')
            .next()
            .expect("a split yields at least one part")
    }

    /// Whether it is a name that every machine has for itself.
    pub fn is_loopback(&self) -> bool {
        let labels = || self.0.split('.');
        let is_localhost = |label: &str| label.eq_ignore_ascii_case("localhost");
        labels().next().is_some_and(is_localhost) || labels().next_back().is_some_and(is_localhost)
    }

    /// All labels after the first, if there are any.
    pub fn domain(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, domain)| domain)
    }
}

impl FromStr for Hostname {
    type Err = HostnameError;

    fn from_str(text: &str) -> Result<Self, HostnameError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if !name.split('.').all(is_label) {
            return Err(HostnameError::Malformed(text.into()));
        }
        if name.split('.').all(is_number) {
            return Err(HostnameError::Address(text.into()));
        }
        match name.len() {
            0..=MAX_LENGTH => Ok(Hostname(name.into())),
            length => Err(HostnameError::Long(length)),
        }
    }
}

/// The maximum length of a whole name, in characters: 255 octets in a message of DNS.
const MAX_LENGTH: usize = 253;

/// Whether `inet_aton` reads a label as a number. It accepts one to four of them, decimal, octal or hexadecimal.
fn is_number(label: &str) -> bool {
    let hexadecimal = label.strip_prefix("0x").or(label.strip_prefix("0X"));
    match hexadecimal {
        Some(digits) => digits.bytes().all(|byte| byte.is_ascii_hexdigit()),
        None => label.bytes().all(|byte| byte.is_ascii_digit()),
    }
}

fn is_label(label: &str) -> bool {
    let inner = label
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    inner && (1..=63).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
}

impl fmt::Display for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Hostname {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for Hostname {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rfc_1123_pass_and_others_do_not() {
        let label = "a".repeat(63);
        let longest = [label.as_str(); 4].join(".")[..253].to_string();
        for text in [
            "a",
            "esx01.lab.example",
            "3com.example",
            "x-y.example.",
            "WEB01",
            "42.lab.example",
            "1e5",
            "0xg",
            "xn--bcher-kva.example",
            &label,
            &longest,
        ] {
            let name = text.parse::<Hostname>().unwrap();
            assert_eq!(name.as_str(), text.trim_end_matches('.'));
        }
        let long = "a".repeat(64);
        for text in [
            "", ".", "a..b", "a..", ".a", "-a", "a-", "a.-b", "a_b", "ä", &long, "a b", "a\n",
        ] {
            let error = HostnameError::Malformed(text.into());
            assert_eq!(text.parse::<Hostname>(), Err(error));
        }
        for text in [
            "192.0.2.1",
            "42",
            "1.2",
            "0x7f000001",
            "0X10.1",
            "010.1.1.1",
        ] {
            let error = HostnameError::Address(text.into());
            assert_eq!(text.parse::<Hostname>(), Err(error));
        }
        let over = format!("{longest}a");
        assert_eq!(over.parse::<Hostname>(), Err(HostnameError::Long(254)));
    }

    #[test]
    fn localhost_is_the_name_of_every_machine() {
        for (text, is) in [
            ("localhost", true),
            ("LOCALHOST.", true),
            ("localhost.lab.example", true),
            ("web.localhost", true),
            ("localhost1", false),
            ("web.localdomain", false),
        ] {
            assert_eq!(
                text.parse::<Hostname>().unwrap().is_loopback(),
                is,
                "{text}"
            );
        }
    }

    #[test]
    fn a_name_splits_into_its_first_label_and_its_domain() {
        let name: Hostname = "esx01.lab.example".parse().unwrap();
        assert_eq!(
            (name.short(), name.domain()),
            ("esx01", Some("lab.example"))
        );
    }
}
