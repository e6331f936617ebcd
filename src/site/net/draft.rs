//! A link while it is put together: every value with its place.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use crate::model::{HostAddress, LinkName, LinkSettings, Mac, Network, Node, SourceSpan, Spanned};

use super::super::{LinkKind, layers::SettingsLayers};

/// A link while it is put together.
#[derive(Debug, Clone)]
pub(in crate::site) struct LinkDraft<'a> {
    /// Its device name.
    pub(in crate::site) name: Option<LinkName>,
    /// What it is; indices are those of the layout.
    pub(in crate::site) kind: LinkKind,
    /// What its declaration says.
    pub(in crate::site) own: LinkSettings<'a>,
    /// Where it was declared.
    pub(in crate::site) span: Option<SourceSpan>,
    /// The network it lies in.
    pub(in crate::site) network: Option<&'a Arc<Network>>,
    /// Its addresses.
    pub(in crate::site) addresses: Vec<DraftAddress<'a>>,
    /// Whether it asks DHCP.
    pub(in crate::site) dhcp: bool,
    /// Its default gateways.
    pub(in crate::site) gateways: Vec<DraftGateway>,
    /// The largest packet.
    pub(in crate::site) mtu: Option<Spanned<u32>>,
    /// Where each of [`LinkDraft::parents`] was written.
    pub(in crate::site) parent_spans: Vec<SourceSpan>,
    /// The declared tag of a VLAN link.
    pub(in crate::site) tag: Option<&'a Spanned<u16>>,
    /// Whether an address of it could not be placed, so that what rests on it is not known either.
    pub(in crate::site) is_unsettled: bool,
}

/// A static address.
#[derive(Debug, Clone)]
pub(in crate::site) struct DraftAddress<'a> {
    /// The address with its prefix length.
    pub(in crate::site) net: IpNet,
    /// Where it was written; none when it came from a pool.
    pub(in crate::site) span: Option<SourceSpan>,
    /// The network it lies in.
    pub(in crate::site) network: Option<&'a Arc<Network>>,
    /// Whether the prefix length is the network's.
    pub(in crate::site) prefix_of_network: bool,
}

/// A default gateway.
#[derive(Debug, Clone)]
pub(in crate::site) struct DraftGateway {
    /// Its address.
    pub(in crate::site) ip: IpAddr,
    /// Where it was written.
    pub(in crate::site) span: SourceSpan,
    /// By whom.
    pub(in crate::site) origin: GatewayOrigin,
}

/// Who set a default gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::site) enum GatewayOrigin {
    /// The link itself.
    Link,
    /// Its network.
    Network,
}

/// A link that sets nothing.
const SILENT: LinkSettings<'static> = LinkSettings {
    network: None,
    address: None,
    gateway: None,
    routes: None,
    dns: None,
    search: None,
    mtu: None,
    dhcp: None,
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
            tag: None,
            is_unsettled: false,
        }
    }

    /// The card of the short form.
    pub(super) fn short(
        mac: Option<Mac>,
        node: Option<&'a Node>,
        layers: &SettingsLayers<'a>,
    ) -> Self {
        let network = layers.find(|settings| settings.network.as_deref());
        let own = match node.map(|node| &node.body) {
            None => LinkSettings { network, ..SILENT },
            Some(body) => LinkSettings {
                network,
                address: body.address.as_ref(),
                gateway: body.gateway.as_deref(),
                routes: body.routes.as_deref(),
                mtu: body.mtu.as_deref(),
                dhcp: body.dhcp.as_deref(),
                ..SILENT
            },
        };
        LinkDraft::new(None, LinkKind::Nic { mac }, own, node.map(Node::span))
    }

    /// A card of which nothing is said.
    pub(super) fn bare(mac: Option<Mac>) -> Self {
        LinkDraft::new(None, LinkKind::Nic { mac }, SILENT, None)
    }

    /// Moves everything but the card itself onto a link of `kind` that stands on it.
    pub(super) fn split(&mut self, kind: LinkKind) -> Self {
        let below = LinkDraft::new(self.name.take(), self.kind.clone(), SILENT, self.span);
        let mut above = std::mem::replace(self, below);
        self.name = above.name.take();
        above.kind = kind;
        above
    }

    /// The links that are ports of this one.
    pub(in crate::site) fn ports(&self) -> &[usize] {
        match &self.kind {
            LinkKind::Bond { ports, .. } | LinkKind::Bridge { ports, .. } => ports,
            LinkKind::Nic { .. } | LinkKind::Vlan { .. } => &[],
        }
    }

    /// The links that this one stands on.
    pub(in crate::site) fn parents(&self) -> &[usize] {
        match &self.kind {
            LinkKind::Vlan { on, .. } => std::slice::from_ref(on),
            _ => self.ports(),
        }
    }

    /// How messages call it.
    pub(in crate::site) fn title(&self) -> String {
        match (&self.name, &self.kind) {
            (Some(name), _) => name.as_str().into(),
            (None, LinkKind::Nic { mac: Some(mac) }) => mac.to_string(),
            (None, _) => "the boot card".into(),
        }
    }
}

impl<'a> DraftAddress<'a> {
    /// An address as it was declared; with neither a prefix length of its own nor a network it stands alone.
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

    /// An address that was given from a pool.
    pub(super) fn pooled(ip: IpAddr, network: Option<&'a Arc<Network>>) -> Option<Self> {
        let prefix = prefix(network?, ip)?;
        Some(DraftAddress {
            net: net(ip, prefix),
            span: None,
            network,
            prefix_of_network: true,
        })
    }

    /// The address alone.
    pub(in crate::site) fn ip(&self) -> IpAddr {
        self.net.addr()
    }
}

/// Returns the subnet of `network` that holds `ip`.
pub(in crate::site) fn subnet_of(network: &Network, ip: IpAddr) -> Option<IpNet> {
    super::super::free_addresses::subnets(network).find(|subnet| subnet.contains(&ip))
}

fn prefix(network: &Network, ip: IpAddr) -> Option<u8> {
    subnet_of(network, ip).map(|subnet| subnet.prefix_len())
}

fn net(ip: IpAddr, prefix: u8) -> IpNet {
    IpNet::new(ip, prefix).unwrap_or_else(|_| ip.into())
}
