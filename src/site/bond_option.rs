//! The options of the kernel's bonding driver, each with its type and the modes in which the kernel accepts it.
//!
//! Source: Documentation/networking/bonding.rst and drivers/net/bonding/bond_options.c of Linux. Options that are not in this
//! table are not configuration: `active_slave`, `slaves` and `queue_id` are state, `max_bonds` is a parameter of the module.
//! What the readers of each format call an option is in the renderers.

use std::{
    fmt,
    net::{Ipv4Addr, Ipv6Addr},
};

use crate::model::Mac;

use BondValueType::{
    Boolean, Ipv4List, Ipv6List, MacAddress, Milliseconds, Name, Number, Packets, Port, Seconds,
};

/// An option of a bond.
#[derive(Debug, Clone, PartialEq)]
pub struct BondOption {
    pub name: BondOptionName,
    pub value: BondValue,
}

/// The value of an option.
#[derive(Debug, Clone, PartialEq)]
pub enum BondValue {
    /// A number, in the unit of the option's type.
    Number(u32),
    Boolean(bool),
    /// One of the names of the option's type.
    Name(&'static str),
    Mac(Mac),
    Ipv4(Vec<Ipv4Addr>),
    Ipv6(Vec<Ipv6Addr>),
    /// A port of the bond, by its index in the links of the plan.
    Port(usize),
}

/// The type of an option. Numbers have an inclusive range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum BondValueType {
    Number(u32, u32),
    Packets(u32, u32),
    Seconds(u32, u32),
    Milliseconds(u32, u32),
    Boolean,
    /// The kernel also accepts the index of a name.
    Name(&'static [&'static str]),
    MacAddress,
    Ipv4List,
    Ipv6List,
    Port,
}

/// The largest number of addresses in a list (BOND_MAX_ARP_TARGETS, BOND_MAX_NS_TARGETS).
pub(super) const MAX_TARGETS: usize = 16;

const INT_MAX: u32 = i32::MAX as u32;

/// The kernel's names of bonding modes.
pub(super) const MODES: [&str; 7] = [
    "802.3ad",
    "active-backup",
    "balance-alb",
    "balance-rr",
    "balance-tlb",
    "balance-xor",
    "broadcast",
];

const ANY: &[&str] = &MODES;
const LACP: &[&str] = &["802.3ad"];
const ARP: &[&str] = &["active-backup", "balance-rr", "balance-xor", "broadcast"];
const PRIMARY: &[&str] = &["active-backup", "balance-alb", "balance-tlb"];
const TLB: &[&str] = &["balance-alb", "balance-tlb"];
const ROUND_ROBIN: &[&str] = &["balance-rr"];

macro_rules! bond_options {
    ($($name:ident $text:literal $type:expr, $modes:expr;)*) => {
        /// The name of an option.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum BondOptionName {
            $($name,)*
        }

        impl BondOptionName {
            /// All options.
            pub const ALL: &'static [BondOptionName] = &[$(BondOptionName::$name,)*];

            /// The kernel's name of the option.
            pub fn as_str(self) -> &'static str {
                match self { $(BondOptionName::$name => $text,)* }
            }

            pub(super) fn value_type(self) -> BondValueType {
                match self { $(BondOptionName::$name => $type,)* }
            }

            /// The modes in which the kernel accepts the option.
            pub(super) fn modes(self) -> &'static [&'static str] {
                match self { $(BondOptionName::$name => $modes,)* }
            }
        }
    };
}

