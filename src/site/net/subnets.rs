//! Assigns each link to its network, and checks each address against that network.

use std::{net::IpAddr, sync::Arc};

use crate::model::{HostAddress, Network, SourceSpan, Spanned};

use super::{DraftAddress, LayoutBuilder, LinkDraft, draft::subnet_of};
use crate::site::{Diagnostic, free_addresses::edge};

impl<'a> LayoutBuilder<'a, '_> {
    /// Assigns every link to its network.
    pub(super) fn assign_networks(&mut self, links: &mut [LinkDraft<'a>]) {
        for link in links {
            match link.own.network {
                Some(name) => match self.site.networks.get(&name.value) {
                    Some(network) => self.assign_network(link, network),
                    // The rules report the missing network.
                    None => link.is_unresolved = true,
                },
                None => self.assign_network_by_address(link),
            }
        }
    }

    fn assign_network(&mut self, link: &mut LinkDraft<'a>, network: &'a Arc<Network>) {
        link.network = Some(network);
        for at in link.own.address.iter().flat_map(|list| &list.value) {
            if is_unassignable(at.value.ip) {
                link.is_unresolved = true;
                self.report_unassignable(at);
            } else if subnet_of(network, at.value.ip).is_some() {
                let address = DraftAddress::declared(at, Some(network));
                self.check_address(&address, at.value.ip);
                link.addresses.push(address);
            } else {
                link.is_unresolved = true;
                self.report_outside(link, at, network);
            }
        }
    }

    fn report_outside(
        &mut self,
        link: &LinkDraft<'_>,
        at: &Spanned<HostAddress>,
        network: &Network,
    ) {
        let Some(subnet) = &network.body.subnet else {
            return;
        };
        let written: Vec<String> = subnet.values().map(ToString::to_string).collect();
        let name = &network.name;
        let mut mistake = Diagnostic::error(
            format!(
                "address {} is outside network `{name}` ({})",
                at.value.ip,
                written.join(", ")
            ),
            at.span,
        )
        .label(self.name)
        .other(subnet.span, format!("subnet of {name}"))
        .help(self.free.hint(network, at.value.ip));
        if let Some(by) = link.own.network {
            mistake = mistake.other(by.span, "the network of the link");
        }
        self.report(mistake);
    }

    fn assign_network_by_address(&mut self, link: &mut LinkDraft<'a>) {
        for at in link.own.address.iter().flat_map(|list| &list.value) {
            if is_unassignable(at.value.ip) {
                link.is_unresolved = true;
                self.report_unassignable(at);
                continue;
            }
            match self.network_of(at) {
                Ok(network) => {
                    let address = DraftAddress::declared(at, network);
                    self.check_address(&address, at.value.ip);
                    link.network = link.network.or(network);
                    link.addresses.push(address);
                }
                Err(mistake) => {
                    link.is_unresolved = true;
                    self.found.extend(mistake.map(|mistake| *mistake));
                }
            }
        }
    }

    /// Finds the network that contains an address. The machine's own network has precedence over others. An address with its
    /// own prefix length needs no network.
    fn network_of(
        &self,
        at: &Spanned<HostAddress>,
    ) -> Result<Option<&'a Arc<Network>>, Option<Box<Diagnostic>>> {
        let ip = at.value.ip;
        let holds = |network: &&'a Arc<Network>| subnet_of(network, ip).is_some();
        if let Some(own_network) = self
            .named(|settings| settings.network.as_deref())
            .filter(holds)
        {
            return Ok(Some(own_network));
        }
        let all: Vec<&'a Arc<Network>> = self.site.networks.values().filter(holds).collect();
        match all.as_slice() {
            [only] => Ok(Some(only)),
            [] if at.value.prefix.is_some() => Ok(None),
            [] => Err(self.not_in_a_network(at)),
            _ if self.may_get_network_from_policy() => Err(None),
            several => Err(Some(Box::new(self.in_several_networks(at, several)))),
        }
    }

    /// Returns whether a policy that binds the machine later may set its network.
    fn may_get_network_from_policy(&self) -> bool {
        let is_bound = self.layers.policy.is_some()
            || self
                .layers
                .node
                .is_some_and(|node| node.settings.repo.is_some() || node.settings.task.is_some());
        let mut policies = self.site.policies.values();
        !is_bound && policies.any(|policy| policy.settings.network.is_some())
    }

    fn not_in_a_network(&self, at: &Spanned<HostAddress>) -> Option<Box<Diagnostic>> {
        if self.site.may_have_more_subnets() {
            return None;
        }
        let mistake = Diagnostic::error(
            format!("address {} is in no network of the site", at.value.ip),
            at.span,
        );
        let help = "declare the network, or give the address a prefix length of its own";
        Some(Box::new(mistake.label(self.name).help(help)))
    }

    fn in_several_networks(&self, at: &Spanned<HostAddress>, all: &[&Arc<Network>]) -> Diagnostic {
        let names: Vec<&str> = all
            .iter()
            .map(|network| network.name.value.as_str())
            .collect();
        let mut mistake = Diagnostic::error(
            format!(
                "address {} is in several networks: `{}`",
                at.value.ip,
                names.join("`, `")
            ),
            at.span,
        )
        .label(self.name)
        .help(format!(
            "set the network, such as network = \"{}\"",
            names[0]
        ));
        for network in all {
            let subnet = network.body.subnet.as_ref();
            let span = subnet.map_or(network.name.span, |subnet| subnet.span);
            mistake = mistake.other(span, format!("subnet of {}", network.name));
        }
        mistake
    }

    fn report_unassignable(&mut self, at: &Spanned<HostAddress>) {
        let ip = at.value.ip;
        let message = format!("{ip} cannot be the address of one machine on a network");
        self.report(Diagnostic::error(message, at.span).label(self.name));
    }

    /// Checks that an address is available in its network.
    fn check_address(&mut self, address: &DraftAddress<'a>, ip: IpAddr) {
        let Some(span) = address.span else {
            return;
        };
        let own = edge(address.net, ip).map(|what| (what, address.net.trunc()));
        let of_subnet = address.network.and_then(|network| {
            let subnet = subnet_of(network, ip)?;
            edge(subnet, ip).map(|what| (what, subnet))
        });
        if let Some((what, net)) = own.or(of_subnet) {
            let message = format!("address {ip} is the {what} address of {net}");
            let mistake = Diagnostic::error(message, span).label(self.name);
            return self.report(self.with_hint(mistake, address));
        }
        let Some(network) = address.network else {
            return;
        };
        if let Some(mistake) = reserved(network, ip, span) {
            let mistake = mistake.label(self.name);
            self.report(self.with_hint(mistake, address));
        }
    }

    fn with_hint(&self, mistake: Diagnostic, address: &DraftAddress<'_>) -> Diagnostic {
        match address.network {
            Some(network) => mistake.help(self.free.hint(network, address.ip())),
            None => mistake,
        }
    }
}

/// Returns the diagnostic if an address is a gateway of `network`, or in its `taken` or `range`.
fn reserved(network: &Network, ip: IpAddr, span: SourceSpan) -> Option<Diagnostic> {
    let body = &network.body;
    let name = &network.name;
    let mut gateways = body.gateway.iter().flat_map(|list| &list.value);
    if let Some(gateway) = gateways.find(|gateway| gateway.value == ip) {
        let message = format!("address {ip} is the gateway of network `{name}`");
        return Some(Diagnostic::error(message, span).other(gateway.span, "the gateway"));
    }
    for (key, list) in [("taken", &body.taken), ("range", &body.range)] {
        let mut ranges = list.iter().flat_map(|list| &list.value);
        if let Some(range) = ranges.find(|range| range.value.contains(ip)) {
            let message = format!("address {ip} is in `{key}` of network `{name}` ({range})");
            let mistake = Diagnostic::error(message, span);
            return Some(mistake.other(range.span, format!("`{key}` of {name}")));
        }
    }
    None
}

/// Returns whether no machine can have this address.
pub(in crate::site) fn is_unassignable(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || broadcast
}
