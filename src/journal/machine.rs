//! One machine: the fold of its events.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{Attempt, AttemptId, HoldCause, MachineEvent, MachineId, Stage, describe::brief};
use crate::model::{EffectiveNode, Facts, Identity, Node, NodeName, PolicyName, Timestamp};

/// What says what a machine gets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Binding {
    /// The policy; none when the node says it itself.
    pub policy: Option<PolicyName>,
    /// An address from the network's pool.
    pub address: Option<IpAddr>,
}

/// One machine, as far as its events tell.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Machine {
    /// Its random internal number.
    pub id: MachineId,
    /// Every identity ever seen of it.
    pub identity: Identity,
    /// What it reported of itself.
    pub facts: Facts,
    /// The declaration that last had this history. A machine that ever had one is never taken by a policy
    /// for undeclared ones.
    pub node: Option<NodeName>,
    /// By what it was known before a declaration took its history over by name alone, until that is
    /// installed.
    #[serde(default)]
    pub took_over: Option<Identity>,
    /// What it was bound to.
    pub binding: Option<Binding>,
    /// The `installs` that its installations have reached.
    pub done: u32,
    /// Whether it ever was installed, here or by an operator's word.
    pub installed: bool,
    /// Whether its last installation is an operator's word.
    pub marked: bool,
    /// Whether an operator asks for one more installation.
    pub reinstall: bool,
    /// The attempts whose callbacks are heard, oldest first; the last is the newest.
    pub attempts: Vec<Attempt>,
    /// How many attempts there ever were.
    pub opened: u32,
    /// How many attempts failed since the last success, release or request.
    pub failures: u32,
    /// Why it is held.
    pub holds: BTreeMap<HoldCause, String>,
    /// What was last heard of it, briefly.
    pub said: String,
    /// When the first event came.
    pub first: Timestamp,
    /// When that was.
    pub last: Timestamp,
    /// When what people see last changed.
    pub since: Timestamp,
}

/// A node's `installs`. An undeclared machine is installed once.
pub fn installs_of(node: Option<&Node>) -> u32 {
    EffectiveNode::of(node.into_iter().map(|node| &node.body)).installs
}

impl Machine {
    /// A machine of which nothing is known.
    pub fn new(id: MachineId, at: Timestamp) -> Self {
        Machine {
            id,
            identity: Identity::default(),
            facts: Facts::default(),
            node: None,
            took_over: None,
            binding: None,
            done: 0,
            installed: false,
            marked: false,
            reinstall: false,
            attempts: Vec::new(),
            opened: 0,
            failures: 0,
            holds: BTreeMap::new(),
            said: String::new(),
            first: at,
            last: at,
            since: at,
        }
    }

