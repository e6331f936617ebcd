//! How each event changes the state of its machine.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use super::{
    Attempt, AttemptId, Binding, HoldCause, Machine, MachineEvent as M, Stage, describe::brief,
};
use crate::model::{Identity, NodeName, PolicyName, RepoName, TaskName, Timestamp};

/// The number of failed attempts whose seals are recognised.
const MAX_TRIED: usize = 16;

impl Machine {
    pub fn apply(&mut self, event: &M, at: Timestamp) {
        if let Some(activity) = brief(event) {
            self.last_activity = activity;
            self.last = at;
        }
        match event {
            M::Seen { identity, boot } => {
                self.identity.add(identity);
                self.boot_mac = self.boot_mac.or(*boot);
            }
            M::Nics { macs } => self.nics = macs.clone(),
            M::Named {
                node,
                identity,
                took_over,
            } => self.on_named(node, identity, took_over.as_ref()),
            M::Facts { facts, attempt } => {
                // The control has logged what gives way. An older version may have recorded more than the limit.
                self.facts.update_within_limit((**facts).clone());
                if let Some(number) = attempt {
                    self.on_callback(*number);
                }
            }
            M::Bound { policy, address } => self.on_bound(policy.as_ref(), *address),
            M::Attempt {
                attempt,
                installs,
                sealed,
                task,
                repo,
            } => {
                let sealed = (*installs, *sealed);
                self.on_attempt(*attempt, sealed, task, repo.as_ref(), at);
            }
            M::Serving { attempt, name } => self.on_serving(*attempt, name),
            M::Document { attempt, name, .. } => self.on_document(*attempt, name, at),
            M::Aborted { attempt, name } => self.on_aborted(*attempt, name),
            M::Stage {
                attempt,
                stage,
                reason,
                inferred,
                ..
            } => {
                self.on_stage(*attempt, stage, reason.as_deref(), at);
                // The server itself only infers that a seal must not be overwritten.
                if *stage == Stage::Failed && !inferred {
                    self.on_tried(*attempt);
                }
            }
            M::Overdue { attempt, stage, .. } => self.on_overdue(*attempt, stage, at),
            M::GaveUp { attempt, reason } => self.on_gave_up(*attempt, reason, at),
            M::Closed { .. } => self.close(),
            M::Log { attempt, .. } => self.on_callback(*attempt),
            M::Held { cause, reason } => self.on_held(*cause, reason, at),
            M::Released { cause } => self.on_released(*cause, at),
            M::Reinstall {} => self.on_reinstall(at),
            M::Marked { installs } => self.on_marked(*installs, at),
            M::Restored {
                installs, sealed, ..
            } => self.on_restored(*installs, *sealed, at),
            // `JournalState` applies them.
            M::Merged { .. } | M::Forgotten { .. } | M::Shared { .. } => {}
            // These change at most the latest activity.
            M::Dropped { .. } | M::Dhcp { .. } | M::Fetched { .. } | M::Unfetched { .. } => {}
            M::Boot { .. } | M::HandOut { .. } | M::DeadToken { .. } => {}
            M::Unrendered { .. } | M::Remark { .. } | M::Suppressed { .. } => {}
        }
    }

    fn on_named(&mut self, node: &NodeName, identity: &Identity, took_over: Option<&Identity>) {
        self.node = Some(node.clone());
        self.identity.add(identity);
        self.took_over = took_over.cloned().map(Box::new).or(self.took_over.take());
    }

    fn on_bound(&mut self, policy: Option<&PolicyName>, address: Option<IpAddr>) {
        self.binding = Some(Binding {
            policy: policy.cloned(),
            address,
        });
    }

    fn on_attempt(
        &mut self,
        number: u32,
        (installs, sealed): (u32, Timestamp),
        task: &TaskName,
        repo: Option<&RepoName>,
        at: Timestamp,
    ) {
        self.close();
        self.took_over = None;
        self.opened = self.opened.max(number);
        let id = AttemptId {
            machine: self.id,
            number,
        };
        self.attempts.push(Attempt {
            number,
            id,
            opened: at,
            installs,
            sealed,
            task: task.clone(),
            repo: repo.cloned(),
            open: true,
            serving: BTreeSet::new(),
            read: None,
            stages: BTreeMap::new(),
            has_reported: false,
            failed: None,
            overdue: None,
        });
        self.since = at;
    }

    fn on_serving(&mut self, number: u32, name: &str) {
        if let Some(attempt) = self.attempt_mut(number) {
            attempt.serving.insert(name.to_owned());
        }
    }

    /// A document was read: the installation may begin, and callbacks of earlier attempts are no longer accepted.
    fn on_document(&mut self, number: u32, name: &str, at: Timestamp) {
        let mut attempts = self.attempts.iter();
        let Some(index) = attempts.position(|attempt| attempt.number == number) else {
            return;
        };
        self.attempts.drain(..index);
        let attempt = &mut self.attempts[0];
        attempt.serving.remove(name);
        if attempt.read.is_none() {
            attempt.read = Some(at);
            // No document is awaited any more, even if this one was late.
            attempt.overdue = None;
        }
        self.since = at;
    }

