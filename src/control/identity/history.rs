//! Which histories belong to which declaration.
//!
//! A history belongs to the declaration whose identities match it. If none matches, it belongs to the declaration
//! that last had its name.

use std::sync::Arc;

use crate::control::Transaction;
use crate::{
    journal::{MachineEvent, MachineId},
    model::{Identity, Node, SmallSet},
};

impl Transaction<'_> {
    /// Returns the histories of a declaration: those that match its identities, and those that match no declaration
    /// and last had its name.
    pub(crate) fn histories(&self, node: &Node) -> SmallSet<MachineId> {
        let mut histories = self.server.machines_with(&declared_identity(node));
        if !node.has_macs() {
            // A serial number matches only histories that no MAC address matches.
            histories.retain(|id| self.matches_node(node, *id));
            // Anyone can report a serial number: once a NIC has been recorded for the node, it counts.
            let is_named = |id: &MachineId| {
                let machine = self.machine(*id);
                machine.node.as_ref() == Some(&node.name.value) && !machine.identity.mac.is_empty()
            };
            if histories.iter().any(is_named) {
                histories.retain(is_named);
            }
        }
        histories.extend(self.unmatched_by_name(node));
        histories
    }

    fn matches_node(&self, node: &Node, id: MachineId) -> bool {
        let declarations_of = self.declarations_of(id);
        declarations_of
            .iter()
            .any(|declaration| declaration.name.value == node.name.value)
    }

    fn unmatched_by_name(&self, node: &Node) -> impl Iterator<Item = MachineId> {
        let named = self.server.index.name.get(&node.name.value);
        let named = named.into_iter().flatten().copied();
        named.filter(|id| self.declarations_of(*id).is_empty())
    }

    /// Returns the declarations whose identities match a history: by MAC address, or if none does, by the
    /// identities of the board.
    pub(crate) fn declarations_of(&self, id: MachineId) -> Vec<&Arc<Node>> {
        let identities = &self.snapshot.site.identities;
        let identity = &self.machine(id).identity;
        let by_mac = identities.by_mac(identity);
        if !by_mac.is_empty() {
            return by_mac;
        }
        let mut by_board = identities.by_board(identity);
        by_board.retain(|node| !node.has_macs());
        by_board
    }

    /// Returns the declaration that a history belongs to, if there is exactly one.
    pub fn node_of(&self, id: MachineId) -> Option<Arc<Node>> {
        match self.declarations_of(id).as_slice() {
            [] => {
                let name = self.machine(id).node.as_ref()?;
                self.snapshot.site.nodes.get(name).cloned()
            }
            [node] => Some(Arc::clone(node)),
            _ => None,
        }
    }

    /// Returns the history that represents a node before its histories are merged: the one that has progressed
    /// furthest.
    pub(crate) fn main_history(
        &self,
        node: &Node,
        histories: &SmallSet<MachineId>,
    ) -> Option<MachineId> {
        histories.iter().copied().max_by_key(|id| {
            let machine = self.machine(*id);
            let named = machine.node.as_ref() == Some(&node.name.value);
            (
                machine.installed,
                machine.opened > 0,
                named,
                std::cmp::Reverse((machine.first, *id)),
            )
        })
    }

    /// Merges the histories of a node into one, or creates one.
    pub(crate) fn merge_histories(
        &mut self,
        node: &Node,
        histories: SmallSet<MachineId>,
    ) -> MachineId {
        let Some(main) = self.main_history(node, &histories) else {
            return self.server.new_machine_id();
        };
        for id in histories.into_iter().filter(|id| *id != main) {
            self.record(id, MachineEvent::Merged { into: main });
        }
        main
    }

    /// Returns the machine of a declared node, and creates its history if it has none.
    pub(crate) fn machine_of(&mut self, node: &Arc<Node>) -> MachineId {
        let histories = self.histories(node);
        if let Some(id) = self.main_history(node, &histories) {
            return id;
        }
        let id = self.server.new_machine_id();
        self.name(id, node);
        id
    }

    /// Records the name and the identities of a machine's declaration.
    pub(crate) fn name(&mut self, id: MachineId, node: &Node) {
        let declared = declared_identity(node);
        let machine = self.server.state.machines.get(id);
        let named = machine.is_some_and(|machine| machine.node.as_ref() == Some(&node.name.value));
        if named && machine.is_some_and(|machine| machine.identity.covers(&declared)) {
            return;
        }
        let identity = machine.map_or(declared.clone(), |machine| {
            missing(&machine.identity, &declared)
        });
        let only_by_name = named && self.declarations_of(id).is_empty();
        let took_over = machine.filter(|_| only_by_name);
        let event = MachineEvent::Named {
            node: node.name.value.clone(),
            identity,
            took_over: took_over.map(|machine| machine.identity.clone()),
        };
        self.record(id, event);
    }
}

/// The identities that a node declares: its MAC addresses, or without any, those of its board.
pub(crate) fn declared_identity(node: &Node) -> Identity {
    let mac: SmallSet<_> = node.macs().into_iter().map(|mac| mac.value).collect();
    if !mac.is_empty() {
        return Identity {
            mac,
            ..Identity::default()
        };
    }
    Identity {
        mac,
        serial: node
            .body
            .serial
            .iter()
            .map(|serial| serial.value.clone())
            .collect(),
        uuid: node
            .body
            .uuid
            .iter()
            .map(|uuid| uuid.value.clone())
            .collect(),
        asset: node
            .body
            .asset
            .iter()
            .map(|asset| asset.value.clone())
            .collect(),
    }
}

pub(super) fn missing(known: &Identity, reported: &Identity) -> Identity {
    Identity {
        mac: reported.mac.difference(&known.mac).copied().collect(),
        serial: reported.serial.difference(&known.serial).cloned().collect(),
        uuid: reported.uuid.difference(&known.uuid).cloned().collect(),
        asset: reported.asset.difference(&known.asset).cloned().collect(),
    }
}
