//! Detects address conflicts: another host that uses an address of a machine.
//!
//! This module does not probe. It returns the addresses to probe by ARP, and processes the results. An installation begins when
//! the machine's static addresses are known to be free. If another host uses one, the machine is held until the address is
//! free. Addresses outside the subnets of the server's own interfaces cannot be probed and are not checked.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use ipnet::Ipv4Net;

use crate::control::{ReceivedQuery, Transaction, install::blocked::Blocked, volatile::ArpResult};
use crate::{
    journal::{HoldCause, MachineId},
    matcher,
    model::{Mac, Node, SmallSet},
    site,
};

/// How long a probe without conflict is valid. A boot takes less time from its first DHCP query to its script.
const FREE_RESULT_LIFETIME: Duration = Duration::from_secs(60);
/// How long a detected conflict is valid. It is short, so that a host that has left the network does not hold the next boot.
const IN_USE_RESULT_LIFETIME: Duration = Duration::from_secs(5);

/// Whether another host uses a static address of a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AddressConflict {
    /// No address is in a subnet of the server's interfaces.
    NotLocal,
    /// These addresses have to be probed first.
    NeedsProbe(Vec<Ipv4Addr>),
    /// The host with this MAC uses this address.
    InUse(Ipv4Addr, Mac),
    /// No other host uses any of the addresses.
    None,
}

