//! The displayed status of a machine.

use std::{fmt, net::IpAddr, sync::Arc};

use serde::Serialize;

use super::{Bound, Transaction, identity::naming::name_of, install::blocked::Blocked};
use crate::{
    journal::{Attempt, Machine, MachineId, identities, installs_of},
    matcher,
    model::{Mac, Node, Platform, PolicyName, TaskName, TimeSpan, Timestamp},
    site::counted,
};

/// The state of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MachineState {
    /// It has contacted the server, and nothing binds it.
    Discovered,
    /// Its declaration or a policy determines what it gets.
    Bound,
    /// A document of its attempt was read completely, or the machine reported the stage.
    Installing,
    /// The machine reported that its disk is written.
    Installed,
    /// Its first boot has run.
    Finished,
    /// It reported an error, a stage is overdue, or its disk does not boot.
    Failed,
    /// It needs an operator.
    Held,
    /// It is never installed: `installs = 0`, or its declaration was removed.
    Protected,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The name of its declaration; for an undeclared machine its first MAC address with hyphens.
    pub name: String,
    pub declared: bool,
    pub state: MachineState,
    /// The reason of a state that needs one.
    pub reason: Option<String>,
    /// The time of the last change of its state.
    pub since: Option<Timestamp>,
    /// The policy that binds it or would bind it.
    pub policy: Option<PolicyName>,
    /// The task of its attempt or of its next installation.
    pub task: Option<TaskName>,
    /// Its own static address.
    pub address: Option<String>,
    pub hostname: Option<String>,
    /// Its MAC addresses.
    pub mac: Vec<Mac>,
    pub uuid: Option<String>,
    pub serial: Option<String>,
    pub firmware: Option<Platform>,
    /// The number of its newest attempt.
    pub attempt: Option<u32>,
    pub installs: Installs,
    /// The last event, and the next step.
    pub last: String,
    /// Whether an operator has requested another installation.
    #[serde(skip)]
    pub requested: bool,
    /// The address of its binding from the network's pool. Declared addresses are resolved elsewhere.
    #[serde(skip)]
    pub pooled: Option<IpAddr>,
}

/// How many installations of a machine are wanted and done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Installs {
    /// The node's `installs`.
    pub wanted: u32,
    /// The value of `installs` at its last successful attempt.
    pub done: u32,
}

impl fmt::Display for MachineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            MachineState::Discovered => "discovered",
            MachineState::Bound => "bound",
            MachineState::Installing => "installing",
            MachineState::Installed => "installed",
            MachineState::Finished => "finished",
            MachineState::Failed => "failed",
            MachineState::Held => "held",
            MachineState::Protected => "protected",
        })
    }
}

