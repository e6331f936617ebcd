//! What can happen to a machine, to its server, and by its operator.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    control::{Decision, NetworkBoot, Operation, ServerState, Snapshot, Transaction},
    journal::{Event, JournalState, Stage},
    model::{Mac, MonotonicTime, Now, Timestamp},
};

use super::{
    Fault, Ground, Step,
    life::{KEY, Knowledge, LINK, Life, MINUTE, Physical, Run, Written, mac, snapshot},
};

/// How far the operator raises `installs`.
const MOST_INSTALLS: u32 = 3;

/// The server's side of it: every site that the operator may write, and the fault that is planted.
pub(super) struct Stage0 {
    snapshots: BTreeMap<Written, Arc<Snapshot>>,
    pub(super) fault: Fault,
    ground: Ground,
}

impl Stage0 {
    pub(super) fn new(fault: Fault, ground: Ground) -> Self {
        let mut snapshots = BTreeMap::new();
        for bits in 0..16u8 {
            let bit = |n: u8| bits >> n & 1 == 1;
            for installs in 0..=MOST_INSTALLS {
                let written = Written {
                    declared: bit(0),
                    renamed: bit(1),
                    second_card: bit(2),
                    other_task: bit(3),
                    installs,
                };
                snapshots.insert(written, Arc::new(snapshot(written)));
            }
        }
        Stage0 {
            snapshots,
            fault,
            ground,
        }
    }

    pub(super) fn begin(&self) -> Life {
        let now = Now {
            wall: Timestamp(1_800_000_000_000),
            mono: MonotonicTime(0),
        };
        Life {
            server: ServerState::new(JournalState::default(), KEY, 1, now),
            written: Written {
                declared: true,
                renamed: false,
                second_card: false,
                other_task: false,
                installs: 1,
            },
            machine: Physical::default(),
            now,
            boots: 0,
            state: Knowledge::Kept,
            paused: false,
            taken: false,
        }
    }

