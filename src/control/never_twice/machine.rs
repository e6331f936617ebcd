//! What the machine itself does, and whether what it is given is right.

use crate::{
    control::{Callback, Decision, Download, NetworkBoot, Preparation, Report, Transaction},
    journal::{Event, Stage},
};

use super::{
    Fault,
    life::{Knowledge, Life, MINUTE, Run, mac},
    steps::Stage0,
};

impl Stage0 {
    /// The machine boots from the network, whatever it was doing.
    pub(super) fn boot(
        &self,
        life: &mut Life,
        after: i64,
        cards: &[bool],
    ) -> Result<(), &'static str> {
        life.pass(after);
        life.boots += 1;
        life.machine.seen |= cards.contains(&false);
        if let Some(run) = life.machine.runs.take().filter(|run| run.read) {
            // It died while it was installing; the disk is in pieces.
            life.machine.disk = Some(run);
        }
        if self.fault == Fault::RetryAtAnyBoot {
            self.give_up_whatever_runs(life);
        }
        let report = Report {
            macs: cards.iter().map(|second| mac(*second)).collect(),
            serial: Some("S1".into()),
            ..Report::default()
        };
        let ask = NetworkBoot {
            report,
            boot: Some(life.boots.to_string()),
            ..NetworkBoot::default()
        };
        let decision = self.asked(life, &ask);
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
            return Err("every hand-out is stopped, and it is handed an installer");
        }
        self.judge(life)?;
        let token = life.server.token(attempt);
        life.machine.runs = Some(Run {
            token,
            installs,
            read: false,
            heard: false,
            installed: false,
            told: false,
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
                    Event::GaveUp {
                        attempt,
                        reason: "a fault".into(),
                    },
                )
            });
        }
    }

    /// An installer is handed out. Was it asked for?
    fn judge(&self, life: &Life) -> Result<(), &'static str> {
        let machine = &life.machine;
        if let Some(why) = self.stopped(life) {
            return Err(why);
        }
        let is_declared = life.written.declared && machine.second_card == life.written.second_card;
        if life.taken && is_declared {
            return Err("somebody else has its address, and it is handed an installer");
        }
        if machine.wiped_in_silence {
            return Err(
                "its disk was written, no callback ever came, and it is handed an installer again",
            );
        }
        if machine.asked {
            return Ok(());
        }
        // Without a declaration that asks for more, once is enough.
        let wanted = if life.written.declared {
            life.written.installs
        } else {
            1
        };
        if machine.reached > 0 && wanted <= machine.reached {
            return Err(
                "it reported that it is installed, nobody asked, and it is handed an installer again",
            );
        }
        Ok(())
    }

    /// What keeps every installer from it now.
    fn stopped(&self, life: &Life) -> Option<&'static str> {
        let declared =
            life.written.declared && life.machine.second_card == life.written.second_card;
        match () {
            () if life.state == Knowledge::Lost => Some("the state is lost, and it is served"),
            () if life.machine.held => Some("it is held, and it is served"),
            () if declared && life.written.installs == 0 => {
                Some("it is protected, and it is served")
            }
            () => None,
        }
    }

    /// The installer reads its document. Whether the server knows that it was read to its end depends on
    /// whether it lives to see it.
    pub(super) fn document(
        &self,
        life: &mut Life,
        end: impl FnOnce(&mut Transaction<'_>, Download),
    ) -> Option<Result<(), &'static str>> {
        let mut run = life.machine.runs.filter(|run| !run.read)?;
        life.pass(MINUTE);
        let served = self.transaction(life, |transaction| {
            match transaction.authorize_download(run.token, "ks.cfg") {
                Ok(handed) => {
                    transaction.on_serving(handed, "ks.cfg");
                    end(transaction, handed);
                    true
                }
                Err(_) => false,
            }
        });
        if !served {
            // The installer stops; nothing was touched.
            life.machine.runs = None;
            return Some(Ok(()));
        }
        if let Some(why) = self.stopped(life) {
            return Some(Err(why));
        }
        run.read = true;
        life.machine.runs = Some(run);
        life.machine.disk = None;
        life.machine.wiped_in_silence = true;
        Some(Ok(()))
    }

    /// The installer reports.
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

    /// The installed system reports.
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
        let deaf = self.fault == Fault::TokenDiesAtDeadline && overdue;
        let callback = Callback::Stage {
            stage: stage.clone(),
            reason: Some("because".into()),
        };
        if !deaf {
            self.transaction(life, |transaction| {
                transaction.callback(run.token, &callback)
            });
        }
        // A state that was lost, or was told to forget, knows nothing of an attempt, and is not blamed for it.
        let attempt = life.server.index.token.get(&run.token);
        let known =
            attempt.is_some_and(|attempt| life.server.state.machine(attempt.machine).is_some());
        if known && stage != Stage::NoDisk {
            run.heard = true;
            life.machine.wiped_in_silence = false;
            if matches!(stage, Stage::Installed | Stage::Finished) {
                life.machine.reached = life.machine.reached.max(run.installs);
                // What is told a second time uses up no request.
                life.machine.asked &= run.told;
                run.told = true;
            }
        }
        run
    }
}
