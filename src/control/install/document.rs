//! What an installer reads, under its attempt's token.

use crate::control::{
    Transaction, UrlToken,
    diagnosis::progress::Observation,
    install::{gate::Phase, open::DOCUMENTS_LIVE},
};
use crate::journal::{AttemptId, MachineEvent, MachineId, Stage};
use crate::render::HAND_OVER;

/// A file of an attempt that may be handed out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Download {
    /// The machine.
    pub machine: MachineId,
    /// The attempt under whose name the file is kept.
    pub attempt: AttemptId,
    /// Its number at the machine.
    pub number: u32,
}

/// Why a file is not handed out. The machine is told one thing only: there is no such file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DownloadRefused {
    /// Nobody ever had this token.
    UnknownToken,
    /// Its attempt has ended, or is stopped.
    Ended(MachineId),
    /// The files of its attempt are being rendered again. They may be requested soon.
    Preparing,
}

impl Transaction<'_> {
    /// Tells whether files are handed out under this token now.
    pub fn authorize_download(
        &mut self,
        token: UrlToken,
        name: &str,
    ) -> Result<Download, DownloadRefused> {
        let id = *self
            .server
            .index
            .token
            .get(&token)
            .ok_or(DownloadRefused::UnknownToken)?;
        let machine = self
            .server
            .state
            .machine(id.machine)
            .ok_or(DownloadRefused::UnknownToken)?;
        let machine_id = machine.id;
        let open = machine.open().filter(|attempt| attempt.id == id);
        let why = match open.map(|attempt| attempt.number) {
            None if name == HAND_OVER && self.may_complete(id) => {
                let number = self.place_of(id).map_or(id.number, |(_, number)| number);
                return Ok(Download {
                    machine: machine_id,
                    attempt: id,
                    number,
                });
            }
            None => None,
            Some(_) if self.is_replacing(id) => return Err(DownloadRefused::Preparing),
            Some(number) => {
                let node = self.node_of(machine_id);
                match self.readiness(machine_id, node.as_deref(), Phase::Serve) {
                    Ok(_) => {
                        return Ok(Download {
                            machine: machine_id,
                            attempt: id,
                            number,
                        });
                    }
                    Err(blocked) => Some(blocked.to_string()),
                }
            }
        };
        let name = name.into();
        self.record(machine_id, MachineEvent::DeadToken { name, why });
        Err(DownloadRefused::Ended(machine_id))
    }

    /// Whether an attempt is one that has installed its machine, which has still to hand itself over.
    pub fn is_completing(&self, id: AttemptId) -> bool {
        let machine = self.server.state.machine(id.machine);
        let newest = machine.and_then(|machine| machine.newest());
        newest.is_some_and(|attempt| {
            let installed = attempt.stages.get(&Stage::Installed);
            let is_recent = installed.is_some_and(|at| self.now.wall.since(*at) < DOCUMENTS_LIVE);
            attempt.id == id && is_recent && !attempt.is_finished()
        })
    }

    fn may_complete(&self, id: AttemptId) -> bool {
        let machine = self.server.state.machine(id.machine);
        let is_held = machine.is_none_or(|machine| !machine.holds.is_empty());
        !is_held && self.is_completing(id)
    }

    /// A document's bytes begin to leave.
    pub fn on_serving(&mut self, handed: Download, name: &str) {
        self.observe(handed.machine, Observation::Over);
        self.record(
            handed.machine,
            MachineEvent::Serving {
                attempt: handed.number,
                name: name.into(),
            },
        );
    }

    /// A document was read to its end.
    pub fn on_read(&mut self, attempt: AttemptId, name: &str, bytes: u64) {
        if let Some((machine, number)) = self.place_of(attempt) {
            self.on_progress(machine);
            self.record(
                machine,
                MachineEvent::Document {
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
                MachineEvent::Aborted {
                    attempt: number,
                    name: name.into(),
                },
            );
        }
    }

    /// Something that is no document was fetched.
    pub fn on_auxiliary_file(&mut self, handed: Download, name: &str) {
        self.observe(handed.machine, Observation::File { bytes: 0 });
        self.record(
            handed.machine,
            MachineEvent::HandOut {
                attempt: handed.number,
                name: name.into(),
            },
        );
    }

    /// Where an attempt is now: none when its machine was forgotten, or another one has replaced it.
    pub(crate) fn place_of(&self, id: AttemptId) -> Option<(MachineId, u32)> {
        let machine = self.server.state.machine(id.machine)?;
        machine
            .attempt(id)
            .map(|attempt| (machine.id, attempt.number))
    }
}
