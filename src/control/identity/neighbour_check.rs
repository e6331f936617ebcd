//! Compares the identity of a machine with the MAC address of its NIC.
//!
//! The shell looks up the MAC address, and only if it matters. This module returns the expected addresses.

use std::sync::Arc;

use crate::control::{
    Decision, NetworkBoot, Report, Transaction, boot::disk, diagnosis::progress::Observation,
    identity::unconfirmed::Unconfirmed, install::blocked::Blocked,
};
use crate::{
    journal::{BootAnswer, MachineEvent, MachineId},
    model::{LocalBoot, Mac, Node, SmallSet},
};

impl Transaction<'_> {
    /// Returns the MAC addresses from which this report may come, if its answer may be an installer. None if it
    /// cannot be one, so that the address does not matter.
    pub fn macs_to_confirm(&self, report: &Report) -> Option<SmallSet<Mac>> {
        let identity = report.identity();
        let known = self.server.machines_with(&identity);
        let may_install = |id: &MachineId| {
            let machine = self.machine(*id);
            machine.open().is_some() || machine.is_due(self.node_of(*id).as_deref())
        };
        if !known.is_empty() && !known.iter().any(may_install) {
            return None;
        }
        // A report with MAC addresses of two nodes matches neither.
        let of_node = |node: Arc<Node>| -> SmallSet<Mac> {
            node.macs().into_iter().map(|mac| mac.value).collect()
        };
        let declared = self.nodes_by_mac(report).map(of_node);
        let expected = declared.reduce(|one, other| one.intersection(&other).copied().collect());
        Some(expected.unwrap_or(identity.mac))
    }

    /// Answers a machine whose MAC address is not confirmed. Nothing of its report is stored.
    pub(crate) fn refuse_unconfirmed(&mut self, ask: &NetworkBoot, why: Unconfirmed) -> Decision {
        let node = self.nodes_by_mac(&ask.report).next();
        let id = match node {
            Some(node) => Some(self.machine_of(&node)),
            None => {
                let mut macs = ask.report.macs.iter();
                macs.find_map(|mac| self.server.index.mac.get(mac)?.first().copied())
            }
        };
        if let Some(id) = id {
            let event = MachineEvent::Boot {
                by: ask.report.by,
                platform: ask.report.platform,
                given: BootAnswer::Disk(why.to_string()),
            };
            self.record(id, event);
            self.observe(id, Observation::Over);
        }
        disk(ask, LocalBoot::Auto, Some(Blocked::Unconfirmed(why)))
    }

    fn nodes_by_mac(&self, report: &Report) -> impl Iterator<Item = Arc<Node>> {
        let identities = &self.snapshot.site.identities;
        let nodes = report.macs.iter();
        nodes.filter_map(|mac| identities.mac.get(mac).cloned())
    }
}