    /// Lets a step happen. None: it cannot happen now. An error is the end of the story.
    pub(super) fn step(&self, life: &Life, step: Step) -> Option<Result<Life, &'static str>> {
        let mut life_after = life.clone();
        let life = &mut life_after;
        let outcome = match step {
            Step::Boot => self.boot(life, 20 * MINUTE, &[life.machine.second_card]),
            Step::BootSoon => self.boot(life, 2 * MINUTE, &[life.machine.second_card]),
            Step::BootWithBoth if !life.machine.second_card => return None,
            Step::BootWithBoth => self.boot(life, 20 * MINUTE, &[false, true]),
            Step::Document => self.document(life, |transaction, handed| {
                transaction.on_read(handed.attempt, "ks.cfg", 1);
            })?,
            Step::DocumentAtCrash => {
                let outcome = self.document(life, |_, _| {})?;
                outcome.and_then(|()| self.restart(life))
            }
            Step::InstallingHeard => self.running(life, Stage::Installing)?,
            Step::InstalledHeard => self.running(life, Stage::Installed)?,
            Step::InstalledLost => self.installed_unheard(life)?,
            Step::FinishedHeard => self.on_disk(life, Stage::Finished)?,
            Step::FailedHeard => self.running(life, Stage::Failed)?,
            Step::LateInstalledHeard => self.on_disk(life, Stage::Installed)?,
            Step::NoDiskHeard => {
                let disk = life.machine.disk.filter(|disk| !disk.installed)?;
                self.callback(life, disk, Stage::NoDisk);
                Ok(())
            }
            Step::Deadline => {
                life.pass(120 * MINUTE);
                self.transaction(life, |transaction| transaction.tick());
                Ok(())
            }
            Step::Restart => self.restart(life),
            Step::Reload => self.rewrite(life, |_| {}),
            Step::Rename => self.rewrite(life, |written| written.renamed ^= true),
            Step::CardReplaced => self.replace_card(life)?,
            Step::CardDeclared => {
                if life.written.second_card || !life.machine.second_card {
                    return None;
                }
                self.rewrite(life, |written| written.second_card = true)
            }
            Step::DeletedOrAdded => self.delete_or_add(life),
            Step::BindingChanged => self.rewrite(life, |written| written.other_task ^= true),
            Step::ClockForward => {
                life.now.wall.0 += 40 * 60 * MINUTE;
                Ok(())
            }
            Step::ClockBack => {
                life.now.wall.0 -= 40 * 60 * MINUTE;
                Ok(())
            }
            Step::StateLost => self.lose_state(life)?,
            Step::DeclaredInstalled => self.declare_installed(life)?,
            Step::DeclaredNew => self.declare_new(life)?,
            Step::Reinstall => {
                self.operate(life, &Operation::Reinstall)?;
                life.machine.ask();
                Ok(())
            }
            Step::InstallsRaised => {
                if life.written.installs == MOST_INSTALLS {
                    return None;
                }
                self.rewrite(life, |written| written.installs += 1)
            }
            Step::InstallsLowered => {
                if life.written.installs == 0 {
                    return None;
                }
                self.rewrite(life, |written| written.installs -= 1)
            }
            Step::Hold => self.hold(life)?,
            Step::Release => {
                self.operate(life, &Operation::Release)?;
                life.machine.held = false;
                Ok(())
            }
            Step::Forget => self.forget(life)?,
            Step::PausedOrResumed => {
                life.paused ^= true;
                let pauses = life.paused;
                self.transaction(life, |transaction| {
                    if pauses {
                        transaction.pause()
                    } else {
                        transaction.resume()
                    }
                });
                Ok(())
            }
            Step::AddressTakenOrFree if self.ground == Ground::NotLocal => return None,
            Step::AddressTakenOrFree => {
                life.taken ^= true;
                Ok(())
            }
        };
        Some(outcome.map(|()| life_after))
    }

    fn restart(&self, life: &mut Life) -> Result<(), &'static str> {
        let state = life.server.state.clone();
        let seed = 1 + u64::from(life.boots) * 1_000;
        life.server = ServerState::new(state, KEY, seed, life.now);
        self.transaction(life, |transaction| {
            transaction.on_reload(None);
            transaction.start_deadlines();
        });
        Ok(())
    }

    fn installed_unheard(&self, life: &mut Life) -> Option<Result<(), &'static str>> {
        let run = life.machine.runs.take().filter(|run| run.read)?;
        life.machine.disk = Some(Run {
            installed: true,
            ..run
        });
        Some(Ok(()))
    }

    fn replace_card(&self, life: &mut Life) -> Option<Result<(), &'static str>> {
        if life.machine.second_card {
            return None;
        }
        life.machine.second_card = true;
        // It has no power meanwhile.
        if let Some(run) = life.machine.runs.take().filter(|run| run.read) {
            life.machine.disk = Some(run);
        }
        if !life.machine.seen {
            // Nobody can know that this is the machine of which the operator spoke.
            life.machine.forget();
        }
        Some(Ok(()))
    }

    fn delete_or_add(&self, life: &mut Life) -> Result<(), &'static str> {
        let card = mac(life.written.second_card);
        let mut machines = life.server.state.machines.values();
        let known =
            machines.any(|machine| machine.node.is_some() || machine.identity.mac.contains(&card));
        // The first declaration of a card that nobody ever saw asks for its installation.
        if !life.written.declared && !known {
            life.machine.ask();
        }
        self.rewrite(life, |written| written.declared ^= true)
    }

    fn lose_state(&self, life: &mut Life) -> Option<Result<(), &'static str>> {
        if life.state != Knowledge::Kept {
            return None;
        }
        life.server = ServerState::new(JournalState::default(), KEY, 99, life.now);
        self.transaction(life, |transaction| {
            transaction.record_site(Event::StateLost {
                reason: "unknown".into(),
            });
            transaction.on_reload(None);
        });
        life.state = Knowledge::Lost;
        life.paused = false;
        life.machine.forget();
        life.machine.asked = false;
        Some(Ok(()))
    }

    fn declare_installed(&self, life: &mut Life) -> Option<Result<(), &'static str>> {
        if life.state != Knowledge::Lost || !life.written.declared {
            return None;
        }
        self.transaction(life, |transaction| transaction.declare_state(true));
        life.state = Knowledge::Declared;
        life.machine.asked = false;
        if life.machine.second_card == life.written.second_card {
            life.machine.reached = life.written.installs;
        }
        Some(Ok(()))
    }

    /// Who says that nothing was installed yet asks for everything that is declared.
    fn declare_new(&self, life: &mut Life) -> Option<Result<(), &'static str>> {
        if life.state != Knowledge::Lost {
            return None;
        }
        self.transaction(life, |transaction| transaction.declare_state(false));
        life.state = Knowledge::Declared;
        life.machine.ask();
        Some(Ok(()))
    }

    fn hold(&self, life: &mut Life) -> Option<Result<(), &'static str>> {
        let reason = "being repaired".into();
        self.operate(life, &Operation::Hold { reason })?;
        // Another card than the declared one is another machine, as far as anybody knows.
        let declared =
            life.written.declared && life.machine.second_card == life.written.second_card;
        life.machine.held = life.machine.seen || declared;
        Some(Ok(()))
    }

    /// Who forgets a machine asks for it to be treated as new.
    fn forget(&self, life: &mut Life) -> Option<Result<(), &'static str>> {
        let wipe_allowed = true;
        self.operate(life, &Operation::Forget { wipe_allowed })?;
        life.machine.forget();
        life.machine.ask();
        Some(Ok(()))
    }

    fn operate(&self, life: &mut Life, operation: &Operation) -> Option<()> {
        let name = if life.written.renamed { "b" } else { "a" };
        self.transaction(life, |transaction| {
            transaction.operate(name, operation).ok().map(|_| ())
        })
    }

    /// The boot's question, with what is asked on the wire before it is answered.
    pub(super) fn asked(&self, life: &mut Life, ask: &NetworkBoot) -> Decision {
        if self.ground == Ground::OnLink {
            self.transaction(life, |transaction| transaction.on_links(vec![LINK]));
        }
        let decision = self.transaction(life, |transaction| transaction.boot(ask));
        let Decision::ProbeAddresses(addresses) = decision else {
            return decision;
        };
        let other = Mac([2, 0, 0, 0, 0, 9]);
        let itself = Mac([2, 0, 0, 0, 0, 1]);
        let answers = life.taken && self.fault != Fault::AnyCardIsOwn;
        let card = if answers { other } else { itself };
        self.transaction(life, |transaction| {
            for address in addresses {
                transaction.on_arp_reply(address, [card].into_iter().collect());
            }
            transaction.boot(ask)
        })
    }

    pub(super) fn transaction<T>(
        &self,
        life: &mut Life,
        act: impl FnOnce(&mut Transaction<'_>) -> T,
    ) -> T {
        let snapshot = self.snapshots[&life.written].clone();
        let mut transaction = Transaction::new(&snapshot, &mut life.server, life.now);
        act(&mut transaction)
    }

    fn rewrite(
        &self,
        life: &mut Life,
        change: impl FnOnce(&mut Written),
    ) -> Result<(), &'static str> {
        let before = self.snapshots[&life.written].clone();
        let name = life.written.renamed;
        change(&mut life.written);
        if self.fault == Fault::HistoryByName && name != life.written.renamed {
            let ids = life.server.state.machines.ids();
            self.transaction(life, |transaction| {
                ids.iter().for_each(|id| {
                    transaction.record(
                        *id,
                        Event::Forgotten {
                            by: "a fault".into(),
                        },
                    )
                })
            });
        }
        self.transaction(life, |transaction| transaction.on_reload(Some(&before)));
        Ok(())
    }
}
