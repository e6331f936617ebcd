//! A node's network settings, resolved: what every dialect of installer starts from.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{LinkName, Mac, NetworkName, SourceSpan};

/// How one machine is connected: every link with its addresses, and what belongs to the whole machine.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NetPlan {
    /// Every link, parents before those that stand on them.
    pub links: Vec<PlannedLink>,
    /// Which of `links` carries *the* address of the machine: the default route, else the first address.
    pub primary: usize,
    /// The card the machine boots from, when it is known.
    pub boot_mac: Option<Mac>,
    /// DNS servers for the whole machine, those of the primary link first.
    pub dns: Vec<IpAddr>,
    /// DNS search domains for the whole machine.
    pub search: Vec<String>,
    /// NTP servers.
    pub ntp: Vec<String>,
    /// Where the installer phase lives when `boot-network` says that it is not here; then the installer
    /// asks DHCP there.
    pub boot_network: Option<NetworkName>,
}

/// One link.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedLink {
    /// Its device name, when it has one of its own; a card that is known by MAC alone has none.
    pub name: Option<LinkName>,
    /// What it is.
    pub kind: LinkKind,
    /// Static addresses, each with its prefix length.
    pub addresses: Vec<IpNet>,
    /// Whether it asks DHCP.
    pub dhcp: bool,
    /// Default gateways, at most one of a family.
    pub gateways: Vec<IpAddr>,
    /// Further routes.
    pub routes: Vec<PlannedRoute>,
    /// DNS servers that were set on this link alone.
    pub dns: Vec<IpAddr>,
    /// Search domains that were set on this link alone.
    pub search: Vec<String>,
    /// The largest packet in bytes.
    pub mtu: Option<u32>,
    /// The network it lies in.
    pub network: Option<NetworkName>,
    /// Where it was declared, for messages.
    pub span: Option<SourceSpan>,
}

/// What a link is. Indices point into [`NetPlan::links`].
#[derive(Debug, Clone, PartialEq)]
pub enum LinkKind {
    /// A network card, by hardware address.
    Nic {
        /// Its address; none for a card that is known by name alone.
        mac: Option<Mac>,
    },
    /// Several cards as one.
    Bond {
        /// The kernel's name of the mode.
        mode: String,
        /// Its cards.
        ports: Vec<usize>,
        /// Further options of the kernel's driver.
        options: Vec<(String, String)>,
    },
    /// A tagged network on another link.
    Vlan {
        /// The tag.
        id: u16,
        /// The link that carries it.
        on: usize,
    },
    /// A bridge over other links.
    Bridge {
        /// The links it joins.
        ports: Vec<usize>,
        /// Whether it speaks the spanning tree protocol.
        stp: bool,
    },
}

/// A route beyond the default one.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedRoute {
    /// Where it leads.
    pub to: IpNet,
    /// The next hop.
    pub via: IpAddr,
    /// Lower is preferred.
    pub metric: Option<u32>,
}

impl NetPlan {
    /// The link that carries the machine's own address.
    pub fn primary(&self) -> Option<&PlannedLink> {
        self.links.get(self.primary)
    }

    /// The machine's own address: the first static one of its primary link.
    pub fn address(&self) -> Option<IpNet> {
        self.primary()
            .and_then(|link| link.addresses.first().copied())
    }
}
