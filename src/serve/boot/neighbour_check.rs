//! Whether the card that asks is one of the machine that it says it is.

use std::net::IpAddr;

use crate::{
    control::{Report, Transaction},
    model::{ConfirmNeighbour, Mac, SmallSet},
    net::{http::Peer, neighbour},
    serve::engine::Engine,
};

impl Engine {
    /// Whether a machine in doubt gets no installer.
    pub(crate) fn is_strict(&self) -> bool {
        self.confirming() == ConfirmNeighbour::Strict
    }

    /// Says why a machine that may get an installer is not who it says it is. What asks from this host is
    /// never in doubt.
    pub(crate) fn doubt(
        &self,
        transaction: &Transaction<'_>,
        report: &Report,
        peer: Peer,
    ) -> Option<String> {
        let ip = peer.address.ip();
        let is_our_own = ip.is_loopback() || ip == peer.local.ip();
        if is_our_own || self.confirming() == ConfirmNeighbour::Off {
            return None;
        }
        let expected = transaction.cards_to_confirm(report)?;
        match neighbour::macs_at(ip) {
            Ok(found) => mismatch(ip, &found, &expected, self.is_strict()),
            Err(error) => {
                tracing::warn!("the kernel's neighbour table cannot be read: {error}");
                let reason = "not confirmed: the kernel's neighbour table cannot be read";
                self.is_strict().then(|| reason.into())
            }
        }
    }

    fn confirming(&self) -> ConfirmNeighbour {
        let set = self.started_with.http.confirm_neighbour.as_ref();
        set.map_or(ConfirmNeighbour::Log, |at| at.value)
    }
}

fn mismatch(
    ip: IpAddr,
    found: &SmallSet<Mac>,
    expected: &SmallSet<Mac>,
    is_strict: bool,
) -> Option<String> {
    match found.first() {
        // Behind a router nobody can be confirmed: that is worth no line where it does not matter.
        None => is_strict.then(|| format!("not confirmed: {ip} is not on our link")),
        Some(_) if !found.is_disjoint(expected) => None,
        Some(card) => Some(format!(
            "not confirmed: {ip} is at {card}, which is no card of this machine"
        )),
    }
}
