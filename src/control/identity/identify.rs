//! Finds the machine of a report, and the declaration of a machine. Nothing is changed.
//!
//! The NIC that boots identifies the machine. A NIC that a machine reported earlier, in a confirmed report, identifies it if the
//! board's serial number or UUID is the same. The board alone identifies only a node that is declared without MACs. Every other
//! MAC of a report is a fact: anyone can send it, and BMCs and docks share theirs. An ambiguous machine is not installed.

use std::sync::Arc;

use super::{ambiguity::Ambiguity, naming::name_of};
use crate::{
    control::{Report, Transaction},
    journal::MachineId,
    model::{Identity, Mac, Node, SmallSet},
};

/// The machine of a report.
#[derive(Debug, Clone, Default)]
pub(crate) struct Identified {
    /// The machine, if its history has begun.
    pub(crate) id: Option<MachineId>,
    pub(crate) node: Option<Arc<Node>>,
    /// Why it is not clear which machine or which node it is.
    pub(crate) ambiguity: Option<Ambiguity>,
    /// The identity in the report: the NIC that boots, and the board.
    pub(crate) identity: Identity,
}

/// Whether the board in a report is the one of a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Board {
    Same,
    Unknown,
    /// Serial number and UUID are known of both, and both differ.
    Other,
}

