//! Finds the free addresses of a network.
//!
//! The declared addresses are collected once, when they are first needed.

use std::{
    cell::{OnceCell, RefCell},
    collections::{BTreeMap, BTreeSet, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;

use crate::model::{AddressRange, HostAddress, List, Network, NetworkName, Node, Spanned};

use super::Site;

/// The number of free addresses to find for a hint. The last one is not listed: it shows that there are more.
const HINT_LIMIT: usize = 3;

/// Finds free addresses in the networks of one site.
#[derive(Debug)]
pub struct FreeAddresses<'a> {
    site: &'a Site,
    declared: OnceCell<BTreeSet<IpAddr>>,
    hints: RefCell<BTreeMap<(NetworkName, bool), String>>,
}

impl Site {
    /// Returns every static address that a node declares, on any link.
    pub(crate) fn static_addresses(&self) -> HashSet<IpAddr> {
        let nodes = self.nodes.values();
        let all = nodes.flat_map(|node| static_addresses(node));
        all.map(|address| address.value.ip).collect()
    }
}

impl<'a> FreeAddresses<'a> {
    pub fn new(site: &'a Site) -> Self {
        FreeAddresses {
            site,
            declared: OnceCell::new(),
            hints: RefCell::default(),
        }
    }

    /// Iterates over the free addresses of a network's pool, in ascending order.
    pub fn pool<'s>(&'s self, network: &'s Network) -> impl Iterator<Item = IpAddr> + 's {
        let blocked = blocked(network, &[]);
        ranges(&network.body.pool)
            .flat_map(move |range| self.walk(*range, blocked.clone()))
            .filter(move |ip| !is_edge(network, *ip))
    }

    /// Iterates over the free addresses of a network outside its pool, in ascending order.
    pub fn beside_pool<'s>(&'s self, network: &'s Network) -> impl Iterator<Item = IpAddr> + 's {
        let blocked = blocked(network, &[&network.body.pool]);
        subnets(network)
            .filter_map(hosts)
            .flat_map(move |range| self.walk(range, blocked.clone()))
    }

    /// Returns whether [`FreeAddresses::pool`] contains an address.
    pub fn is_pooled(&self, network: &Network, ip: IpAddr) -> bool {
        ranges(&network.body.pool).any(|range| range.contains(ip))
            && !blocked(network, &[]).iter().any(|range| range.contains(ip))
            && !is_edge(network, ip)
            && !self.declared().contains(&ip)
    }

    /// Describes which addresses of `network` are free, of the address family of `like`.
    pub(super) fn hint(&self, network: &Network, like: IpAddr) -> String {
        let key = (network.name.value.clone(), like.is_ipv4());
        if let Some(hint) = self.hints.borrow().get(&key) {
            return hint.clone();
        }
        let hint = self.find_hint(network, like);
        self.hints.borrow_mut().insert(key, hint.clone());
        hint
    }

    fn find_hint(&self, network: &Network, like: IpAddr) -> String {
        let blocked = blocked(network, &[&network.body.pool]);
        let free: Vec<String> = subnets(network)
            .filter(|subnet| subnet.addr().is_ipv4() == like.is_ipv4())
            .filter_map(hosts)
            .flat_map(|range| self.walk(range, blocked.clone()))
            .map(|ip| ip.to_string())
            .take(HINT_LIMIT)
            .collect();
        let name = &network.name;
        match free.as_slice() {
            [] => format!("no address of network {name} is free"),
            [most @ .., _] if free.len() == HINT_LIMIT => {
                format!("free in network {name}: {}, ...", most.join(", "))
            }
            all => format!("free in network {name}: {}", all.join(", ")),
        }
    }

    /// Iterates over the addresses of `range` that are neither blocked nor declared. A blocked range is skipped in one step,
    /// so its size does not matter.
    fn walk(
        &self,
        range: AddressRange,
        blocked: Vec<AddressRange>,
    ) -> impl Iterator<Item = IpAddr> + '_ {
        let mut next = Some(range.first);
        std::iter::from_fn(move || {
            loop {
                let ip = next.filter(|ip| range.contains(*ip))?;
                match blocked.iter().find(|range| range.contains(ip)) {
                    Some(range) => next = after(range.last),
                    None => {
                        next = after(ip);
                        if !self.declared().contains(&ip) {
                            return Some(ip);
                        }
                    }
                }
            }
        })
    }

    fn declared(&self) -> &BTreeSet<IpAddr> {
        self.declared.get_or_init(|| {
            let nodes = self.site.nodes.values();
            nodes
                .flat_map(|node| static_addresses(node))
                .map(|address| address.value.ip)
                .collect()
        })
    }
}

/// Iterates over the static addresses that a node declares, on any link.
pub(crate) fn static_addresses(node: &Node) -> impl Iterator<Item = &Spanned<HostAddress>> {
    let body = &node.body;
    let interfaces = body.interface.iter().map(|at| &at.value.address);
    let bonds = body.bond.values().map(|at| &at.value.address);
    let vlans = body.vlan.values().map(|at| &at.value.address);
    let bridges = body.bridge.values().map(|at| &at.value.address);
    [&body.address]
        .into_iter()
        .chain(interfaces)
        .chain(bonds)
        .chain(vlans)
        .chain(bridges)
        .flatten()
        .flat_map(|list| &list.value)
}

