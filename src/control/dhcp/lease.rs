//! Which address a client gets on a network.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net};

use crate::control::{Transaction, dhcp::pool::AddressPool, dhcp::requester::DhcpRequester};
use crate::{
    boot::dhcp::{AddressAssignment, DhcpMessage, NetworkOptions},
    journal::{HoldCause, LeaseEvent},
    model::{AddressRange, List, Mac, Network, Node, SiteOption, SmallSet, Timestamp},
};

/// How long an address that another host uses is not assigned to any client (RFC 2131 section 4.3.3).
const DECLINE_TIME: Duration = Duration::from_secs(3_600);
/// How long an offered address is reserved for its client.
const OFFER_TIME: Duration = Duration::from_secs(30);
/// A large range is not searched again from its beginning within this time.
const RESCAN_INTERVAL: Duration = Duration::from_secs(1);
/// The journal reserves an address for this many times its lease. A renewal within that time is not written. After a restart
/// the reservation counts, so an address that a client has renewed is not assigned to another one.
const RESERVED_LEASES: u32 = 4;
/// An expired lease stays reserved for this time.
const EXPIRY_MARGIN: Duration = Duration::from_secs(60);
/// The maximum number of addresses of a range that are used.
const MAX_ADDRESSES: u64 = 65_536;

/// The options of a network for a client whose message arrived at `at`.
pub(crate) fn network_options(network: &Network, at: Ipv4Addr) -> Option<NetworkOptions> {
    let body = &network.body;
    let v4 = |list: &Option<List<IpAddr>>| -> Vec<Ipv4Addr> {
        let values = list.iter().flat_map(|list| list.values());
        values
            .filter_map(|ip| match ip {
                IpAddr::V4(ip) => Some(*ip),
                IpAddr::V6(_) => None,
            })
            .collect()
    };
    let texts = |list: &Option<List<String>>| -> Vec<String> {
        list.iter()
            .flat_map(|list| list.values())
            .cloned()
            .collect()
    };
    Some(NetworkOptions {
        subnet: subnet(network, at)?,
        gateways: v4(&body.gateway),
        dns: v4(&body.dns),
        domain: body.domain.as_ref().map(|at| at.value.clone()),
        search: texts(&body.search),
        ntp: texts(&body.ntp)
            .iter()
            .filter_map(|text| text.parse().ok())
            .collect(),
        mtu: body
            .mtu
            .as_ref()
            .and_then(|at| u16::try_from(at.value).ok()),
        lease: body.effective().lease,
        on_link: body.effective().on_link,
        site: site_options(network),
    })
}

/// The options of the network's `options`. A site with an invalid one never takes effect.
fn site_options(network: &Network) -> Vec<SiteOption> {
    let options = network.body.options.iter();
    let encoded = options.map(|(key, setting)| setting.value.encode(key, setting.span));
    encoded.filter_map(Result::ok).collect()
}

fn subnet(network: &Network, at: Ipv4Addr) -> Option<Ipv4Net> {
    let values = network.body.subnet.iter().flat_map(|list| list.values());
    values
        .filter_map(|subnet| match subnet.0 {
            IpNet::V4(net) => Some(net),
            IpNet::V6(_) => None,
        })
        .find(|net| net.contains(&at))
}

