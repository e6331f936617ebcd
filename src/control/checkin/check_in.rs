//! Check-ins of machines in the microkernel: their reports, and the instructions they get.
//!
//! A machine that a policy binds gets its binding and address here, and reboots; its installation begins with that
//! boot, like any other. All other machines wait, with the reason.

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::control::{
    Reported, Sender, Transaction, UrlToken,
    identity::ambiguity::Ambiguity,
    install::{
        binding::Bound,
        blocked::Blocked,
        gate::{Phase, Ready},
    },
    request::dropped_values,
};
use crate::{
    journal::{MachineEvent, MachineId},
    model::{AgentAction, AgentInstruction, Node},
};

/// The minimum time between two reports of a machine.
const MIN_REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// How long a machine counts as about to install after it was instructed to reboot.
const REBOOT_TIME: Duration = Duration::from_secs(600);

/// The poll interval of a waiting machine, in seconds.
const POLL_SECONDS: u32 = 30;

/// The poll interval grows by one second per this many waiting machines.
const MACHINES_PER_SECOND: usize = 40;

/// The result of a check-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckedIn {
    /// The instruction for the machine.
    Instruction(AgentInstruction),
    /// The machine reports too often and must try again later.
    TooOften,
    /// No machine has this token.
    Unknown,
}

