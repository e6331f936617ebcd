//! Which address a card has on a network of ours.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use ipnet::{IpNet, Ipv4Net};

use crate::control::{Transaction, dhcp::pool::AddressPool, dhcp::requester::DhcpRequester};
use crate::{
    boot::dhcp::{AddressAssignment, DhcpMessage, NetworkOptions},
    journal::{Event, HoldCause},
    model::{AddressRange, List, Mac, Network, Node, SmallSet, Timestamp},
};

/// How long a lease lasts where the network does not say it.
const LEASE: Duration = Duration::from_secs(12 * 3_600);
/// For how long an address that is in use by somebody else is given to nobody (RFC 2131 section 4.3.3).
const DECLINED: Duration = Duration::from_secs(3_600);
/// For how long an offered address is kept for the one it was offered to.
const OFFERED: Duration = Duration::from_secs(30);
/// A large range is not looked through again from its beginning within this time.
const FULL: Duration = Duration::from_secs(1);
/// Whoever asks again within this time keeps what was written down. A lease is nobody else's for as long after its
/// end, so that a client that asks without end does not fill the journal.
const SAME_LEASE: Duration = Duration::from_secs(60);
/// So many addresses of a range are used at most.
const MOST: u64 = 65_536;

/// A network's settings for a client whose question came to `at`.
pub(crate) fn terms(network: &Network, at: Ipv4Addr) -> Option<NetworkOptions> {
    let body = &network.body;
    let v4 = |list: &Option<List<IpAddr>>| -> Vec<Ipv4Addr> {
        let all = list.iter().flat_map(|list| list.values());
        all.filter_map(|ip| match ip {
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
        lease: body.lease.as_ref().map_or(LEASE, |at| at.value.0),
    })
}

fn subnet(network: &Network, at: Ipv4Addr) -> Option<Ipv4Net> {
    let all = network.body.subnet.iter().flat_map(|list| list.values());
    all.filter_map(|subnet| match subnet.0 {
        IpNet::V4(net) => Some(net),
        IpNet::V6(_) => None,
    })
    .find(|net| net.contains(&at))
}

impl Transaction<'_> {
    /// Which address the asker has or may have.
    pub(crate) fn held(
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
            let lease = &self.server.state.leases[&address];
            return if lease.until > now {
                AddressAssignment::Leased(address)
            } else {
                AddressAssignment::Free(address)
            };
        }
        let offered = self.server.volatile.dhcp.offers.get(&query.mac);
        let mut likely = offered
            .map(|(ip, _)| *ip)
            .into_iter()
            .chain(query.requested);
        let fits = |ip: &Ipv4Addr| in_range(network, *ip) && self.is_free(network, *ip, query.mac);
        match likely
            .find(fits)
            .or_else(|| self.find_free(network, query.mac))
        {
            Some(address) => AddressAssignment::Free(address),
            None => reserved.map_or(AddressAssignment::None, AddressAssignment::InUse),
        }
    }

    /// Whether a machine is held because somebody else has its address: it must not use it as well.
    fn is_disputed(&self, mac: Mac, requester: &DhcpRequester) -> bool {
        let id = requester
            .id
            .or_else(|| self.machine_at([mac].into_iter().collect()));
        id.is_some_and(|id| self.machine(id).holds.contains_key(&HoldCause::Address))
    }

    /// The address that its declaration, or its binding, gives it on this network.
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
        let all = declared.chain(pooled).filter_map(|ip| match ip {
            IpAddr::V4(ip) => Some(ip),
            IpAddr::V6(_) => None,
        });
        all.into_iter().find(|ip| subnet(network, *ip).is_some())
    }

    fn leased(&self, mac: Mac) -> impl Iterator<Item = Ipv4Addr> {
        let known = self.server.index.lease.get(&mac);
        known.into_iter().flatten().copied()
    }

    /// Whether nobody but this card has an address of a range.
    fn is_free(&self, network: &Network, ip: Ipv4Addr, mac: Mac) -> bool {
        let leased = self.server.state.leases.get(&ip);
        let is_anothers = leased.is_some_and(|lease| {
            lease.mac != Some(mac) && later(lease.until, SAME_LEASE) > self.now.wall
        });
        let offered = self.server.volatile.dhcp.offered_to.get(&ip);
        let is_offered =
            offered.is_some_and(|(to, at)| *to != mac && self.now.mono.since(*at) < OFFERED);
        !is_anothers && !is_offered && self.snapshot.may_lease(network, ip)
    }

    fn find_free(&mut self, network: &Network, mac: Mac) -> Option<Ipv4Addr> {
        let (name, now) = (&network.name.value, self.now.mono);
        let ranges: Vec<(u32, u64)> = ranges(network).collect();
        let known = self.server.volatile.dhcp.pools.remove(name);
        let (mut begun, mut pool) = match known.filter(|(_, pool)| pool.is_of(&ranges)) {
            Some(known) => known,
            None => (now, AddressPool::new(ranges.clone(), MOST)),
        };
        let fits = |address| self.is_free(network, address, mac);
        let mut found = pool.take(|bits| fits(Ipv4Addr::from_bits(bits)));
        if found.is_none() && (pool.is_small() || now.since(begun) >= FULL) {
            // Leases and offers have ended meanwhile.
            (begun, pool) = (now, AddressPool::new(ranges, MOST));
            found = pool.take(|bits| fits(Ipv4Addr::from_bits(bits)));
        }
        self.server
            .volatile
            .dhcp
            .pools
            .insert(name.clone(), (begun, pool));
        found.map(Ipv4Addr::from_bits)
    }

    /// The card to which a declaration gives an address.
    pub(crate) fn mac_declared_at(&self, ip: IpAddr) -> Option<SmallSet<Mac>> {
        let nodes = self.snapshot.site.nodes.values();
        let mut cards = nodes.flat_map(|node| {
            let macs = node.macs().into_iter().map(|mac| mac.value);
            macs.map(move |mac| (node, mac))
        });
        let found = cards.find(|(node, mac)| addresses(node, *mac).any(|own| own == ip));
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
        let until = later(self.now.wall, span);
        let known = self.server.state.leases.get(&address);
        if known.is_some_and(|known| {
            known.mac == Some(mac) && until.since(known.until) < SAME_LEASE.min(span / 8)
        }) {
            return;
        }
        self.record_site(Event::Lease {
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
            self.record_site(Event::LeaseEnded { address });
        }
    }

    /// A client has found somebody else at the address that it was given.
    pub(crate) fn declined(&mut self, query: &DhcpMessage, network: &Network) {
        let Some(address) = query.requested else {
            return;
        };
        let leased = self.server.state.leases.get(&address);
        if leased.is_some_and(|lease| lease.mac == Some(query.mac)) {
            let until = later(self.now.wall, DECLINED);
            self.record_site(Event::Lease {
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
            // What was heard before is refuted.
            self.server.volatile.addresses.results.remove(&address);
            let name = &network.name;
            let reason = format!(
                "{address} is used by another host on network {name}, as the machine reports"
            );
            self.hold(id, HoldCause::Address, &reason);
        }
    }
}

/// The addresses that a declaration gives the card: its own ones, or those of the card that it boots from.
fn addresses(node: &Node, mac: Mac) -> impl Iterator<Item = IpAddr> {
    let body = &node.body;
    let own = body
        .interface
        .iter()
        .filter(move |at| at.value.mac.as_ref().is_none_or(|own| own.value == mac));
    let long = own.flat_map(|at| at.value.address.iter());
    let all = body.address.iter().chain(long);
    all.flat_map(|list| list.values()).map(|address| address.ip)
}

fn ranges(network: &Network) -> impl Iterator<Item = (u32, u64)> {
    let all = network.body.range.iter().flat_map(|list| list.values());
    all.filter_map(|range| match (range.first, range.last) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let size = u64::from(last.to_bits().saturating_sub(first.to_bits())) + 1;
            Some((first.to_bits(), size))
        }
        _ => None,
    })
}

fn in_range(network: &Network, ip: Ipv4Addr) -> bool {
    let mut all = network.body.range.iter().flat_map(|list| list.values());
    all.any(|range: &AddressRange| range.contains(ip.into()))
}

fn later(at: Timestamp, span: Duration) -> Timestamp {
    let span = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    Timestamp(at.0.saturating_add(span))
}