    fn on_aborted(&mut self, number: u32, name: &str) {
        if let Some(attempt) = self.attempt_mut(number) {
            attempt.serving.remove(name);
        }
    }

    fn on_stage(&mut self, number: u32, stage: &Stage, reason: Option<&str>, at: Timestamp) {
        let is_newest = self.newest().is_some_and(|newest| newest.number == number);
        let Some(attempt) = self.attempt_mut(number) else {
            return;
        };
        let was_installed = attempt.is_installed();
        attempt.stages.entry(stage.clone()).or_insert(at);
        // The boot script reports `no-disk`. That does not show whether callbacks of the installer arrive.
        attempt.has_reported |= *stage != Stage::NoDisk;
        let installs = attempt.installs;
        match stage {
            Stage::Installing => attempt.overdue = None,
            Stage::Installed | Stage::Finished => {
                attempt.overdue = None;
                if *stage == Stage::Finished {
                    attempt.failed = None;
                }
                if !was_installed {
                    self.on_installed(installs);
                }
            }
            Stage::Failed if is_newest => {
                self.on_failed(number, reason.unwrap_or("no reason given"))
            }
            // A failure of an attempt that another one has replaced is only logged.
            Stage::Failed | Stage::NoDisk => {}
            // The stages that a task defines end no deadline.
            Stage::Own(_) => {}
        }
        self.since = at;
    }

    fn on_overdue(&mut self, number: u32, stage: &str, at: Timestamp) {
        if let Some(attempt) = self.attempt_mut(number) {
            attempt.overdue = Some(stage.to_owned());
        }
        self.since = at;
    }

    fn on_gave_up(&mut self, number: u32, reason: &str, at: Timestamp) {
        self.on_failed(number, reason);
        self.on_tried(number);
        self.since = at;
    }

    /// An attempt failed: the next one may overwrite the seal that it may have left.
    fn on_tried(&mut self, number: u32) {
        let attempt = self.attempt_mut(number).filter(|attempt| attempt.open);
        let Some(sealed) = attempt.map(|attempt| attempt.sealed) else {
            return;
        };
        self.tried.push(sealed);
        let surplus = self.tried.len().saturating_sub(MAX_TRIED);
        self.tried.drain(..surplus);
    }

    fn on_callback(&mut self, number: u32) {
        if let Some(attempt) = self.attempt_mut(number) {
            attempt.has_reported = true;
        }
    }

    fn on_held(&mut self, cause: HoldCause, reason: &str, at: Timestamp) {
        self.holds.insert(cause, reason.to_owned());
        self.since = at;
    }

    fn on_released(&mut self, cause: Option<HoldCause>, at: Timestamp) {
        match cause {
            Some(cause) => {
                self.holds.remove(&cause);
            }
            None => {
                self.is_new |= self.holds.contains_key(&HoldCause::Unrecorded);
                self.holds.clear();
                self.failures = 0;
            }
        }
        self.since = at;
    }

    fn on_reinstall(&mut self, at: Timestamp) {
        self.close();
        self.took_over = None;
        self.reinstall = true;
        self.requested = Some(at);
        self.failures = 0;
        for cause in [
            HoldCause::Attempts,
            HoldCause::Sealed,
            HoldCause::Unrecorded,
        ] {
            self.holds.remove(&cause);
        }
        self.since = at;
    }

    fn on_marked(&mut self, installs: u32, at: Timestamp) {
        self.on_installed(installs);
        self.took_over = None;
        self.marked = true;
        self.since = at;
    }

    /// The machine was installed before this journal began.
    fn on_restored(&mut self, installs: u32, sealed: Timestamp, at: Timestamp) {
        self.on_installed(installs);
        self.took_over = None;
        self.restored = Some(sealed);
        self.since = at;
    }

    /// The newest attempt failed. If it is closed (installed, or replaced by a request), the failure is only shown.
    fn on_failed(&mut self, number: u32, reason: &str) {
        let newest = self
            .attempts
            .last_mut()
            .filter(|attempt| attempt.number == number);
        let Some(attempt) = newest else {
            return;
        };
        let is_first = attempt.failed.replace(reason.to_owned()).is_none();
        if is_first && attempt.open {
            self.failures += 1;
        }
    }

    /// The disk is written: every request is fulfilled, and earlier failures no longer count.
    fn on_installed(&mut self, installs: u32) {
        for attempt in &mut self.attempts {
            attempt.failed = None;
        }
        self.done = self.done.max(installs);
        self.installed = true;
        self.marked = false;
        self.reinstall = false;
        self.requested = None;
        self.failures = 0;
        self.tried.clear();
        for cause in [
            HoldCause::Attempts,
            HoldCause::Sealed,
            HoldCause::Unrecorded,
        ] {
            self.holds.remove(&cause);
        }
        self.close();
    }

    /// Closes the open attempt, if there is one.
    pub(super) fn close(&mut self) {
        for attempt in &mut self.attempts {
            attempt.open = false;
            attempt.serving.clear();
        }
    }

    /// Returns the attempt with a number, if its callbacks are accepted.
    fn attempt_mut(&mut self, number: u32) -> Option<&mut Attempt> {
        self.attempts
            .iter_mut()
            .find(|attempt| attempt.number == number)
    }
}