bond_options! {
    AdActorSysPrio "ad_actor_sys_prio" Number(1, 65_535), LACP;
    AdActorSystem "ad_actor_system" MacAddress, LACP;
    AdSelect "ad_select" Name(&["stable", "bandwidth", "count"]), ANY;
    AdUserPortKey "ad_user_port_key" Number(0, 1023), LACP;
    AllSlavesActive "all_slaves_active" Boolean, ANY;
    ArpAllTargets "arp_all_targets" Name(&["any", "all"]), ANY;
    ArpInterval "arp_interval" Milliseconds(0, INT_MAX), ARP;
    ArpIpTarget "arp_ip_target" Ipv4List, ARP;
    ArpMissedMax "arp_missed_max" Number(1, 255), ARP;
    ArpValidate "arp_validate"
        Name(&["none", "active", "backup", "all", "filter", "filter_active", "filter_backup"]), ARP;
    BroadcastNeighbor "broadcast_neighbor" Boolean, LACP;
    CoupledControl "coupled_control" Boolean, LACP;
    Downdelay "downdelay" Milliseconds(0, INT_MAX), ANY;
    FailOverMac "fail_over_mac" Name(&["none", "active", "follow"]), ANY;
    LacpActive "lacp_active" Boolean, LACP;
    LacpRate "lacp_rate" Name(&["slow", "fast"]), LACP;
    LpInterval "lp_interval" Seconds(1, INT_MAX), ANY;
    Miimon "miimon" Milliseconds(0, INT_MAX), ANY;
    MinLinks "min_links" Number(0, INT_MAX), ANY;
    NsIp6Target "ns_ip6_target" Ipv6List, ARP;
    NumGratArp "num_grat_arp" Packets(0, 255), ANY;
    NumUnsolNa "num_unsol_na" Packets(0, 255), ANY;
    PacketsPerSlave "packets_per_slave" Packets(0, 65_535), ROUND_ROBIN;
    PeerNotifDelay "peer_notif_delay" Milliseconds(0, 300_000), ANY;
    Primary "primary" Port, PRIMARY;
    PrimaryReselect "primary_reselect" Name(&["always", "better", "failure"]), ANY;
    ResendIgmp "resend_igmp" Packets(0, 255), ANY;
    TlbDynamicLb "tlb_dynamic_lb" Boolean, TLB;
    Updelay "updelay" Milliseconds(0, INT_MAX), ANY;
    UseCarrier "use_carrier" Boolean, ANY;
    XmitHashPolicy "xmit_hash_policy"
        Name(&["layer2", "layer3+4", "layer2+3", "encap2+3", "encap3+4", "vlan+srcmac"]), ANY;
}

impl BondOptionName {
    /// Finds an option by the kernel's name.
    pub(super) fn find(text: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|option| option.as_str() == text)
    }
}

impl fmt::Display for BondOptionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl BondValueType {
    /// Returns whether an option of this type has a list of values.
    pub(super) fn is_list(self) -> bool {
        matches!(self, Ipv4List | Ipv6List)
    }

    /// Reads the values that were written. Returns the index of the first invalid one.
    pub(super) fn read(self, texts: &[&str]) -> Result<BondValue, usize> {
        let first = texts.first().copied().unwrap_or_default();
        match self {
            Ipv4List => addresses(texts).map(BondValue::Ipv4),
            Ipv6List => addresses(texts).map(BondValue::Ipv6),
            _ => self.read_one(first).ok_or(0),
        }
    }

    fn read_one(self, text: &str) -> Option<BondValue> {
        match self {
            Number(from, to) | Packets(from, to) | Seconds(from, to) | Milliseconds(from, to) => {
                let number = text.parse().ok()?;
                (from..=to)
                    .contains(&number)
                    .then_some(BondValue::Number(number))
            }
            Boolean => match text.to_ascii_lowercase().as_str() {
                "true" | "on" | "yes" | "1" => Some(BondValue::Boolean(true)),
                "false" | "off" | "no" | "0" => Some(BondValue::Boolean(false)),
                _ => None,
            },
            Name(names) => {
                let index = text.parse::<usize>().ok();
                let named = names.iter().find(|name| **name == text);
                named
                    .or_else(|| names.get(index?))
                    .map(|name| BondValue::Name(name))
            }
            MacAddress => {
                let mac: Mac = text.parse().ok()?;
                mac.is_unicast().then_some(BondValue::Mac(mac))
            }
            // Ports are not known here.
            Ipv4List | Ipv6List | Port => None,
        }
    }
}

fn addresses<T: std::str::FromStr>(texts: &[&str]) -> Result<Vec<T>, usize> {
    texts
        .iter()
        .enumerate()
        .map(|(at, text)| match at < MAX_TARGETS {
            true => text.parse().map_err(|_| at),
            false => Err(at),
        })
        .collect()
}

/// What is expected, in messages.
impl fmt::Display for BondValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number(from, to) => write!(f, "a number from {from} to {to}"),
            Packets(from, to) => write!(f, "packets from {from} to {to}"),
            Seconds(from, to) => write!(f, "seconds from {from} to {to}"),
            Milliseconds(from, to) => write!(f, "milliseconds from {from} to {to}"),
            Boolean => f.write_str("true or false"),
            Name(names) => write!(f, "one of {}", names.join(", ")),
            MacAddress => f.write_str("the MAC address of one device"),
            Ipv4List => write!(f, "1 to {MAX_TARGETS} IPv4 addresses"),
            Ipv6List => write!(f, "1 to {MAX_TARGETS} IPv6 addresses"),
            Port => f.write_str("a port of the bond"),
        }
    }
}
