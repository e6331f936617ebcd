//! Gateways and routes: each next hop is in a subnet of its link, and each address family has one default route.
//!
//! Hosted servers have gateways outside of their subnets. Those are reached on the link itself: if the declaration has
//! `on-link`, or if all addresses of the family are single hosts (/32, /128), which have no subnet.

use std::{net::IpAddr, sync::Arc};

use ipnet::IpNet;

use crate::model::{Network, Route, SourceSpan, Spanned};

use super::{
    LayoutBuilder, LinkDraft,
    draft::{DraftGateway, GatewayOrigin, subnet_of},
};
use crate::site::{Diagnostic, LinkKind};

impl<'a> LayoutBuilder<'a, '_> {
    /// Sets at most one default route per address family, and returns the index of the primary link: the one with the default
    /// route, else the first with DHCP, else the first with an address.
    pub(super) fn choose_routes(&mut self, links: &mut [LinkDraft<'a>]) -> usize {
        let is_port = |at: usize| links.iter().any(|link| link.ports().contains(&at));
        // A port has no addresses. Its gateways and routes are reported by `check_ports`.
        for (_, link) in links.iter().enumerate().filter(|(at, _)| !is_port(*at)) {
            self.check_gateways(link);
            self.check_routes(link);
        }
        let v4 = self.default_route(links, true, None);
        let v6 = self.default_route(links, false, v4);
        let first = |fits: fn(&LinkDraft<'_>) -> bool| links.iter().position(fits);
        v4.or(v6)
            .or_else(|| first(|link| link.dhcp))
            .or_else(|| first(|link| !link.addresses.is_empty()))
            .or_else(|| first(|link| link.own.address.is_some()))
            .or_else(|| self.boot_nic(links))
            .unwrap_or(0)
    }

    fn boot_nic(&self, links: &[LinkDraft<'a>]) -> Option<usize> {
        let of_boot = |link: &LinkDraft<'_>| matches!(link.kind, LinkKind::Nic { mac } if mac.is_some() && mac == self.boot_mac);
        links.iter().position(of_boot)
    }

    fn default_route(
        &mut self,
        links: &mut [LinkDraft<'a>],
        is_v4: bool,
        preferred: Option<usize>,
    ) -> Option<usize> {
        let explicit: Vec<(usize, Spanned<IpAddr>)> = links
            .iter()
            .enumerate()
            .flat_map(|(at, link)| own_gateways(link).map(move |gateway| (at, gateway.clone())))
            .filter(|(_, gateway)| gateway.value.is_ipv4() == is_v4)
            .collect();
        if let Some((at, gateway)) = explicit.first() {
            self.check_only(links, &explicit);
            links[*at].gateways.push(DraftGateway {
                ip: gateway.value,
                span: gateway.span,
                origin: GatewayOrigin::Link,
            });
            return Some(*at);
        }
        let candidates: Vec<(usize, Spanned<IpAddr>)> = links
            .iter()
            .enumerate()
            .filter_map(|(at, link)| Some((at, network_gateway(link, is_v4)?.clone())))
            .collect();
        let own_network = self.layers.find(|settings| settings.network.as_deref());
        let is_in_own_network = |at: usize| {
            let network = links[at].network;
            own_network.is_some_and(|own_network| {
                network.is_some_and(|network| network.name == *own_network)
            })
        };
        let (at, gateway) = candidates
            .iter()
            .find(|(at, _)| Some(*at) == preferred)
            .or_else(|| candidates.iter().find(|(at, _)| is_in_own_network(*at)))
            .or_else(|| candidates.first())?
            .clone();
        self.check_reach(&links[at], &gateway);
        links[at].gateways.push(DraftGateway {
            ip: gateway.value,
            span: gateway.span,
            origin: GatewayOrigin::Network,
        });
        Some(at)
    }

    fn check_only(&mut self, links: &[LinkDraft<'a>], explicit: &[(usize, Spanned<IpAddr>)]) {
        let [(_, first), others @ ..] = explicit else {
            return;
        };
        for (at, gateway) in others {
            let message = format!("{gateway} is a second default gateway");
            self.report(
                Diagnostic::error(message, gateway.span)
                    .label(format!("of `{}`", links[*at].title()))
                    .other(first.span, "the first")
                    .help("a machine has one default route per address family; write others as `routes`"),
            );
        }
    }

    /// Checks that the network's gateway is in the subnet of the link's address, which may have its own prefix length.
    fn check_reach(&mut self, link: &LinkDraft<'a>, gateway: &Spanned<IpAddr>) {
        let same = |ip: IpAddr| ip.is_ipv4() == gateway.value.is_ipv4();
        let Some(address) = link.addresses.iter().find(|address| same(address.ip())) else {
            return;
        };
        let Some(span) = address.span else { return };
        // A gateway outside its own network is reported for that network.
        let is_inside = |network: &Arc<Network>| subnet_of(network, gateway.value).is_some();
        if !is_reachable(link, gateway.value) && address.network.is_some_and(is_inside) {
            let message = format!(
                "gateway {gateway} cannot be reached from {}: it is not in {}",
                address.ip(),
                address.net.trunc()
            );
            let mistake = Diagnostic::error(message, span)
                .label(self.name)
                .help(ON_LINK);
            self.report(mistake.other(gateway.span, "the network's gateway"));
        }
    }

    fn check_gateways(&mut self, link: &LinkDraft<'a>) {
        if link.is_unresolved {
            return;
        }
        for gateway in own_gateways(link) {
            self.check_next_hop("gateway", link, gateway);
        }
    }

    fn check_routes(&mut self, link: &LinkDraft<'a>) {
        let routes = link.own.routes.iter().flat_map(|list| &list.value);
        for route in routes {
            self.check_route(link, &route.value);
        }
    }

    fn check_route(&mut self, link: &LinkDraft<'a>, route: &Route) {
        let (to, via) = (route.to.value.0, &route.via);
        if to.prefix_len() == 0 {
            self.report(
                Diagnostic::error(format!("{to} is the default route"), route.to.span)
                    .label(self.name)
                    .help(format!("set gateway = \"{via}\"")),
            );
        } else if to.addr().is_ipv4() != via.value.is_ipv4() {
            let message = format!("a route to {to} cannot have the next hop {via}");
            self.report(Diagnostic::error(message, via.span).label(self.name));
        } else if !link.is_unresolved && !link.dhcp {
            self.check_next_hop("next hop", link, via);
        }
    }

    fn check_next_hop(&mut self, what: &str, link: &LinkDraft<'a>, hop: &Spanned<IpAddr>) {
        let title = link.title();
        let is_own = |address: &super::DraftAddress<'_>| address.ip() == hop.value;
        let (message, help) = if link.addresses.iter().any(is_own) {
            (format!("{what} {hop} is the machine's own address"), None)
        } else if is_reachable(link, hop.value) {
            return;
        } else {
            let message = format!("{what} {hop} is not in the subnet of any address of `{title}`");
            (message, Some(ON_LINK))
        };
        let others: Vec<(SourceSpan, String)> = link
            .addresses
            .iter()
            .filter_map(|address| Some((address.span?, address.net.to_string())))
            .collect();
        let mut mistake = Diagnostic::error(message, hop.span).label(self.name);
        mistake.others = others;
        mistake.help = help.map(String::from);
        self.report(mistake);
    }
}

/// Iterates over the gateways that a link sets itself.
fn own_gateways<'d>(link: &'d LinkDraft<'_>) -> impl Iterator<Item = &'d Spanned<IpAddr>> {
    link.own.gateway.into_iter().flat_map(|list| &list.value)
}

/// Returns the gateway, in the given address family, of the network that contains one of the link's addresses.
pub(in crate::site) fn network_gateway<'a>(
    link: &LinkDraft<'a>,
    is_v4: bool,
) -> Option<&'a Spanned<IpAddr>> {
    let of_family = |ip: IpAddr| ip.is_ipv4() == is_v4;
    let mut addresses = link.addresses.iter();
    addresses.find_map(|address| {
        let gateways = address.network.filter(|_| of_family(address.ip()))?;
        let mut list = gateways.body.gateway.iter().flat_map(|list| &list.value);
        list.find(|gateway| of_family(gateway.value))
    })
}

/// The help for a gateway outside of the subnets.
const ON_LINK: &str =
    "if it is on the link nevertheless, as at some hosting providers, set on-link = true";

/// Returns whether a next hop is reachable without a router: it is in a subnet, or is on the link by declaration. Every IPv6
/// link has link-local addresses.
fn is_reachable(link: &LinkDraft<'_>, hop: IpAddr) -> bool {
    let nets = || link.addresses.iter().map(|address| address.net);
    let mut same_family = nets().filter(|net| net.addr().is_ipv4() == hop.is_ipv4());
    let first = same_family.next();
    let is_host = |net: &IpNet| net.prefix_len() == net.max_prefix_len();
    is_link_local(hop)
        || link.own.effective().on_link
        || nets().any(|net| net.contains(&hop))
        || first.is_some_and(|net| is_host(&net) && same_family.all(|net| is_host(&net)))
}

/// Returns whether an address is an IPv6 link-local address.
pub(in crate::site) fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}
