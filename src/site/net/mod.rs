//! A machine's links: from what its declaration says to what every installer starts from.
//!
//! The short form describes the card the machine boots from; the long form ([`long_form`]) any number of links that
//! stand on each other. Both become [`LinkDraft`]s with the place of every value; each draft is put into
//! its network ([`subnets`]), the default routes are chosen among them ([`route`]), and packets are made to fit
//! ([`mtu`]). Mistakes of one machine are found on the way. Whether two machines claim the same is not
//! known here: see [`super::rules`].

mod draft;
mod declared_link;
mod long_form;
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
pub(super) use ports::check_tag;
pub(super) use route::{is_link_local, network_gateway};
pub(super) use subnets::is_absurd;

/// How a machine is connected, with the place of every value.
#[derive(Debug)]
pub(super) struct LinkLayout<'a> {
    /// Every link, parents before those that stand on them.
    pub(super) links: Vec<LinkDraft<'a>>,
    /// Which of `links` carries the machine's own address.
    pub(super) primary: usize,
    /// The card it boots from.
    pub(super) boot_mac: Option<Mac>,
    /// Where it lives.
    pub(super) network: Option<&'a Arc<Network>>,
    /// Where it boots, when that is somewhere else.
    pub(super) boot_network: Option<&'a Arc<Network>>,
}

/// What the steps share.
struct LayoutBuilder<'a, 'f> {
    site: &'a Site,
    layers: &'f SettingsLayers<'a>,
    free: &'f FreeAddresses<'a>,
    /// The machine's name, for messages.
    name: &'f str,
    boot_mac: Option<Mac>,
    /// Whether something of the declaration could not be read: then what it lacks is no mistake.
    is_flawed: bool,
    found: &'f mut Vec<Diagnostic>,
}

/// Lays out the links of `subject` and adds every mistake to `found`.
pub(super) fn layout<'a>(
    site: &'a Site,
    subject: &Subject<'a>,
    layers: &SettingsLayers<'a>,
    free: &FreeAddresses<'a>,
    found: &mut Vec<Diagnostic>,
) -> LinkLayout<'a> {
    let mut work = LayoutBuilder {
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
    let mut links = work.drafts();
    work.settle(&mut links);
    work.give_an_address(&mut links, subject);
    work.tag(&mut links);
    work.check_ports(&links);
    let primary = work.choose_routes(&mut links);
    work.fit_packets(&mut links);
    let home = links.get(primary).and_then(|link| link.network);
    let network = home.or_else(|| work.named(|settings| settings.network.as_deref()));
    let boot = work.named(|settings| settings.boot_network.as_deref());
    let differs = |boot: &&'a Arc<Network>| network.is_none_or(|home| home.name != boot.name);
    LinkLayout {
        links,
        primary,
        boot_mac: work.boot_mac,
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

    /// Without any address and without `dhcp`, the boot card gets the address of a pool, or asks DHCP.
    fn give_an_address(&mut self, links: &mut Vec<LinkDraft<'a>>, subject: &Subject<'a>) {
        let has_one = |link: &LinkDraft<'_>| !link.addresses.is_empty() || link.dhcp;
        let written = |link: &LinkDraft<'_>| link.own.address.is_some();
        if links.iter().any(|link| has_one(link) || written(link)) {
            return;
        }
        let at = self.boot_link(links);
        let pool = self.layers.find(|settings| settings.addresses.as_deref());
        let network = links[at].network.or_else(|| self.home(pool.is_some()));
        links[at].network = network;
        if pool.is_none() {
            self.ask_dhcp(&mut links[at]);
        } else if let Some(ip) = subject.pooled {
            links[at]
                .addresses
                .extend(DraftAddress::pooled(ip, network));
        }
    }

    fn ask_dhcp(&mut self, link: &mut LinkDraft<'a>) {
        match link.own.dhcp {
            Some(no) => self.report(
                Diagnostic::error(
                    "`dhcp = false` and no address: the machine could not be reached",
                    no.span,
                )
                .label(self.name)
                .help("set `address`"),
            ),
            None => link.dhcp = true,
        }
    }

    /// The network a machine lives in when no address says so; for an address of a pool the only one that has one.
    fn home(&self, wants_pool: bool) -> Option<&'a Arc<Network>> {
        if let Some(named) = self.layers.find(|settings| settings.network.as_deref()) {
            return self.site.networks.get(&named.value);
        }
        let with_pool = |network: &&'a Arc<Network>| network.body.pool.is_some();
        let mut pools = self.site.networks.values().filter(with_pool);
        let only = pools.next().filter(|_| wants_pool)?;
        pools.next().is_none().then_some(only)
    }

    /// Finds the link on top of the boot card: the card itself, or the bond or bridge whose port it is.
    fn boot_link(&self, links: &mut Vec<LinkDraft<'a>>) -> usize {
        let of_boot = |link: &LinkDraft<'_>| matches!(link.kind, LinkKind::Nic { mac } if mac.is_some() && mac == self.boot_mac);
        let only = (links.len() == 1).then_some(0);
        let Some(mut at) = links.iter().position(of_boot).or(only) else {
            links.push(LinkDraft::bare(self.boot_mac));
            return links.len() - 1;
        };
        while let Some(above) = links.iter().position(|link| link.ports().contains(&at)) {
            at = above;
        }
        at
    }
}
