//! Addresses, subnets and ranges of both families.

use std::{fmt, net::IpAddr, str::FromStr};

use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A subnet: `192.0.2.0/24`, `2001:db8::/64`. Host bits must be zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subnet(pub IpNet);

/// An address of one machine, with or without its prefix length: `192.0.2.10/24`, `192.0.2.10`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostAddress {
    pub ip: IpAddr,
    /// The prefix length in bits. If unset, that of the network that contains the address applies.
    pub prefix: Option<u8>,
}

/// A range of addresses, both ends included: `192.0.2.100-192.0.2.150`, one address, or a CIDR.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressRange {
    pub first: IpAddr,
    /// Of the same family as the first, and not before it.
    pub last: IpAddr,
}

/// Why a text is invalid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    #[error("`{0}` is not a subnet: expected such as `192.0.2.0/24` or `2001:db8::/64`")]
    Subnet(String),
    /// A subnet whose host bits are not zero.
    #[error("`{0}` has bits set beyond its prefix: the subnet is `{1}`")]
    HostBits(String, IpNet),
    #[error("`{0}` is not an address: expected such as `192.0.2.10` or `192.0.2.10/24`")]
    Host(String),
    #[error("`{0}` is not a range: expected such as `192.0.2.100-192.0.2.150`")]
    Range(String),
}

impl AddressRange {
    /// Whether the range contains `ip`.
    pub fn contains(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.first.is_ipv4() && self.first <= ip && ip <= self.last
    }
}

impl HostAddress {
    /// Returns the address with its own prefix length, otherwise with `prefix`.
    pub fn within(self, prefix: u8) -> Option<IpNet> {
        IpNet::new(self.ip, self.prefix.unwrap_or(prefix)).ok()
    }
}

impl FromStr for Subnet {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let net: IpNet = text
            .parse()
            .map_err(|_| AddressError::Subnet(text.into()))?;
        if net.addr() == net.network() {
            Ok(Subnet(net))
        } else {
            Err(AddressError::HostBits(text.into(), net.trunc()))
        }
    }
}

impl FromStr for HostAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        if let Ok(ip) = text.parse() {
            return Ok(HostAddress { ip, prefix: None });
        }
        let net: IpNet = text.parse().map_err(|_| AddressError::Host(text.into()))?;
        Ok(HostAddress {
            ip: net.addr(),
            prefix: Some(net.prefix_len()),
        })
    }
}

impl FromStr for AddressRange {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let wrong = || AddressError::Range(text.into());
        let (first, last) = match text.split_once('-') {
            Some((first, last)) => (
                first.trim().parse().map_err(|_| wrong())?,
                last.trim().parse().map_err(|_| wrong())?,
            ),
            None => match text.parse::<IpNet>() {
                Ok(net) => (net.network(), net.broadcast()),
                Err(_) => text
                    .parse()
                    .map(|ip: IpAddr| (ip, ip))
                    .map_err(|_| wrong())?,
            },
        };
        let is_valid = first.is_ipv4() == last.is_ipv4() && first <= last;
        is_valid
            .then_some(AddressRange { first, last })
            .ok_or_else(wrong)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for HostAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix {
            Some(prefix) => write!(f, "{}/{prefix}", self.ip),
            None => self.ip.fmt(f),
        }
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            self.first.fmt(f)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

macro_rules! as_text {
    ($($type:ident)*) => {$(
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

as_text! { Subnet HostAddress AddressRange }

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subnet_with_host_bits_names_the_subnet() {
        let error = "192.0.2.1/24".parse::<Subnet>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`192.0.2.1/24` has bits set beyond its prefix: the subnet is `192.0.2.0/24`"
        );
    }

    #[test]
    fn a_range_contains_both_ends() {
        let range: AddressRange = "192.0.2.100-192.0.2.150".parse().unwrap();
        for (ip, inside) in [
            ("192.0.2.99", false),
            ("192.0.2.100", true),
            ("192.0.2.150", true),
            ("192.0.2.151", false),
            ("::1", false),
        ] {
            assert_eq!(range.contains(ip.parse().unwrap()), inside, "{ip}");
        }
        for text in ["192.0.2.150-192.0.2.100", "192.0.2.1-::1", "x"] {
            assert_eq!(
                text.parse::<AddressRange>(),
                Err(AddressError::Range(text.into()))
            );
        }
    }
}