    /// The newest attempt.
    pub fn newest(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    /// Tells whether an installation is due.
    pub fn is_due(&self, node: Option<&Node>) -> bool {
        self.reinstall || installs_of(node) > self.done
    }

    /// The attempt that is open; only the newest can be.
    pub fn open(&self) -> Option<&Attempt> {
        self.newest().filter(|attempt| attempt.open)
    }

    /// The attempt by which it stands: the one that is open; else the newest that installed it, which a
    /// later one may have been opened over; else the newest.
    pub fn current(&self) -> Option<&Attempt> {
        let installed = |attempt: &&Attempt| attempt.is_installed();
        self.open()
            .or_else(|| self.attempts.iter().rev().find(installed))
            .or_else(|| self.newest())
    }

    /// An attempt whose callbacks are heard.
    pub fn attempt(&self, id: AttemptId) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.id == id)
    }

    /// Takes one event in.
    pub fn apply(&mut self, event: &MachineEvent, at: Timestamp) {
        if let Some(said) = brief(event) {
            self.said = said;
            self.last = at;
        }
        match event {
            MachineEvent::Seen { identity } => self.identity.add(identity),
            MachineEvent::Named {
                node,
                identity,
                took_over,
            } => {
                self.node = Some(node.clone());
                self.identity.add(identity);
                self.took_over = took_over.clone().or(self.took_over.take());
            }
            MachineEvent::Facts { facts, attempt } => {
                self.facts.update((**facts).clone());
                attempt
                    .iter()
                    .for_each(|number| self.with(*number, |attempt| attempt.heard = true));
            }
            MachineEvent::Bound { policy, address } => {
                self.binding = Some(Binding {
                    policy: policy.clone(),
                    address: *address,
                });
            }
            MachineEvent::Attempt {
                attempt,
                installs,
                task,
                repo,
            } => {
                self.close();
                self.took_over = None;
                self.opened = self.opened.max(*attempt);
                self.attempts.push(Attempt {
                    number: *attempt,
                    id: AttemptId {
                        machine: self.id,
                        number: *attempt,
                    },
                    opened: at,
                    installs: *installs,
                    task: task.clone(),
                    repo: repo.clone(),
                    open: true,
                    serving: Default::default(),
                    read: None,
                    stages: BTreeMap::new(),
                    heard: false,
                    failed: None,
                    overdue: None,
                });
                self.since = at;
            }
            MachineEvent::Serving { attempt, name } => {
                self.with(*attempt, |attempt| {
                    attempt.serving.insert(name.clone());
                });
            }
            MachineEvent::Aborted { attempt, name } => {
                self.with(*attempt, |attempt| {
                    attempt.serving.remove(name);
                });
            }
            MachineEvent::Document { attempt, name, .. } => self.on_document(*attempt, name, at),
            MachineEvent::Stage {
                attempt,
                stage,
                reason,
                ..
            } => {
                self.on_stage(*attempt, stage, reason.as_deref(), at);
            }
            MachineEvent::Overdue { attempt, stage, .. } => {
                self.with(*attempt, |attempt| attempt.overdue = Some(stage.clone()));
                self.since = at;
            }
            MachineEvent::GaveUp { attempt, reason } => {
                self.on_failed(*attempt, reason);
                self.since = at;
            }
            MachineEvent::Closed { .. } => self.close(),
            MachineEvent::Log { attempt, .. } => {
                self.with(*attempt, |attempt| attempt.heard = true)
            }
            MachineEvent::Held { cause, reason } => {
                self.holds.insert(*cause, reason.clone());
                self.since = at;
            }
            MachineEvent::Released { cause: Some(cause) } => {
                self.holds.remove(cause);
                self.since = at;
            }
            MachineEvent::Released { cause: None } => {
                self.holds.clear();
                self.failures = 0;
                self.since = at;
            }
            MachineEvent::Reinstall {} => {
                self.close();
                self.took_over = None;
                self.reinstall = true;
                self.failures = 0;
                self.holds.remove(&HoldCause::Attempts);
                self.since = at;
            }
            MachineEvent::Marked { installs } => {
                self.close();
                self.reached(*installs);
                self.took_over = None;
                self.marked = true;
                self.since = at;
            }
            // The others change nothing here. Merging and forgetting change the whole state.
            _ => {}
        }
    }

    /// A document was read: the installation may begin, and attempts before this one are heard no more.
    fn on_document(&mut self, number: u32, name: &str, at: Timestamp) {
        let Some(place) = self
            .attempts
            .iter()
            .position(|attempt| attempt.number == number)
        else {
            return;
        };
        self.attempts.drain(..place);
        let attempt = &mut self.attempts[0];
        attempt.serving.remove(name);
        if attempt.read.is_none() {
            attempt.read = Some(at);
            // The wait for the document is over, late or not.
            attempt.overdue = None;
        }
        self.since = at;
    }

    fn on_stage(&mut self, number: u32, stage: &Stage, reason: Option<&str>, at: Timestamp) {
        let is_newest = self.newest().is_some_and(|newest| newest.number == number);
        let Some(attempt) = self
            .attempts
            .iter_mut()
            .find(|attempt| attempt.number == number)
        else {
            return;
        };
        let was_installed = attempt.is_installed();
        attempt.stages.entry(stage.clone()).or_insert(at);
        // The boot script's own word says nothing of whether the installer's callbacks arrive.
        attempt.heard |= *stage != Stage::NoDisk;
        let installs = attempt.installs;
        match stage {
            Stage::Installing => attempt.overdue = None,
            Stage::Installed | Stage::Finished => {
                attempt.overdue = None;
                if *stage == Stage::Finished {
                    attempt.failed = None;
                }
                if !was_installed {
                    self.reached(installs);
                }
            }
            Stage::Failed if is_newest => {
                self.on_failed(number, reason.unwrap_or("no reason given"))
            }
            // A failure of an attempt that another one has replaced is logged only.
            Stage::Failed | Stage::NoDisk => {}
            // A task's own stages end no deadline.
            Stage::Own(_) => {}
        }
        self.since = at;
    }

    /// The newest attempt failed. Once it is closed (installed, or replaced by a request) that is shown and
    /// nothing more.
    fn on_failed(&mut self, number: u32, reason: &str) {
        let newest = self
            .attempts
            .last_mut()
            .filter(|attempt| attempt.number == number);
        let Some(attempt) = newest else {
            return;
        };
        let first = attempt.failed.replace(reason.to_owned()).is_none();
        if first && attempt.open {
            self.failures += 1;
        }
    }

    /// The disk is written: whatever was asked for is done, and what failed before is of no account.
    fn reached(&mut self, installs: u32) {
        for attempt in &mut self.attempts {
            attempt.failed = None;
        }
        self.done = self.done.max(installs);
        self.installed = true;
        self.marked = false;
        self.reinstall = false;
        self.failures = 0;
        self.holds.remove(&HoldCause::Attempts);
        self.close();
    }

    /// No attempt is open any more.
    pub(super) fn close(&mut self) {
        for attempt in &mut self.attempts {
            attempt.open = false;
            attempt.serving.clear();
        }
    }

    fn with(&mut self, number: u32, change: impl FnOnce(&mut Attempt)) {
        // An attempt that is heard no more changes nothing.
        if let Some(attempt) = self
            .attempts
            .iter_mut()
            .find(|attempt| attempt.number == number)
        {
            change(attempt);
        }
    }
}
