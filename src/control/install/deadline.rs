//! Deadlines of the stages of an installation.
//!
//! A missed deadline only marks the machine as overdue and fires hooks. It never changes what a machine gets. Deadlines use
//! the monotonic clock. After a start of the server, every running deadline has at least 15 minutes left.

use std::time::Duration;

use crate::control::{
    SettingLayers, Transaction,
    volatile::{Awaited, AwaitedStage, StageDeadline},
};
use crate::{
    journal::{Attempt, MachineEvent, MachineId, Stage},
    model::{EffectiveDeadlines, MonotonicTime, Timestamp},
};

/// The least time that a running deadline has left after a start of the server.
const MIN_AFTER_START: Duration = Duration::from_secs(15 * 60);

impl StageDeadline {
    fn began(&self) -> MonotonicTime {
        let after = i64::try_from(self.after.as_millis()).unwrap_or(i64::MAX);
        MonotonicTime(self.due.0.saturating_sub(after))
    }
}

impl AwaitedStage {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            AwaitedStage::Document => "document",
            AwaitedStage::Installing => "installing",
            AwaitedStage::Installed => "installed",
            AwaitedStage::Finished => "finished",
        }
    }

    fn span(self, layers: SettingLayers<'_>) -> Duration {
        let deadlines = EffectiveDeadlines::of(layers.all().map(|settings| &settings.deadlines));
        match self {
            AwaitedStage::Document => deadlines.document,
            AwaitedStage::Installing => deadlines.installing,
            AwaitedStage::Installed => deadlines.installed,
            AwaitedStage::Finished => deadlines.finished,
        }
    }
}

