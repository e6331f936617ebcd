//! Whether a machine is who it says it is, as far as its card tells.
//!
//! Which card really asks is found out elsewhere, and only where it matters: what the answer should be is
//! said here.

use std::sync::Arc;

use crate::control::{
    Decision, NetworkBoot, Report, Transaction, boot::disk, diagnosis::progress::Observation,
    install::blocked::Blocked,
};
use crate::{
    journal::{BootAnswer, Event, MachineId},
    model::{LocalBoot, Mac, Node, SmallSet},
};

impl Transaction<'_> {
    /// Returns the cards from which this report may come, when the answer may lead to an installer; none
    /// when it cannot, and nobody's card matters.
    pub fn cards_to_confirm(&self, report: &Report) -> Option<SmallSet<Mac>> {
        let identity = report.identity();
        let known = self.server.machines_with(&identity);
        let may_install = |id: &MachineId| {
            let machine = self.machine(*id);
            machine.open().is_some() || machine.is_due(self.node_of(*id).as_deref())
        };
        if !known.is_empty() && !known.iter().any(may_install) {
            return None;
        }
        // Who names cards of two nodes is neither.
        let of_node = |node: Arc<Node>| -> SmallSet<Mac> {
            node.macs().into_iter().map(|mac| mac.value).collect()
        };
        let declared = self.nodes_by_card(report).map(of_node);
        let fitting = declared.reduce(|one, other| one.intersection(&other).copied().collect());
        Some(fitting.unwrap_or(identity.mac))
    }

    /// Answers a machine that is not confirmed: nothing that it says is learned, and nothing counts.
    pub(crate) fn refuse_unconfirmed(&mut self, ask: &NetworkBoot, reason: &str) -> Decision {
        let node = self.nodes_by_card(&ask.report).next();
        let id = match node {
            Some(node) => Some(self.machine_of(&node)),
            None => {
                let mut macs = ask.report.macs.iter();
                macs.find_map(|mac| self.server.index.mac.get(mac)?.first().copied())
            }
        };
        if let Some(id) = id {
            let event = Event::Boot {
                by: ask.report.by,
                platform: ask.report.platform,
                given: BootAnswer::Disk(reason.into()),
            };
            self.record(id, event);
            self.observe(id, Observation::Over);
        }
        disk(
            ask,
            LocalBoot::Auto,
            Some(Blocked::Unconfirmed(reason.into())),
        )
    }

    fn nodes_by_card(&self, report: &Report) -> impl Iterator<Item = Arc<Node>> {
        let identities = &self.snapshot.site.identities;
        let nodes = report.macs.iter();
        nodes.filter_map(|mac| identities.mac.get(mac).cloned())
    }
}
