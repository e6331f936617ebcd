//! DHCP options that a site adds to the answers on a network: their keys, and their values as written.
//!
//! [`DhcpOptionSetting::encode`] checks a value against the type of its option. An option that the server itself sets, or that
//! belongs to the protocol, is not a key.

mod encode;
mod table;

use std::{fmt, net::Ipv4Addr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{List, OptionText, Spanned};

pub use encode::{DhcpOptionError, MAX_OPTION_BYTES, SiteOption, SiteOptionValue};
pub use table::{DHCP_OPTIONS, DhcpOptionType};

/// The name or the number of an option, as written.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DhcpOptionKey {
    pub code: u8,
    text: String,
}

/// Why a text is not the key of an option.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DhcpOptionKeyError {
    #[error("`{0}` is not a DHCP option")]
    UnknownName(String),
    #[error("`{0}` is not the number of a DHCP option: expected 1 to 254")]
    OutOfRange(String),
    /// Another key of the configuration sets it.
    #[error("DHCP option {0} (`{1}`) is not set here: use {2}")]
    SetByKey(u8, &'static str, &'static str),
    #[error("DHCP option {0} (`{1}`) belongs to the protocol: clients and the server set it")]
    Protocol(u8, &'static str),
}

impl DhcpOptionKey {
    /// The type of its values, if the option is in the table.
    pub fn value_type(&self) -> Option<DhcpOptionType> {
        table::value_type(self.code)
    }
}

impl FromStr for DhcpOptionKey {
    type Err = DhcpOptionKeyError;

    fn from_str(text: &str) -> Result<Self, DhcpOptionKeyError> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let code = match is_number {
            true => text.parse().ok().filter(|code| (1..=254).contains(code)),
            false => table::code(text),
        };
        let Some(code) = code else {
            return Err(match is_number {
                true => DhcpOptionKeyError::OutOfRange(text.into()),
                false => DhcpOptionKeyError::UnknownName(text.into()),
            });
        };
        match table::reserved(code) {
            None => Ok(DhcpOptionKey {
                code,
                text: text.into(),
            }),
            Some((name, "")) => Err(DhcpOptionKeyError::Protocol(code, name)),
            Some((name, key)) => Err(DhcpOptionKeyError::SetByKey(code, name, key)),
        }
    }
}

impl fmt::Display for DhcpOptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl Serialize for DhcpOptionKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for DhcpOptionKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(|error| match error {
            DhcpOptionKeyError::UnknownName(name) => {
                de::Error::unknown_field(&name, &table::DHCP_OPTION_NAMES)
            }
            other => de::Error::custom(other),
        })
    }
}

/// The value of an option. One that is written without a table is its `value`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
pub struct DhcpOptionSetting {
    /// The value, of the type that the option has.
    pub value: Option<List<OptionText>>,
    /// The bytes of a text.
    pub text: Option<Spanned<String>>,
    /// Bytes in hexadecimal: `01:a4:00`.
    pub hex: Option<Spanned<String>>,
    /// IPv4 addresses, four bytes each.
    pub address: Option<List<Ipv4Addr>>,
    /// Numbers of one byte each.
    pub u8: Option<List<u8>>,
    /// Numbers of two bytes each.
    pub u16: Option<List<u16>>,
    /// Numbers of four bytes each.
    pub u32: Option<List<u32>>,
    /// Whether it is sent to clients that do not request it, too.
    pub always: Option<Spanned<bool>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_is_either_a_key_or_set_by_another_key_or_by_the_protocol() {
        for (text, expected) in [
            ("time-offset", "2"),
            ("2", "2"),
            ("224", "224"),
            ("254", "254"),
            (
                "0",
                "`0` is not the number of a DHCP option: expected 1 to 254",
            ),
            (
                "255",
                "`255` is not the number of a DHCP option: expected 1 to 254",
            ),
            ("", "`` is not a DHCP option"),
            ("tftp", "`tftp` is not a DHCP option"),
            (
                "3",
                "DHCP option 3 (`routers`) is not set here: use `gateway` of the network",
            ),
            (
                "routers",
                "DHCP option 3 (`routers`) is not set here: use `gateway` of the network",
            ),
            (
                "53",
                "DHCP option 53 (`dhcp-message-type`) belongs to the protocol: clients and the server set it",
            ),
        ] {
            let found = match text.parse::<DhcpOptionKey>() {
                Ok(key) => key.code.to_string(),
                Err(error) => error.to_string(),
            };
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn no_option_is_in_both_tables_or_twice_in_one() {
        let mut codes: Vec<u8> = DHCP_OPTIONS.iter().map(|(code, ..)| *code).collect();
        codes.extend(table::RESERVED.iter().map(|(code, ..)| *code));
        let count = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), count);
        assert!(DHCP_OPTIONS.is_sorted_by_key(|(code, ..)| *code));
    }
}
