//! The events that can happen to a machine and its server, and the operator's commands.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    api::{Command, NodeCommand},
    control::{Decision, DeclaredState, NetworkBoot, ServerState, Snapshot, Transaction},
    journal::{JournalState, MachineEvent, SiteEvent, Stage},
    model::{Mac, MonotonicTime, Now, Timestamp},
};

use super::{
    Fault, SimulatedLink, Step,
    life::{KEY, LINK, Life, MINUTE, Physical, Run, StateDirectoryFate, Written, mac, snapshot},
};

/// The highest value of `installs` that the operator sets.
const MAX_INSTALLS: u32 = 3;

/// The server's side: every site that the operator may write, and the injected fault.
pub(super) struct Simulation {
    snapshots: BTreeMap<Written, Arc<Snapshot>>,
    pub(super) fault: Fault,
    link: SimulatedLink,
}

impl Simulation {
    pub(super) fn new(fault: Fault, link: SimulatedLink) -> Self {
        let mut snapshots = BTreeMap::new();
        for bits in 0..16u8 {
            let bit = |n: u8| bits >> n & 1 == 1;
            for installs in 0..=MAX_INSTALLS {
                let written = Written {
                    declared: bit(0),
                    renamed: bit(1),
                    second_nic: bit(2),
                    other_task: bit(3),
                    installs,
                };
                snapshots.insert(written, Arc::new(snapshot(written)));
            }
        }
        Simulation {
            snapshots,
            fault,
            link,
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
                second_nic: false,
                other_task: false,
                installs: 1,
            },
            machine: Physical::default(),
            now,
            boots: 0,
            state: StateDirectoryFate::Kept,
            paused: false,
            address_in_use: false,
        }
    }

    /// Applies a step. Returns none if it cannot happen in this state, and an error if it violates the rule.
    pub(super) fn step(&self, life: &Life, step: Step) -> Option<Result<Life, &'static str>> {
        let mut life_after = life.clone();
        let life = &mut life_after;
        let outcome = match step {
            Step::Boot => self.boot(life, 20 * MINUTE, &[life.machine.second_nic]),
            Step::BootSoon => self.boot(life, 2 * MINUTE, &[life.machine.second_nic]),
            Step::BootWithBoth if !life.machine.second_nic => return None,
            Step::BootWithBoth => self.boot(life, 20 * MINUTE, &[false, true]),
            Step::Document => self.document(life, |transaction, download| {
                transaction.on_read(download.attempt, "ks.cfg", 1);
            })?,
            Step::DocumentAtCrash => {
                let outcome = self.document(life, |_, _| {})?;
                outcome.and_then(|()| self.restart(life))
            }
            Step::InstallingReported => self.running(life, Stage::Installing)?,
            Step::InstalledReported => self.running(life, Stage::Installed)?,
            Step::InstalledLost => self.installed_without_report(life)?,
            Step::FinishedReported => self.on_disk(life, Stage::Finished)?,
            Step::FailedReported => self.running(life, Stage::Failed)?,
            Step::LateInstalledReported => self.on_disk(life, Stage::Installed)?,
            Step::NoDiskReported => {
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
            Step::NicReplaced => self.replace_nic(life)?,
            Step::NicDeclared => {
                if life.written.second_nic || !life.machine.second_nic {
                    return None;
                }
                self.rewrite(life, |written| written.second_nic = true)
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
                self.operate(life, NodeCommand::Reinstall {})?;
                life.machine.ask();
                Ok(())
            }
            Step::InstallsRaised => {
                if life.written.installs == MAX_INSTALLS {
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
                self.operate(life, NodeCommand::Release {})?;
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
            Step::AddressUsedOrFree if self.link == SimulatedLink::NotLocal => return None,
            Step::AddressUsedOrFree => {
                life.address_in_use ^= true;
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

    fn installed_without_report(&self, life: &mut Life) -> Option<Result<(), &'static str>> {
        let run = life.machine.runs.take().filter(|run| run.read)?;
        life.machine.disk = Some(Run {
            installed: true,
            ..run
        });
        Some(Ok(()))
    }

    fn replace_nic(&self, life: &mut Life) -> Option<Result<(), &'static str>> {
        if life.machine.second_nic {
            return None;
        }
        life.machine.second_nic = true;
        // It is powered off meanwhile.
        if let Some(run) = life.machine.runs.take().filter(|run| run.read) {
            life.machine.disk = Some(run);
        }
        if !life.machine.has_booted {
            // The server cannot detect that this is the machine that the operator named.
            life.machine.forget();
        }
        Some(Ok(()))
    }

    fn delete_or_add(&self, life: &mut Life) -> Result<(), &'static str> {
        let mac_address = mac(life.written.second_nic);
        let mut machines = life.server.state.machines.values();
        let is_known = machines
            .any(|machine| machine.node.is_some() || machine.identity.mac.contains(&mac_address));
        // Declaring a machine that was never seen requests its installation.
        if !life.written.declared && !is_known {
            life.machine.ask();
        }
        self.rewrite(life, |written| written.declared ^= true)
    }

    fn lose_state(&self, life: &mut Life) -> Option<Result<(), &'static str>> {
        if life.state != StateDirectoryFate::Kept {
            return None;
        }
        life.server = ServerState::new(JournalState::default(), KEY, 99, life.now);
        self.transaction(life, |transaction| {
            transaction.record_site(SiteEvent::StateLost {
                reason: "unknown".into(),
            });
            transaction.on_reload(None);
        });
        life.state = StateDirectoryFate::Lost;
        life.paused = false;
        life.machine.forget();
        life.machine.is_requested = false;
        Some(Ok(()))
    }

    fn declare_installed(&self, life: &mut Life) -> Option<Result<(), &'static str>> {
        if life.state != StateDirectoryFate::Lost || !life.written.declared {
            return None;
        }
        self.transaction(life, |transaction| {
            transaction.declare_state(DeclaredState::Installed)
        });
        life.state = StateDirectoryFate::Declared;
        life.machine.is_requested = false;
        if life.machine.second_nic == life.written.second_nic {
            life.machine.reached = life.written.installs;
        }
        Some(Ok(()))
    }

    /// Declaring that nothing is installed requests the installation of every declared machine.
    fn declare_new(&self, life: &mut Life) -> Option<Result<(), &'static str>> {
        if life.state != StateDirectoryFate::Lost {
            return None;
        }
        self.transaction(life, |transaction| {
            transaction.declare_state(DeclaredState::New)
        });
        life.state = StateDirectoryFate::Declared;
        life.machine.ask();
        Some(Ok(()))
    }

    fn hold(&self, life: &mut Life) -> Option<Result<(), &'static str>> {
        let reason = Some("being repaired".into());
        self.operate(life, NodeCommand::Hold { reason })?;
        // A machine with another NIC than the declared one is another machine to the server.
        let declared = life.written.declared && life.machine.second_nic == life.written.second_nic;
        life.machine.held = life.machine.has_booted || declared;
        Some(Ok(()))
    }

    /// Deleting the history of a machine requests that it is treated as new.
    fn forget(&self, life: &mut Life) -> Option<Result<(), &'static str>> {
        let wipe_allowed = true;
        self.operate(life, NodeCommand::Forget { wipe_allowed })?;
        life.machine.forget();
        life.machine.ask();
        Some(Ok(()))
    }

    fn operate(&self, life: &mut Life, command: NodeCommand) -> Option<()> {
        let name = if life.written.renamed { "b" } else { "a" };
        self.transaction(life, |transaction| {
            transaction
                .operate(&Command::node(name, command))
                .ok()
                .map(|_| ())
        })
    }

    /// Boots from the network, and answers the ARP probes that the server sends before its decision.
    pub(super) fn boot_decision(&self, life: &mut Life, ask: &NetworkBoot) -> Decision {
        if self.link == SimulatedLink::OnLink {
            self.transaction(life, |transaction| transaction.on_links(vec![LINK]));
        }
        let decision = self.transaction(life, |transaction| transaction.boot(ask));
        let Decision::ProbeAddresses(addresses) = decision else {
            return decision;
        };
        let other = Mac([2, 0, 0, 0, 0, 9]);
        let itself = Mac([2, 0, 0, 0, 0, 1]);
        let answers = life.address_in_use && self.fault != Fault::AnyMacIsOwn;
        let mac_address = if answers { other } else { itself };
        self.transaction(life, |transaction| {
            for address in addresses {
                transaction.on_arp_reply(address, [mac_address].into_iter().collect());
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
                        MachineEvent::Forgotten {
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
