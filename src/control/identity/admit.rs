//! Begins the histories of machines that are not known yet, within limits, and holds machines.

use std::{sync::Arc, time::Duration};

use super::{ambiguity::Ambiguity, identify::Identified, sender::Confirmation};
use crate::{
    control::{Transaction, undeclared},
    journal::{HoldCause, MachineEvent, MachineId},
    model::{Identity, Node},
};

/// How many undeclared machines can become known at once; then one more per second. Any host can send requests in the name of
/// machines that do not exist, and each one is several lines of the journal.
const MAX_UNDECLARED: u32 = 500;

impl Transaction<'_> {
    /// Returns the machine of a report, and begins its history if it is new. None if its history cannot begin: too many
    /// machines are new, or the NIC is another machine's.
    pub(crate) fn admit(
        &mut self,
        found: &Identified,
        confirmation: Confirmation,
    ) -> Option<MachineId> {
        if let Some(id) = found.id {
            return Some(id);
        }
        let mut identity = found.identity.clone();
        let is_clear = matches!(found.ambiguity, None | Some(Ambiguity::OtherMachine { .. }));
        if let Some(node) = found.node.as_ref().filter(|_| is_clear) {
            return Some(self.admit_declared(node, identity, confirmation));
        }
        let mac = *identity.mac.first()?;
        let is_new = found.node.is_none()
            && !self.server.index.mac.contains_key(&mac)
            && !self.server.state.shared.contains(&mac);
        if !is_new || !self.admits_new_machine() {
            return None;
        }
        // A node without MACs gets its machine by a report of the microkernel, not by a claim.
        let declared = self.snapshot.site.identities.by_board(&identity);
        if declared.iter().any(|node| !node.has_macs()) {
            identity.serial = Default::default();
            identity.uuid = Default::default();
            identity.asset = Default::default();
        }
        let id = self.new_undeclared();
        let boot = Some(mac);
        self.record(id, MachineEvent::Seen { identity, boot });
        Some(id)
    }

    /// Begins the history of a declared machine. A claim adds nothing to what its declaration says.
    fn admit_declared(
        &mut self,
        node: &Arc<Node>,
        identity: Identity,
        confirmation: Confirmation,
    ) -> MachineId {
        let boot = identity.mac.first().copied();
        let identity = match confirmation {
            Confirmation::Confirmed => identity,
            Confirmation::Claimed(_) if node.has_macs() => Identity {
                mac: identity.mac,
                ..Identity::default()
            },
            Confirmation::Claimed(_) => return self.machine_of(node),
        };
        let id = self.server.new_machine_id();
        self.record(id, MachineEvent::Seen { identity, boot });
        self.name(id, node);
        id
    }

    /// Whether another undeclared machine can become known now.
    fn admits_new_machine(&mut self) -> bool {
        let now = self.now.mono;
        let limit = &mut self.server.volatile.discovery;
        let seconds = now.since(limit.at).as_secs();
        limit.count = limit
            .count
            .saturating_sub(u32::try_from(seconds).unwrap_or(u32::MAX));
        limit.at = limit.at.after(Duration::from_secs(seconds));
        if limit.count >= MAX_UNDECLARED {
            if !std::mem::replace(&mut limit.is_logged, true) {
                let text = format!(
                    "more than {MAX_UNDECLARED} undeclared machines request a boot: from now on one more is recorded each second"
                );
                self.record_site(MachineEvent::Remark { text });
            }
            return false;
        }
        limit.is_logged &= limit.count > 0;
        limit.count += 1;
        true
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
