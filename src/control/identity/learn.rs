//! What a confirmed report adds to the identity of a machine.
//!
//! The board and the NIC that boots belong to the machine. So does a NIC that the microkernel reports as permanent, unless
//! another machine reported it first: such a MAC is shared. USB NICs (of a BMC or a dock), virtual functions and random addresses
//! never identify a machine. Two histories become one only if the microkernel has reported the boot NIC of each from the other, and
//! nothing was ever installed on either.

use std::sync::Arc;

use super::{
    history::missing,
    identify::{Board, Identified},
    naming::name_of,
};
use crate::{
    control::{Report, Reported, Transaction},
    journal::{HoldCause, Machine, MachineEvent, MachineId},
    model::{Identity, Mac, NicFact, Node, SmallSet},
};

/// How many NICs identify one machine, and how many are recorded of it.
pub(crate) const MAX_NICS: usize = 64;

/// How many serial numbers, UUIDs and asset tags are recorded of one machine each: its board is replaced a few times at most.
const MAX_BOARDS: usize = 8;

/// What a MAC takes in the journal, in bytes.
const MAC_SIZE: usize = 20;

impl Transaction<'_> {
    /// Records what a confirmed boot request shows. Returns the machine, whose history may be merged into that of its node.
    pub(crate) fn learn_boot(
        &mut self,
        id: MachineId,
        found: &Identified,
        report: &Report,
    ) -> MachineId {
        let (node, identity) = (found.node.as_ref(), &found.identity);
        let boot = identity.mac.first().copied();
        let same = match boot.filter(|_| node.is_some()) {
            Some(mac) => self.unclaimed(mac, id, identity),
            None => Vec::new(),
        };
        let is_merged = !same.is_empty();
        for other in same {
            self.record(other, MachineEvent::Merged { into: id });
        }
        let is_new = self.record_identity(id, identity, boot);
        self.record_listed(id, report.macs.iter().copied());
        if is_merged || is_new {
            self.settle(id, node);
        }
        let id = self.server.state.resolve(id);
        self.end_hold(id, HoldCause::Identity);
        id
    }

    /// Records what a confirmed report of the microkernel shows. Returns the machine, whose history may be merged into another.
    pub(crate) fn learn_report(&mut self, id: MachineId, reported: &Reported) -> MachineId {
        let mut identity = reported.identity();
        let nics = reported.facts.nics.iter().flatten();
        let nics: Vec<Mac> = nics
            .filter(|nic| self.is_identifying(nic))
            .map(|nic| nic.mac)
            .collect();
        let mut id = id;
        for mac in nics {
            let owners: Vec<MachineId> = self.others_with(mac, id);
            if owners.is_empty() && !self.server.state.shared.contains(&mac) {
                identity.mac.insert(mac);
                continue;
            }
            if self.machine(id).identity.mac.contains(&mac) {
                continue;
            }
            let boots = |other: &MachineId| self.machine(*other).boot_mac() == Some(mac);
            if !owners.iter().any(boots) {
                self.share(id, mac);
                continue;
            }
            let mergeable: Vec<_> = owners
                .iter()
                .filter(|other| self.is_one_machine(id, **other, &identity))
                .copied()
                .collect();
            if mergeable.len() == owners.len() {
                identity.mac.insert(mac);
                id = mergeable
                    .into_iter()
                    .fold(id, |id, other| self.merge(id, other));
            } else if owners
                .iter()
                .all(|other| self.board(*other, &identity) == Board::Other)
            {
                self.share(id, mac);
            } else {
                self.name_settlement(id, mac, owners[0]);
            }
        }
        self.record_identity(id, &identity, None);
        let listed = reported.facts.nics.iter().flatten();
        self.record_listed(id, listed.map(|nic| nic.mac));
        let node = self.node_of(id);
        self.settle(id, node.as_ref());
        let id = self.server.state.resolve(id);
        self.end_hold(id, HoldCause::Identity);
        id
    }

    /// The undeclared histories of a NIC, on which nothing was ever installed, except one.
    fn unclaimed(&self, mac: Mac, except: MachineId, identity: &Identity) -> Vec<MachineId> {
        let mut others = self.others_with(mac, except);
        others.retain(|other| {
            let machine = self.machine(*other);
            let is_claimed = machine.node.is_some() || !self.declarations_of(*other).is_empty();
            machine.boot_mac() == Some(mac)
                && !machine.was_bound()
                && !is_claimed
                && self.board(*other, identity) != Board::Other
        });
        others
    }

    fn others_with(&self, mac: Mac, except: MachineId) -> Vec<MachineId> {
        let known = self.server.index.mac.get(&mac).into_iter().flatten();
        known.copied().filter(|id| *id != except).collect()
    }

    /// Whether a NIC that the microkernel reports identifies its machine.
    fn is_identifying(&self, nic: &NicFact) -> bool {
        let ignored = &self.snapshot.site.config.identity;
        nic.is_permanent()
            && nic.mac.is_unicast()
            && !ignored.ignores_driver(nic.driver.as_deref())
            && !ignored.ignores_mac(nic.mac)
            && !self.is_declared_by_mac(nic.mac)
    }

    /// A declared MAC belongs to its node: no report gives it to another machine.
    fn is_declared_by_mac(&self, mac: Mac) -> bool {
        self.snapshot.site.identities.mac.contains_key(&mac)
    }

    /// Whether two histories are those of one machine, of which nothing was ever installed: each has reported the boot NIC of the
    /// other. One report is not enough, because it comes from one NIC only and can list any MAC.
    fn is_one_machine(&self, id: MachineId, other: MachineId, identity: &Identity) -> bool {
        let is_new = |machine: &Machine| {
            machine.node.is_none() && !machine.was_bound() && machine.holds.is_empty()
        };
        is_new(self.machine(id))
            && is_new(self.machine(other))
            && self.node_of(id).is_none()
            && self.node_of(other).is_none()
            && self.board(other, identity) == Board::Same
            && self
                .machine(id)
                .boot_mac()
                .is_some_and(|mac| self.has_permanent_nic(other, mac))
    }

    /// Whether the microkernel of a machine has reported a NIC as permanent, in a report that was confirmed.
    pub(super) fn has_permanent_nic(&self, id: MachineId, mac: Mac) -> bool {
        let machine = self.machine(id);
        let mut nics = machine.facts.nics.iter().flatten();
        machine.all_macs().contains(&mac) && nics.any(|nic| nic.mac == mac && nic.is_permanent())
    }

    /// Merges two histories into the older one.
    fn merge(&mut self, id: MachineId, other: MachineId) -> MachineId {
        let age = |id| (self.machine(id).first, id);
        let (from, into) = match age(id) < age(other) {
            true => (other, id),
            false => (id, other),
        };
        self.record(from, MachineEvent::Merged { into });
        into
    }

    /// Records that a MAC does not identify this machine, because another one reported it first. That one keeps it: no report
    /// changes another machine.
    fn share(&mut self, id: MachineId, mac: Mac) {
        if !self.server.state.shared.contains(&mac) {
            self.record(id, MachineEvent::Shared { mac });
        }
    }

    /// Names the commands for two histories of one machine that are not merged, because something was installed.
    fn name_settlement(&mut self, id: MachineId, mac: Mac, other: MachineId) {
        let node = self.node_of(other);
        let name = name_of(self.server.state.machine(other), node.as_deref());
        self.remark_once(
            id,
            format!(
                "{name} boots from {mac}, a NIC of this machine: if both are one machine, `adopt` {name} with both MACs and \
                 `forget` the other"
            ),
        );
    }

    /// The identities of a boot request: the NIC that boots, and the board.
    pub(crate) fn identity(&self, report: &Report) -> Identity {
        let ignored = &self.snapshot.site.config.identity;
        let mut identity = report.identity();
        identity.mac.retain(|mac| !ignored.ignores_mac(*mac));
        identity
    }

    /// Records the identities that a machine did not have. Returns whether there are any.
    fn record_identity(&mut self, id: MachineId, identity: &Identity, boot: Option<Mac>) -> bool {
        let machine = self.machine(id);
        let boot = boot.filter(|_| machine.boot_mac.is_none());
        let known = &machine.identity;
        let mut identity = missing(known, identity);
        identity.mac = limited(identity.mac, MAX_NICS, known.mac.len());
        identity.serial = limited(identity.serial, MAX_BOARDS, known.serial.len());
        identity.uuid = limited(identity.uuid, MAX_BOARDS, known.uuid.len());
        identity.asset = limited(identity.asset, MAX_BOARDS, known.asset.len());
        if identity.is_empty() && boot.is_none() {
            return false;
        }
        self.record(id, MachineEvent::Seen { identity, boot });
        true
    }

    /// Records the MACs that a confirmed report lists, if some of them are new.
    fn record_listed(&mut self, id: MachineId, macs: impl Iterator<Item = Mac>) {
        let macs: SmallSet<Mac> = macs.filter(|mac| mac.is_unicast()).take(MAX_NICS).collect();
        // They are facts, so nothing is lost if the budget is used up.
        let is_new = !macs.is_subset(&self.machine(id).all_macs());
        if is_new && self.admits_fact_bytes(id, macs.len() * MAC_SIZE) {
            self.record(id, MachineEvent::Nics { macs });
        }
    }

    /// Gives the machine to its node.
    fn settle(&mut self, id: MachineId, node: Option<&Arc<Node>>) {
        let Some(node) = node else {
            return;
        };
        let histories = self.histories(node);
        let identity = self.machine(id).identity.clone();
        if self.contradiction(node, &histories, &identity).is_none() {
            let id = self.merge_histories(node, histories);
            self.name(id, node);
        }
    }
}

/// The new identities for which there is room beside those that are known.
fn limited<T: Ord + Clone>(new: SmallSet<T>, max: usize, known: usize) -> SmallSet<T> {
    let room = max.saturating_sub(known);
    new.iter().take(room).cloned().collect()
}
