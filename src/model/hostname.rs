//! Host names (RFC 1123 §2.1, RFC 1035 §2.3.4).

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};

/// A host name, with or without its domain: labels of letters, digits and `-`, at most 63 characters each and 253
/// in total.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hostname(String);

/// Why a text is not a host name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a host name: expected labels of letters, digits and `-` (none first or last), at most 63 characters each"
)]
pub struct HostnameError(pub String);

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

    /// All labels after the first, if there are any.
    pub fn domain(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, domain)| domain)
    }
}

impl FromStr for Hostname {
    type Err = HostnameError;

    fn from_str(text: &str) -> Result<Self, HostnameError> {
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_valid = name.len() <= 253 && name.split('.').all(is_label);
        // A name of digits and dots would be parsed as an address.
        let numeric = name
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'.');
        if is_valid && !numeric {
            Ok(Hostname(name.into()))
        } else {
            Err(HostnameError(text.into()))
        }
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
        for text in ["a", "esx01.lab.example", "3com.example", "x-y.example."] {
            assert!(text.parse::<Hostname>().is_ok(), "{text}");
        }
        let long = "a".repeat(64);
        for text in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a_b",
            "ä",
            "192.0.2.1",
            "42",
            &long,
            "a b",
        ] {
            assert_eq!(text.parse::<Hostname>(), Err(HostnameError(text.into())));
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
