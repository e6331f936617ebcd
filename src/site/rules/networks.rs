//! Checks the keys of each network against each other.

use std::net::IpAddr;

use crate::model::{AddressRange, DhcpMode, List, Network, NetworkBody, Spanned};

use super::SiteCheck;
use crate::site::{
    Diagnostic, ObjectKind,
    free_addresses::{edge, subnets},
    net::{check_mtu, check_vlan_id, is_link_local, is_unassignable},
};

impl<'a> SiteCheck<'a> {
    pub(super) fn networks(&mut self) {
        for network in self.site.networks.values() {
            let body = &network.body;
            self.dns(body.dns.as_ref());
            self.names(
                body.domain.as_ref(),
                body.search.as_ref(),
                body.ntp.as_ref(),
            );
            self.found
                .extend(body.vlan.as_ref().and_then(check_vlan_id));
            self.found.extend(body.mtu.as_ref().and_then(check_mtu));
            self.dhcp(body);
            self.dhcp_options(network);
            if body.subnet.is_none() {
                if !self
                    .site
                    .unread
                    .has_flawed(ObjectKind::Network, network.name.as_str())
                {
                    let message = format!("network `{}` has no `subnet`", network.name);
                    self.report(Diagnostic::error(message, network.name.span));
                }
                continue;
            }
            self.gateways(network);
            self.ranges(network);
        }
    }

    fn gateways(&mut self, network: &Network) {
        let gateways = network.body.gateway.iter().flat_map(|list| &list.value);
        let gateways: Vec<&Spanned<IpAddr>> = gateways.collect();
        for (at, gateway) in gateways.iter().enumerate() {
            self.gateway(network, gateway);
            let same = |other: &&&Spanned<IpAddr>| other.value.is_ipv4() == gateway.value.is_ipv4();
            if let Some(first) = gateways[..at].iter().find(same) {
                let message = format!(
                    "network `{}` has two gateways of one address family",
                    network.name
                );
                let mistake = Diagnostic::error(message, gateway.span);
                self.report(mistake.other(first.span, "the first"));
            }
        }
    }

    fn gateway(&mut self, network: &Network, gateway: &Spanned<IpAddr>) {
        let ip = gateway.value;
        if is_link_local(ip) {
            return;
        }
        let message = match subnets(network).find(|subnet| subnet.contains(&ip)) {
            _ if is_unassignable(ip) => format!("{ip} cannot be a gateway"),
            None if network.body.effective().on_link => return,
            None => format!("gateway {ip} is outside network `{}`", network.name),
            Some(subnet) => match edge(subnet, ip) {
                // The first address of an IPv6 subnet is the anycast address of its routers.
                Some(what) if ip.is_ipv4() => {
                    format!("gateway {ip} is the {what} address of {subnet}")
                }
                _ => return,
            },
        };
        let mistake = Diagnostic::error(message, gateway.span);
        self.report(with_subnet(mistake, network));
    }

    fn ranges(&mut self, network: &Network) {
        let body = &network.body;
        let lists = [
            ("taken", &body.taken),
            ("range", &body.range),
            ("pool", &body.pool),
        ];
        for (key, list) in lists {
            for range in list.iter().flat_map(|list| &list.value) {
                self.range_in_subnet(network, key, range);
            }
        }
        self.check_disjoint(("taken", &body.taken), ("range", &body.range));
        self.check_disjoint(("taken", &body.taken), ("pool", &body.pool));
        self.check_disjoint(("range", &body.range), ("pool", &body.pool));
    }

    fn range_in_subnet(&mut self, network: &Network, key: &str, range: &Spanned<AddressRange>) {
        let holds = |subnet: ipnet::IpNet| {
            subnet.contains(&range.value.first) && subnet.contains(&range.value.last)
        };
        if !subnets(network).any(holds) {
            let message = format!("`{key}` {range} is outside network `{}`", network.name);
            let mistake = Diagnostic::error(message, range.span);
            self.report(with_subnet(mistake, network));
        }
    }

    fn check_disjoint(
        &mut self,
        (key, list): (&str, &Option<List<AddressRange>>),
        (other_key, others): (&str, &Option<List<AddressRange>>),
    ) {
        for other in others.iter().flat_map(|list| &list.value) {
            let overlaps = |range: &&Spanned<AddressRange>| {
                range.value.contains(other.value.first) || other.value.contains(range.value.first)
            };
            let mut ranges = list.iter().flat_map(|list| &list.value);
            if let Some(range) = ranges.find(overlaps) {
                let message = format!("`{other_key}` {other} overlaps `{key}` {range}");
                let mistake = Diagnostic::error(message, other.span);
                self.report(mistake.other(range.span, format!("`{key}`")));
            }
        }
    }

    fn dhcp(&mut self, body: &NetworkBody) {
        if body.effective().dhcp == DhcpMode::Server {
            return;
        }
        let range = body.range.as_ref().map(|at| ("range", at.span));
        let lease = body.lease.as_ref().map(|at| ("lease", at.span));
        for (key, span) in range.into_iter().chain(lease) {
            let message = format!("`{key}` has no effect without dhcp = \"server\"");
            self.report(Diagnostic::warning(message, span));
        }
    }
}

fn with_subnet(mistake: Diagnostic, network: &Network) -> Diagnostic {
    match &network.body.subnet {
        Some(subnet) => mistake.other(subnet.span, format!("subnet of {}", network.name)),
        None => mistake,
    }
}
