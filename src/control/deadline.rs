//! Deadlines: they change what people see, hear and are alerted to, never what a machine gets.
//!
//! They run on the monotonic clock. After a start every running one has at least 15 minutes left.

use std::time::Duration;

use super::{Layers, Turn};
use crate::{
    journal::{Attempt, Event, MachineId, Stage},
    model::{Deadlines, Mono, Span, Timestamp},
};

/// The deadline that runs for a machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Clock {
    pub(crate) attempt: u32,
    pub(crate) step: Step,
    pub(crate) after: Duration,
    pub(crate) due: Mono,
    pub(crate) passed: bool,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Document,
    Installing,
    Installed,
    Finished,
}

/// What every running deadline has left after a start, at least.
const AFTER_START: Duration = Duration::from_secs(15 * 60);

impl Step {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Step::Document => "document",
            Step::Installing => "installing",
            Step::Installed => "installed",
            Step::Finished => "finished",
        }
    }

    fn span(self, layers: Layers<'_>) -> Duration {
        let set = layers.deadline(|deadlines| match self {
            Step::Document => deadlines.document.as_ref(),
            Step::Installing => deadlines.installing.as_ref(),
            Step::Installed => deadlines.installed.as_ref(),
            Step::Finished => deadlines.finished.as_ref(),
        });
        let default = match self {
            Step::Document => Span::minutes(10),
            Step::Installing => Span::minutes(45),
            Step::Installed => Span::minutes(60),
            Step::Finished => Span::minutes(30),
        };
        set.unwrap_or(default).0
    }
}

impl Layers<'_> {
    fn deadline(
        &self,
        step: impl Fn(&Deadlines) -> Option<&crate::model::At<Span>>,
    ) -> Option<Span> {
        self.all()
            .find_map(|settings| step(&settings.deadlines).map(|at| at.value))
    }
}

impl Turn<'_> {
    /// Starts the deadlines of everything that is under way, after the server's start.
    pub fn start_clocks(&mut self) {
        let ids: Vec<MachineId> = self.world.state.machines.keys().copied().collect();
        for id in ids {
            let Some((attempt, step, since)) = self.awaited(id) else {
                continue;
            };
            let after = self.span(id, step);
            let due = self
                .now
                .earlier(since)
                .after(after)
                .max(self.now.mono.after(AFTER_START));
            let newest = self.machine(id).newest();
            let passed =
                newest.is_some_and(|attempt| attempt.overdue.as_deref() == Some(step.as_str()));
            self.put_clock(
                id,
                Clock {
                    attempt,
                    step,
                    after,
                    due,
                    passed,
                },
            );
        }
    }

    /// Sets a machine's deadline after an event, when something else is waited for than before.
    pub(crate) fn set_clock(&mut self, id: MachineId) {
        let id = self.world.state.resolve(id);
        let awaited = if self.world.state.machines.contains_key(&id) {
            self.awaited(id)
        } else {
            None
        };
        let running = self.world.run.clocks.get(&id);
        let same = |clock: &Clock| {
            awaited.is_some_and(|(attempt, step, _)| clock.attempt == attempt && clock.step == step)
        };
        match (awaited, running) {
            (None, None) => {}
            (Some(_), Some(clock)) if same(clock) => {}
            (None, Some(_)) => self.take_clock(id),
            (Some((attempt, step, _)), _) => {
                let after = self.span(id, step);
                let due = self.now.mono.after(after);
                self.put_clock(
                    id,
                    Clock {
                        attempt,
                        step,
                        after,
                        due,
                        passed: false,
                    },
                );
            }
        }
    }

    /// Tells of every deadline that has passed.
    pub fn tick(&mut self) {
        let now = self.now.mono;
        while let Some((due, id)) = self
            .world
            .run
            .due
            .first()
            .copied()
            .filter(|(due, _)| *due <= now)
        {
            self.world.run.due.remove(&(due, id));
            let Some(clock) = self.world.run.clocks.get_mut(&id) else {
                continue;
            };
            clock.passed = true;
            let (attempt, step, after) = (clock.attempt, clock.step, clock.after);
            let event = Event::Overdue {
                attempt,
                stage: step.as_str().into(),
                after: after.as_secs(),
            };
            self.record(id, event);
        }
    }

    /// By how many seconds a stage comes after its deadline.
    pub(crate) fn lateness(&self, id: MachineId, attempt: u32, stage: &Stage) -> Option<u64> {
        let clock = self.world.run.clocks.get(&id)?;
        let awaited = clock.step.as_str() == stage.as_str() || is_later(stage, clock.step);
        let passed = clock.passed && clock.attempt == attempt && awaited;
        passed.then(|| self.now.mono.since(clock.due).as_secs())
    }

    /// What is waited for of a machine, and since when.
    fn awaited(&self, id: MachineId) -> Option<(u32, Step, Timestamp)> {
        let machine = self.machine(id);
        let attempt = machine.newest()?;
        let (step, since) = step_of(attempt)?;
        let finishes = self
            .snapshot
            .tasks
            .get(&attempt.task)
            .is_none_or(|traits| traits.finishes);
        (step != Step::Finished || finishes).then_some((attempt.number, step, since))
    }

    fn span(&self, id: MachineId, step: Step) -> Duration {
        let node = self.node_of(id);
        let binding = self.machine(id).binding.as_ref();
        let policy =
            binding.and_then(|binding| self.snapshot.site.policies.get(binding.policy.as_ref()?));
        step.span(Layers::new(
            &self.snapshot.site,
            node.as_deref(),
            policy.map(|policy| &**policy),
        ))
    }

    fn put_clock(&mut self, id: MachineId, clock: Clock) {
        self.take_clock(id);
        if !clock.passed {
            self.world.run.due.insert((clock.due, id));
        }
        self.world.run.clocks.insert(id, clock);
    }

    fn take_clock(&mut self, id: MachineId) {
        if let Some(clock) = self.world.run.clocks.remove(&id) {
            self.world.run.due.remove(&(clock.due, id));
        }
    }
}

/// What an attempt waits for, and since when.
fn step_of(attempt: &Attempt) -> Option<(Step, Timestamp)> {
    if attempt.is_finished() || attempt.failed.is_some() {
        return None;
    }
    if let Some(at) = attempt.stages.get(&Stage::Installed) {
        return Some((Step::Finished, *at));
    }
    if !attempt.open {
        return None;
    }
    if let Some(at) = attempt.stages.get(&Stage::Installing) {
        return Some((Step::Installed, *at));
    }
    match attempt.read {
        Some(at) => Some((Step::Installing, at)),
        None => Some((Step::Document, attempt.opened)),
    }
}

fn is_later(stage: &Stage, step: Step) -> bool {
    match stage {
        Stage::Finished => true,
        Stage::Installed => step != Step::Finished,
        Stage::Installing => step == Step::Document,
        Stage::Failed | Stage::NoDisk | Stage::Own(_) => false,
    }
}
