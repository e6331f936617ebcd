//! Checks with the kernel's neighbour table whether a request comes from a NIC of the reported machine.

use std::net::IpAddr;

use crate::{
    control::{Report, Transaction},
    model::{ConfirmNeighbour, Mac, SmallSet},
    net::{http::Peer, neighbour},
    serve::engine::Engine,
};

/// The MACs at the address of a request, read before the request is decided.
#[derive(Debug)]
pub(super) struct Neighbours {
    ip: IpAddr,
    mode: ConfirmNeighbour,
    /// `None` if the table cannot be read.
    macs: Option<SmallSet<Mac>>,
}

impl Engine {
    /// Reads the neighbour table. Requests from this host are not checked.
    pub(super) fn neighbours_of(&self, peer: Peer) -> Neighbours {
        let ip = peer.address.ip();
        let is_this_host = ip.is_loopback() || ip == peer.local.ip();
        let mode = match self.started_with.http.effective().confirm_neighbour {
            _ if is_this_host => ConfirmNeighbour::Off,
            mode => mode,
        };
        let macs = match mode {
            ConfirmNeighbour::Off => None,
            ConfirmNeighbour::Log | ConfirmNeighbour::Strict => {
                let read = neighbour::macs_at(ip);
                let log = |error: &std::io::Error| {
                    tracing::warn!("cannot read the kernel's neighbour table: {error}");
                };
                read.inspect_err(log).ok()
            }
        };
        Neighbours { ip, mode, macs }
    }
}

impl Neighbours {
    /// Returns whether a machine that is not confirmed gets no installer.
    pub(super) fn is_strict(&self) -> bool {
        self.mode == ConfirmNeighbour::Strict
    }

    /// Returns why a machine that may get an installer is not confirmed, if so.
    pub(super) fn mismatch(
        &self,
        transaction: &Transaction<'_>,
        report: &Report,
    ) -> Option<String> {
        if self.mode == ConfirmNeighbour::Off {
            return None;
        }
        let expected = transaction.cards_to_confirm(report)?;
        let Some(macs) = &self.macs else {
            let reason = "not confirmed: the kernel's neighbour table cannot be read";
            return self.is_strict().then(|| reason.into());
        };
        let ip = self.ip;
        match macs.first() {
            // Behind a router no machine can be confirmed. Outside strict mode, that is not logged.
            None => self.is_strict().then(|| {
                format!("not confirmed: {ip} is not in a subnet of this server's interfaces")
            }),
            Some(_) if !macs.is_disjoint(&expected) => None,
            Some(mac) => Some(format!(
                "not confirmed: {ip} is at {mac}, which is not a NIC of this machine"
            )),
        }
    }
}
