//! The status of machines, for operators.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use super::{Bound, Transaction, identity::naming::name_of, install::blocked::Blocked};
use crate::{
    api::{InstallCounts, MachineState, NodeStatus},
    journal::{Attempt, Machine, MachineId, identities, installs_of},
    matcher,
    model::{Mac, Node, TimeSpan},
    site::counted,
};

impl Transaction<'_> {
    /// The status of every machine: declared ones by name, then the others.
    pub fn statuses(&self) -> Vec<NodeStatus> {
        let mut shown = BTreeSet::new();
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

    /// The status of one machine, without what has to be resolved first: address and host name.
    pub fn status(&self, id: Option<MachineId>, node: Option<&Arc<Node>>) -> NodeStatus {
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
        let (state, reason) = self.state_of(machine, node, binds);
        let waits = state == MachineState::Bound && due;
        let unwritable = self.server.volatile.unwritable.as_ref();
        let reason = reason.or_else(|| unwritable.filter(|_| waits).cloned());
        let reason = self.with_diagnosis(machine, state, reason);
        let reason = reason.or_else(|| self.microkernel_hint(machine?, state));
        let reason = reason.or_else(|| Some(self.shared_history(node?)?.to_string()));
        let identity = machine.map(|machine| &machine.identity);
        NodeStatus {
            name: name_of(machine, node),
            declared: node.is_some(),
            state,
            reason,
            since: machine.map(|machine| machine.since),
            policy: if due { would.or(has) } else { has.or(would) },
            task: if due { next.or(task) } else { task.or(next) },
            address: None,
            hostname: None,
            mac: macs(machine, node, &self.server.state.shared),
            uuid: identity.and_then(|identity| identity.uuid.first().map(ToString::to_string)),
            serial: identity.and_then(|identity| identity.serial.first().map(ToString::to_string)),
            firmware: machine.and_then(|machine| machine.facts.firmware),
            attempt: attempt.map(|attempt| attempt.number),
            installs: InstallCounts {
                wanted: installs_of(node),
                done: machine.map_or(0, |machine| machine.done),
            },
            last: self.last(machine, state, node, binds),
        }
    }

    /// The address of a pool that is assigned to a machine.
    pub fn pool_address(&self, id: MachineId) -> Option<IpAddr> {
        self.machine(id).binding.as_ref()?.address
    }

    /// What would bind a machine now. A bound machine stays bound until an installation is due.
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

    /// The state and its reason.
    fn state_of(
        &self,
        machine: Option<&Machine>,
        node: Option<&Node>,
        binds: bool,
    ) -> (MachineState, Option<String>) {
        match self.barred(machine, node) {
            Some(Blocked::Protected(reason)) => {
                return (MachineState::Protected, Some(reason.to_string()));
            }
            Some(held) => return (MachineState::Held, held.hold_reason()),
            None => {}
        }
        let is_next = |machine: &&Machine| machine.open().is_none() && machine.is_due(node);
        match machine.filter(|machine| !is_next(machine)) {
            None => before_attempts(node, binds),
            Some(machine) if machine.marked && machine.open().is_none() => {
                let reason = taken_over(machine).unwrap_or_else(|| "set by an operator".into());
                (MachineState::Installed, Some(reason))
            }
            Some(machine) => by_attempts(machine).unwrap_or_else(|| before_attempts(node, binds)),
        }
    }

    /// What an operator can do with a machine that runs the microkernel and that nothing binds.
    fn microkernel_hint(&self, machine: &Machine, state: MachineState) -> Option<String> {
        let reported = self.server.volatile.microkernels.reported.get(machine.id);
        if state != MachineState::Discovered || reported.is_none() {
            return None;
        }
        let (site, rules) = (&self.snapshot.site, &self.snapshot.rules);
        let tags = matcher::tags(site, rules, None, &machine.facts).yes.len();
        let tags = counted(tags, "tag");
        Some(format!("microkernel; {tags}; `explain` or `adopt` it"))
    }

    /// Adds where a boot has stopped, if that is why the machine made no progress.
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

    /// The latest event, and what is expected next.
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
        let mut text = match machine.last_activity.as_str() {
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

/// The state of a machine that no attempt determines.
fn before_attempts(node: Option<&Node>, binds: bool) -> (MachineState, Option<String>) {
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
fn by_attempts(machine: &Machine) -> Option<(MachineState, Option<String>)> {
    // A failure of the newest attempt is shown even if an older one installed the machine.
    if let Some(reason) = machine.newest().and_then(|newest| newest.failed.clone()) {
        return Some((MachineState::Failed, Some(reason)));
    }
    let Some(attempt) = machine.current() else {
        if let Some(sealed) = machine.restored {
            let reason = format!("its disk has a seal of {sealed}");
            return Some((MachineState::Finished, Some(reason)));
        }
        let reason = taken_over(machine).unwrap_or_else(|| "by an earlier history".into());
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
    Some((state, taken_over(machine)))
}

/// The identities of the history that a declaration took over from another machine. The declared machine may be a
/// different one that was never installed.
fn taken_over(machine: &Machine) -> Option<String> {
    let before = machine
        .took_over
        .as_ref()
        .filter(|_| machine.open().is_none())?;
    let before = identities(before);
    Some(format!(
        "took over the history of {before}; reinstall it to install"
    ))
}

/// The declared MACs, or the one that it boots from, then those that identify it. One that other machines report too identifies
/// none any more: declared for this machine, it would make the others ambiguous.
fn macs(machine: Option<&Machine>, node: Option<&Node>, shared: &BTreeSet<Mac>) -> Vec<Mac> {
    let declared = node
        .into_iter()
        .flat_map(|node| node.macs())
        .map(|mac| mac.value);
    let mut macs: Vec<Mac> = declared.collect();
    let boot = machine.and_then(Machine::boot_mac);
    let identity = machine
        .into_iter()
        .flat_map(|machine| &machine.identity.mac)
        .filter(|mac| !shared.contains(mac));
    for mac in boot.into_iter().chain(identity.copied()) {
        if !macs.contains(&mac) {
            macs.push(mac);
        }
    }
    macs
}
