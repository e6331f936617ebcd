//! A machine's resolved network configuration, from which each installer's own format is rendered.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{LinkName, Mac, NetworkName, SourceSpan};

use super::{BondOption, net::is_link_local};

/// The network configuration of one machine: its links, and the settings of the whole machine.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NetPlan {
    /// Every link. The links that a bond, VLAN or bridge uses come before it.
    pub links: Vec<PlannedLink>,
    /// The index in `links` of the primary link, which has the machine's own address.
    pub primary: usize,
    /// The MAC address of the boot NIC, if known.
    pub boot_mac: Option<Mac>,
    /// DNS servers of the whole machine, those of the primary link first.
    pub dns: Vec<IpAddr>,
    /// DNS search domains of the whole machine.
    pub search: Vec<String>,
    pub ntp: Vec<String>,
    /// The network of the installer, if `boot-network` sets another one than the machine's. The installer then uses DHCP.
    pub boot_network: Option<NetworkName>,
}

/// One link.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedLink {
    /// The device name; none for a NIC that is identified only by its MAC.
    pub name: Option<LinkName>,
    pub kind: LinkKind,
    /// Static addresses, each with its prefix length.
    pub addresses: Vec<IpNet>,
    /// Whether it uses DHCP.
    pub dhcp: bool,
    /// Default gateways, at most one per address family.
    pub gateways: Vec<IpAddr>,
    /// Routes other than the default route.
    pub routes: Vec<PlannedRoute>,
    /// DNS servers that are set on this link.
    pub dns: Vec<IpAddr>,
    /// Search domains that are set on this link.
    pub search: Vec<String>,
    /// The MTU in bytes.
    pub mtu: Option<u32>,
    /// The network that contains its addresses, or that is set on it.
    pub network: Option<NetworkName>,
    /// The place of its declaration, for messages.
    pub span: Option<SourceSpan>,
}

impl PlannedLink {
    /// Whether a next hop is outside of the subnets of this link, and is reached on the link itself. A link with DHCP may have
    /// more subnets.
    pub fn is_off_subnet(&self, hop: IpAddr) -> bool {
        !self.dhcp && !is_link_local(hop) && !self.addresses.iter().any(|net| net.contains(&hop))
    }

    /// The options of a bond. Empty for other links.
    pub fn bond_options(&self) -> &[BondOption] {
        match &self.kind {
            LinkKind::Bond { options, .. } => options,
            _ => &[],
        }
    }
}

/// The kind of a link. Indices refer to [`NetPlan::links`].
#[derive(Debug, Clone, PartialEq)]
pub enum LinkKind {
    /// A network interface card.
    Nic {
        /// The hardware address; none for a NIC that is identified only by its name.
        mac: Option<Mac>,
    },
    /// Several NICs that act as one link.
    Bond {
        /// The kernel's name of the mode.
        mode: String,
        /// Its NICs.
        ports: Vec<usize>,
        /// Other options of the kernel's driver. Each option is there once.
        options: Vec<BondOption>,
    },
    /// A VLAN on another link.
    Vlan {
        /// The VLAN ID (IEEE 802.1Q).
        id: u16,
        /// The link that carries the VLAN.
        on: usize,
    },
    Bridge {
        /// The links that it connects.
        ports: Vec<usize>,
        /// Whether it uses the spanning tree protocol.
        stp: bool,
    },
}

/// A route other than the default route.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedRoute {
    /// The destination.
    pub to: IpNet,
    /// The next hop.
    pub via: IpAddr,
    /// The metric: a route with a lower one is preferred.
    pub metric: Option<u32>,
}

impl NetPlan {
    /// The link with the machine's own address.
    pub fn primary(&self) -> Option<&PlannedLink> {
        self.links.get(self.primary)
    }

    /// The machine's own address: the first static one of its primary link.
    pub fn address(&self) -> Option<IpNet> {
        self.primary()
            .and_then(|link| link.addresses.first().copied())
    }
}