impl Transaction<'_> {
    /// Finds the machine that a report names; none if the report carries no identity.
    pub(crate) fn identify(&self, report: &Report) -> Option<Identified> {
        let identity = self.identity(report);
        if identity.is_empty() {
            return None;
        }
        let found = match self.by_boot_nic(&identity) {
            Some(found) if found.node.is_some() => found,
            own => self.by_board(&identity, own),
        };
        let mut found = Identified { identity, ..found };
        if found.ambiguity.is_none() {
            found.ambiguity = self.other_nics(&found, report);
        }
        Some(found)
    }

    /// Finds the machine by the NIC that boots.
    fn by_boot_nic(&self, identity: &Identity) -> Option<Identified> {
        let mac = *identity.mac.first()?;
        let site = &self.snapshot.site.identities;
        if let Some(node) = site.mac.get(&mac) {
            let mut found = self.of_node(node, identity);
            let mut by_board = site.by_board(identity).into_iter();
            let other =
                by_board.find(|other| !other.has_macs() && other.name.value != node.name.value);
            if let (None, Some(other)) = (&found.ambiguity, other) {
                found.ambiguity = Some(several(&[node, other]));
            }
            return Some(found);
        }
        self.by_history(mac, identity)
    }

    /// Finds the machine that had this NIC before.
    fn by_history(&self, mac: Mac, identity: &Identity) -> Option<Identified> {
        let is_shared = self.server.state.shared.contains(&mac);
        let shared = || Identified {
            ambiguity: Some(Ambiguity::SharedAdapter { mac }),
            ..Identified::default()
        };
        let Some(known) = self.server.index.mac.get(&mac) else {
            return is_shared.then(shared);
        };
        let board = |id: &MachineId| self.board(*id, identity);
        let (own, other): (Vec<MachineId>, Vec<MachineId>) =
            known.iter().partition(|id| self.is_boot_nic(**id, mac));
        let is_own = own.iter().find(|id| board(id) != Board::Other);
        let is_other =
            |id: &&MachineId| board(id) == Board::Same && self.has_permanent_nic(**id, mac);
        if let Some(id) = is_own.or_else(|| other.iter().find(is_other)) {
            return Some(self.of_history(*id, identity));
        }
        if !own.is_empty() || is_shared {
            return Some(shared());
        }
        let id = other.iter().find(|id| board(id) != Board::Other)?;
        let machine = self.machine(*id);
        let node = self.node_of(*id);
        let name = name_of(Some(machine), node.as_deref());
        Some(Identified {
            ambiguity: Some(Ambiguity::EarlierNic { name, mac }),
            ..Identified::default()
        })
    }

    /// Whether a machine boots from this NIC, unless its declaration names others.
    fn is_boot_nic(&self, id: MachineId, mac: Mac) -> bool {
        let declares_others = self.declarations_of(id).iter().any(|node| node.has_macs());
        !declares_others && self.machine(id).boot_mac() == Some(mac)
    }

    pub(super) fn board(&self, id: MachineId, identity: &Identity) -> Board {
        let known = &self.machine(id).identity;
        let is_same =
            !known.serial.is_disjoint(&identity.serial) || !known.uuid.is_disjoint(&identity.uuid);
        let has_both = [
            (known.serial.is_empty(), identity.serial.is_empty()),
            (known.uuid.is_empty(), identity.uuid.is_empty()),
        ];
        match is_same {
            true => Board::Same,
            false if has_both == [(false, false); 2] => Board::Other,
            false => Board::Unknown,
        }
    }

    fn of_history(&self, id: MachineId, identity: &Identity) -> Identified {
        match self.declarations_of(id).as_slice() {
            [] => Identified {
                id: Some(id),
                ..Identified::default()
            },
            [node] => self.of_node(node, identity),
            _ => Identified {
                id: Some(id),
                ambiguity: self.contested(id),
                ..Identified::default()
            },
        }
    }

    fn of_node(&self, node: &Arc<Node>, identity: &Identity) -> Identified {
        let histories = self.histories(node);
        Identified {
            id: self.main_history(node, &histories),
            node: Some(Arc::clone(node)),
            ambiguity: self.contradiction(node, &histories, identity),
            ..Identified::default()
        }
    }

    /// Finds the node that is declared without MACs and has the board of the report. `own` is the machine that boots from the
    /// reported NIC, if there is one.
    fn by_board(&self, identity: &Identity, own: Option<Identified>) -> Identified {
        let declared = self.snapshot.site.identities.by_board(identity);
        let (with_macs, without): (Vec<_>, Vec<_>) =
            declared.into_iter().partition(|node| node.has_macs());
        let mut found = match without.as_slice() {
            [] => own.unwrap_or_default(),
            [node] => return self.of_node(node, identity),
            nodes => Identified {
                ambiguity: Some(several(nodes)),
                ..own.unwrap_or_default()
            },
        };
        let has_serial = |node: &&&Arc<Node>| {
            let serial = node.body.serial.as_ref();
            serial.is_some_and(|serial| identity.serial.contains(&serial.value))
        };
        if let (None, Some(node)) = (&found.ambiguity, with_macs.iter().find(has_serial)) {
            found.ambiguity = Some(Ambiguity::SerialOnly(node.name.value.clone()));
        }
        found
    }

    /// A report whose other MACs belong to another node or machine is ambiguous.
    fn other_nics(&self, found: &Identified, report: &Report) -> Option<Ambiguity> {
        let declared = &self.snapshot.site.identities.mac;
        let own = found.node.as_ref().map(|node| &node.name.value);
        let others = report.macs.iter().skip(1);
        let mut others = others.filter_map(|mac| Some((*mac, declared.get(mac)?)));
        let Some((mac, other)) = others.find(|(_, node)| Some(&node.name.value) != own) else {
            return self.other_machine(found, report);
        };
        match (&found.node, found.identity.mac.first()) {
            (Some(node), _) => Some(several(&[node, other])),
            (None, Some(boots)) => Some(Ambiguity::OtherNic {
                node: other.name.value.clone(),
                boots: *boots,
                declared: mac,
            }),
            (None, None) => None,
        }
    }

    /// A report that lists the NIC of a machine that is declared, held or was installed may be from that machine.
    fn other_machine(&self, found: &Identified, report: &Report) -> Option<Ambiguity> {
        let own = found.node.as_ref().map(|node| &node.name.value);
        report.macs.iter().skip(1).find_map(|mac| {
            let ids = self.server.index.mac.get(mac)?;
            ids.iter().find_map(|id| {
                let machine = self.machine(*id);
                let is_candidate = Some(*id) != found.id
                    && machine.boot_mac() == Some(*mac)
                    && (machine.was_bound() || machine.node.is_some() || !machine.holds.is_empty())
                    && self.board(*id, &found.identity) != Board::Other;
                if !is_candidate {
                    return None;
                }
                let node = self.node_of(*id);
                let is_own = own.is_some() && own == node.as_ref().map(|node| &node.name.value);
                let name = || name_of(Some(machine), node.as_deref());
                (!is_own).then(|| Ambiguity::OtherMachine {
                    name: name(),
                    mac: *mac,
                })
            })
        })
    }

    /// Whether several declarations claim the history of a node.
    pub(crate) fn shared_history(&self, node: &Node) -> Option<Ambiguity> {
        self.histories(node)
            .iter()
            .find_map(|id| self.contested(*id))
    }

    /// Whether several declarations claim a history.
    pub(crate) fn contested(&self, id: MachineId) -> Option<Ambiguity> {
        let declarations_of = self.declarations_of(id);
        let names = declarations_of.iter().map(|node| node.name.value.clone());
        (declarations_of.len() > 1).then(|| Ambiguity::SharedHistory(names.collect()))
    }

    /// Why a report contradicts the node that it matches: by another serial number, because several declarations claim one
    /// history, or because two machines match a node without MACs.
    pub(crate) fn contradiction(
        &self,
        node: &Node,
        histories: &SmallSet<MachineId>,
        identity: &Identity,
    ) -> Option<Ambiguity> {
        if let Some(shared) = histories.iter().find_map(|id| self.contested(*id)) {
            return Some(shared);
        }
        let declared = node.body.serial.as_ref().map(|serial| &serial.value);
        if let (Some(declared), Some(reported)) = (declared, identity.serial.first())
            && !identity.serial.contains(declared)
        {
            return Some(Ambiguity::MacOnly {
                node: node.name.value.clone(),
                serial: reported.clone(),
            });
        }
        if node.has_macs() || identity.mac.is_empty() {
            return None;
        }
        let mut known = histories.iter().map(|id| &self.machine(*id).identity.mac);
        let another = known.find(|macs| !macs.is_empty() && macs.is_disjoint(&identity.mac));
        another.map(|_| Ambiguity::SeveralMachines(node.name.value.clone()))
    }
}

fn several(nodes: &[&Arc<Node>]) -> Ambiguity {
    let mut names: Vec<_> = nodes.iter().map(|node| node.name.value.clone()).collect();
    names.sort();
    Ambiguity::SeveralNodes(names)
}
