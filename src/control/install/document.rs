//! The files that an installer downloads under its attempt's token.

use crate::control::{
    Sender, Transaction, UrlToken,
    diagnosis::progress::Observation,
    install::{gate::Phase, open::DOCUMENT_LIFETIME},
};
use crate::journal::{AttemptId, MachineEvent, MachineId, Stage};
use crate::render::HAND_OVER;

/// A file of an attempt that may be downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Download {
    pub machine: MachineId,
    /// The attempt under whose name the file is stored.
    pub attempt: AttemptId,
    /// The attempt's number at the machine, which differs after a merge.
    pub number: u32,
    /// Whether the request comes from a NIC of the machine.
    pub is_confirmed: bool,
}

/// Why a download is refused. Unless the sender is not confirmed, the response is the same for all reasons: the file does not
/// exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DownloadRefused {
    /// No attempt has this token.
    UnknownToken,
    /// The attempt has ended or is blocked.
    Ended(MachineId),
    /// The files of the attempt are being rendered again. The machine may retry soon.
    Preparing,
    /// The request comes from another NIC than the machine's.
    Unconfirmed(String),
}

impl Transaction<'_> {
    /// Permits the download of a file under this token, or refuses it and records that.
    pub fn authorize_download(
        &mut self,
        token: UrlToken,
        name: &str,
        sender: &Sender,
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
        let node = self.node_of(machine_id);
        let mut nics = self.nics_of(Some(machine_id), node.as_deref());
        nics.extend(machine.all_macs().iter().copied());
        let is_confirmed = match sender.confirm(&nics) {
            Ok(confirmation) => confirmation.is_confirmed(),
            Err(why) => {
                let why = why.to_string();
                self.log_refused_document(machine_id, name, why.clone());
                return Err(DownloadRefused::Unconfirmed(why));
            }
        };
        let open = machine.open().filter(|attempt| attempt.id == id);
        let why = match open.map(|attempt| attempt.number) {
            None if name == HAND_OVER && self.may_complete(id) => {
                let number = self
                    .attempt_location(id)
                    .map_or(id.number, |(_, number)| number);
                return Ok(Download {
                    machine: machine_id,
                    attempt: id,
                    number,
                    is_confirmed,
                });
            }
            None => None,
            Some(_) if self.is_replacing(id) => return Err(DownloadRefused::Preparing),
            Some(number) => match self.readiness(machine_id, node.as_deref(), Phase::Serve) {
                Ok(_) => {
                    return Ok(Download {
                        machine: machine_id,
                        attempt: id,
                        number,
                        is_confirmed,
                    });
                }
                Err(blocked) => Some(blocked.to_string()),
            },
        };
        let name = name.into();
        self.record(machine_id, MachineEvent::DeadToken { name, why });
        Err(DownloadRefused::Ended(machine_id))
    }

    /// Records that another host requested a document, at most once an hour.
    pub fn log_refused_document(&mut self, id: MachineId, name: &str, why: String) {
        if self.may_log_refusal(Some(id)) {
            let name = name.into();
            self.record(
                id,
                MachineEvent::DeadToken {
                    name,
                    why: Some(why),
                },
            );
        }
    }

    /// Returns whether an attempt has installed its machine, but the machine has not completed its hand-over yet.
    pub fn is_completing(&self, id: AttemptId) -> bool {
        let machine = self.server.state.machine(id.machine);
        let newest = machine.and_then(|machine| machine.newest());
        newest.is_some_and(|attempt| {
            let installed = attempt.stages.get(&Stage::Installed);
            let is_recent =
                installed.is_some_and(|at| self.now.wall.since(*at) < DOCUMENT_LIFETIME);
            attempt.id == id && is_recent && !attempt.is_finished()
        })
    }

    fn may_complete(&self, id: AttemptId) -> bool {
        let machine = self.server.state.machine(id.machine);
        let is_held = machine.is_none_or(|machine| !machine.holds.is_empty());
        !is_held && self.is_completing(id)
    }

    /// Returns whether the machine has read a document of this attempt. It was served only after the journal had its beginning.
    pub fn is_running(&self, id: AttemptId) -> bool {
        let machine = self.server.state.machine(id.machine);
        let attempt = machine.and_then(|machine| machine.attempt(id));
        attempt.is_some_and(|attempt| attempt.read.is_some())
    }

    /// Records that the transfer of a document has begun.
    pub fn on_serving(&mut self, download: Download, name: &str) {
        self.observe(download.machine, Observation::Over);
        self.record(
            download.machine,
            MachineEvent::Serving {
                attempt: download.number,
                name: name.into(),
            },
        );
    }

    /// Records that a document was transferred completely.
    pub fn on_read(&mut self, attempt: AttemptId, name: &str, bytes: u64) {
        if let Some((machine, number)) = self.attempt_location(attempt) {
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

    /// Records that the connection closed before the end of a document.
    pub fn on_aborted(&mut self, attempt: AttemptId, name: &str) {
        if let Some((machine, number)) = self.attempt_location(attempt) {
            self.record(
                machine,
                MachineEvent::Aborted {
                    attempt: number,
                    name: name.into(),
                },
            );
        }
    }

    /// Records the download of a file that is not a document.
    pub fn on_auxiliary_file(&mut self, download: Download, name: &str) {
        self.observe(download.machine, Observation::File { bytes: 0 });
        self.record(
            download.machine,
            MachineEvent::HandOut {
                attempt: download.number,
                name: name.into(),
            },
        );
    }

    /// Returns the machine that an attempt belongs to now, and the attempt's number there. Returns `None` if the machine was
    /// forgotten or another attempt has replaced this one.
    pub(crate) fn attempt_location(&self, id: AttemptId) -> Option<(MachineId, u32)> {
        let machine = self.server.state.machine(id.machine)?;
        machine
            .attempt(id)
            .map(|attempt| (machine.id, attempt.number))
    }
}
