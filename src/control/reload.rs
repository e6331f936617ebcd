//! The effects of a new revision of the site on machines.

use std::collections::{BTreeMap, BTreeSet};

use super::{Snapshot, Transaction};
use crate::{
    journal::{HoldCause, MachineId, SiteEvent, installs_of},
    model::{Node, NodeName},
};

/// If one edit makes more finished machines due than this, they are held.
const MAX_DUE_BY_ONE_EDIT: usize = 10;

impl Transaction<'_> {
    /// Records that this transaction's site replaces `before`; none at start.
    pub fn on_reload(&mut self, before: Option<&Snapshot>) {
        self.record_site(SiteEvent::Reloaded {
            nodes: self.snapshot.site.nodes.len() as u64,
        });
        self.name_histories();
        if let Some(before) = before {
            self.hold_large_edit(before);
        }
    }

    /// Stores in each history its declaration and the declared identities, so that the history is found when a NIC
    /// is replaced and the node is renamed after that.
    fn name_histories(&mut self) {
        let mut histories: BTreeMap<NodeName, BTreeSet<MachineId>> = BTreeMap::new();
        for id in self.server.state.machines.ids() {
            if let Some(node) = self.node_of(id) {
                self.name(id, &node);
                histories
                    .entry(node.name.value.clone())
                    .or_default()
                    .insert(id);
            }
        }
        histories.retain(|_, histories| histories.len() > 1);
        for name in histories.keys() {
            let node = self.snapshot.site.nodes[name].clone();
            self.merge_declared(&node);
        }
    }

    /// Merges the histories of a declaration, so that a command applies to all of them.
    fn merge_declared(&mut self, node: &Node) {
        let histories = self.histories(node);
        let contested = histories
            .iter()
            .any(|id| self.declarations_of(*id).len() > 1);
        // Without MAC addresses two machines may match the node, and which one it is cannot be determined.
        if !contested && node.has_macs() {
            self.merge_histories(node, histories);
        }
    }

    /// One edit that would wipe many machines is probably a mistake.
    fn hold_large_edit(&mut self, before: &Snapshot) {
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
        if due.len() <= MAX_DUE_BY_ONE_EDIT {
            return;
        }
        let reason = format!(
            "one edit makes {} finished machines due: run `bootwright release --all` if that is intended",
            due.len()
        );
        for id in due {
            self.hold(id, HoldCause::Mass, &reason);
        }
    }
}
