//! Whether somebody else has the address that a machine is to have.
//!
//! Nothing is asked here. Which addresses are to be asked for on the wire is said, and what was heard is taken
//! in: an installation begins when its static addresses are known to be free, and a machine whose address
//! somebody else has is held until it is. Addresses off our own links are nobody's business here.

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

/// An address that nobody else had is taken to be free for so long: a boot takes less from its first DHCP
/// question to its script.
const FREE_FOR: Duration = Duration::from_secs(60);
/// An address that somebody else had is taken to be his for so long: whoever has gone must not hold the next boot.
const TAKEN_FOR: Duration = Duration::from_secs(5);

/// What is known of a machine's static addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AddressConflict {
    /// None lies on a link of ours.
    NotLocal,
    /// These are to be asked for on the wire first.
    NeedsProbe(Vec<Ipv4Addr>),
    /// Somebody else has this one.
    InUse(Ipv4Addr, Mac),
    /// Nobody else has any.
    None,
}

impl Transaction<'_> {
    /// Says on which links addresses can be asked for.
    pub fn on_links(&mut self, links: Vec<Ipv4Net>) {
        self.server.volatile.addresses.links = links;
    }

    /// Takes note of the cards that have answered for an address. Machines held for it are judged by that.
    pub fn on_arp_reply(&mut self, address: Ipv4Addr, cards: SmallSet<Mac>) {
        let now = self.now.mono;
        let arp_results = &mut self.server.volatile.addresses.results;
        arp_results.retain(|_, look| now.since(look.at) < FREE_FOR);
        arp_results.insert(
            address,
            ArpResult {
                at: now,
                macs: cards,
            },
        );
        for id in self.held_for(HoldCause::Address) {
            let node = self.node_of(id);
            let pooled = self.of_pool(id, node.as_deref());
            if addresses(node.as_deref(), pooled).any(|ip| ip == address) {
                self.recheck_address(id, node.as_deref());
            }
        }
    }

    /// The addresses for which machines are held now, so that they are released when these are free.
    pub fn addresses_of_held(&self) -> Vec<Ipv4Addr> {
        let held = self.held_for(HoldCause::Address).into_iter();
        let all = held.flat_map(|id| {
            let node = self.node_of(id);
            let pooled = self.of_pool(id, node.as_deref());
            self.on_our_links(node.as_deref(), pooled)
        });
        all.collect()
    }

    /// The addresses that are to be asked for while a machine is still at its DHCP questions, so that the answers
    /// are there when it asks for its script.
    pub fn addresses_ahead(&self, ask: &ReceivedQuery) -> Vec<Ipv4Addr> {
        if self.server.volatile.addresses.links.is_empty() || !ask.query.client.boots() {
            return Vec::new();
        }
        let id = self.machine_at([ask.query.mac].into_iter().collect());
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

    /// What is known of the static addresses of a machine, with the one of a pool that it has or is to get.
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
        let (mut unknown, mut taken) = (Vec::new(), None);
        for ip in all {
            let Some(look) = self.server.volatile.addresses.results.get(&ip) else {
                unknown.push(ip);
                continue;
            };
            let age = self.now.mono.since(look.at);
            let mut others = look.macs.iter();
            match others.find(|card| !self.is_own(id, node, **card)) {
                Some(other) if age < TAKEN_FOR => taken = taken.or(Some((ip, *other))),
                None if age < FREE_FOR => {}
                _ => unknown.push(ip),
            }
        }
        match taken {
            _ if !unknown.is_empty() => AddressConflict::NeedsProbe(unknown),
            Some((ip, other)) => AddressConflict::InUse(ip, other),
            None => AddressConflict::None,
        }
    }

    /// A machine that is held for its address is judged by what is known now. Returns what is to be asked for
    /// first.
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
            // Nobody can be asked: it stays as it is.
            AddressConflict::NotLocal => {}
        }
        None
    }

    /// The address of a pool that a machine has, or would get now.
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

    /// Any card that a machine declares or has reported is its own: it may have the address already, by DHCP, or
    /// in the system that it runs.
    fn is_own(&self, id: MachineId, node: Option<&Node>, card: Mac) -> bool {
        self.machine(id).identity.mac.contains(&card)
            || node.is_some_and(|node| node.macs().into_iter().any(|mac| mac.value == card))
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
