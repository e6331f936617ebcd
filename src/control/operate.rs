//! The commands of operators, and how a machine is found by its name.

use std::{sync::Arc, time::Duration};

use super::{Transaction, identity::learn::MAX_NICS};
use crate::{
    api::{Command, MarkedState, NodeCommand, SiteCommand},
    journal::{FROM_MACHINES, HoldCause, MachineEvent, MachineId, SiteEvent, installs_of},
    model::{Mac, Node, SmallSet},
    site::counted,
};

/// How long a simulated machine is confirmed.
const SIMULATION: Duration = Duration::from_secs(2 * 60 * 60);

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    #[error("there is no node `{0}`")]
    UnknownNode(String),
    /// With what to do instead.
    #[error("{0}")]
    Refused(String),
}

/// What is installed on machines of which the journal has no record, according to an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeclaredState {
    /// Nothing.
    New,
    /// Every declared node is installed.
    Installed,
    /// What the seals of their disks show.
    FromMachines,
}

impl DeclaredState {
    fn name(self) -> &'static str {
        match self {
            DeclaredState::New => "new",
            DeclaredState::Installed => "installed",
            DeclaredState::FromMachines => FROM_MACHINES,
        }
    }
}

impl Transaction<'_> {
    /// Carries out a command, and describes the result.
    pub fn operate(&mut self, command: &Command) -> Result<String, CommandError> {
        match command {
            Command::Node { node, command } => self.operate_node(node, command),
            Command::Site(SiteCommand::Pause {}) => {
                self.pause();
                Ok("no installation begins until `bootwright resume`".into())
            }
            Command::Site(SiteCommand::Resume {}) => {
                self.resume();
                Ok("installations begin again".into())
            }
            Command::Site(SiteCommand::ReleaseAll {}) => Ok(format!(
                "{} released",
                counted(self.release_all(), "machine")
            )),
        }
    }

    fn operate_node(&mut self, name: &str, command: &NodeCommand) -> Result<String, CommandError> {
        let found = match (self.find(name), name.parse::<Mac>()) {
            (Some(found), _) => found,
            // A machine that never booted can be simulated too.
            (None, Ok(_)) if matches!(command, NodeCommand::Simulate { .. }) => (None, None),
            (None, _) => return Err(CommandError::UnknownNode(name.into())),
        };
        let (id, node) = found;
        match command {
            NodeCommand::Reinstall {} => self.reinstall(name, id, node),
            NodeCommand::PowerOff {} => self.power_off(name, id),
            NodeCommand::Forget { wipe_allowed } => {
                self.forget(name, id, node.as_ref(), *wipe_allowed)
            }
            NodeCommand::Hold { reason } => {
                let reason = reason.clone();
                let event = MachineEvent::Held {
                    cause: HoldCause::Operator,
                    reason: reason.unwrap_or_else(|| "no reason given".into()),
                };
                self.record_command(id, node.as_ref(), event);
                Ok(format!("{name} is held until `bootwright release {name}`"))
            }
            NodeCommand::Mark {
                state: MarkedState::Installed,
            } => {
                let installs = installs_of(node.as_deref());
                self.record_command(id, node.as_ref(), MachineEvent::Marked { installs });
                Ok(format!("{name} counts as installed"))
            }
            NodeCommand::Simulate { macs } => Ok(self.simulate(name, id, macs)),
            NodeCommand::Release {} => {
                let id =
                    self.record_command(id, node.as_ref(), MachineEvent::Released { cause: None });
                let next = if self.machine(id).is_due(node.as_deref()) {
                    "an installation is due at its next network boot"
                } else {
                    "nothing is due"
                };
                Ok(format!("{name} is released; {next}"))
            }
        }
    }

    /// Treats requests from the server's own host as those of these NICs for a while.
    fn simulate(&mut self, name: &str, id: Option<MachineId>, macs: &[Mac]) -> String {
        let now = self.now.mono;
        let simulated = &mut self.server.volatile.simulated;
        simulated.retain(|_, since| now.since(*since) < SIMULATION);
        simulated.extend(macs.iter().take(MAX_NICS).map(|mac| (*mac, now)));
        if let Some(id) = id {
            let text = "an operator simulates this machine on the server's host".into();
            self.record(id, MachineEvent::Remark { text });
        }
        format!("requests from the server's host count as those of {name} for two hours")
    }

    /// Returns the NICs of simulated machines.
    pub fn simulated(&self) -> SmallSet<Mac> {
        let now = self.now.mono;
        let simulated = self.server.volatile.simulated.iter();
        let current = simulated.filter(|(_, since)| now.since(**since) < SIMULATION);
        current.map(|(mac, _)| *mac).collect()
    }

    /// Releases every machine that is held because an edit affected many, or because nothing is recorded of it.
    pub fn release_all(&mut self) -> usize {
        if self.server.state.unrecorded.is_some() {
            self.record_site(SiteEvent::Trusted {});
        }
        let mut released = 0;
        for cause in [HoldCause::Mass, HoldCause::Unrecorded] {
            for id in self.held_for(cause) {
                self.end_hold(id, cause);
                self.forget_boot(id);
                released += 1;
            }
        }
        released
    }

    pub(crate) fn held_for(&self, cause: HoldCause) -> Vec<MachineId> {
        let machines = self.server.state.machines.in_order();
        let held = machines.filter(|(_, machine)| machine.holds.contains_key(&cause));
        held.map(|(id, _)| id).collect()
    }

    /// Stops serving installers.
    pub fn pause(&mut self) {
        self.record_site(SiteEvent::Paused {});
    }

    /// Serves installers again.
    pub fn resume(&mut self) {
        self.record_site(SiteEvent::Resumed {});
    }

    /// Declares what is installed on machines of which the journal has no record. Returns how many nodes count as installed.
    pub fn declare_state(&mut self, declared: DeclaredState) -> usize {
        let nodes: Vec<Arc<Node>> = self.snapshot.site.nodes.values().cloned().collect();
        let mut marked = 0;
        for node in nodes
            .iter()
            .filter(|node| declared == DeclaredState::Installed && installs_of(Some(node)) > 0)
        {
            let id = self.machine_of(node);
            self.record(
                id,
                MachineEvent::Marked {
                    installs: installs_of(Some(node)),
                },
            );
            marked += 1;
        }
        self.record_site(SiteEvent::StateDeclared {
            as_: declared.name().into(),
        });
        for id in self.held_for(HoldCause::Unrecorded) {
            self.end_hold(id, HoldCause::Unrecorded);
        }
        marked
    }

    /// Finds a machine by its node name, by a MAC, or by the name that is shown for an undeclared machine.
    pub fn find(&self, name: &str) -> Option<(Option<MachineId>, Option<Arc<Node>>)> {
        if let Some(node) = self.snapshot.site.nodes.get(name) {
            let histories = self.histories(node);
            return Some((self.main_history(node, &histories), Some(node.clone())));
        }
        let by_mac = name.parse::<Mac>().ok().and_then(|mac| {
            if let Some(node) = self.snapshot.site.identities.mac.get(&mac) {
                return self.find(node.name.value.as_str());
            }
            let id = self.server.index.mac.get(&mac)?.first()?;
            Some((Some(*id), self.node_of(*id)))
        });
        by_mac.or_else(|| {
            let removed = self.server.index.name.get(name)?;
            removed.first().map(|id| (Some(*id), None))
        })
    }

    /// Records the event of a command. It takes effect at the machine's next request.
    fn record_command(
        &mut self,
        id: Option<MachineId>,
        node: Option<&Arc<Node>>,
        event: MachineEvent,
    ) -> MachineId {
        let id = self.with_history(id, node);
        self.record(id, event);
        self.forget_boot(id);
        id
    }

    /// The machine. The history of a declared one that has never booted begins here.
    fn with_history(&mut self, id: Option<MachineId>, node: Option<&Arc<Node>>) -> MachineId {
        match (id, node) {
            (Some(id), _) => id,
            (None, Some(node)) => self.machine_of(node),
            (None, None) => unreachable!("a machine is found by its history or by its declaration"),
        }
    }

    fn reinstall(
        &mut self,
        name: &str,
        id: Option<MachineId>,
        node: Option<Arc<Node>>,
    ) -> Result<String, CommandError> {
        let refused = |reason: String| Err(CommandError::Refused(reason));
        if node
            .as_ref()
            .is_some_and(|node| installs_of(Some(node)) == 0)
        {
            return refused(format!(
                "{name} is protected: its `installs` is 0; raise it first"
            ));
        }
        if node.is_none() {
            let machine = id.and_then(|id| self.server.state.machines.get(id));
            if machine.is_some_and(|machine| machine.node.is_some()) {
                return refused(format!(
                    "{name} is protected: its declaration was removed; declare it again first"
                ));
            }
            if machine.is_none_or(|machine| machine.binding.is_none()) {
                return refused(format!(
                    "nothing binds {name}: declare it, or add a policy that binds it"
                ));
            }
        }
        let id = self.with_history(id, node.as_ref());
        if let Some(attempt) = self.machine(id).open().map(|attempt| attempt.number) {
            self.record(
                id,
                MachineEvent::Closed {
                    attempt,
                    reason: "an operator requested another installation".into(),
                },
            );
        }
        self.record(id, MachineEvent::Reinstall {});
        self.forget_boot(id);
        Ok(format!(
            "{name} will be installed once more at its next network boot"
        ))
    }

    fn power_off(&mut self, name: &str, id: Option<MachineId>) -> Result<String, CommandError> {
        let in_microkernel = id.filter(|id| {
            self.server
                .volatile
                .microkernels
                .reported
                .get(*id)
                .is_some()
        });
        let Some(id) = in_microkernel else {
            let reason = format!(
                "{name} does not run the microkernel; only a machine that runs it can be powered off"
            );
            return Err(CommandError::Refused(reason));
        };
        self.server.volatile.microkernels.switching_off.insert(id);
        let text = "an operator requested power-off".into();
        self.record(id, MachineEvent::Remark { text });
        Ok(format!(
            "{name} powers off at its next poll, within a minute"
        ))
    }

    fn forget(
        &mut self,
        name: &str,
        id: Option<MachineId>,
        node: Option<&Arc<Node>>,
        wipe_allowed: bool,
    ) -> Result<String, CommandError> {
        let histories = match node {
            Some(node) => self.histories(node),
            None => id.into_iter().collect(),
        };
        let installed = histories.iter().any(|id| self.machine(*id).installed);
        if !wipe_allowed && (node.is_some() || installed) {
            let is = if installed {
                "was installed"
            } else {
                "is declared"
            };
            let reason = format!(
                "{name} {is}: forgotten, it may be installed again; use --wipe-allowed if that is intended"
            );
            return Err(CommandError::Refused(reason));
        }
        for id in histories {
            self.record(
                id,
                MachineEvent::Forgotten {
                    by: "an operator".into(),
                },
            );
        }
        Ok(format!("{name} is forgotten"))
    }

    /// Drops what was decided for the machine's latest boot.
    fn forget_boot(&mut self, id: MachineId) {
        self.server.volatile.boots.latest.remove(id);
        self.server.volatile.boots.disk_tried.remove(id);
    }
}