impl Transaction<'_> {
    /// Stores the subnets in which addresses can be probed.
    pub fn on_links(&mut self, links: Vec<Ipv4Net>) {
        self.server.volatile.addresses.links = links;
    }

    /// Stores the MACs that answered for an address, and rechecks machines that are held for it.
    pub fn on_arp_reply(&mut self, address: Ipv4Addr, macs: SmallSet<Mac>) {
        let now = self.now.mono;
        let arp_results = &mut self.server.volatile.addresses.results;
        arp_results.retain(|_, result| now.since(result.at) < FREE_RESULT_LIFETIME);
        arp_results.insert(address, ArpResult { at: now, macs });
        for id in self.held_for(HoldCause::Address) {
            let node = self.node_of(id);
            let pooled = self.of_pool(id, node.as_deref());
            if addresses(node.as_deref(), pooled).any(|ip| ip == address) {
                self.recheck_address(id, node.as_deref());
            }
        }
    }

    /// Returns the addresses for which machines are held. They are probed so that the holds end when the addresses are free.
    pub fn held_addresses(&self) -> Vec<Ipv4Addr> {
        let held = self.held_for(HoldCause::Address).into_iter();
        let all = held.flat_map(|id| {
            let node = self.node_of(id);
            let pooled = self.of_pool(id, node.as_deref());
            self.on_our_links(node.as_deref(), pooled)
        });
        all.collect()
    }

    /// Returns the addresses to probe while a machine is still in its DHCP exchange, so that the results are known when it
    /// requests its script.
    pub fn addresses_ahead(&self, received: &ReceivedQuery) -> Vec<Ipv4Addr> {
        if self.server.volatile.addresses.links.is_empty() || !received.query.client.boots() {
            return Vec::new();
        }
        let id = self.machine_at([received.query.mac].into_iter().collect());
        let Some((id, node)) = id.map(|id| (id, self.node_of(id))) else {
            return Vec::new();
        };
        if !self.machine(id).is_due(node.as_deref()) {
            return Vec::new();
        }
        let pooled = self.of_pool(id, node.as_deref());
        match self.address_conflict(id, node.as_deref(), pooled) {
            AddressConflict::NeedsProbe(addresses) => addresses,
            AddressConflict::NotLocal | AddressConflict::InUse(..) | AddressConflict::None => {
                Vec::new()
            }
        }
    }

    /// Returns what is known about conflicts of a machine's static addresses and of `pooled`, its address from a pool.
    pub(crate) fn address_conflict(
        &self,
        id: MachineId,
        node: Option<&Node>,
        pooled: Option<IpAddr>,
    ) -> AddressConflict {
        let all = self.on_our_links(node, pooled);
        if all.is_empty() {
            return AddressConflict::NotLocal;
        }
        let (mut unknown, mut in_use) = (Vec::new(), None);
        for ip in all {
            let Some(result) = self.server.volatile.addresses.results.get(&ip) else {
                unknown.push(ip);
                continue;
            };
            let age = self.now.mono.since(result.at);
            let mut others = result.macs.iter();
            match others.find(|mac| !self.is_own(id, node, **mac)) {
                Some(other) if age < IN_USE_RESULT_LIFETIME => {
                    in_use = in_use.or(Some((ip, *other)))
                }
                None if age < FREE_RESULT_LIFETIME => {}
                _ => unknown.push(ip),
            }
        }
        match in_use {
            _ if !unknown.is_empty() => AddressConflict::NeedsProbe(unknown),
            Some((ip, other)) => AddressConflict::InUse(ip, other),
            None => AddressConflict::None,
        }
    }

    /// Updates or ends the hold of a machine for an address conflict. Returns the addresses that have to be probed first.
    pub(crate) fn recheck_address(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
    ) -> Option<Vec<Ipv4Addr>> {
        if !self.machine(id).holds.contains_key(&HoldCause::Address) {
            return None;
        }
        let pooled = self.of_pool(id, node);
        if addresses(node, pooled).next().is_none() {
            self.end_hold(id, HoldCause::Address);
            return None;
        }
        match self.address_conflict(id, node, pooled) {
            AddressConflict::NeedsProbe(addresses) => return Some(addresses),
            AddressConflict::InUse(ip, other) => {
                let blocked = Blocked::AddressInUse {
                    address: ip,
                    mac: other,
                };
                self.hold(id, HoldCause::Address, &blocked.to_string());
            }
            AddressConflict::None => self.end_hold(id, HoldCause::Address),
            // The address cannot be probed: the hold stays.
            AddressConflict::NotLocal => {}
        }
        None
    }

    /// Returns the pool address that a machine has or would get now.
    fn of_pool(&self, id: MachineId, node: Option<&Node>) -> Option<IpAddr> {
        let machine = self.machine(id);
        let tags = matcher::tags(
            &self.snapshot.site,
            &self.snapshot.rules,
            node,
            &machine.facts,
        );
        let bound = self.binding_of(machine, node, &tags).ok();
        let next = bound.and_then(|bound| self.pooled(id, node, &bound).ok()?);
        next.or_else(|| machine.binding.as_ref()?.address)
    }

    /// Returns whether a MAC is declared for the machine or was reported by it. The machine may already use the address, by
    /// DHCP or in its running system.
    fn is_own(&self, id: MachineId, node: Option<&Node>, mac: Mac) -> bool {
        self.machine(id).all_macs().contains(&mac)
            || node.is_some_and(|node| {
                node.macs()
                    .into_iter()
                    .any(|declared| declared.value == mac)
            })
    }

    fn on_our_links(&self, node: Option<&Node>, pooled: Option<IpAddr>) -> Vec<Ipv4Addr> {
        let links = &self.server.volatile.addresses.links;
        if links.is_empty() {
            return Vec::new();
        }
        let is_ours = |ip: &Ipv4Addr| {
            let is_on_link = links.iter().any(|link| link.contains(ip));
            is_on_link && self.snapshot.network_at((*ip).into()).is_some()
        };
        addresses(node, pooled).filter(is_ours).collect()
    }
}

fn addresses(node: Option<&Node>, pooled: Option<IpAddr>) -> impl Iterator<Item = Ipv4Addr> {
    let declared = node.into_iter().flat_map(site::static_addresses);
    let all = declared.map(|at| at.value.ip).chain(pooled);
    all.filter_map(|ip| match ip {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    })
}
