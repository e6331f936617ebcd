//! How a machine stands, for people.

use std::{fmt, net::IpAddr, sync::Arc};

use serde::Serialize;

use super::{
    Turn,
    boot::{installs, is_due},
};
use crate::{
    journal::{Machine, MachineId},
    matcher::Tags,
    model::{Mac, Mono, Node, Platform, PolicyName, Span, TaskName, Timestamp},
};

/// The state of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// Seen, and nothing binds it.
    Discovered,
    /// Its declaration or a policy says what it gets.
    Bound,
    /// A document of its attempt was read to its end, or the machine said so.
    Installing,
    /// The machine says its disk is written.
    Installed,
    /// Its first boot has run.
    Finished,
    /// It reported an error, a stage is overdue, or its disk does not boot.
    Failed,
    /// An operator has to look.
    Held,
    /// It is never touched: `installs = 0`, or its declaration is gone.
    Protected,
}

/// How a machine stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    /// The name of its declaration; an undeclared machine's first MAC with hyphens.
    pub name: String,
    /// The state.
    pub state: Standing,
    /// Why, where the state needs a reason.
    pub reason: Option<String>,
    /// Since when.
    pub since: Option<Timestamp>,
    /// The policy that binds it, or would.
    pub policy: Option<PolicyName>,
    /// What installs it.
    pub task: Option<TaskName>,
    /// Its own static address.
    pub address: Option<String>,
    /// Its host name.
    pub hostname: Option<String>,
    /// Its hardware addresses.
    pub mac: Vec<Mac>,
    /// Its UUID.
    pub uuid: Option<String>,
    /// Its serial number.
    pub serial: Option<String>,
    /// What kind of firmware it has.
    pub firmware: Option<Platform>,
    /// The number of its newest attempt.
    pub attempt: Option<u32>,
    /// Installations.
    pub installs: Installs,
    /// What was last heard of it, and what comes next.
    pub last: String,
    /// Whether an operator has asked for one more installation.
    #[serde(skip)]
    pub requested: bool,
    /// The pool's address that its binding has; what is declared is worked out elsewhere.
    #[serde(skip)]
    pub pooled: Option<IpAddr>,
}

/// How many installations a machine is to have had, and has had.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Installs {
    /// The node's `installs`.
    pub wanted: u32,
    /// What was reached.
    pub done: u32,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Standing::Discovered => "discovered",
            Standing::Bound => "bound",
            Standing::Installing => "installing",
            Standing::Installed => "installed",
            Standing::Finished => "finished",
            Standing::Failed => "failed",
            Standing::Held => "held",
            Standing::Protected => "protected",
        })
    }
}