/// Iterates over the ranges of an optional list.
pub(super) fn ranges(list: &Option<List<AddressRange>>) -> impl Iterator<Item = &AddressRange> {
    list.iter().flat_map(|list| list.values())
}

pub(super) fn subnets(network: &Network) -> impl Iterator<Item = IpNet> + '_ {
    let list = network.body.subnet.iter();
    list.flat_map(|list| list.values()).map(|subnet| subnet.0)
}

/// Returns `network` or `broadcast` if `ip` is that address of `net`. Subnets of one or two addresses have neither (RFC 3021,
/// RFC 6164). The first address of an IPv6 subnet is the Subnet-Router anycast address (RFC 4291 §2.6.1).
pub(super) fn edge(net: IpNet, ip: IpAddr) -> Option<&'static str> {
    let small = net.max_prefix_len() - net.prefix_len() < 2;
    if small {
        None
    } else if ip == net.network() {
        Some("network")
    } else {
        (ip.is_ipv4() && ip == net.broadcast()).then_some("broadcast")
    }
}

/// Returns whether `ip` is the network or broadcast address of one of a network's subnets.
pub(crate) fn is_edge(network: &Network, ip: IpAddr) -> bool {
    subnets(network).any(|net| edge(net, ip).is_some())
}

/// Returns the addresses of a network that are not available: `taken`, the DHCP range, gateways and DNS servers.
fn blocked(network: &Network, further: &[&Option<List<AddressRange>>]) -> Vec<AddressRange> {
    let body = &network.body;
    let single = [&body.gateway, &body.dns]
        .into_iter()
        .flatten()
        .flat_map(|list| list.values())
        .map(|&ip| AddressRange {
            first: ip,
            last: ip,
        });
    let lists = [&body.taken, &body.range];
    lists
        .iter()
        .chain(further)
        .flat_map(|list| ranges(list))
        .copied()
        .chain(single)
        .collect()
}

/// Returns the addresses of a subnet that machines may have, from the first to the last.
fn hosts(net: IpNet) -> Option<AddressRange> {
    let first = match edge(net, net.network()) {
        Some(_) => after(net.network())?,
        None => net.network(),
    };
    let last = match edge(net, net.broadcast()) {
        Some(_) => before(net.broadcast())?,
        None => net.broadcast(),
    };
    (first <= last).then_some(AddressRange { first, last })
}

fn after(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(ip) => Some(Ipv4Addr::from(u32::from(ip).checked_add(1)?).into()),
        IpAddr::V6(ip) => Some(Ipv6Addr::from(u128::from(ip).checked_add(1)?).into()),
    }
}

fn before(ip: IpAddr) -> Option<IpAddr> {
    match ip {
        IpAddr::V4(ip) => Some(Ipv4Addr::from(u32::from(ip).checked_sub(1)?).into()),
        IpAddr::V6(ip) => Some(Ipv6Addr::from(u128::from(ip).checked_sub(1)?).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::{LoadCache, SiteFiles, load};

    fn hint(network: &str, like: &str) -> String {
        let text = format!(
            "[network.lab]\n{network}\n[node.a]\naddress = [\"192.0.2.2\", \"2001:db8::1\"]"
        );
        let content = [("policies.d/a.toml".into(), text.as_bytes().into())];
        let files = SiteFiles {
            content: content.into_iter().collect(),
            ..SiteFiles::default()
        };
        let (site, _) = load(&files, &mut LoadCache::default());
        FreeAddresses::new(&site).hint(&site.networks["lab"], like.parse().unwrap())
    }

    #[test]
    fn a_hint_lists_free_addresses() {
        let v6 = "subnet = \"2001:db8::/32\"\ntaken = \"2001:db8::/48\"";
        let big = "subnet = \"192.0.0.0/8\"\ntaken = \"192.0.0.0/9\"\npool = \"192.128.0.0/10\"";
        let tiny = "subnet = \"192.0.2.0/29\"\ngateway = \"192.0.2.1\"\ndns = \"192.0.2.3\"";
        for (network, like, expected) in [
            (
                tiny,
                "192.0.2.9",
                "free in network lab: 192.0.2.4, 192.0.2.5, ...",
            ),
            (
                "subnet = \"192.0.2.0/30\"",
                "192.0.2.9",
                "free in network lab: 192.0.2.1",
            ),
            (
                "subnet = \"192.0.2.2/31\"\ntaken = \"192.0.2.3\"",
                "192.0.2.9",
                "no address of network lab is free",
            ),
            (
                v6,
                "::1",
                "free in network lab: 2001:db8:1::, 2001:db8:1::1, ...",
            ),
            (
                big,
                "10.0.0.1",
                "free in network lab: 192.192.0.0, 192.192.0.1, ...",
            ),
        ] {
            assert_eq!(hint(network, like), expected, "{network}");
        }
    }
}
