//! Finds the machine that a report belongs to, and its declaration.
//!
//! MAC addresses are matched first, against all declarations. A history that matches no declaration belongs to the
//! one that last had its name. So renaming a node, moving it between files, replacing its NIC, or deleting and
//! adding it again never makes an installation due. If the identity is ambiguous, nothing is installed.

use std::sync::Arc;

use crate::control::{Transaction, undeclared};
use crate::{
    journal::{Event, HoldCause, MachineId},
    model::{Identity, Node, SmallSet},
};

/// The machine that a report belongs to.
#[derive(Debug)]
pub(crate) enum Identified {
    /// It carries no identity.
    NoIdentity,
    /// A declared or undeclared machine.
    Machine(MachineId, Option<Arc<Node>>),
    /// The identity is ambiguous. The reason is logged in this machine's log, if there is one.
    Ambiguous(Option<MachineId>, String),
}

impl Transaction<'_> {
    /// Finds the machine with this identity, or discovers it.
    pub(crate) fn identify(&mut self, identity: &Identity) -> Identified {
        if identity.is_empty() {
            return Identified::NoIdentity;
        }
        let declared = self.matched_declarations(identity);
        let mut contradictions = declared.contradictions;
        let node = match declared.nodes.as_slice() {
            [] => None,
            [node] => Some(node.clone()),
            several => {
                let names: Vec<_> = several
                    .iter()
                    .map(|node| node.name.value.to_string())
                    .collect();
                let reason = format!(
                    "declarations {} match the same machine: add `mac`",
                    names.join(" and ")
                );
                contradictions.extend(several.iter().map(|node| (node.clone(), reason.clone())));
                None
            }
        };
        for (node, reason) in &contradictions {
            self.hold_for_identity(node, reason);
        }
        if declared.nodes.len() > 1 {
            return Identified::Ambiguous(
                None,
                contradictions
                    .pop()
                    .expect("several nodes are a contradiction")
                    .1,
            );
        }
        match node {
            Some(node) => self.match_declared(node, identity, &contradictions),
            None => self.match_undeclared(identity, contradictions.pop().map(|(_, reason)| reason)),
        }
    }

    /// Finds the declarations that an identity matches, and its contradictions.
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
                let name = &node.name;
                let reason = format!(
                    "its serial number matches {name}, its MAC addresses do not: was the board replaced?"
                );
                declared.contradictions.push((node.clone(), reason));
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
                let reason = format!(
                    "its MAC address matches {}, its serial number `{other}` does not: was the NIC moved?",
                    node.name
                );
                declared.contradictions.push((node.clone(), reason));
            }
        }
        declared
    }

    /// Assigns a report to the machine of a declared node. All histories of the node are merged.
    fn match_declared(
        &mut self,
        node: Arc<Node>,
        identity: &Identity,
        contradictions: &[(Arc<Node>, String)],
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
        if let Some(reason) = self.contradiction(&node, &histories, identity) {
            self.record_other_machine(&macs_only, identity);
            self.hold_for_identity(&node, &reason);
            return Identified::Ambiguous(self.main_history(&node, &histories), reason);
        }
        let id = self.merge_histories(&node, histories);
        self.record_identity(id, identity);
        self.name(id, &node);
        match contradictions
            .iter()
            .find(|(contradicted, _)| contradicted.name == node.name)
        {
            Some((_, reason)) => Identified::Ambiguous(Some(id), reason.clone()),
            None => {
                self.end_hold(id, HoldCause::Identity);
                Identified::Machine(id, Some(node))
            }
        }
    }

    /// Returns a contradiction: two declarations match one history, or two machines match a node without MAC
    /// addresses.
    fn contradiction(
        &self,
        node: &Node,
        histories: &SmallSet<MachineId>,
        identity: &Identity,
    ) -> Option<String> {
        for id in histories {
            let declarations_of = self.declarations_of(*id);
            if declarations_of.len() > 1 {
                let names = declarations_of
                    .iter()
                    .map(|node| node.name.value.to_string());
                let names: Vec<_> = names.collect();
                return Some(format!(
                    "declarations {} match the history of one machine: correct their identities",
                    names.join(" and ")
                ));
            }
        }
        if node.has_macs() || identity.mac.is_empty() {
            return None;
        }
        let another = histories
            .iter()
            .map(|id| &self.machine(*id).identity.mac)
            .find(|macs| !macs.is_empty() && macs.is_disjoint(&identity.mac));
        another.map(|_| format!("two machines match {}: add its `mac`", node.name))
    }

    /// Discovers a machine that has no history yet, so that the contradiction remains when the other machine
    /// reports.
    fn record_other_machine(&mut self, by_mac: &Identity, identity: &Identity) {
        if self.server.machines_with(by_mac).is_empty() {
            let id = self.new_undeclared();
            self.record_identity(id, identity);
        }
    }

    /// Assigns a report to an undeclared machine. Undeclared machines are distinguished only by MAC address,
    /// because boards may share UUIDs and serial numbers.
    fn match_undeclared(
        &mut self,
        identity: &Identity,
        contradiction: Option<String>,
    ) -> Identified {
        if identity.mac.is_empty() {
            return contradiction.map_or(Identified::NoIdentity, |reason| {
                Identified::Ambiguous(None, reason)
            });
        }
        let macs_only = Identity {
            mac: identity.mac.clone(),
            ..Identity::default()
        };
        let known = self.server.machines_with(&macs_only);
        // A history that another declaration matches belongs to that declaration, whatever MAC addresses it has.
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
                    self.record(id, Event::Merged { into: oldest });
                }
                oldest
            }
            None => self.new_undeclared(),
        };
        self.record_identity(id, identity);
        match contradiction {
            Some(reason) => Identified::Ambiguous(Some(id), reason),
            None => {
                self.end_hold(id, HoldCause::Identity);
                Identified::Machine(id, None)
            }
        }
    }

    /// Creates an undeclared machine. At the limit, the oldest one is removed that was never bound and has no hold.
    fn new_undeclared(&mut self) -> MachineId {
        let limit = self
            .snapshot
            .site
            .config
            .limits
            .discovered
            .as_ref()
            .map_or(5_000, |limit| limit.value);
        let undeclared = &self.server.index.undeclared;
        debug_assert_eq!(*undeclared, undeclared::undeclared(&self.server.state));
        let oldest = undeclared.first().copied();
        if let Some((_, oldest)) = oldest.filter(|_| undeclared.len() >= limit as usize) {
            self.record(
                oldest,
                Event::Forgotten {
                    by: "the limit of undeclared machines".into(),
                },
            );
        }
        self.server.new_machine_id()
    }

    fn hold_for_identity(&mut self, node: &Arc<Node>, reason: &str) {
        let id = self.machine_of(node);
        self.hold(id, HoldCause::Identity, reason);
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
                Event::Held {
                    cause,
                    reason: reason.to_owned(),
                },
            );
        }
    }

    /// Ends a hold whose cause no longer exists.
    pub(crate) fn end_hold(&mut self, id: MachineId, cause: HoldCause) {
        if self.machine(id).holds.contains_key(&cause) {
            self.record(id, Event::Released { cause: Some(cause) });
        }
    }
}

/// The declarations that an identity matches, and its contradictions.
#[derive(Default)]
struct MatchedDeclarations {
    nodes: Vec<Arc<Node>>,
    contradictions: Vec<(Arc<Node>, String)>,
}
