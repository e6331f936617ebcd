//! Where a request of a machine comes from, by the kernel's neighbour table.

use std::net::IpAddr;

use crate::{
    control::{Sender, SenderLink},
    model::{ConfirmNeighbour, List},
    net::{http::Peer, interfaces, neighbour},
    serve::engine::Engine,
};

impl Engine {
    /// Returns what is known about the sender of a request. A reverse proxy on this host is not a machine: requests from this host
    /// are trusted only by a demonstration, by the temporary server of a simulated machine, and for a machine that an operator
    /// simulates.
    pub(crate) fn sender_of(&self, peer: Peer) -> Sender {
        let ip = peer.address.ip().to_canonical();
        let mode = self.started_with.http.effective().confirm_neighbour;
        let is_this_host = is_this_host(ip, peer.local.ip());
        if mode == ConfirmNeighbour::Off || (is_this_host && self.trusts_loopback) {
            return Sender::Trusted;
        }
        let link = match is_this_host {
            // An operator may simulate machines on this host.
            true => Ok(SenderLink::Local {
                macs: self.read(|transaction| transaction.simulated()),
                others: 0,
            }),
            false => neighbour::link_of(ip),
        };
        let link = link.unwrap_or_else(|error| {
            tracing::warn!("cannot read the kernel's neighbour table: {error}");
            SenderLink::Unreadable
        });
        let strict = match mode {
            ConfirmNeighbour::Strict => true,
            ConfirmNeighbour::Auto => link != SenderLink::Routed,
            ConfirmNeighbour::Log | ConfirmNeighbour::Off => false,
        };
        Sender::Compared { ip, link, strict }
    }
    /// Returns whether requests from an address are answered: those from declared networks and from `allow-from`. A site that
    /// declares no subnet serves the subnets of this host's interfaces.
    pub(crate) fn serves(&self, ip: IpAddr, local: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let allowed = self.started_with.http.allow_from.iter();
        let mut allowed = allowed.flat_map(List::values);
        if allowed.any(|subnet| subnet.0.contains(&ip)) {
            return true;
        }
        if is_this_host(ip, local)
            && (self.trusts_loopback
                || !self.read(|transaction| transaction.simulated().is_empty()))
        {
            return true;
        }
        let snapshot = self.snapshot();
        let mut networks = snapshot.site.networks.values();
        if networks.any(|network| network.body.subnet.is_some()) {
            return snapshot.network_at(ip).is_some();
        }
        interfaces::is_connected(ip).unwrap_or_else(|error| {
            tracing::warn!("cannot read the addresses of this host: {error}");
            false
        })
    }
}

fn is_this_host(ip: IpAddr, local: IpAddr) -> bool {
    ip.is_loopback() || ip == local.to_canonical()
}
