//! Answers network boots of all boot programs.
//!
//! A boot is answered in three steps. The first step decides, and reserves what an installer will use, while the state is
//! locked. The second step renders and stores the files without the lock, on a thread that may block. The third step opens the
//! attempt if nothing has changed meanwhile, and otherwise decides again.

mod sender;
mod prepare;
pub(crate) mod answers;
mod document;
pub(crate) mod mboot;
pub(crate) mod microkernel;
pub(crate) mod discover;
pub(crate) mod fetched;

use std::{net::Ipv4Addr, sync::Arc};

use prepare::PendingInstaller;

use crate::{
    control::{
        Blocked, BootFromDisk, Decision, NetworkBoot, Preparation, Report, Transaction, UrlToken,
    },
    disk::journal::{JournalError, JournalHealth, Ticket},
    journal::{AttemptId, MachineId},
    model::{Arch, BootProgram, Mac, Platform, TaskName},
    net::http::Peer,
    serve::engine::Engine,
};

/// The most decisions of one boot. A boot is decided again if the site or the machine changes while its files are rendered.
const MAX_DECISIONS: u32 = 5;

/// A request to boot.
#[derive(Debug, Clone)]
pub(crate) struct Boot {
    /// The request. `from`, `network` and `sender` are set by [`Engine::boot`].
    pub(crate) request: NetworkBoot,
    pub(crate) peer: Peer,
    /// This server's URL as the machine reaches it.
    pub(crate) base: Arc<str>,
    /// Whether the requesting program waits until addresses were probed.
    pub(crate) may_wait: bool,
}

/// The answer to a boot, before it is written for a loader.
#[derive(Debug)]
pub(crate) enum BootResult {
    /// The installer of this attempt, with its iPXE script.
    Installer(AttemptId, Vec<u8>),
    /// The local disk.
    Disk(BootFromDisk),
    /// No answer yet, for this reason.
    Wait(Blocked),
    /// No answer yet: these addresses have to be probed first.
    ProbeAddresses(Vec<Ipv4Addr>),
    /// The microkernel, with this token.
    Microkernel(UrlToken),
    /// A task that installs nothing.
    Task(MachineId, TaskName),
}

/// What follows from a decision.
enum Step {
    Answer(BootResult),
    Probe(Vec<Ipv4Addr>),
    /// Files of this machine are being rendered for another request.
    Wait,
    Prepare(Box<PendingInstaller>),
    Repeat {
        attempt: AttemptId,
        is_stale: bool,
    },
}

impl Boot {
    /// Returns the boot of a machine whose boot program sends only its MAC.
    pub(crate) fn of_mac(
        mac: Mac,
        by: BootProgram,
        platform: Platform,
        peer: Peer,
        base: Arc<str>,
    ) -> Self {
        let report = Report {
            macs: vec![mac],
            by,
            platform: Some(platform),
            arch: Some(Arch::X86_64),
            ..Report::default()
        };
        Boot {
            request: NetworkBoot {
                report,
                ..NetworkBoot::default()
            },
            peer,
            base,
            may_wait: true,
        }
    }

    fn disk(&self, reason: Blocked) -> BootResult {
        let platform = self.request.report.platform;
        BootResult::Disk(BootFromDisk::without_settings(platform, Some(reason)))
    }
}

impl Engine {
    /// Answers a boot, once the events that the answer depends on are on the disk.
    pub(crate) async fn boot(self: &Arc<Self>, boot: &mut Boot) -> BootResult {
        if !self.journal.has_room() {
            return boot.disk(Blocked::JournalUnwritable);
        }
        boot.request.from = Some(boot.peer.address.ip());
        boot.request.sender = self.sender_of(boot.peer);
        let mut is_probed = false;
        let mut decisions = 0;
        while decisions < MAX_DECISIONS {
            let mut ended = self.prepared.subscribe();
            let (step, ticket) = self.decide(boot);
            // Waiting for another request of the machine does not count.
            decisions += u32::from(!matches!(step, Step::Wait));
            let answered = match step {
                Step::Answer(outcome) => Some((outcome, ticket)),
                Step::Probe(addresses) if is_probed || !boot.may_wait => {
                    Some((BootResult::ProbeAddresses(addresses), ticket))
                }
                Step::Probe(addresses) => {
                    self.probe(&addresses).await;
                    is_probed = true;
                    None
                }
                Step::Wait => {
                    // It fails only when the engine is dropped, which this call keeps.
                    drop(ended.changed().await);
                    None
                }
                Step::Prepare(pending) => pending.finish(boot).await,
                Step::Repeat { attempt, is_stale } => {
                    self.repeat(boot, attempt, is_stale, ticket).await
                }
            };
            if let Some((outcome, ticket)) = answered {
                return match ticket.durable().await {
                    Ok(()) => outcome,
                    Err(error) => {
                        tracing::error!("{error}");
                        unwritten(boot, outcome, &error)
                    }
                };
            }
        }
        BootResult::Wait(Blocked::Preparing)
    }

    fn decide(self: &Arc<Self>, boot: &mut Boot) -> (Step, Ticket) {
        let health = self.health();
        self.transaction_with_images(|transaction, snapshot| {
            let network = snapshot.network_at(boot.peer.local.ip());
            boot.request.network = network.map(|network| network.name.value.clone());
            let decision = transaction.boot(&boot.request);
            match decision {
                Decision::Open(opening) if health == JournalHealth::Good => {
                    let preparation = Preparation::New(opening);
                    self.reserve(transaction, snapshot, boot, preparation)
                        .map_or(Step::Wait, |pending| Step::Prepare(Box::new(pending)))
                }
                decision => step(decision, transaction, &health),
            }
        })
    }
}

/// Returns the answer to a boot whose events cannot be written. A boot of the local disk depends on none. While the disk is full,
/// everything else waits for room.
fn unwritten(boot: &Boot, outcome: BootResult, error: &JournalError) -> BootResult {
    match (outcome, error) {
        (disk @ BootResult::Disk(_), _) => disk,
        (_, JournalError::Full) => BootResult::Wait(Blocked::JournalUnwritable),
        _ => boot.disk(Blocked::JournalUnwritable),
    }
}

fn step(decision: Decision, transaction: &mut Transaction<'_>, health: &JournalHealth) -> Step {
    Step::Answer(match decision {
        Decision::Disk(disk) => BootResult::Disk(disk),
        Decision::Wait(reason) => BootResult::Wait(reason),
        Decision::Microkernel(machine) => {
            BootResult::Microkernel(transaction.check_in_token(machine))
        }
        Decision::Script(machine, task) => BootResult::Task(machine, task),
        Decision::Open(_) if *health == JournalHealth::Full => {
            BootResult::Wait(Blocked::JournalUnwritable)
        }
        // This happens only while the journal cannot be written.
        Decision::Open(opening) => BootResult::Disk(
            transaction.not_opened(&opening, Blocked::JournalUnwritable.to_string()),
        ),
        Decision::Repeat {
            attempt, is_stale, ..
        } => return Step::Repeat { attempt, is_stale },
        Decision::ProbeAddresses(addresses) => return Step::Probe(addresses),
        Decision::Preparing => return Step::Wait,
    })
}
