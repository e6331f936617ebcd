//! The long form of a node's network: interfaces, bonds, VLANs, bridges.

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{HostAddress, List, Mac, NetworkName, Spanned, Subnet};

/// The name of a network device on the installed system, at most 15 bytes (Linux, IFNAMSIZ).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct LinkName(String);

/// Why a text is not a device name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a device name: expected 1 to 15 letters, digits, `-`, `_` or `.`")]
pub struct LinkNameError(String);

impl LinkName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for LinkName {
    type Err = LinkNameError;

    fn from_str(text: &str) -> Result<Self, LinkNameError> {
        let inner = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        let is_valid = inner && (1..=15).contains(&text.len()) && text != "." && text != "..";
        if is_valid {
            Ok(LinkName(text.into()))
        } else {
            Err(LinkNameError(text.into()))
        }
    }
}

impl std::borrow::Borrow<str> for LinkName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LinkName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for LinkName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

/// A value of a bond's option: text, a whole number or a boolean. [`crate::site`] checks it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OptionText(String);

impl OptionText {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<'de> Deserialize<'de> for OptionText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OptionTextVisitor)
    }
}

struct OptionTextVisitor;

impl de::Visitor<'_> for OptionTextVisitor {
    type Value = OptionText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a whole number, or true or false")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<OptionText, E> {
        Ok(OptionText(text.into()))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<OptionText, E> {
        Ok(OptionText(value.to_string()))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<OptionText, E> {
        Ok(OptionText(number.to_string()))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<OptionText, E> {
        Ok(OptionText(number.to_string()))
    }
}

macro_rules! links {
    ($($(#[$doc:meta])* $name:ident { $($(#[$own_doc:meta])* $own:ident: $own_type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
        #[serde(default, rename_all = "kebab-case", deny_unknown_fields)]
        pub struct $name {
            $($(#[$own_doc])* pub $own: $own_type,)*
            /// The network of this link; optional if its address is in exactly one.
            pub network: Option<Spanned<NetworkName>>,
            /// Static addresses of both families.
            pub address: Option<List<HostAddress>>,
            /// Default gateways, at most one per family.
            pub gateway: Option<List<IpAddr>>,
            /// Further routes.
            pub routes: Option<List<Route>>,
            /// DNS servers.
            pub dns: Option<List<IpAddr>>,
            /// DNS search domains.
            pub search: Option<List<String>>,
            /// The largest packet in bytes.
            pub mtu: Option<Spanned<u32>>,
            /// Whether the link gets its address by DHCP.
            pub dhcp: Option<Spanned<bool>>,
            /// Whether its gateways and next hops may be outside of its subnets.
            pub on_link: Option<Spanned<bool>>,
        }

        impl $name {
            /// The settings of this link that every kind of link has.
            pub fn settings(&self) -> LinkSettings<'_> {
                LinkSettings {
                    network: self.network.as_ref(),
                    address: self.address.as_ref(),
                    gateway: self.gateway.as_ref(),
                    routes: self.routes.as_ref(),
                    dns: self.dns.as_ref(),
                    search: self.search.as_ref(),
                    mtu: self.mtu.as_ref(),
                    dhcp: self.dhcp.as_ref(),
                    on_link: self.on_link.as_ref(),
                }
            }
        }
    )*};
}

/// The settings that every kind of link has.
#[derive(Debug, Clone, Copy)]
pub struct LinkSettings<'a> {
    pub network: Option<&'a Spanned<NetworkName>>,
    pub address: Option<&'a List<HostAddress>>,
    pub gateway: Option<&'a List<IpAddr>>,
    pub routes: Option<&'a List<Route>>,
    pub dns: Option<&'a List<IpAddr>>,
    pub search: Option<&'a List<String>>,
    pub mtu: Option<&'a Spanned<u32>>,
    pub dhcp: Option<&'a Spanned<bool>>,
    pub on_link: Option<&'a Spanned<bool>>,
}

links! {
    /// A NIC.
    Interface {
        mac: Option<Spanned<Mac>>,
        /// Its name on the installed system.
        name: Option<Spanned<LinkName>>,
    }
    /// Several NICs as one link. Its name is its key.
    Bond {
        /// The kernel's name of the mode: `802.3ad`, `active-backup`, `balance-rr`, …
        mode: Option<Spanned<String>>,
        /// The MAC addresses, or names, of its NICs.
        ports: Option<List<String>>,
        /// Further options of the kernel's driver, such as `miimon` and `lacp_rate`.
        options: BTreeMap<String, List<OptionText>>,
    }
    /// A VLAN on another link. Its name is its key.
    Vlan {
        /// The link below it: the name of an interface, bond or bridge, or a MAC address.
        on: Option<Spanned<String>>,
        /// The tag, 1 to 4094 (IEEE 802.1Q).
        id: Option<Spanned<u16>>,
    }
    /// A bridge over other links. Its name is its key.
    Bridge {
        /// The names, or MAC addresses, of its ports.
        ports: Option<List<String>>,
        /// Whether it uses the spanning tree protocol.
        stp: Option<Spanned<bool>>,
    }
}

/// A route other than the default one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Route {
    /// The destination.
    pub to: Spanned<Subnet>,
    /// The next hop.
    pub via: Spanned<IpAddr>,
    /// A lower metric is preferred.
    #[serde(default)]
    pub metric: Option<Spanned<u32>>,
}
