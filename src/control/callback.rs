//! What a machine says of its own installation.

use super::{Token, Turn};
use crate::{
    journal::{Event, Level, Machine, MachineId, Stage},
    model::Facts,
};

/// A callback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Callback {
    /// A stage was reached.
    Stage {
        /// Which.
        stage: Stage,
        /// What the machine says to it.
        reason: Option<String>,
    },
    /// A line for the machine's log.
    Log {
        /// How grave.
        level: Level,
        /// The line.
        text: String,
    },
    /// A fact.
    Fact {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
}

/// Whether a callback was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// It was, or it was taken before.
    Yes,
    /// Nobody has this token, or another attempt has replaced its own.
    No,
}

/// The longest text that a callback leaves in the journal, in characters.
const LONGEST: usize = 1_000;

impl Turn<'_> {
    /// Takes a callback. The same one twice is the same as once.
    pub fn callback(&mut self, token: Token, callback: &Callback) -> Heard {
        let Some(id) = self.world.index.token.get(&token).copied() else {
            return Heard::No;
        };
        let Some((machine, number)) = self.place_of(id) else {
            if let Some(machine) = self
                .world
                .state
                .machine(id.machine)
                .map(|machine| machine.id)
            {
                self.record(
                    machine,
                    Event::DeadToken {
                        name: name_of(callback),
                    },
                );
            }
            return Heard::No;
        };
        match callback {
            Callback::Stage { stage, reason } => {
                let attempt = self
                    .machine(machine)
                    .attempt(id)
                    .expect("its place was just found");
                let known = attempt.stages.contains_key(stage);
                // A machine that fails again after it went on says something new.
                if !known || (*stage == Stage::Failed && attempt.failed.is_none()) {
                    let late = self.lateness(machine, number, stage);
                    let reason = reason.as_deref().map(shortened);
                    let stage = stage.clone();
                    self.record(
                        machine,
                        Event::Stage {
                            attempt: number,
                            stage,
                            reason,
                            late,
                            inferred: false,
                        },
                    );
                }
            }
            Callback::Log { level, text } => {
                self.record(
                    machine,
                    Event::Log {
                        attempt: number,
                        level: *level,
                        text: shortened(text),
                    },
                );
            }
            Callback::Fact { name, value } => {
                let event = match Facts::parse(&shortened(name), &shortened(value)) {
                    Some(facts) => Event::Facts {
                        facts: Box::new(facts),
                    },
                    None => Event::Dropped {
                        what: format!("fact `{}` is not of its type", shortened(name)),
                    },
                };
                self.record(machine, event);
            }
        }
        Heard::Yes
    }

    /// Notes a stage that the server itself observed.
    pub fn inferred(&mut self, machine: MachineId, attempt: u32, stage: Stage) {
        let newest = self.world.state.machine(machine).and_then(Machine::newest);
        if newest
            .is_some_and(|newest| newest.number == attempt && !newest.stages.contains_key(&stage))
        {
            let late = self.lateness(machine, attempt, &stage);
            self.record(
                machine,
                Event::Stage {
                    attempt,
                    stage,
                    reason: None,
                    late,
                    inferred: true,
                },
            );
        }
    }
}

fn name_of(callback: &Callback) -> String {
    match callback {
        Callback::Stage { stage, .. } => format!("stage {}", stage.as_str()),
        Callback::Log { .. } => "log".into(),
        Callback::Fact { name, .. } => format!("fact {}", shortened(name)),
    }
}

fn shortened(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(LONGEST)
        .collect()
}
