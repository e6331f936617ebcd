//! Deadlines: they change what people see, hear and are alerted to, never what a machine gets.
//!
//! They run on the monotonic clock. After a start every running one has at least 15 minutes left.

use std::time::Duration;

use crate::control::{Layers, Turn};
use crate::{
    journal::{Attempt, Event, MachineId, Stage},
    model::{Deadlines, MonotonicTime, TimeSpan, Timestamp},
};

/// The deadline that runs for a machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Clock {
    pub(crate) wait: Wait,
    pub(crate) after: Duration,
    pub(crate) due: MonotonicTime,
    pub(crate) passed: bool,
    /// When the deadline for `installing` was, where that is what never came.
    pub(crate) missed: Option<MonotonicTime>,
}

/// What a machine's attempt waits for, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Wait {
    pub(crate) attempt: u32,
    pub(crate) step: Step,
    since: Timestamp,
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

impl Clock {
    fn began(&self) -> MonotonicTime {
        let after = i64::try_from(self.after.as_millis()).unwrap_or(i64::MAX);
        MonotonicTime(self.due.0.saturating_sub(after))
    }
}

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
            Step::Document => deadlines.document.as_deref(),
            Step::Installing => deadlines.installing.as_deref(),
            Step::Installed => deadlines.installed.as_deref(),
            Step::Finished => deadlines.finished.as_deref(),
        });
        let default = match self {
            Step::Document => TimeSpan::minutes(10),
            Step::Installing => TimeSpan::minutes(45),
            Step::Installed => TimeSpan::minutes(60),
            Step::Finished => TimeSpan::minutes(30),
        };
        set.unwrap_or(default).0
    }
}

impl Layers<'_> {
    fn deadline(
        &self,
        step: impl Fn(&Deadlines) -> Option<&crate::model::Spanned<TimeSpan>>,
    ) -> Option<TimeSpan> {
        self.all()
            .find_map(|settings| step(&settings.deadlines).map(|at| at.value))
    }
}

impl Turn<'_> {
    /// Starts the deadlines of everything that is under way, after the server's start.
    pub fn start_clocks(&mut self) {
        for id in self.world.state.machines.ids() {
            if let Some(wait) = self.awaited(id) {
                self.start_clock(id, wait);
            }
        }
    }

    fn start_clock(&mut self, id: MachineId, wait: Wait) {
        let after = self.span(id, wait.step);
        let due = self.now.earlier(wait.since).after(after);
        let current = self.machine(id).current();
        let overdue = current.and_then(|attempt| attempt.overdue.as_deref());
        let passed = overdue == Some(wait.step.as_str());
        let at_least = self.now.mono.after(AFTER_START);
        let clock = Clock {
            wait,
            after,
            due: if passed { due } else { due.max(at_least) },
            passed,
            missed: None,
        };
        self.put_clock(id, clock);
    }

    /// Sets a machine's deadline after an event, when something else is waited for than before.
    pub(crate) fn set_clock(&mut self, id: MachineId) {
        let id = self.world.state.resolve(id);
        let is_known = self.world.state.machines.contains(id);
        let Some(wait) = is_known.then(|| self.awaited(id)).flatten() else {
            return self.take_clock(id);
        };
        let running = self.world.run.clocks.get(id);
        if running.is_some_and(|clock| clock.wait == wait) {
            return;
        }
        let after = self.span(id, wait.step);
        let goes_on = running.filter(|clock| clock.passed && clock.wait.since == wait.since);
        let clock = Clock {
            wait,
            after,
            // The wait for `installed` begins with the document when `installing` does not come.
            due: goes_on.map_or(self.now.mono, Clock::began).after(after),
            passed: false,
            missed: goes_on.map(|clock| clock.due),
        };
        self.put_clock(id, clock);
    }

    /// Tells of every deadline that has passed, and of every boot that has stopped.
    pub fn tick(&mut self) {
        self.look_for_stalls();
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
            let Some(clock) = self.world.run.clocks.get_mut(id) else {
                continue;
            };
            clock.passed = true;
            let event = Event::Overdue {
                attempt: clock.wait.attempt,
                stage: clock.wait.step.as_str().into(),
                after: clock.after.as_secs(),
            };
            self.record(id, event);
        }
    }

    /// By how many seconds a stage comes after its deadline.
    pub(crate) fn lateness(&self, id: MachineId, attempt: u32, stage: &Stage) -> Option<u64> {
        let clock = self.world.run.clocks.get(id)?;
        if clock.wait.attempt != attempt {
            return None;
        }
        let step = clock.wait.step;
        let due = match stage {
            Stage::Installing if clock.missed.is_some() => clock.missed?,
            _ if !clock.passed => return None,
            _ if step.as_str() == stage.as_str() || is_later(stage, step) => clock.due,
            _ => return None,
        };
        Some(self.now.mono.since(due).as_secs())
    }

    /// What is waited for of a machine.
    fn awaited(&self, id: MachineId) -> Option<Wait> {
        let attempt = self.machine(id).current()?;
        let (step, since) = step_of(attempt)?;
        let finishes = self
            .snapshot
            .tasks
            .get(&attempt.task)
            .is_none_or(|traits| traits.finishes);
        (step != Step::Finished || finishes).then_some(Wait {
            attempt: attempt.number,
            step,
            since,
        })
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
        if let Some(clock) = self.world.run.clocks.remove(id) {
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
    let Some(at) = attempt.read else {
        return Some((Step::Document, attempt.opened));
    };
    // Once `installing` is overdue, `installed` is what is waited for, from the document on.
    let overdue = attempt.overdue.as_deref();
    let never_came = overdue == Some("installing") || overdue == Some("installed");
    let step = if never_came {
        Step::Installed
    } else {
        Step::Installing
    };
    Some((step, at))
}

fn is_later(stage: &Stage, step: Step) -> bool {
    match stage {
        Stage::Finished => true,
        Stage::Installed => step != Step::Finished,
        Stage::Installing => step == Step::Document,
        Stage::Failed | Stage::NoDisk | Stage::Own(_) => false,
    }
}
