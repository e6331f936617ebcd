//! What operators ask for.

use std::sync::Arc;

use super::Transaction;
use crate::{
    journal::{Event, HoldCause, MachineId, installs_of},
    model::{Mac, Node},
};

/// What an operator asks of one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// One more installation.
    Reinstall,
    /// No installer until it is released.
    Hold {
        /// For people to read.
        reason: String,
    },
    /// Every hold ends, and the count of failed attempts.
    Release,
    /// It is installed, whoever did it.
    Mark,
    /// It switches itself off, from the microkernel.
    PowerOff,
    /// Its history ends.
    Forget {
        /// Whether it may be one that is declared, or installed: it would be installed again.
        wipe_allowed: bool,
    },
}

/// Why an operation is refused, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OperationError {
    /// There is no such node.
    #[error("there is no node `{0}`")]
    Unknown(String),
    /// It is not possible for this one.
    #[error("{0}")]
    Refused(String),
}

impl Transaction<'_> {
    /// Does what an operator asks, and says what follows from it.
    pub fn operate(&mut self, name: &str, operation: &Operation) -> Result<String, OperationError> {
        let (id, node) = self
            .find(name)
            .ok_or_else(|| OperationError::Unknown(name.into()))?;
        match operation {
            Operation::Reinstall => self.reinstall(name, id, node),
            Operation::Hold { reason } => {
                let id = self.begun(id, node.as_ref());
                self.record(
                    id,
                    Event::Held {
                        cause: HoldCause::Operator,
                        reason: reason.clone(),
                    },
                );
                self.forget_boot(id);
                Ok(format!("{name} is held until `bootwright release {name}`"))
            }
            Operation::Release => {
                let id = self.begun(id, node.as_ref());
                self.record(id, Event::Released { cause: None });
                self.forget_boot(id);
                let due = self.machine(id).is_due(node.as_deref());
                let next = if due {
                    "an installation is due at its next network boot"
                } else {
                    "nothing is due"
                };
                Ok(format!("{name} is released; {next}"))
            }
            Operation::Mark => {
                let id = self.begun(id, node.as_ref());
                self.record(
                    id,
                    Event::Marked {
                        installs: installs_of(node.as_deref()),
                    },
                );
                self.forget_boot(id);
                Ok(format!("{name} counts as installed"))
            }
            Operation::PowerOff => self.power_off(name, id),
            Operation::Forget { wipe_allowed } => {
                self.forget(name, id, node.as_ref(), *wipe_allowed)
            }
        }
    }

    /// Releases every machine that the brake on large edits holds.
    pub fn release_all(&mut self) -> usize {
        let held: Vec<MachineId> = self.held_for(HoldCause::Mass);
        for id in &held {
            self.end_hold(*id, HoldCause::Mass);
            self.forget_boot(*id);
        }
        held.len()
    }

    pub(crate) fn held_for(&self, cause: HoldCause) -> Vec<MachineId> {
        let machines = self.server.state.machines.in_order();
        let held = machines.filter(|(_, machine)| machine.holds.contains_key(&cause));
        held.map(|(id, _)| id).collect()
    }

    /// Stops or restarts every hand-out.
    pub fn pause(&mut self) {
        self.record_site(Event::Paused {});
    }

    /// Restarts every hand-out.
    pub fn resume(&mut self) {
        self.record_site(Event::Resumed {});
    }

    /// Says what a state directory that a site does not know stands for: nothing was installed yet, or
    /// every declared node is.
    pub fn declare_state(&mut self, all_installed: bool) -> usize {
        let nodes: Vec<Arc<Node>> = self.snapshot.site.nodes.values().cloned().collect();
        let mut marked = 0;
        for node in nodes
            .iter()
            .filter(|node| all_installed && installs_of(Some(node)) > 0)
        {
            let id = self.machine_of(node);
            self.record(
                id,
                Event::Marked {
                    installs: installs_of(Some(node)),
                },
            );
            marked += 1;
        }
        let as_ = if all_installed { "installed" } else { "new" };
        self.record_site(Event::StateDeclared { as_: as_.into() });
        marked
    }

    /// Finds a machine by the name of its declaration, or as people see an undeclared one.
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
            let gone = self.server.index.name.get(name)?;
            gone.first().map(|id| (Some(*id), None))
        })
    }

    /// The machine itself; a declared one that was never seen begins its history here.
    fn begun(&mut self, id: Option<MachineId>, node: Option<&Arc<Node>>) -> MachineId {
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
    ) -> Result<String, OperationError> {
        let refused = |reason: String| Err(OperationError::Refused(reason));
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
                    "{name} is protected: its declaration is gone; declare it again first"
                ));
            }
            if machine.is_none_or(|machine| machine.binding.is_none()) {
                return refused(format!(
                    "nothing binds {name}: declare it, or let a policy take it"
                ));
            }
        }
        let id = self.begun(id, node.as_ref());
        if let Some(attempt) = self.machine(id).open().map(|attempt| attempt.number) {
            self.record(
                id,
                Event::Closed {
                    attempt,
                    reason: "an operator asks for another installation".into(),
                },
            );
        }
        self.record(id, Event::Reinstall {});
        self.forget_boot(id);
        Ok(format!(
            "{name} will be installed once more at its next network boot"
        ))
    }

    fn power_off(&mut self, name: &str, id: Option<MachineId>) -> Result<String, OperationError> {
        let waits = id.filter(|id| {
            self.server
                .volatile
                .microkernels
                .reported
                .get(*id)
                .is_some()
        });
        let Some(id) = waits else {
            let reason = format!(
                "{name} does not wait in the microkernel, and only a machine there can be switched off"
            );
            return Err(OperationError::Refused(reason));
        };
        self.server.volatile.microkernels.switching_off.insert(id);
        let text = "an operator asks it to switch itself off".into();
        self.record(id, Event::Remark { text });
        Ok(format!(
            "{name} will switch itself off when it asks next, within a minute"
        ))
    }

    fn forget(
        &mut self,
        name: &str,
        id: Option<MachineId>,
        node: Option<&Arc<Node>>,
        wipe_allowed: bool,
    ) -> Result<String, OperationError> {
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
                "{name} {is}: forgotten, it may be installed again; say --wipe-allowed if that is meant"
            );
            return Err(OperationError::Refused(reason));
        }
        for id in histories {
            self.record(
                id,
                Event::Forgotten {
                    by: "an operator".into(),
                },
            );
        }
        Ok(format!("{name} is forgotten"))
    }

    /// What an operator says holds for the very next request.
    fn forget_boot(&mut self, id: MachineId) {
        self.server.volatile.boots.latest.remove(id);
        self.server.volatile.boots.disk_tried.remove(id);
    }
}
