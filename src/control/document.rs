//! What an installer reads, under its attempt's token.

use super::{
    Token, Turn,
    boot::{DOCUMENTS_LIVE, installs},
};
use crate::journal::{AttemptId, Event, MachineId};

/// A file of an attempt that may be handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Handed {
    /// The machine.
    pub machine: MachineId,
    /// The attempt under whose name the file is kept.
    pub attempt: AttemptId,
    /// Its number at the machine.
    pub number: u32,
}

/// Why a file is not handed out. The machine is told one thing only: there is no such file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Nobody ever had this token.
    Unknown,
    /// Its attempt has ended, or is stopped.
    Dead(MachineId),
}

impl Turn<'_> {
    /// Tells whether files are handed out under this token now.
    pub fn may_hand_out(&mut self, token: Token, name: &str) -> Result<Handed, Refusal> {
        let id = *self.world.index.token.get(&token).ok_or(Refusal::Unknown)?;
        let machine = self
            .world
            .state
            .machine(id.machine)
            .ok_or(Refusal::Unknown)?;
        let machine_id = machine.id;
        let number = machine
            .open()
            .filter(|attempt| attempt.id == id)
            .map(|attempt| attempt.number);
        match number.filter(|_| self.is_served(machine_id)) {
            Some(number) => Ok(Handed {
                machine: machine_id,
                attempt: id,
                number,
            }),
            None => {
                self.record(machine_id, Event::DeadToken { name: name.into() });
                Err(Refusal::Dead(machine_id))
            }
        }
    }

    /// A hold, `installs = 0` and a deleted declaration act at once; so does the end of a day.
    fn is_served(&self, id: MachineId) -> bool {
        let machine = self.machine(id);
        let node = self.node_of(id);
        let deleted = machine.node.is_some() && node.is_none();
        let since = self.world.run.since.get(&id).copied().unwrap_or_default();
        machine.holds.is_empty()
            && self.world.state.lost.is_none()
            && !deleted
            && installs(node.as_deref()) > 0
            && self.now.mono.since(since) < DOCUMENTS_LIVE
    }

    /// A document's bytes begin to leave.
    pub fn on_serving(&mut self, handed: Handed, name: &str) {
        self.record(
            handed.machine,
            Event::Serving {
                attempt: handed.number,
                name: name.into(),
            },
        );
    }

    /// A document was read to its end.
    pub fn on_read(&mut self, attempt: AttemptId, name: &str, bytes: u64) {
        if let Some((machine, number)) = self.place_of(attempt) {
            self.record(
                machine,
                Event::Document {
                    attempt: number,
                    name: name.into(),
                    bytes,
                },
            );
        }
    }

    /// The connection broke before a document's end.
    pub fn on_aborted(&mut self, attempt: AttemptId, name: &str) {
        if let Some((machine, number)) = self.place_of(attempt) {
            self.record(
                machine,
                Event::Aborted {
                    attempt: number,
                    name: name.into(),
                },
            );
        }
    }

    /// Something that is no document was fetched.
    pub fn on_hand_out(&mut self, handed: Handed, name: &str) {
        self.record(
            handed.machine,
            Event::HandOut {
                attempt: handed.number,
                name: name.into(),
            },
        );
    }

    /// Where an attempt is now: none when its machine was forgotten, or another one has replaced it.
    pub(crate) fn place_of(&self, id: AttemptId) -> Option<(MachineId, u32)> {
        let machine = self.world.state.machine(id.machine)?;
        machine
            .attempt(id)
            .map(|attempt| (machine.id, attempt.number))
    }
}
