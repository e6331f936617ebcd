//! A link while the layout is built. Every value has its span.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use crate::model::{HostAddress, LinkName, LinkSettings, Mac, Network, Node, SourceSpan, Spanned};

use super::super::{LinkKind, layers::SettingsLayers};

/// A link while the layout is built.
#[derive(Debug, Clone)]
pub(in crate::site) struct LinkDraft<'a> {
    /// The device name.
    pub(in crate::site) name: Option<LinkName>,
    /// The kind. Indices refer to the links of the layout.
    pub(in crate::site) kind: LinkKind,
    /// The settings of its declaration.
    pub(in crate::site) own: LinkSettings<'a>,
    pub(in crate::site) span: Option<SourceSpan>,
    /// The network that is set on it, or that contains its first address.
    pub(in crate::site) network: Option<&'a Arc<Network>>,
    pub(in crate::site) addresses: Vec<DraftAddress<'a>>,
    /// Whether it uses DHCP.
    pub(in crate::site) dhcp: bool,
    pub(in crate::site) gateways: Vec<DraftGateway>,
    pub(in crate::site) mtu: Option<Spanned<u32>>,
    /// The spans of the references to [`LinkDraft::parents`].
    pub(in crate::site) parent_spans: Vec<SourceSpan>,
    /// The declared ID of a VLAN link.
    pub(in crate::site) vlan_id: Option<&'a Spanned<u16>>,
    /// Whether its network or one of its addresses is invalid. Checks that depend on them are skipped.
    pub(in crate::site) is_unresolved: bool,
}

/// A static address.
#[derive(Debug, Clone)]
pub(in crate::site) struct DraftAddress<'a> {
    /// The address, with its prefix length.
    pub(in crate::site) net: IpNet,
    /// The place of its declaration; none if it is from a pool.
    pub(in crate::site) span: Option<SourceSpan>,
    /// The network that contains it.
    pub(in crate::site) network: Option<&'a Arc<Network>>,
    /// Whether the prefix length comes from the network.
    pub(in crate::site) prefix_of_network: bool,
}

/// A default gateway.
#[derive(Debug, Clone)]
pub(in crate::site) struct DraftGateway {
    pub(in crate::site) ip: IpAddr,
    pub(in crate::site) span: SourceSpan,
    pub(in crate::site) origin: GatewayOrigin,
}

/// The declaration that sets a default gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::site) enum GatewayOrigin {
    /// The link itself.
    Link,
    /// Its network.
    Network,
}

/// The settings of a link that sets nothing.
const UNSET: LinkSettings<'static> = LinkSettings {
    network: None,
    address: None,
    gateway: None,
    routes: None,
    dns: None,
    search: None,
    mtu: None,
    dhcp: None,
    on_link: None,
};

impl<'a> LinkDraft<'a> {
    pub(super) fn new(
        name: Option<LinkName>,
        kind: LinkKind,
        own: LinkSettings<'a>,
        span: Option<SourceSpan>,
    ) -> Self {
        LinkDraft {
            name,
            kind,
            own,
            span,
            network: None,
            addresses: Vec::new(),
            dhcp: own.effective().dhcp,
            gateways: Vec::new(),
            mtu: None,
            parent_spans: Vec::new(),
            vlan_id: None,
            is_unresolved: false,
        }
    }

    /// The NIC of the short form.
    pub(super) fn short(
        mac: Option<Mac>,
        node: Option<&'a Node>,
        layers: &SettingsLayers<'a>,
    ) -> Self {
        let network = layers.find(|settings| settings.network.as_deref());
        let own = match node.map(|node| &node.body) {
            None => LinkSettings { network, ..UNSET },
            Some(body) => LinkSettings {
                network,
                address: body.address.as_ref(),
                gateway: body.gateway.as_deref(),
                routes: body.routes.as_deref(),
                mtu: body.mtu.as_deref(),
                dhcp: body.dhcp.as_deref(),
                on_link: body.on_link.as_deref(),
                ..UNSET
            },
        };
        LinkDraft::new(None, LinkKind::Nic { mac }, own, node.map(Node::span))
    }

    /// A NIC without settings.
    pub(super) fn empty(mac: Option<Mac>) -> Self {
        LinkDraft::new(None, LinkKind::Nic { mac }, UNSET, None)
    }

    /// Moves all settings to a new link of `kind` on top of this one, and returns that link.
    pub(super) fn split(&mut self, kind: LinkKind) -> Self {
        let below = LinkDraft::new(self.name.take(), self.kind.clone(), UNSET, self.span);
        let mut above = std::mem::replace(self, below);
        self.name = above.name.take();
        above.kind = kind;
        above
    }

    /// Returns the links that are ports of this one.
    pub(in crate::site) fn ports(&self) -> &[usize] {
        match &self.kind {
            LinkKind::Bond { ports, .. } | LinkKind::Bridge { ports, .. } => ports,
            LinkKind::Nic { .. } | LinkKind::Vlan { .. } => &[],
        }
    }

    /// Returns the links that this one uses.
    pub(in crate::site) fn parents(&self) -> &[usize] {
        match &self.kind {
            LinkKind::Vlan { on, .. } => std::slice::from_ref(on),
            _ => self.ports(),
        }
    }

    /// Returns its name in messages.
    pub(in crate::site) fn title(&self) -> String {
        match (&self.name, &self.kind) {
            (Some(name), _) => name.as_str().into(),
            (None, LinkKind::Nic { mac: Some(mac) }) => mac.to_string(),
            (None, _) => "the boot NIC".into(),
        }
    }
}

impl<'a> DraftAddress<'a> {
    /// An address as declared. Its prefix length is its own, else that of its network's subnet, else the full length.
    pub(super) fn declared(at: &Spanned<HostAddress>, network: Option<&'a Arc<Network>>) -> Self {
        let ip = at.value.ip;
        let of_network = network.and_then(|network| prefix(network, ip));
        let prefix = at.value.prefix.or(of_network);
        DraftAddress {
            net: prefix.map_or_else(|| ip.into(), |prefix| net(ip, prefix)),
            span: Some(at.span),
            network,
            prefix_of_network: at.value.prefix.is_none(),
        }
    }

    /// An address from a pool.
    pub(super) fn pooled(ip: IpAddr, network: Option<&'a Arc<Network>>) -> Option<Self> {
        let prefix = prefix(network?, ip)?;
        Some(DraftAddress {
            net: net(ip, prefix),
            span: None,
            network,
            prefix_of_network: true,
        })
    }

    /// Returns the address without its prefix length.
    pub(in crate::site) fn ip(&self) -> IpAddr {
        self.net.addr()
    }
}

/// Returns the subnet of `network` that contains `ip`.
pub(in crate::site) fn subnet_of(network: &Network, ip: IpAddr) -> Option<IpNet> {
    super::super::free_addresses::subnets(network).find(|subnet| subnet.contains(&ip))
}

fn prefix(network: &Network, ip: IpAddr) -> Option<u8> {
    subnet_of(network, ip).map(|subnet| subnet.prefix_len())
}

fn net(ip: IpAddr, prefix: u8) -> IpNet {
    IpNet::new(ip, prefix).unwrap_or_else(|_| ip.into())
}
