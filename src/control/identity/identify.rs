//! Who asks: a report to a machine, and a machine to its declaration.
//!
//! MACs are matched first, over all declarations. Only a history that no declaration's identities claim
//! goes to the declaration that last bore its name, so renaming a node, moving it between files, replacing
//! its card, deleting and adding it again never makes an installation due. In doubt, nobody is installed.

use std::sync::Arc;

use crate::control::{Transaction, undeclared};
use crate::{
    journal::{Event, HoldCause, MachineId},
    model::{Identity, Node, SmallSet},
};

/// Whom a report belongs to.
#[derive(Debug)]
pub(crate) enum Identified {
    /// It carries no identity.
    NoIdentity,
    /// This machine, declared or not.
    Machine(MachineId, Option<Arc<Node>>),
    /// It is not clear; with the machine whose log tells it, if there is one.
    Ambiguous(Option<MachineId>, String),
}

impl Transaction<'_> {
    /// Finds the machine that reports this identity, or makes it known.
    pub(crate) fn identify(&mut self, identity: &Identity) -> Identified {
        if identity.is_empty() {
            return Identified::NoIdentity;
        }
        let declared = self.declared_as(identity);
        let mut doubts = declared.doubts;
        let node = match declared.nodes.as_slice() {
            [] => None,
            [node] => Some(node.clone()),
            several => {
                let names: Vec<_> = several
                    .iter()
                    .map(|node| node.name.value.to_string())
                    .collect();
                let reason = format!(
                    "one machine fits {}: tell them apart by `mac`",
                    names.join(" and ")
                );
                doubts.extend(several.iter().map(|node| (node.clone(), reason.clone())));
                None
            }
        };
        for (node, reason) in &doubts {
            self.hold_for_identity(node, reason);
        }
        if declared.nodes.len() > 1 {
            return Identified::Ambiguous(
                None,
                doubts.pop().expect("several nodes make a doubt").1,
            );
        }
        match node {
            Some(node) => self.match_declared(node, identity, &doubts),
            None => self.match_undeclared(identity, doubts.pop().map(|(_, reason)| reason)),
        }
    }

    /// Finds the declarations that an identity fits, and what about it cannot be right.
    fn declared_as(&self, identity: &Identity) -> Declared {
        let identities = &self.snapshot.site.identities;
        let by_mac = identities.by_mac(identity);
        let mut by_board = identities.by_board(identity);
        by_board.retain(|node| {
            by_mac
                .iter()
                .all(|known| known.name.value != node.name.value)
        });
        let mut declared = Declared::default();
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
                let reason = format!("serial fits {name}, its MACs do not: replaced board?");
                declared.doubts.push((node.clone(), reason));
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
                    "MAC fits {}, its serial `{other}` does not: moved card?",
                    node.name
                );
                declared.doubts.push((node.clone(), reason));
            }
        }
        declared
    }

    /// Gives a declared node's report to its machine. Every history that is the node's becomes one.
    fn match_declared(
        &mut self,
        node: Arc<Node>,
        identity: &Identity,
        doubts: &[(Arc<Node>, String)],
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
        match doubts
            .iter()
            .find(|(boot_ambiguous, _)| boot_ambiguous.name == node.name)
        {
            Some((_, reason)) => Identified::Ambiguous(Some(id), reason.clone()),
            None => {
                self.end_hold(id, HoldCause::Identity);
                Identified::Machine(id, Some(node))
            }
        }
    }

    /// Two declarations that claim one history, or two machines that fit a node without MACs.
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
                    "one machine's history fits {}: who is it?",
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
        another.map(|_| format!("two machines fit {}: declare its `mac`", node.name))
    }

    /// Makes a card known that no history has, so that the doubt does not go away when the other one reports.
    fn record_other_machine(&mut self, card: &Identity, identity: &Identity) {
        if self.server.machines_with(card).is_empty() {
            let id = self.new_undeclared();
            self.record_identity(id, identity);
        }
    }

    /// Gives an undeclared machine's report to its machine. Undeclared machines are told apart by MAC alone,
    /// since boards share UUIDs and serials.
    fn match_undeclared(&mut self, identity: &Identity, doubt: Option<String>) -> Identified {
        if identity.mac.is_empty() {
            return doubt.map_or(Identified::NoIdentity, |reason| {
                Identified::Ambiguous(None, reason)
            });
        }
        let macs_only = Identity {
            mac: identity.mac.clone(),
            ..Identity::default()
        };
        let known = self.server.machines_with(&macs_only);
        // A history that another declaration claims is that one's, whatever card it once reported.
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
        match doubt {
            Some(reason) => Identified::Ambiguous(Some(id), reason),
            None => {
                self.end_hold(id, HoldCause::Identity);
                Identified::Machine(id, None)
            }
        }
    }

    /// Makes room for a machine that nobody declared: the oldest goes first of those that never were bound
    /// and of which no operator said anything.
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
                    by: "the limit on unknown machines".into(),
                },
            );
        }
        self.server.new_machine_id()
    }

    fn hold_for_identity(&mut self, node: &Arc<Node>, reason: &str) {
        let id = self.machine_of(node);
        self.hold(id, HoldCause::Identity, reason);
    }

    /// Holds a machine, unless it is held for this cause already.
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

    /// Ends a hold whose cause is gone.
    pub(crate) fn end_hold(&mut self, id: MachineId, cause: HoldCause) {
        if self.machine(id).holds.contains_key(&cause) {
            self.record(id, Event::Released { cause: Some(cause) });
        }
    }
}

/// What an identity fits.
#[derive(Default)]
struct Declared {
    nodes: Vec<Arc<Node>>,
    doubts: Vec<(Arc<Node>, String)>,
}