impl Transaction<'_> {
    /// Returns the status of every machine: declared ones by name, then the others.
    pub fn statuses(&self) -> Vec<Status> {
        let mut shown = std::collections::BTreeSet::new();
        let mut list = Vec::new();
        for node in self.snapshot.site.nodes.values() {
            let histories = self.histories(node);
            let id = self.main_history(node, &histories);
            shown.extend(histories);
            list.push(self.status(id, Some(node)));
        }
        let mut others = self.server.state.machines.ids();
        others.retain(|id| !shown.contains(id));
        list.extend(others.into_iter().map(|id| self.status(Some(id), None)));
        list
    }

    /// Returns the status of one machine.
    pub fn status(&self, id: Option<MachineId>, node: Option<&Arc<Node>>) -> Status {
        let node = node.map(|node| &**node);
        let machine = id.map(|id| self.machine(id));
        let due = machine.is_none_or(|machine| machine.is_due(node));
        let next = self.next_binding(machine, node, due);
        let would = next.as_ref().and_then(|bound| bound.policy.as_ref());
        let would = would.map(|policy| policy.name.value.clone());
        let has = machine.and_then(|machine| machine.binding.as_ref()?.policy.clone());
        let attempt = machine.and_then(Machine::current);
        let task = attempt.map(|attempt| attempt.task.clone());
        let binds = next.is_some() || machine.is_some_and(|machine| machine.binding.is_some());
        let next = next.map(|bound| bound.task);
        let (state, reason) = self.state_and_reason(machine, node, binds);
        let reason = self.with_diagnosis(machine, state, reason);
        let reason = reason.or_else(|| self.microkernel_reason(machine?, state));
        let identity = machine.map(|machine| &machine.identity);
        Status {
            name: name_of(machine, node),
            declared: node.is_some(),
            state,
            reason,
            since: machine.map(|machine| machine.since),
            policy: if due { would.or(has) } else { has.or(would) },
            task: if due { next.or(task) } else { task.or(next) },
            address: None,
            hostname: None,
            mac: macs(machine, node),
            uuid: identity.and_then(|identity| identity.uuid.first().map(ToString::to_string)),
            serial: identity.and_then(|identity| identity.serial.first().map(ToString::to_string)),
            firmware: machine.and_then(|machine| machine.facts.firmware),
            attempt: attempt.map(|attempt| attempt.number),
            installs: Installs {
                wanted: installs_of(node),
                done: machine.map_or(0, |machine| machine.done),
            },
            last: self.last(machine, state, node, binds),
            requested: machine.is_some_and(|machine| machine.reinstall),
            pooled: machine.and_then(|machine| machine.binding.as_ref()?.address),
        }
    }

    /// What would bind a machine now; none if it keeps its binding until another installation is due.
    fn next_binding(
        &self,
        machine: Option<&Machine>,
        node: Option<&Node>,
        due: bool,
    ) -> Option<Bound> {
        match machine {
            Some(machine) if machine.binding.is_some() && !due => None,
            Some(machine) => {
                let (site, rules) = (&self.snapshot.site, &self.snapshot.rules);
                let tags = matcher::tags(site, rules, node, &machine.facts);
                self.binding_of(machine, node, &tags).ok()
            }
            None => self.binding_unseen(node?).ok(),
        }
    }

    fn state_and_reason(
        &self,
        machine: Option<&Machine>,
        node: Option<&Node>,
        binds: bool,
    ) -> (MachineState, Option<String>) {
        if let Some(stopped) = self.blocked_state(machine, node) {
            return stopped;
        }
        let is_next = |machine: &&Machine| machine.open().is_none() && machine.is_due(node);
        match machine.filter(|machine| !is_next(machine)) {
            None => state_without_attempt(node, binds),
            Some(machine) if machine.marked && machine.open().is_none() => {
                let reason = history_source(machine).unwrap_or_else(|| "set by an operator".into());
                (MachineState::Installed, Some(reason))
            }
            Some(machine) => {
                state_of_attempts(machine).unwrap_or_else(|| state_without_attempt(node, binds))
            }
        }
    }

    /// The next step for an undeclared machine in the microkernel that nothing binds.
    fn microkernel_reason(&self, machine: &Machine, state: MachineState) -> Option<String> {
        let reported = self.server.volatile.microkernels.reported.get(machine.id);
        if state != MachineState::Discovered || reported.is_none() {
            return None;
        }
        let (site, rules) = (&self.snapshot.site, &self.snapshot.rules);
        let tags = matcher::tags(site, rules, None, &machine.facts).yes.len();
        let tags = counted(tags, "tag");
        Some(format!("microkernel; {tags}; `explain` or `adopt` it"))
    }

    /// Adds the diagnosis of a boot that has stopped to the reason.
    fn with_diagnosis(
        &self,
        machine: Option<&Machine>,
        state: MachineState,
        reason: Option<String>,
    ) -> Option<String> {
        let Some(diagnosis) = machine.and_then(|machine| self.diagnosis(machine.id)) else {
            return reason;
        };
        let is_read = machine
            .and_then(Machine::open)
            .is_some_and(Attempt::is_begun);
        match (state, reason) {
            (MachineState::Discovered | MachineState::Bound, None) => Some(diagnosis),
            (
                MachineState::Discovered | MachineState::Bound | MachineState::Failed,
                Some(reason),
            ) if !is_read => Some(format!("{reason}; {diagnosis}")),
            (_, reason) => reason,
        }
    }

    /// The state of a machine that is not installed, whatever its history is.
    fn blocked_state(
        &self,
        machine: Option<&Machine>,
        node: Option<&Node>,
    ) -> Option<(MachineState, Option<String>)> {
        let blocked = self.barred(machine, node)?;
        let state = match &blocked {
            Blocked::Protected(why) => (MachineState::Protected, Some(why.to_string())),
            held => (MachineState::Held, held.hold_reason()),
        };
        Some(state)
    }

    fn last(
        &self,
        machine: Option<&Machine>,
        state: MachineState,
        node: Option<&Node>,
        binds: bool,
    ) -> String {
        let Some(machine) = machine else {
            return if state == MachineState::Bound && binds {
                "never seen; will install at its first network boot".into()
            } else {
                "never seen".into()
            };
        };
        let ago = TimeSpan(self.now.wall.since(machine.last));
        let mut text = match machine.said.as_str() {
            "" => "never seen".into(),
            latest => format!("{latest}, {ago} ago"),
        };
        let clocks = &self.server.volatile.deadlines.by_machine;
        if state == MachineState::Bound && machine.open().is_none() && machine.is_due(node) {
            text += "; waiting for a network boot";
        } else if let Some(clock) = clocks.get(machine.id).filter(|clock| !clock.passed) {
            let left = TimeSpan(clock.due.since(self.now.mono));
            text += &format!("; {} due in {left}", clock.awaited.stage.as_str());
        }
        text
    }
}