impl Transaction<'_> {
    /// Starts the deadlines of all running installations when the server starts.
    pub fn start_deadlines(&mut self) {
        for id in self.server.state.machines.ids() {
            if let Some(awaited) = self.awaited(id) {
                self.start_deadline(id, awaited);
            }
        }
    }

    fn start_deadline(&mut self, id: MachineId, awaited: Awaited) {
        let after = self.span(id, awaited.stage);
        let due = self.now.earlier(awaited.since).after(after);
        let current = self.machine(id).current();
        let overdue = current.and_then(|attempt| attempt.overdue.as_deref());
        let passed = overdue == Some(awaited.stage.as_str());
        let at_least = self.now.mono.after(MIN_AFTER_START);
        let deadline = StageDeadline {
            awaited,
            after,
            due: if passed { due } else { due.max(at_least) },
            passed,
            missed: None,
        };
        self.insert_deadline(id, deadline);
    }

    /// Sets a machine's deadline after an event, if the awaited stage has changed.
    pub(crate) fn update_deadline(&mut self, id: MachineId) {
        let id = self.server.state.resolve(id);
        let is_known = self.server.state.machines.contains(id);
        let Some(awaited) = is_known.then(|| self.awaited(id)).flatten() else {
            return self.remove_deadline(id);
        };
        let running = self.server.volatile.deadlines.by_machine.get(id);
        if running.is_some_and(|deadline| deadline.awaited == awaited) {
            return;
        }
        let after = self.span(id, awaited.stage);
        let continued =
            running.filter(|deadline| deadline.passed && deadline.awaited.since == awaited.since);
        let deadline = StageDeadline {
            awaited,
            after,
            // If `installing` was never reported, the deadline for `installed` counts from the document.
            due: continued
                .map_or(self.now.mono, StageDeadline::began)
                .after(after),
            passed: false,
            missed: continued.map(|deadline| deadline.due),
        };
        self.insert_deadline(id, deadline);
    }

    /// Records every deadline that has passed, and every boot that has stalled.
    pub fn tick(&mut self) {
        self.check_stalls();
        self.record_suppressed();
        let now = self.now.mono;
        while let Some((due, id)) = self
            .server
            .volatile
            .deadlines
            .by_time
            .first()
            .copied()
            .filter(|(due, _)| *due <= now)
        {
            self.server.volatile.deadlines.by_time.remove(&(due, id));
            let Some(deadline) = self.server.volatile.deadlines.by_machine.get_mut(id) else {
                continue;
            };
            deadline.passed = true;
            let event = MachineEvent::Overdue {
                attempt: deadline.awaited.attempt,
                stage: deadline.awaited.stage.as_str().into(),
                after: deadline.after.as_secs(),
            };
            self.record(id, event);
        }
    }

    /// Returns by how many seconds a stage missed its deadline.
    pub(crate) fn lateness(&self, id: MachineId, attempt: u32, stage: &Stage) -> Option<u64> {
        let deadline = self.server.volatile.deadlines.by_machine.get(id)?;
        if deadline.awaited.attempt != attempt {
            return None;
        }
        let step = deadline.awaited.stage;
        let due = match stage {
            Stage::Installing if deadline.missed.is_some() => deadline.missed?,
            _ if !deadline.passed => return None,
            _ if step.as_str() == stage.as_str() || is_later(stage, step) => deadline.due,
            _ => return None,
        };
        Some(self.now.mono.since(due).as_secs())
    }

    /// Returns the stage that a machine has to reach next.
    fn awaited(&self, id: MachineId) -> Option<Awaited> {
        let attempt = self.machine(id).current()?;
        let (step, since) = step_of(attempt)?;
        let finishes = self
            .snapshot
            .tasks
            .get(&attempt.task)
            .is_none_or(|traits| traits.finishes);
        (step != AwaitedStage::Finished || finishes).then_some(Awaited {
            attempt: attempt.number,
            stage: step,
            since,
        })
    }

    fn span(&self, id: MachineId, step: AwaitedStage) -> Duration {
        let node = self.node_of(id);
        let binding = self.machine(id).binding.as_ref();
        let policy =
            binding.and_then(|binding| self.snapshot.site.policies.get(binding.policy.as_ref()?));
        step.span(SettingLayers::new(
            &self.snapshot.site,
            node.as_deref(),
            policy.map(|policy| &**policy),
        ))
    }

    fn insert_deadline(&mut self, id: MachineId, deadline: StageDeadline) {
        self.remove_deadline(id);
        if !deadline.passed {
            self.server
                .volatile
                .deadlines
                .by_time
                .insert((deadline.due, id));
        }
        self.server
            .volatile
            .deadlines
            .by_machine
            .insert(id, deadline);
    }

    fn remove_deadline(&mut self, id: MachineId) {
        if let Some(deadline) = self.server.volatile.deadlines.by_machine.remove(id) {
            self.server
                .volatile
                .deadlines
                .by_time
                .remove(&(deadline.due, id));
        }
    }
}

/// Returns the stage that an attempt has to reach next, and since when it is awaited.
fn step_of(attempt: &Attempt) -> Option<(AwaitedStage, Timestamp)> {
    if attempt.is_finished() || attempt.failed.is_some() {
        return None;
    }
    if let Some(at) = attempt.stages.get(&Stage::Installed) {
        return Some((AwaitedStage::Finished, *at));
    }
    if !attempt.open {
        return None;
    }
    if let Some(at) = attempt.stages.get(&Stage::Installing) {
        return Some((AwaitedStage::Installed, *at));
    }
    let Some(at) = attempt.read else {
        return Some((AwaitedStage::Document, attempt.opened));
    };
    // Once `installing` is overdue, `installed` is awaited instead, counted from the document.
    let overdue = attempt.overdue.as_deref();
    let never_came = overdue == Some("installing") || overdue == Some("installed");
    let step = if never_came {
        AwaitedStage::Installed
    } else {
        AwaitedStage::Installing
    };
    Some((step, at))
}

fn is_later(stage: &Stage, step: AwaitedStage) -> bool {
    match stage {
        Stage::Finished => true,
        Stage::Installed => step != AwaitedStage::Finished,
        Stage::Installing => step == AwaitedStage::Document,
        Stage::Failed | Stage::NoDisk | Stage::Own(_) => false,
    }
}