impl Transaction<'_> {
    /// Returns the token of a machine's check-in. It is the same after a restart.
    pub fn check_in_token(&mut self, machine: MachineId) -> UrlToken {
        self.server.admit(machine)
    }

    /// Returns whether a machine has this token for its check-ins.
    pub fn knows_check_in(&self, token: UrlToken) -> bool {
        self.server.machine_of_check_in(token).is_some()
    }

    /// Processes a check-in, with or without a report, and returns the machine's instruction.
    pub fn check_in(
        &mut self,
        token: UrlToken,
        reported: Option<&Reported>,
        sender: &Sender,
    ) -> CheckedIn {
        let Some(id) = self.server.machine_of_check_in(token) else {
            return CheckedIn::Unknown;
        };
        let confirmation = match self.confirm_machine(id, sender) {
            Ok(confirmation) => confirmation,
            Err(why) => {
                let reason = Blocked::Unconfirmed(why).to_string();
                self.remark_unconfirmed(id, reason.clone());
                return self.instruct(id, None, self.wait(), reason);
            }
        };
        if reported
            .is_some_and(|reported| !self.may_report(id) || !self.admits_facts(id, &reported.facts))
        {
            return CheckedIn::TooOften;
        }
        let id = match reported.filter(|_| confirmation.is_confirmed()) {
            Some(reported) => self.learn_report(id, reported),
            None => id,
        };
        let node = self.node_of(id);
        if let Some(ambiguity) = self.ambiguity_of(id, reported) {
            let reason = Blocked::Ambiguous(ambiguity).to_string();
            return self.instruct(id, None, self.wait(), reason);
        }
        // The microkernel runs, so this boot is over. The next request is another boot, even if firmware sends no
        // boot number.
        self.server.volatile.boots.latest.remove(id);
        if let Some(reported) = reported
            && (confirmation.is_confirmed() || self.machine(id).is_due(node.as_deref()))
        {
            self.record_facts(id, reported.facts.clone(), None, confirmation);
            if let Some(what) = dropped_values(&reported.dropped) {
                self.remark_once(id, format!("dropped: {what}"));
            }
        }
        if let Some(reported) = reported.filter(|_| confirmation.is_confirmed())
            && self.restore_from_seal(id, node.as_deref(), &reported.facts)
        {
            let reason = "its disk has a seal: it is installed".into();
            return self.instruct(id, node.as_ref(), AgentAction::Reboot, reason);
        }
        if self.server.volatile.microkernels.switching_off.remove(&id) {
            return self.instruct(
                id,
                node.as_ref(),
                AgentAction::PowerOff,
                "requested by an operator".into(),
            );
        }
        let (action, reason) = match self.bind_for_installation(id, node.as_deref()) {
            Ok(reason) => (AgentAction::Reboot, reason),
            // It was only to report its disks, and may have a system of its own.
            Err(blocked) if self.is_only_asked(&blocked) => {
                (AgentAction::Reboot, blocked.to_string())
            }
            Err(blocked) => (self.wait(), blocked.to_string()),
        };
        self.instruct(id, node.as_ref(), action, reason)
    }

    /// Why it is not clear which node a machine in the microkernel belongs to.
    fn ambiguity_of(&self, id: MachineId, reported: Option<&Reported>) -> Option<Ambiguity> {
        let mut identity = reported.map(Reported::identity).unwrap_or_default();
        let own = &self.machine(id).identity;
        identity.mac = own.mac.clone();
        match self.declarations_of(id).as_slice() {
            [node] => self.contradiction(node, &self.histories(node), &identity),
            _ => self.contested(id),
        }
    }

    fn may_report(&mut self, id: MachineId) -> bool {
        let now = self.now.mono;
        let last = self.server.volatile.microkernels.reported.get(id);
        let is_allowed = last.is_none_or(|last| now.since(*last) >= MIN_REPORT_INTERVAL);
        if is_allowed {
            self.server.volatile.microkernels.reported.insert(id, now);
        }
        is_allowed
    }

    /// Binds a machine that can be installed, with its address.
    fn bind_for_installation(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
    ) -> Result<String, Blocked> {
        let binder = |bound: &Bound| match &bound.policy {
            Some(policy) => format!("policy {}", policy.name.value),
            None => "its declaration".into(),
        };
        let (bound, address) = match self.readiness_or_hold(id, node, Phase::CheckIn)? {
            Ready::Install { bound, address } => (bound, address),
            Ready::Task(bound) => {
                return Ok(format!("{} gives it task {}", binder(&bound), bound.task));
            }
            Ready::Attempt => unreachable!("a check-in concerns no attempt"),
        };
        self.bind(id, &bound, address);
        let (now, rebooting) = (
            self.now.mono,
            &mut self.server.volatile.microkernels.rebooting,
        );
        rebooting.retain(|_, since| now.since(*since) < REBOOT_TIME);
        rebooting.insert(id, now);
        Ok(format!("{} takes it", binder(&bound)))
    }

    fn bind(&mut self, id: MachineId, bound: &Bound, address: Option<IpAddr>) {
        let policy = bound
            .policy
            .as_ref()
            .map(|policy| policy.name.value.clone());
        let binding = self.machine(id).binding.as_ref();
        if binding.is_none_or(|has| has.policy != policy || has.address != address) {
            self.record(id, MachineEvent::Bound { policy, address });
        }
    }

    /// The other machines that were instructed to reboot and whose installation was not opened since.
    pub(crate) fn rebooting(&self, except: MachineId) -> impl Iterator<Item = MachineId> {
        let now = self.now.mono;
        let rebooting = &self.server.volatile.microkernels.rebooting;
        let others = rebooting
            .iter()
            .filter(move |(id, since)| **id != except && now.since(**since) < REBOOT_TIME);
        others.map(|(id, _)| *id)
    }

    /// The more machines wait, the longer their poll interval.
    fn wait(&self) -> AgentAction {
        let waiting = self.server.index.undeclared.len() / MACHINES_PER_SECOND;
        let seconds = POLL_SECONDS.saturating_add(u32::try_from(waiting).unwrap_or(u32::MAX));
        AgentAction::Wait { seconds }
    }

    fn instruct(
        &self,
        id: MachineId,
        node: Option<&Arc<Node>>,
        action: AgentAction,
        reason: String,
    ) -> CheckedIn {
        let node = node.map(|node| &**node);
        CheckedIn::Instruction(AgentInstruction {
            node: crate::control::identity::naming::name_of(self.server.state.machine(id), node),
            reason,
            action,
        })
    }
}