/// The state of a machine without an attempt that determines it.
fn state_without_attempt(node: Option<&Node>, binds: bool) -> (MachineState, Option<String>) {
    match node {
        None if !binds => (MachineState::Discovered, None),
        Some(node) if !binds => {
            let reason = format!("nothing binds it: `bootwright explain {}`", node.name);
            (MachineState::Bound, Some(reason))
        }
        _ => (MachineState::Bound, None),
    }
}

/// The state that the attempts of a machine determine.
fn state_of_attempts(machine: &Machine) -> Option<(MachineState, Option<String>)> {
    // The result of the newest attempt is shown even if an older one installed the machine.
    if let Some(reason) = machine.newest().and_then(|newest| newest.failed.clone()) {
        return Some((MachineState::Failed, Some(reason)));
    }
    let Some(attempt) = machine.current() else {
        let reason = history_source(machine).unwrap_or_else(|| "by an earlier history".into());
        return machine
            .installed
            .then_some((MachineState::Installed, Some(reason)));
    };
    if let Some(step) = &attempt.overdue {
        let reason = format!("no `{step}` in time (reports still accepted)");
        return Some((MachineState::Failed, Some(reason)));
    }
    let state = match () {
        () if attempt.is_finished() => MachineState::Finished,
        () if attempt.is_installed() => MachineState::Installed,
        () if attempt.is_begun() && attempt.open => MachineState::Installing,
        () => MachineState::Bound,
    };
    Some((state, history_source(machine)))
}

/// The source of a history that is not the one of the declaration's identities. The declared machine may be another
/// one, which is not installed.
fn history_source(machine: &Machine) -> Option<String> {
    let before = machine
        .took_over
        .as_ref()
        .filter(|_| machine.open().is_none())?;
    let before = identities(before);
    Some(format!(
        "took over the history of {before}; reinstall it to install"
    ))
}

fn macs(machine: Option<&Machine>, node: Option<&Node>) -> Vec<Mac> {
    let declared = node
        .into_iter()
        .flat_map(|node| node.macs())
        .map(|mac| mac.value);
    let mut macs: Vec<Mac> = declared.collect();
    for mac in machine
        .into_iter()
        .flat_map(|machine| &machine.identity.mac)
    {
        if !macs.contains(mac) {
            macs.push(*mac);
        }
    }
    macs
}
