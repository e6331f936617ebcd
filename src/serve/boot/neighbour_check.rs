//! Checks with the kernel's neighbour table whether a request comes from a NIC of the reported machine.

use std::net::IpAddr;

use crate::{
    control::{Report, Transaction, Unconfirmed},
    model::{ConfirmNeighbour, Mac, SmallSet},
    net::{http::Peer, neighbour},
    serve::engine::Engine,
};

/// The MACs at the address of a request. They are read from the neighbour table only if a decision depends on them, and not while
/// the state is locked.
#[derive(Debug)]
pub(super) struct Neighbours {
    ip: IpAddr,
    mode: ConfirmNeighbour,
    table: NeighbourTable,
}

#[derive(Debug)]
enum NeighbourTable {
    NotRead,
    Unreadable,
    Macs(SmallSet<Mac>),
}

/// The table has to be read first.
pub(super) struct TableNotRead;

impl Engine {
    /// Returns how a request is checked. Requests from this host are not checked.
    pub(super) fn neighbours_of(&self, peer: Peer) -> Neighbours {
        let ip = peer.address.ip();
        let is_this_host = ip.is_loopback() || ip == peer.local.ip();
        let mode = match self.started_with.http.effective().confirm_neighbour {
            _ if is_this_host => ConfirmNeighbour::Off,
            mode => mode,
        };
        let table = NeighbourTable::NotRead;
        Neighbours { ip, mode, table }
    }
}

impl Neighbours {
    /// Reads the neighbour table.
    pub(super) fn read(&mut self) {
        self.table = match neighbour::macs_at(self.ip) {
            Ok(macs) => NeighbourTable::Macs(macs),
            Err(error) => {
                tracing::warn!("cannot read the kernel's neighbour table: {error}");
                NeighbourTable::Unreadable
            }
        };
    }

    /// Returns whether a machine that is not confirmed gets no installer.
    pub(super) fn is_strict(&self) -> bool {
        self.mode == ConfirmNeighbour::Strict
    }

    /// Returns why a machine that may get an installer is not confirmed, if so.
    pub(super) fn mismatch(
        &self,
        transaction: &Transaction<'_>,
        report: &Report,
    ) -> Result<Option<Unconfirmed>, TableNotRead> {
        if self.mode == ConfirmNeighbour::Off {
            return Ok(None);
        }
        let Some(expected) = transaction.macs_to_confirm(report) else {
            return Ok(None);
        };
        let ip = self.ip;
        let (why, only_if_strict) = match &self.table {
            NeighbourTable::NotRead => return Err(TableNotRead),
            NeighbourTable::Unreadable => (Unconfirmed::NoNeighbourTable, true),
            NeighbourTable::Macs(macs) => match macs.first() {
                // Behind a router no machine can be confirmed. Outside strict mode, that is not logged.
                None => (Unconfirmed::NotLocal(ip), true),
                Some(_) if !macs.is_disjoint(&expected) => return Ok(None),
                Some(mac) => (Unconfirmed::OtherNic { ip, mac: *mac }, false),
            },
        };
        Ok((self.is_strict() || !only_if_strict).then_some(why))
    }
}
