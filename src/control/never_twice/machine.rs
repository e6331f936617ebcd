//! The actions of the machine, and the check of what it is served.

use crate::{
    control::{
        Callback, Decision, Download, NetworkBoot, Preparation, Report, Sender, Transaction,
    },
    journal::{MachineEvent, Stage},
};

use super::{
    Fault,
    hostile::local,
    life::{Life, MINUTE, Run, StateDirectoryFate, mac},
    steps::Simulation,
};

impl Simulation {
    /// The machine boots from the network, whatever it was doing.
    pub(super) fn boot(
        &self,
        life: &mut Life,
        after: i64,
        nics: &[bool],
    ) -> Result<(), &'static str> {
        life.pass(after);
        life.boots += 1;
        life.machine.has_booted |= nics.contains(&false);
        if let Some(run) = life.machine.runs.take().filter(|run| run.read) {
            // It was reset during its installation; the disk is incomplete.
            life.machine.disk = Some(run);
        }
        if self.fault == Fault::RetryAtAnyBoot {
            self.give_up_whatever_runs(life);
        }
        let report = Report {
            macs: nics.iter().map(|second| mac(*second)).collect(),
            serial: Some("S1".into()),
            ..Report::default()
        };
        let ask = NetworkBoot {
            report,
            boot: Some(life.boots.to_string()),
            sender: Sender::Compared {
                ip: "192.0.2.21".parse().expect("an address"),
                link: local(mac(nics[0])),
                strict: true,
            },
            ..NetworkBoot::default()
        };
        let decision = self.boot_decision(life, &ask);
        if let Decision::Open(opening) = &decision {
            let preparation = Preparation::New(opening.clone());
            let is_open = self.transaction(life, |transaction| {
                let job = transaction.reserve(&preparation, &ask, "http://192.0.2.1");
                job.is_some() && transaction.complete(&preparation, &ask)
            });
            assert!(is_open, "nothing has changed since the decision");
        }
        let (attempt, installs) = match decision {
            Decision::Open(opening) => (opening.attempt, opening.installs),
            Decision::Repeat {
                machine, attempt, ..
            } => (
                attempt,
                life.server.state.machines[machine]
                    .open()
                    .expect("it is open")
                    .installs,
            ),
            Decision::Disk(_) => return Ok(()),
            other => panic!("{other:?}"),
        };
        if life.paused {
            return Err("the server is paused, and it is served an installer");
        }
        self.check_request(life)?;
        let token = life.server.token(attempt);
        life.machine.runs = Some(Run {
            token,
            installs,
            read: false,
            is_confirmed: false,
            installed: false,
            is_success_reported: false,
        });
        Ok(())
    }

    fn give_up_whatever_runs(&self, life: &mut Life) {
        let open = life.server.state.machines.values().find_map(|machine| {
            machine
                .open()
                .filter(|attempt| attempt.is_begun())
                .map(|attempt| (machine.id, attempt.number))
        });
        if let Some((id, attempt)) = open {
            self.transaction(life, |transaction| {
                transaction.record(
                    id,
                    MachineEvent::GaveUp {
                        attempt,
                        reason: "a fault".into(),
                    },
                )
            });
        }
    }

    /// Checks that a served installer was requested.
    fn check_request(&self, life: &Life) -> Result<(), &'static str> {
        let machine = &life.machine;
        if let Some(violation) = self.stopped(life) {
            return Err(violation);
        }
        let is_declared = life.written.declared && machine.second_nic == life.written.second_nic;
        if life.address_in_use && is_declared {
            return Err("another host uses its address, and it is served an installer");
        }
        if machine.wiped_without_report {
            return Err(
                "its disk was written without a report, and it is served an installer again",
            );
        }
        if machine.is_requested {
            return Ok(());
        }
        // Without a declaration that requests more, one installation is enough.
        let wanted = if life.written.declared {
            life.written.installs
        } else {
            1
        };
        if machine.reached > 0 && wanted <= machine.reached {
            return Err(
                "it reported success, no other installation was requested, and it is served an installer again",
            );
        }
        Ok(())
    }

    /// The reason why nothing may be served now.
    fn stopped(&self, life: &Life) -> Option<&'static str> {
        let declared = life.written.declared && life.machine.second_nic == life.written.second_nic;
        match () {
            () if life.state == StateDirectoryFate::Lost => {
                Some("the state is lost, and it is served")
            }
            () if life.machine.held => Some("it is held, and it is served"),
            () if declared && life.written.installs == 0 => {
                Some("it is protected, and it is served")
            }
            () => None,
        }
    }

    /// The installer reads its document. Whether the server records the end of the download depends on whether it
    /// crashes before.
    pub(super) fn document(
        &self,
        life: &mut Life,
        end: impl FnOnce(&mut Transaction<'_>, Download),
    ) -> Option<Result<(), &'static str>> {
        let mut run = life.machine.runs.filter(|run| !run.read)?;
        life.pass(MINUTE);
        let served = self.transaction(life, |transaction| {
            match transaction.authorize_download(run.token, "ks.cfg", &Sender::Trusted) {
                Ok(download) => {
                    transaction.on_serving(download, "ks.cfg");
                    end(transaction, download);
                    true
                }
                Err(_) => false,
            }
        });
        if !served {
            // The installer stops; nothing was written.
            life.machine.runs = None;
            return Some(Ok(()));
        }
        if let Some(violation) = self.stopped(life) {
            return Some(Err(violation));
        }
        run.read = true;
        life.machine.runs = Some(run);
        life.machine.disk = None;
        life.machine.wiped_without_report = true;
        Some(Ok(()))
    }

    /// The running installer reports a stage.
    pub(super) fn running(
        &self,
        life: &mut Life,
        stage: Stage,
    ) -> Option<Result<(), &'static str>> {
        let run = life.machine.runs.filter(|run| run.read)?;
        let run = self.callback(life, run, stage.clone());
        match stage {
            Stage::Installed => {
                life.machine.runs = None;
                life.machine.disk = Some(Run {
                    installed: true,
                    ..run
                });
            }
            Stage::Failed => {
                life.machine.runs = None;
                life.machine.disk = Some(run);
            }
            _ => life.machine.runs = Some(run),
        }
        Some(Ok(()))
    }

    /// The installed system reports a stage.
    pub(super) fn on_disk(
        &self,
        life: &mut Life,
        stage: Stage,
    ) -> Option<Result<(), &'static str>> {
        let disk = life
            .machine
            .disk
            .filter(|disk| disk.installed && life.machine.runs.is_none())?;
        let disk = self.callback(life, disk, stage);
        life.machine.disk = Some(disk);
        Some(Ok(()))
    }

    pub(super) fn callback(&self, life: &mut Life, mut run: Run, stage: Stage) -> Run {
        let overdue = life.server.state.machines.values().any(|machine| {
            machine
                .newest()
                .is_some_and(|attempt| attempt.overdue.is_some())
        });
        let is_dropped = self.fault == Fault::TokenExpiresAtDeadline && overdue;
        let callback = Callback::Stage {
            stage: stage.clone(),
            reason: Some("because".into()),
        };
        if !is_dropped {
            self.transaction(life, |transaction| {
                transaction.callback(run.token, &callback)
            });
        }
        // If the state was lost, or an operator deleted the history, the server has no record of the attempt. That is not a
        // fault.
        let attempt = life.server.index.token.get(&run.token);
        let is_known =
            attempt.is_some_and(|attempt| life.server.state.machine(attempt.machine).is_some());
        if is_known && stage != Stage::NoDisk {
            run.is_confirmed = true;
            life.machine.wiped_without_report = false;
            if matches!(stage, Stage::Installed | Stage::Finished) {
                life.machine.reached = life.machine.reached.max(run.installs);
                // A repeated report does not complete another request.
                life.machine.is_requested &= run.is_success_reported;
                run.is_success_reported = true;
            }
        }
        run
    }
}
