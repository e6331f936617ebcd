//! Finds the machine of a report, and the declaration of a machine.
//!
//! MACs are matched first, over all declarations. Only a history that no declaration's identities claim goes to the
//! declaration that last had its name. So renaming a node, moving it between files, replacing its NIC, deleting it and
//! adding it again never makes an installation due. An ambiguous machine is not installed.

use std::sync::Arc;

use super::ambiguity::Ambiguity;
use crate::{
    control::{Transaction, undeclared},
    journal::{HoldCause, MachineEvent, MachineId},
    model::{Identity, Node, SmallSet},
};

/// The machine of a report.
#[derive(Debug)]
pub(crate) enum Identified {
    /// It carries no identity.
    NoIdentity,
    /// A declared or undeclared machine.
    Machine(MachineId, Option<Arc<Node>>),
    /// It is not clear. The machine, if there is one, records it in its log.
    Ambiguous(Option<MachineId>, Ambiguity),
}

impl Transaction<'_> {
    /// Finds the machine that reports this identity, or begins its history.
    pub(crate) fn identify(&mut self, identity: &Identity) -> Identified {
        if identity.is_empty() {
            return Identified::NoIdentity;
        }
        let mut declared = self.matched_declarations(identity);
        for (node, ambiguity) in &declared.ambiguities {
            self.hold_for_identity(node, ambiguity);
        }
        match declared.nodes.as_slice() {
            [] => {
                let ambiguity = declared.ambiguities.pop();
                self.match_undeclared(identity, ambiguity.map(|(_, ambiguity)| ambiguity))
            }
            [node] => self.match_declared(node.clone(), identity, &declared.ambiguities),
            several => {
                let names = several.iter().map(|node| node.name.value.clone());
                let ambiguity = Ambiguity::SeveralNodes(names.collect());
                for node in several {
                    self.hold_for_identity(node, &ambiguity);
                }
                Identified::Ambiguous(None, ambiguity)
            }
        }
    }

    /// Finds the declarations that an identity matches, and what does not match.
    fn matched_declarations(&self, identity: &Identity) -> MatchedDeclarations {
        let identities = &self.snapshot.site.identities;
        let by_mac = identities.by_mac(identity);
        let mut by_board = identities.by_board(identity);
        by_board.retain(|node| {
            by_mac
                .iter()
                .all(|known| known.name.value != node.name.value)
        });
        let mut declared = MatchedDeclarations::default();
        declared.nodes.extend(by_mac.into_iter().cloned());
        for node in by_board {
            if !node.has_macs() {
                declared.nodes.push(node.clone());
            } else if node
                .body
                .serial
                .as_ref()
                .is_some_and(|serial| identity.serial.contains(&serial.value))
            {
                let ambiguity = Ambiguity::SerialOnly(node.name.value.clone());
                declared.ambiguities.push((node.clone(), ambiguity));
            }
        }
        for node in &declared.nodes {
            let Some(serial) = &node.body.serial else {
                continue;
            };
            let other = identity
                .serial
                .iter()
                .next()
                .filter(|_| !identity.serial.contains(&serial.value));
            if let Some(other) = other {
                let ambiguity = Ambiguity::MacOnly {
                    node: node.name.value.clone(),
                    serial: other.clone(),
                };
                declared.ambiguities.push((node.clone(), ambiguity));
            }
        }
        declared
    }

    /// Assigns a report to the machine of a declared node. All histories of the node are merged.
    fn match_declared(
        &mut self,
        node: Arc<Node>,
        identity: &Identity,
        ambiguities: &[(Arc<Node>, Ambiguity)],
    ) -> Identified {
        let mut histories = self.histories(&node);
        let macs_only = Identity {
            mac: identity.mac.clone(),
            ..Identity::default()
        };
        let reporting = self.server.machines_with(&macs_only);
        let unclaimed = reporting
            .into_iter()
            .filter(|id| self.declarations_of(*id).is_empty());
        histories.extend(unclaimed.collect::<Vec<_>>());
        if let Some(ambiguity) = self.contradiction(&node, &histories, identity) {
            self.record_other_machine(&macs_only, identity);
            self.hold_for_identity(&node, &ambiguity);
            return Identified::Ambiguous(self.main_history(&node, &histories), ambiguity);
        }
        let id = self.merge_histories(&node, histories);
        self.record_identity(id, identity);
        self.name(id, &node);
        match ambiguities.iter().find(|(of, _)| of.name == node.name) {
            Some((_, ambiguity)) => Identified::Ambiguous(Some(id), ambiguity.clone()),
            None => {
                self.end_hold(id, HoldCause::Identity);
                Identified::Machine(id, Some(node))
            }
        }
    }

    /// Two declarations that claim one history, or two machines that match a node without MACs.
    fn contradiction(
        &self,
        node: &Node,
        histories: &SmallSet<MachineId>,
        identity: &Identity,
    ) -> Option<Ambiguity> {
        for id in histories {
            let declarations_of = self.declarations_of(*id);
            if declarations_of.len() > 1 {
                let names = declarations_of.iter().map(|node| node.name.value.clone());
                return Some(Ambiguity::SharedHistory(names.collect()));
            }
        }
        if node.has_macs() || identity.mac.is_empty() {
            return None;
        }
        let another = histories
            .iter()
            .map(|id| &self.machine(*id).identity.mac)
            .find(|macs| !macs.is_empty() && macs.is_disjoint(&identity.mac));
        another.map(|_| Ambiguity::SeveralMachines(node.name.value.clone()))
    }

    /// Begins a history for MACs that have none, so that the ambiguity remains when the other machine reports.
    fn record_other_machine(&mut self, macs: &Identity, identity: &Identity) {
        if self.server.machines_with(macs).is_empty() {
            let id = self.new_undeclared();
            self.record_identity(id, identity);
        }
    }

    /// Assigns a report to an undeclared machine. Only MACs distinguish undeclared machines, because boards share UUIDs and
    /// serial numbers.
    fn match_undeclared(
        &mut self,
        identity: &Identity,
        ambiguity: Option<Ambiguity>,
    ) -> Identified {
        if identity.mac.is_empty() {
            return ambiguity.map_or(Identified::NoIdentity, |ambiguity| {
                Identified::Ambiguous(None, ambiguity)
            });
        }
        let macs_only = Identity {
            mac: identity.mac.clone(),
            ..Identity::default()
        };
        let known = self.server.machines_with(&macs_only);
        // A history that a declaration claims belongs to that declaration, whatever MAC it once reported.
        let own: SmallSet<MachineId> = known
            .into_iter()
            .filter(|id| self.declarations_of(*id).is_empty())
            .collect();
        let oldest = own
            .iter()
            .copied()
            .min_by_key(|id| (self.machine(*id).first, *id));
        let id = match oldest {
            Some(oldest) => {
                for id in own.into_iter().filter(|id| *id != oldest) {
                    self.record(id, MachineEvent::Merged { into: oldest });
                }
                oldest
            }
            None => self.new_undeclared(),
        };
        self.record_identity(id, identity);
        match ambiguity {
            Some(ambiguity) => Identified::Ambiguous(Some(id), ambiguity),
            None => {
                self.end_hold(id, HoldCause::Identity);
                Identified::Machine(id, None)
            }
        }
    }

    /// Begins the history of an undeclared machine. At the limit, the oldest one that was never bound and
    /// never named by an operator command is forgotten.
    fn new_undeclared(&mut self) -> MachineId {
        let limit = self.snapshot.site.config.limits.effective().discovered;
        let undeclared = &self.server.index.undeclared;
        debug_assert_eq!(*undeclared, undeclared::undeclared(&self.server.state));
        let oldest = undeclared.first().copied();
        if let Some((_, oldest)) = oldest.filter(|_| undeclared.len() >= limit as usize) {
            self.record(
                oldest,
                MachineEvent::Forgotten {
                    by: "the limit of undeclared machines".into(),
                },
            );
        }
        self.server.new_machine_id()
    }

    fn hold_for_identity(&mut self, node: &Arc<Node>, ambiguity: &Ambiguity) {
        let id = self.machine_of(node);
        self.hold(id, HoldCause::Identity, &ambiguity.to_string());
    }

    /// Holds a machine, unless it is already held for this cause and reason.
    pub(crate) fn hold(&mut self, id: MachineId, cause: HoldCause, reason: &str) {
        if self
            .machine(id)
            .holds
            .get(&cause)
            .is_none_or(|known| known != reason)
        {
            self.record(
                id,
                MachineEvent::Held {
                    cause,
                    reason: reason.to_owned(),
                },
            );
        }
    }

    /// Ends a hold whose cause no longer exists.
    pub(crate) fn end_hold(&mut self, id: MachineId, cause: HoldCause) {
        if self.machine(id).holds.contains_key(&cause) {
            self.record(id, MachineEvent::Released { cause: Some(cause) });
        }
    }
}

/// The declarations that an identity matches.
#[derive(Default)]
struct MatchedDeclarations {
    nodes: Vec<Arc<Node>>,
    ambiguities: Vec<(Arc<Node>, Ambiguity)>,
}
