//! Lays out a machine's links: converts its declaration into the plan that tasks render.
//!
//! The short form describes only the boot NIC. The long form ([`long_form`]) describes any number of links that use each
//! other. Both become [`LinkDraft`]s with the span of every value. Each draft is assigned to its network ([`subnets`]), then
//! the default routes are chosen ([`route`]) and the MTUs set ([`mtu`]). The mistakes of one machine are reported on the way.
//! Conflicts between machines are found by [`super::rules`].

mod draft;
mod declared_link;
mod long_form;
mod bond;
mod ports;
mod subnets;
mod route;
mod mtu;
mod finish;

use std::sync::Arc;

use crate::model::{Mac, Network, NetworkName, Settings, Spanned};

use super::{
    Diagnostic, FreeAddresses, LinkKind, ObjectKind, Site, Subject, layers::SettingsLayers,
};
use draft::DraftAddress;

pub(super) use draft::{GatewayOrigin, LinkDraft, subnet_of};
pub(super) use mtu::check_mtu;
pub(super) use ports::check_vlan_id;
pub(super) use route::{is_link_local, network_gateway};
pub(super) use subnets::is_unassignable;

/// A machine's links, with the span of every value.
#[derive(Debug)]
pub(super) struct LinkLayout<'a> {
    /// Every link. Parents come before the links that use them.
    pub(super) links: Vec<LinkDraft<'a>>,
    /// The index in `links` of the primary link, which has the machine's own address.
    pub(super) primary: usize,
    /// The MAC address of the boot NIC.
    pub(super) boot_mac: Option<Mac>,
    /// The network of the primary link, else the one that the machine's settings name.
    pub(super) network: Option<&'a Arc<Network>>,
    /// The network in which it boots, if that is another one.
    pub(super) boot_network: Option<&'a Arc<Network>>,
}

/// The state that all steps of the layout share.
struct LayoutBuilder<'a, 'f> {
    site: &'a Site,
    layers: &'f SettingsLayers<'a>,
    free: &'f FreeAddresses<'a>,
    /// The machine's name, for messages.
    name: &'f str,
    boot_mac: Option<Mac>,
    /// Whether a part of the declaration could not be read. A missing key is not reported then.
    is_flawed: bool,
    found: &'f mut Vec<Diagnostic>,
}

/// Lays out the links of `subject`, and adds every mistake to `found`.
pub(super) fn layout<'a>(
    site: &'a Site,
    subject: &Subject<'a>,
    layers: &SettingsLayers<'a>,
    free: &FreeAddresses<'a>,
    found: &mut Vec<Diagnostic>,
) -> LinkLayout<'a> {
    let mut builder = LayoutBuilder {
        site,
        layers,
        free,
        name: subject.name.as_str(),
        boot_mac: subject.boot_mac(),
        is_flawed: site
            .unread
            .has_flawed(ObjectKind::Node, subject.name.as_str()),
        found,
    };
    let mut links = builder.drafts();
    builder.assign_networks(&mut links);
    builder.assign_address(&mut links, subject);
    builder.assign_vlan_ids(&mut links);
    builder.check_ports(&links);
    let primary = builder.choose_routes(&mut links);
    builder.set_mtus(&mut links);
    let primary_network = links.get(primary).and_then(|link| link.network);
    let network = primary_network.or_else(|| builder.named(|settings| settings.network.as_deref()));
    let boot = builder.named(|settings| settings.boot_network.as_deref());
    let differs = |boot: &&'a Arc<Network>| network.is_none_or(|network| network.name != boot.name);
    LinkLayout {
        links,
        primary,
        boot_mac: builder.boot_mac,
        network,
        boot_network: boot.filter(differs),
    }
}

impl<'a> LayoutBuilder<'a, '_> {
    fn report(&mut self, mistake: Diagnostic) {
        self.found.push(mistake);
    }

    /// Returns the network that a setting of the machine names, if it exists.
    fn named(
        &self,
        pick: impl Fn(&'a Settings) -> Option<&'a Spanned<NetworkName>>,
    ) -> Option<&'a Arc<Network>> {
        let name = self.layers.find(pick)?;
        self.site.networks.get(&name.value)
    }

    fn drafts(&mut self) -> Vec<LinkDraft<'a>> {
        match self.layers.node {
            Some(node) if long_form::is_long(&node.body) => self.long_drafts(node),
            node => vec![LinkDraft::short(self.boot_mac, node, self.layers)],
        }
    }

    /// Gives the boot link an address from a pool, or DHCP, if no link has an address or `dhcp`.
    fn assign_address(&mut self, links: &mut Vec<LinkDraft<'a>>, subject: &Subject<'a>) {
        let has_one = |link: &LinkDraft<'_>| !link.addresses.is_empty() || link.dhcp;
        let written = |link: &LinkDraft<'_>| link.own.address.is_some();
        if links.iter().any(|link| has_one(link) || written(link)) {
            return;
        }
        let at = self.boot_link(links);
        let pool = self.layers.find(|settings| settings.addresses.as_deref());
        let network = links[at]
            .network
            .or_else(|| self.default_network(pool.is_some()));
        links[at].network = network;
        if pool.is_none() {
            self.use_dhcp(&mut links[at]);
        } else if let Some(ip) = subject.pooled {
            links[at]
                .addresses
                .extend(DraftAddress::pooled(ip, network));
        }
    }

    fn use_dhcp(&mut self, link: &mut LinkDraft<'a>) {
        match link.own.dhcp {
            Some(no) => self.report(
                Diagnostic::error(
                    "`dhcp = false` and no address: the machine would be unreachable",
                    no.span,
                )
                .label(self.name)
                .help("set `address`"),
            ),
            None => link.dhcp = true,
        }
    }

    /// Returns the network of a machine without an address: the one that its settings name, or if it needs a pool, the only
    /// network with a pool.
    fn default_network(&self, needs_pool: bool) -> Option<&'a Arc<Network>> {
        if let Some(named) = self.layers.find(|settings| settings.network.as_deref()) {
            return self.site.networks.get(&named.value);
        }
        let with_pool = |network: &&'a Arc<Network>| network.body.pool.is_some();
        let mut pools = self.site.networks.values().filter(with_pool);
        let only = pools.next().filter(|_| needs_pool)?;
        pools.next().is_none().then_some(only)
    }

    /// Returns the link on top of the boot NIC: the NIC itself, or the bond or bridge whose port it is.
    fn boot_link(&self, links: &mut Vec<LinkDraft<'a>>) -> usize {
        let of_boot = |link: &LinkDraft<'_>| matches!(link.kind, LinkKind::Nic { mac } if mac.is_some() && mac == self.boot_mac);
        let only = (links.len() == 1).then_some(0);
        let Some(mut at) = links.iter().position(of_boot).or(only) else {
            links.push(LinkDraft::empty(self.boot_mac));
            return links.len() - 1;
        };
        while let Some(above) = links.iter().position(|link| link.ports().contains(&at)) {
            at = above;
        }
        at
    }
}
