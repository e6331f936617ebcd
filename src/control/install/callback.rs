//! What a machine reports about its own installation.

use crate::control::{
    Transaction, UrlToken, diagnosis::progress::Observation, identity::sender::Confirmation,
};
use crate::{
    journal::{AttemptId, LogLevel, MachineEvent, MachineId, Stage},
    model::Facts,
};

/// What one callback request reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Callback {
    /// A stage was reached.
    Stage {
        stage: Stage,
        /// The reason that the machine reports, such as an error message.
        reason: Option<String>,
    },
    /// A line for the machine's log.
    Log { level: LogLevel, text: String },
    /// A fact.
    Fact { name: String, value: String },
}

/// Whether a callback was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallbackOutcome {
    /// It was accepted, now or before.
    Accepted,
    /// No attempt has this token, or another attempt has replaced it.
    UnknownToken,
}

/// The maximum length of a text of a callback in the journal, in characters. The rest is cut off.
const MAX_TEXT_CHARS: usize = 1_000;

/// What a fact or a stage of a task counts for in the machine's budget, besides its texts, in bytes.
const CALLBACK_BYTES: usize = 200;

impl Transaction<'_> {
    /// Returns whether an attempt has this token, or had it.
    pub fn knows_attempt(&self, token: UrlToken) -> bool {
        let index = &self.server.index;
        index.token.contains_key(&token) || index.no_disk.contains_key(&token)
    }

    /// Handles a callback. It is idempotent: a repeated stage or fact is recorded once.
    pub fn callback(&mut self, token: UrlToken, callback: &Callback) -> CallbackOutcome {
        let Some(id) = self.attempt_of(token, callback) else {
            return CallbackOutcome::UnknownToken;
        };
        let Some((machine, number)) = self.attempt_location(id) else {
            self.refuse(id, callback);
            return CallbackOutcome::UnknownToken;
        };
        self.observe(machine, Observation::Over);
        match callback {
            Callback::Stage { stage, reason } => {
                self.on_progress(machine);
                self.on_stage(machine, number, stage, reason);
            }
            Callback::Log { level, text } => {
                let event = MachineEvent::Log {
                    attempt: number,
                    level: *level,
                    text: shortened(text),
                };
                self.record(machine, event);
            }
            Callback::Fact { name, value } => {
                self.on_fact(machine, number, &shortened(name), &shortened(value));
            }
        }
        CallbackOutcome::Accepted
    }

    /// Returns the attempt whose token this is. The token of a boot script permits only the stage `no-disk`.
    fn attempt_of(&self, token: UrlToken, callback: &Callback) -> Option<AttemptId> {
        let index = &self.server.index;
        let is_no_disk =
            matches!(callback, Callback::Stage { stage, .. } if *stage == Stage::NoDisk);
        let by_script = index.no_disk.get(&token).filter(|_| is_no_disk);
        index.token.get(&token).or(by_script).copied()
    }

    /// Records a callback with an ended token, if its machine is known.
    fn refuse(&mut self, id: AttemptId, callback: &Callback) {
        if let Some(machine) = self.server.state.machine(id.machine) {
            let event = MachineEvent::DeadToken {
                name: callback_name(callback),
                why: None,
            };
            self.record(machine.id, event);
        }
    }

    fn on_stage(&mut self, id: MachineId, number: u32, stage: &Stage, reason: &Option<String>) {
        let mut attempts = self.machine(id).attempts.iter();
        let attempt = attempts.find(|attempt| attempt.number == number);
        let attempt = attempt.expect("the caller has found the attempt");
        // `failed` is recorded again if the machine has reported progress since the last failure.
        let fails_again = *stage == Stage::Failed && attempt.failed.is_none();
        if attempt.stages.contains_key(stage) && !fails_again {
            return;
        }
        let is_counted = matches!(stage, Stage::Own(_)) && attempt.has_reported;
        if is_counted && !self.admits_report(id, CALLBACK_BYTES + stage.as_str().len()) {
            return;
        }
        let event = MachineEvent::Stage {
            attempt: number,
            stage: stage.clone(),
            reason: reason.as_deref().map(shortened),
            late: self.lateness(id, number, stage),
            inferred: false,
        };
        self.record(id, event);
    }

    fn on_fact(&mut self, id: MachineId, number: u32, name: &str, value: &str) {
        let Some(facts) = Facts::parse(name, value) else {
            let what = format!("fact `{name}` is not of its type");
            return self.record(id, MachineEvent::Dropped { what });
        };
        let is_first = !self.has_reported(id, number);
        let bytes = CALLBACK_BYTES + name.len() + value.len();
        let is_known = self.machine(id).facts.covers(&facts);
        if is_first || !is_known && self.admits_report(id, bytes) {
            // Any program of the installer can report facts, so none displaces those of a confirmed report.
            let claimed = Confirmation::Claimed(None);
            self.record_facts(id, facts, Some(number), claimed);
        }
    }

    /// Records a stage that the server has observed itself.
    pub fn on_inferred_stage(&mut self, machine: MachineId, attempt: u32, stage: Stage) {
        let Some(known) = self.server.state.machine(machine) else {
            return;
        };
        let current = known.current().filter(|current| current.number == attempt);
        if current.is_some_and(|current| !current.stages.contains_key(&stage)) {
            let late = self.lateness(machine, attempt, &stage);
            let event = MachineEvent::Stage {
                attempt,
                stage,
                reason: None,
                late,
                inferred: true,
            };
            self.record(machine, event);
        }
    }
}

fn callback_name(callback: &Callback) -> String {
    match callback {
        Callback::Stage { stage, .. } => format!("stage {}", stage.as_str()),
        Callback::Log { .. } => "log".into(),
        Callback::Fact { name, .. } => format!("fact {}", shortened(name)),
    }
}

fn shortened(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_TEXT_CHARS)
        .collect()
}
