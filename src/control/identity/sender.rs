//! Whether the sender of a request is the machine that the request names.
//!
//! Anyone who can send a packet can name any MAC. The kernel's neighbour table has the MAC that really sent the packet, if the
//! sender is on a local link. It is compared with the NICs that the machine had before the request, never with MACs of the
//! request itself, except the boot NIC of a machine that is not known yet: that MAC is its identity.

use std::net::IpAddr;

use super::unconfirmed::Unconfirmed;
use crate::control::Transaction;
use crate::{
    journal::MachineId,
    model::{Mac, Node, SmallSet},
};

/// Where a request comes from, as far as the server could find out.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Sender {
    /// It is not compared: the site turns that off, or the server is a demonstration.
    #[default]
    Trusted,
    /// A DHCP or TFTP packet, which has no confirmed source.
    Packet,
    /// The MACs at the source address are compared.
    Compared {
        ip: IpAddr,
        link: SenderLink,
        /// Whether a machine that is not confirmed gets nothing but its disk.
        strict: bool,
    },
}

/// What the kernel's neighbour table has about a source address.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SenderLink {
    /// The MACs at the address, and how many other addresses the first one has.
    Local { macs: SmallSet<Mac>, others: usize },
    /// The address is in no subnet of this host's interfaces.
    Routed,
    /// The table cannot be read.
    Unreadable,
}

/// The result of a comparison that does not refuse the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Confirmation {
    /// The request is from a NIC of the machine.
    Confirmed,
    /// The request is answered, but it may be from anyone. The reason is logged if there is one.
    Claimed(Option<Unconfirmed>),
}

impl Confirmation {
    pub(crate) fn is_confirmed(self) -> bool {
        self == Confirmation::Confirmed
    }
}

impl Sender {
    /// Compares the sender with the NICs of the machine that its request names. An error refuses the request.
    pub(crate) fn confirm(&self, nics: &SmallSet<Mac>) -> Result<Confirmation, Unconfirmed> {
        let (ip, link, strict) = match self {
            Sender::Trusted => return Ok(Confirmation::Confirmed),
            Sender::Packet => return Ok(Confirmation::Claimed(None)),
            Sender::Compared { ip, link, strict } => (*ip, link, *strict),
        };
        let (why, is_suspicious) = match link {
            SenderLink::Unreadable => (Unconfirmed::NoNeighbourTable, false),
            SenderLink::Routed => (Unconfirmed::NotLocal(ip), false),
            SenderLink::Local { macs, others } => match macs.first() {
                None => (Unconfirmed::NoNeighbour(ip), false),
                Some(_) if !macs.is_disjoint(nics) => return Ok(Confirmation::Confirmed),
                Some(mac) if *others > 0 => (
                    Unconfirmed::Rewritten {
                        ip,
                        mac: *mac,
                        addresses: others + 1,
                    },
                    true,
                ),
                Some(mac) => (Unconfirmed::OtherNic { ip, mac: *mac }, true),
            },
        };
        match strict {
            true => Err(why),
            // Behind a router no machine can be confirmed, so that is not worth a log line.
            false => Ok(Confirmation::Claimed(is_suspicious.then_some(why))),
        }
    }
}

impl Transaction<'_> {
    /// Compares a sender with the NICs of a machine.
    pub(crate) fn confirm_machine(
        &self,
        id: MachineId,
        sender: &Sender,
    ) -> Result<Confirmation, Unconfirmed> {
        let node = self.node_of(id);
        sender.confirm(&self.nics_of(Some(id), node.as_deref()))
    }

    /// Returns the MACs from which a machine sends: its declared ones and those by which it was identified before.
    pub(crate) fn nics_of(&self, id: Option<MachineId>, node: Option<&Node>) -> SmallSet<Mac> {
        let declared = node.into_iter().flat_map(Node::macs).map(|mac| mac.value);
        let machine = id.map(|id| self.machine(id));
        let known = machine
            .into_iter()
            .flat_map(|machine| &machine.identity.mac);
        declared.chain(known.copied()).collect()
    }
}