impl Transaction<'_> {
    /// Which address the client has or may get.
    pub(crate) fn assignment(
        &mut self,
        query: &DhcpMessage,
        network: &Network,
        requester: &DhcpRequester,
    ) -> AddressAssignment {
        let reserved = self.reserved(query, network, requester);
        if let Some(address) = reserved.filter(|_| !self.is_disputed(query.mac, requester)) {
            return AddressAssignment::Reserved(address);
        }
        let now = self.now.wall;
        let leased = self.leased(query.mac).find(|ip| in_range(network, *ip));
        if let Some(address) = leased.filter(|ip| self.is_free(network, *ip, query.mac)) {
            return if self.lease_end(address).is_some_and(|end| end > now) {
                AddressAssignment::Leased(address)
            } else {
                AddressAssignment::Free(address)
            };
        }
        let offered = self.server.volatile.dhcp.offers.get(&query.mac);
        let mut candidates = offered
            .map(|(ip, _)| *ip)
            .into_iter()
            .chain(query.requested);
        let is_usable =
            |ip: &Ipv4Addr| in_range(network, *ip) && self.is_free(network, *ip, query.mac);
        match candidates
            .find(is_usable)
            .or_else(|| self.find_free(network, query.mac))
        {
            Some(address) => AddressAssignment::Free(address),
            None => reserved.map_or(AddressAssignment::None, AddressAssignment::InUse),
        }
    }

    /// Whether a machine is held because another host uses its address: the machine must not use it as well.
    fn is_disputed(&self, mac: Mac, requester: &DhcpRequester) -> bool {
        let id = requester
            .id
            .or_else(|| self.machine_at([mac].into_iter().collect()));
        id.is_some_and(|id| self.machine(id).holds.contains_key(&HoldCause::Address))
    }

    /// The address on this network of its declaration or its binding.
    fn reserved(
        &self,
        query: &DhcpMessage,
        network: &Network,
        requester: &DhcpRequester,
    ) -> Option<Ipv4Addr> {
        let pooled = requester
            .id
            .and_then(|id| self.machine(id).binding.as_ref()?.address);
        let declared = requester
            .node
            .iter()
            .flat_map(|node| addresses(node, query.mac));
        let values = declared.chain(pooled).filter_map(|ip| match ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        });
        values.into_iter().find(|ip| subnet(network, *ip).is_some())
    }

    fn leased(&self, mac: Mac) -> impl Iterator<Item = Ipv4Addr> {
        let current = self.server.index.lease.get(&mac);
        current.into_iter().flatten().copied()
    }

    /// Whether no other client has an address of a range.
    fn is_free(&self, network: &Network, ip: Ipv4Addr, mac: Mac) -> bool {
        let leased = self.server.state.leases.get(&ip);
        let is_leased_to_other = leased.is_some_and(|lease| lease.mac != Some(mac))
            && self
                .lease_end(ip)
                .is_some_and(|end| later(end, EXPIRY_MARGIN) > self.now.wall);
        let offered = self.server.volatile.dhcp.offered_to.get(&ip);
        let is_offered =
            offered.is_some_and(|(to, at)| *to != mac && self.now.mono.since(*at) < OFFER_TIME);
        !is_leased_to_other && !is_offered && self.snapshot.may_lease(network, ip)
    }

    /// When the lease of an address ends: as this run has granted it, or else as the journal reserves it.
    fn lease_end(&self, ip: Ipv4Addr) -> Option<Timestamp> {
        let reserved = self.server.state.leases.get(&ip)?.until;
        let granted = self.server.volatile.dhcp.ends.get(&ip).copied();
        Some(granted.unwrap_or(reserved))
    }

    fn find_free(&mut self, network: &Network, mac: Mac) -> Option<Ipv4Addr> {
        let (name, now) = (&network.name.value, self.now.mono);
        let ranges: Vec<(u32, u64)> = ranges(network).collect();
        let current = self.server.volatile.dhcp.pools.remove(name);
        let (mut searched_at, mut pool) = match current.filter(|(_, pool)| pool.is_of(&ranges)) {
            Some(current) => current,
            None => (now, AddressPool::new(ranges.clone(), MAX_ADDRESSES)),
        };
        let is_usable = |address| self.is_free(network, address, mac);
        let mut found = pool.take(|bits| is_usable(Ipv4Addr::from_bits(bits)));
        if found.is_none() && (pool.is_small() || now.since(searched_at) >= RESCAN_INTERVAL) {
            // Leases and offers may have expired since the last search.
            (searched_at, pool) = (now, AddressPool::new(ranges, MAX_ADDRESSES));
            found = pool.take(|bits| is_usable(Ipv4Addr::from_bits(bits)));
        }
        self.server
            .volatile
            .dhcp
            .pools
            .insert(name.clone(), (searched_at, pool));
        found.map(Ipv4Addr::from_bits)
    }

    /// The MAC address to which a declaration assigns an address.
    pub(crate) fn mac_declared_at(&self, ip: IpAddr) -> Option<SmallSet<Mac>> {
        let nodes = self.snapshot.site.nodes.values();
        let mut macs = nodes.flat_map(|node| {
            let macs = node.macs().into_iter().map(|mac| mac.value);
            macs.map(move |mac| (node, mac))
        });
        let found = macs.find(|(node, mac)| addresses(node, *mac).any(|own| own == ip));
        found.map(|(_, mac)| [mac].into_iter().collect())
    }

    pub(crate) fn offer(&mut self, mac: Mac, address: Ipv4Addr) {
        let volatile = &mut self.server.volatile;
        if let Some((before, _)) = volatile.dhcp.offers.insert(mac, (address, self.now.mono)) {
            volatile.dhcp.offered_to.remove(&before);
        }
        if let Some((other, _)) = volatile
            .dhcp
            .offered_to
            .insert(address, (mac, self.now.mono))
            && other != mac
        {
            volatile.dhcp.offers.remove(&other);
        }
    }

    pub(crate) fn lease(&mut self, mac: Mac, address: Ipv4Addr, span: Duration) {
        let volatile = &mut self.server.volatile;
        volatile.dhcp.offers.remove(&mac);
        volatile.dhcp.offered_to.remove(&address);
        let end = later(self.now.wall, span);
        volatile.dhcp.ends.insert(address, end);
        let current = self.server.state.leases.get(&address);
        if current.is_some_and(|current| current.mac == Some(mac) && current.until >= end) {
            return;
        }
        let until = later(self.now.wall, span.saturating_mul(RESERVED_LEASES));
        self.record_site(LeaseEvent::Granted {
            address,
            mac: Some(mac),
            until,
        });
    }

    pub(crate) fn released(&mut self, query: &DhcpMessage) {
        let Some(address) = query.ciaddr else {
            return;
        };
        let leased = self.server.state.leases.get(&address);
        if leased.is_some_and(|lease| lease.mac == Some(query.mac)) {
            self.server.volatile.dhcp.ends.remove(&address);
            self.record_site(LeaseEvent::Ended { address });
        }
    }

    /// A client has detected that another host uses the address that it was assigned.
    pub(crate) fn declined(&mut self, query: &DhcpMessage, network: &Network) {
        let Some(address) = query.requested else {
            return;
        };
        let leased = self.server.state.leases.get(&address);
        if leased.is_some_and(|lease| lease.mac == Some(query.mac)) {
            let until = later(self.now.wall, DECLINE_TIME);
            self.server.volatile.dhcp.ends.insert(address, until);
            self.record_site(LeaseEvent::Granted {
                address,
                mac: None,
                until,
            });
        }
        let id = self.machine_at([query.mac].into_iter().collect());
        let node = id.and_then(|id| self.node_of(id));
        if let (Some(id), Some(node)) = (id, node)
            && addresses(&node, query.mac).any(|ip| ip == IpAddr::V4(address))
        {
            // The result of the last ARP probe is no longer valid.
            self.server.volatile.addresses.results.remove(&address);
            let name = &network.name;
            let reason = format!(
                "{address} is used by another host on network {name}, as the machine reports"
            );
            self.hold(id, HoldCause::Address, &reason);
        }
    }
}

/// The addresses that a declaration assigns to a NIC: those of its own interface, or those of the boot NIC.
fn addresses(node: &Node, mac: Mac) -> impl Iterator<Item = IpAddr> {
    let body = &node.body;
    let own = body
        .interface
        .iter()
        .filter(move |at| at.value.mac.as_ref().is_none_or(|own| own.value == mac));
    let long = own.flat_map(|at| at.value.address.iter());
    let values = body.address.iter().chain(long);
    values
        .flat_map(|list| list.values())
        .map(|address| address.ip)
}

fn ranges(network: &Network) -> impl Iterator<Item = (u32, u64)> {
    let values = network.body.range.iter().flat_map(|list| list.values());
    values.filter_map(|range| match (range.first, range.last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let size = u64::from(last.to_bits().saturating_sub(first.to_bits())) + 1;
            Some((first.to_bits(), size))
        }
        _ => None,
    })
}

fn in_range(network: &Network, ip: Ipv4Addr) -> bool {
    let mut values = network.body.range.iter().flat_map(|list| list.values());
    values.any(|range: &AddressRange| range.contains(ip.into()))
}

fn later(at: Timestamp, span: Duration) -> Timestamp {
    let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Timestamp(at.0.saturating_add(span))
}
