//! What a new state of the site means for the machines that are known.

use std::collections::{BTreeMap, BTreeSet};

use super::{Snapshot, Transaction};
use crate::{
    journal::{Event, HoldCause, MachineId, installs_of},
    model::{Node, NodeName},
};

/// More finished machines than this, due at once by one edit, are held.
const AT_ONCE: usize = 10;

impl Transaction<'_> {
    /// Takes note that this turn's site replaces `before`; none at a start.
    pub fn on_reload(&mut self, before: Option<&Snapshot>) {
        self.record_site(Event::Reloaded {
            nodes: self.snapshot.site.nodes.len() as u64,
        });
        self.name_histories();
        if let Some(before) = before {
            self.brake(before);
        }
    }

    /// A history remembers the declaration that has it and what that declares, so that it finds its way when
    /// a card is replaced, and the node renamed after that.
    fn name_histories(&mut self) {
        let mut claims: BTreeMap<NodeName, BTreeSet<MachineId>> = BTreeMap::new();
        for id in self.server.state.machines.ids() {
            if let Some(node) = self.node_of(id) {
                self.name(id, &node);
                claims
                    .entry(node.name.value.clone())
                    .or_default()
                    .insert(id);
            }
        }
        claims.retain(|_, histories| histories.len() > 1);
        for name in claims.keys() {
            let node = self.snapshot.site.nodes[name].clone();
            self.merge_declared(&node);
        }
    }

    /// What an operator then says of the declaration holds for all of its histories.
    fn merge_declared(&mut self, node: &Node) {
        let histories = self.histories(node);
        let contested = histories
            .iter()
            .any(|id| self.declarations_of(*id).len() > 1);
        // Without cards two machines may fit it, and nobody knows yet which of them it is.
        if !contested && node.has_macs() {
            self.merge_histories(node, histories);
        }
    }

    /// One edit that would wipe many machines is likely a slip.
    fn brake(&mut self, before: &Snapshot) {
        let due: Vec<MachineId> = self
            .server
            .state
            .machines
            .in_order()
            .map(|(_, machine)| machine)
            .filter(|machine| machine.installed && machine.open().is_none() && !machine.reinstall)
            .filter(|machine| {
                let node = self.node_of(machine.id);
                let earlier = node
                    .as_ref()
                    .and_then(|node| before.site.nodes.get(&node.name.value));
                let was_due =
                    earlier.is_some() && installs_of(earlier.map(|node| &**node)) > machine.done;
                node.is_some() && machine.is_due(node.as_deref()) && !was_due
            })
            .map(|machine| machine.id)
            .collect();
        if due.len() <= AT_ONCE {
            return;
        }
        let reason = format!(
            "one edit makes {} finished machines due: `bootwright release --all` if that is meant",
            due.len()
        );
        for id in due {
            self.hold(id, HoldCause::Mass, &reason);
        }
    }
}
