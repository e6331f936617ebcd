//! Machines that wait in the microkernel: what they report, and what they are told to do.
//!
//! A machine that a policy takes is bound here, with its address, and boots anew; its installation begins with that boot, like
//! any other. Everybody else waits, and is told why.

use std::{net::IpAddr, sync::Arc, time::Duration};

use crate::control::{
    Reported, Transaction, UrlToken,
    identity::identify::Identified,
    install::{
        binding::Bound,
        blocked::Blocked,
        gate::{Phase, Ready},
    },
};
use crate::{
    journal::{Event, MachineId},
    model::{AgentAction, AgentInstruction, Identity, Node},
};

/// How soon a machine may report again.
const APART: Duration = Duration::from_secs(1);

/// For how long a machine that was told to boot anew counts as one whose installation begins.
const REBOOTING: Duration = Duration::from_secs(600);

/// After how many seconds a machine that waits asks again.
const AGAIN: u32 = 30;

/// So many machines that wait make each of them ask a second later.
const WAITING_PER_SECOND: usize = 40;

/// What came of a check-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckedIn {
    /// What the machine is to do.
    Instruction(AgentInstruction),
    /// It reports too often, and is asked to come again later.
    TooOften,
    /// Nobody has this token.
    Unknown,
}

impl Transaction<'_> {
    /// The token by which a machine in the microkernel checks in. It is the same after a restart.
    pub fn check_in_token(&mut self, machine: MachineId) -> UrlToken {
        self.server.admit(machine)
    }

    /// Takes what a machine in the microkernel reports, if it does, and tells it what to do.
    pub fn check_in(&mut self, token: UrlToken, reported: Option<&Reported>) -> CheckedIn {
        let Some(id) = self.server.machine_of_check_in(token) else {
            return CheckedIn::Unknown;
        };
        if reported.is_some() && !self.may_report(id) {
            return CheckedIn::TooOften;
        }
        let who = match reported {
            Some(reported) => self.identify(&self.identity_of(id, reported)),
            None => Identified::Machine(id, self.node_of(id)),
        };
        let (id, node) = match who {
            Identified::Machine(id, node) => (id, node),
            Identified::Ambiguous(_, reason) => {
                let reason = Blocked::Ambiguous(reason).to_string();
                return self.tell(id, None, self.wait(), reason);
            }
            Identified::NoIdentity => return CheckedIn::Unknown,
        };
        // Its microkernel runs, so that boot is over: the next one is another, also where firmware gives it no number.
        self.server.volatile.boots.latest.remove(id);
        if let Some(reported) = reported {
            self.record_report(id, reported);
        }
        if self.server.volatile.microkernels.switching_off.remove(&id) {
            return self.tell(
                id,
                node.as_ref(),
                AgentAction::PowerOff,
                "requested by an operator".into(),
            );
        }
        let (action, reason) = match self.bind_for_installation(id, node.as_deref()) {
            Ok(reason) => (AgentAction::Reboot, reason),
            Err(blocked) => (self.wait(), blocked.to_string()),
        };
        self.tell(id, node.as_ref(), action, reason)
    }

    /// Who a report is of: a card that its machine booted from counts, even where the kernel has no driver for it.
    fn identity_of(&self, id: MachineId, reported: &Reported) -> Identity {
        let mut identity = reported.identity();
        let own = &self.machine(id).identity.mac;
        if identity.mac.is_disjoint(own) {
            identity.mac.extend(own.iter().copied());
        }
        identity
    }

    fn may_report(&mut self, id: MachineId) -> bool {
        let now = self.now.mono;
        let last = self.server.volatile.microkernels.reported.get(id);
        let may = last.is_none_or(|last| now.since(*last) >= APART);
        if may {
            self.server.volatile.microkernels.reported.insert(id, now);
        }
        may
    }

    fn record_report(&mut self, id: MachineId, reported: &Reported) {
        if !self.machine(id).facts.covers(&reported.facts) {
            let facts = Box::new(reported.facts.clone());
            let attempt = None;
            self.record(id, Event::Facts { facts, attempt });
        }
        for what in &reported.dropped {
            self.remark_once(id, format!("dropped: {what}"));
        }
    }

    /// Binds a machine whose installation may begin, with its address.
    fn bind_for_installation(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
    ) -> Result<String, Blocked> {
        let taker = |bound: &Bound| match &bound.policy {
            Some(policy) => format!("policy {}", policy.name.value),
            None => "its declaration".into(),
        };
        let (bound, address) = match self.readiness_or_hold(id, node, Phase::CheckIn)? {
            Ready::Install { bound, address } => (bound, address),
            Ready::Task(bound) => {
                return Ok(format!("{} gives it task {}", taker(&bound), bound.task));
            }
            Ready::Attempt => unreachable!("a check-in concerns no attempt"),
        };
        self.bind(id, &bound, address);
        let (now, rebooting) = (
            self.now.mono,
            &mut self.server.volatile.microkernels.rebooting,
        );
        rebooting.retain(|_, since| now.since(*since) < REBOOTING);
        rebooting.insert(id, now);
        Ok(format!("{} takes it", taker(&bound)))
    }

    fn bind(&mut self, id: MachineId, bound: &Bound, address: Option<IpAddr>) {
        let policy = bound
            .policy
            .as_ref()
            .map(|policy| policy.name.value.clone());
        let binding = self.machine(id).binding.as_ref();
        if binding.is_none_or(|has| has.policy != policy || has.address != address) {
            self.record(id, Event::Bound { policy, address });
        }
    }

    /// The other machines that were instructed to reboot and whose installation was not opened since.
    pub(crate) fn rebooting(&self, besides: MachineId) -> impl Iterator<Item = MachineId> {
        let now = self.now.mono;
        let rebooting = &self.server.volatile.microkernels.rebooting;
        let others = rebooting
            .iter()
            .filter(move |(id, since)| **id != besides && now.since(**since) < REBOOTING);
        others.map(|(id, _)| *id)
    }

    /// The more machines wait, the more seldom each of them asks.
    fn wait(&self) -> AgentAction {
        let waiting = self.server.index.undeclared.len() / WAITING_PER_SECOND;
        let seconds = AGAIN.saturating_add(u32::try_from(waiting).unwrap_or(u32::MAX));
        AgentAction::Wait { seconds }
    }

    fn tell(
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