impl Turn<'_> {
    /// How every machine stands: the declared ones in order of name, then the others.
    pub fn statuses(&self) -> Vec<Status> {
        let mut shown = std::collections::BTreeSet::new();
        let mut list = Vec::new();
        for node in self.snapshot.site.nodes.values() {
            let histories = self.histories(node);
            let id = self.main_history(node, &histories);
            shown.extend(histories);
            list.push(self.status(id, Some(node)));
        }
        let others = self
            .world
            .state
            .machines
            .keys()
            .filter(|id| !shown.contains(id));
        list.extend(others.map(|id| self.status(Some(*id), None)));
        list
    }

    /// How one machine stands.
    pub fn status(&self, id: Option<MachineId>, node: Option<&Arc<Node>>) -> Status {
        let machine = id.map(|id| self.machine(id));
        let bound = match (machine, node) {
            (Some(machine), _)
                if machine.binding.is_some() && !is_due(machine, node.map(|node| &**node)) =>
            {
                None
            }
            (Some(machine), _) => self.would_bind(machine, node.map(|node| &**node)),
            (None, Some(node)) => self.binding_unseen(node).ok(),
            (None, None) => None,
        };
        let would = bound
            .as_ref()
            .and_then(|bound| bound.policy.as_ref())
            .map(|policy| policy.name.value.clone());
        let has = machine.and_then(|machine| machine.binding.as_ref()?.policy.clone());
        let attempt = machine.and_then(Machine::newest);
        let task = attempt.map(|attempt| attempt.task.clone());
        let binds = bound.is_some() || machine.is_some_and(|machine| machine.binding.is_some());
        let (state, reason) = self.standing(machine, node.map(|node| &**node), binds);
        let next = bound.as_ref().map(|bound| bound.task.clone());
        let due = machine.is_none_or(|machine| is_due(machine, node.map(|node| &**node)));
        Status {
            name: name_of(machine, node.map(|node| &**node)),
            state,
            reason,
            since: machine.map(|machine| machine.since),
            policy: if due { would.or(has) } else { has.or(would) },
            task: if due { next.or(task) } else { task.or(next) },
            address: None,
            hostname: None,
            mac: macs(machine, node.map(|node| &**node)),
            uuid: machine
                .and_then(|machine| machine.identity.uuid.first().map(ToString::to_string)),
            serial: machine
                .and_then(|machine| machine.identity.serial.first().map(ToString::to_string)),
            firmware: machine.and_then(|machine| machine.facts.firmware),
            attempt: attempt.map(|attempt| attempt.number),
            installs: Installs {
                wanted: installs(node.map(|node| &**node)),
                done: machine.map_or(0, |machine| machine.done),
            },
            last: self.last(machine, state, node.map(|node| &**node)),
            requested: machine.is_some_and(|machine| machine.reinstall),
            pooled: machine.and_then(|machine| machine.binding.as_ref()?.address),
        }
    }

    fn would_bind(&self, machine: &Machine, node: Option<&Node>) -> Option<super::Bound> {
        let tags: Tags = crate::matcher::tags(
            &self.snapshot.site,
            &self.snapshot.rules,
            node,
            &machine.facts,
        );
        self.binding_of(machine, node, &tags).ok()
    }

    fn standing(
        &self,
        machine: Option<&Machine>,
        node: Option<&Node>,
        binds: bool,
    ) -> (Standing, Option<String>) {
        if let Some(lost) = &self.world.state.lost {
            return (Standing::Held, Some(lost.clone()));
        }
        if let Some(reason) = machine.and_then(|machine| machine.holds.values().next()) {
            return (Standing::Held, Some(reason.clone()));
        }
        if installs(node) == 0 {
            return (Standing::Protected, Some("its `installs` is 0".into()));
        }
        let Some(machine) = machine else {
            let state = if binds {
                Standing::Bound
            } else {
                Standing::Discovered
            };
            return (state, None);
        };
        if node.is_none() && machine.node.is_some() && machine.opened > 0 {
            return (Standing::Protected, Some("its declaration is gone".into()));
        }
        if machine.marked && !is_due(machine, node) {
            return (Standing::Installed, Some("an operator says so".into()));
        }
        let requested = machine.open().is_none() && is_due(machine, node);
        match machine.newest().filter(|_| !requested) {
            None if machine.installed && !requested => {
                (Standing::Installed, Some("by an earlier history".into()))
            }
            None if binds || requested && node.is_some() => (Standing::Bound, None),
            None => (Standing::Discovered, None),
            Some(attempt) => {
                if let Some(reason) = &attempt.failed {
                    return (Standing::Failed, Some(reason.clone()));
                }
                if let Some(step) = &attempt.overdue {
                    return (
                        Standing::Failed,
                        Some(format!("no `{step}` in time (still listening)")),
                    );
                }
                let state = match () {
                    () if attempt.is_finished() => Standing::Finished,
                    () if attempt.is_installed() => Standing::Installed,
                    () if attempt.is_begun() && attempt.open => Standing::Installing,
                    () => Standing::Bound,
                };
                (state, None)
            }
        }
    }

    fn last(&self, machine: Option<&Machine>, state: Standing, node: Option<&Node>) -> String {
        let Some(machine) = machine else {
            return if state == Standing::Bound {
                "never seen; will install at its first network boot".into()
            } else {
                "never seen".into()
            };
        };
        let ago = Span(self.now.wall.since(machine.last));
        let mut text = match machine.said.as_str() {
            "" => "never seen".into(),
            said => format!("{said}, {ago} ago"),
        };
        if let Some(clock) = self
            .world
            .run
            .clocks
            .get(&machine.id)
            .filter(|clock| !clock.passed)
        {
            let left = Span(clock.due.since(Mono(self.now.mono.0)));
            text += &format!("; {} due in {left}", clock.step.as_str());
        } else if state == Standing::Bound && is_due(machine, node) {
            text += "; waiting for a network boot";
        }
        text
    }
}

fn name_of(machine: Option<&Machine>, node: Option<&Node>) -> String {
    if let Some(node) = node {
        return node.name.value.to_string();
    }
    let Some(machine) = machine else {
        return String::new();
    };
    match (&machine.node, machine.identity.mac.first()) {
        (Some(name), _) => name.to_string(),
        (None, Some(mac)) => mac.hyphens(),
        (None, None) => machine.id.to_string(),
    }
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
