//! Network boots, whichever program asks: a decision, and the installer that it leads to.

pub(crate) mod neighbour_check;
pub(crate) mod ipxe;
pub(crate) mod grub;
pub(crate) mod mboot;
pub(crate) mod microkernel;
pub(crate) mod discover;
pub(crate) mod fetched;

use std::net::Ipv4Addr;

use crate::{
    control::{Blocked, BootFromDisk, Decision, NetworkBoot, Report, Transaction, UrlToken},
    disk::{
        attempts::{Document, DocumentBody},
        journal::{JournalHealth, Ticket},
    },
    journal::{AttemptId, MachineId},
    model::{Arch, BootProgram, LocalBoot, Mac, Platform, TaskName},
    net::http::Peer,
    serve::{attempt_files, engine::Engine},
};

/// Who boots, and where it reaches us.
pub(crate) struct Boot<'a> {
    /// What it asks; the network, where it asks from and whether it is confirmed are found out here.
    pub(crate) ask: NetworkBoot,
    pub(crate) peer: Peer,
    pub(crate) base: &'a str,
}

/// What a machine is to boot.
pub(crate) enum BootAction {
    /// This attempt's installer, by this script where iPXE asks.
    Installer(AttemptId, Vec<u8>),
    /// Its disk.
    Disk(BootFromDisk),
    /// Nothing yet.
    Wait(Blocked),
    /// Nothing yet: these addresses are to be asked for first.
    ProbeAddresses(Vec<Ipv4Addr>),
    /// The microkernel, by this token.
    Microkernel(UrlToken),
    /// A task that installs nothing.
    Task(MachineId, TaskName),
}

impl<'a> Boot<'a> {
    /// The boot of a machine whose program tells its card alone.
    pub(crate) fn of_card(
        mac: Mac,
        by: BootProgram,
        platform: Platform,
        peer: Peer,
        base: &'a str,
    ) -> Self {
        let report = Report {
            macs: vec![mac],
            by,
            platform: Some(platform),
            arch: Some(Arch::X86_64),
            ..Report::default()
        };
        Boot {
            ask: NetworkBoot {
                report,
                ..NetworkBoot::default()
            },
            peer,
            base,
        }
    }
}

impl Engine {
    /// Decides a boot. What it rests on is on the disk when this returns, and addresses were looked at.
    pub(crate) async fn choose(&self, boot: &mut Boot<'_>) -> BootAction {
        let (mut chosen, mut ticket) = self.decide(boot);
        if let BootAction::ProbeAddresses(addresses) = &chosen {
            self.probe(addresses).await;
            (chosen, ticket) = self.decide(boot);
        }
        match ticket.durable().await {
            Ok(()) => chosen,
            Err(error) => unwritable(boot, &error),
        }
    }

    /// The same from a thread that may wait for the disk, and for nothing longer.
    pub(crate) fn choose_now(&self, boot: &mut Boot<'_>) -> BootAction {
        let (chosen, ticket) = self.decide(boot);
        match ticket.wait() {
            Ok(()) => chosen,
            Err(error) => unwritable(boot, &error),
        }
    }

    /// The ticket is that of what the decision rests on.
    fn decide(&self, boot: &mut Boot<'_>) -> (BootAction, Ticket) {
        let Boot { ask, peer, base } = boot;
        let healthy = self.health() == JournalHealth::Good;
        let live = self.live();
        let network = live.network_at(peer.local.ip());
        ask.network = network.map(|network| network.name.value.clone());
        ask.from = Some(peer.address.ip());
        self.transaction(|transaction| {
            let doubt = self.doubt(transaction, &ask.report, *peer);
            if self.is_strict() {
                ask.unconfirmed = doubt.clone();
            }
            self.note_unverified_images(transaction);
            let decision = transaction.boot(ask);
            if let (Some(doubt), Some(machine)) = (doubt, installed_now(&decision)) {
                transaction.remark_once(machine, doubt);
            }
            match decision {
                Decision::Disk(disk) => BootAction::Disk(disk),
                Decision::Wait(reason) => BootAction::Wait(reason),
                Decision::ProbeAddresses(addresses) => BootAction::ProbeAddresses(addresses),
                Decision::Microkernel(machine) => {
                    BootAction::Microkernel(transaction.check_in_token(machine))
                }
                Decision::Script(machine, task) => BootAction::Task(machine, task),
                Decision::Open(opening) if !healthy => BootAction::Disk(
                    transaction.not_opened(&opening, Blocked::JournalUnwritable.to_string()),
                ),
                Decision::Open(opening)
                    if self.lacks_microkernel_of(transaction, &opening.task) =>
                {
                    let reason = Blocked::NoMicrokernel;
                    let disk = transaction.not_opened(&opening, reason.to_string());
                    let reason = Some(reason);
                    BootAction::Disk(BootFromDisk { reason, ..disk })
                }
                Decision::Open(opening) => {
                    match attempt_files::open(
                        transaction,
                        &self.attempts,
                        &opening,
                        &ask.report,
                        base,
                    ) {
                        Ok(script) => BootAction::Installer(opening.attempt, script),
                        Err(disk) => BootAction::Disk(disk),
                    }
                }
                Decision::Repeat {
                    machine,
                    attempt,
                    is_stale,
                } => match self.again(transaction, machine, attempt, is_stale, &ask.report, base) {
                    Ok(script) => BootAction::Installer(attempt, script),
                    Err(reason) => {
                        tracing::error!("attempt {}: {reason}", attempt.number);
                        let reason = Blocked::DocumentsUnavailable(reason);
                        BootAction::Disk(disk_of(ask.report.platform, Some(reason)))
                    }
                },
            }
        })
    }

    /// The script of an attempt that is open: rendered anew when the site has changed, or when the machine comes by another
    /// way than the attempt was opened by.
    fn again(
        &self,
        transaction: &mut Transaction<'_>,
        machine: MachineId,
        attempt: AttemptId,
        is_stale: bool,
        report: &Report,
        base: &str,
    ) -> Result<Vec<u8>, String> {
        if !is_stale {
            let kept = self.script(attempt)?;
            if leads_to(&kept, base.as_bytes()) {
                return Ok(kept);
            }
        }
        self.forget_script(attempt);
        attempt_files::refresh(transaction, &self.attempts, machine, attempt, report, base)
    }

    /// A file of an attempt; `None` when its task has none of that name.
    pub(crate) fn kept(&self, attempt: AttemptId, name: &str) -> Result<Option<String>, String> {
        match self.attempts.read(attempt_files::key(attempt), name) {
            Ok(Some(Document {
                body: DocumentBody::Bytes(bytes),
                ..
            })) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
            Ok(_) => Ok(None),
            Err(error) => {
                tracing::error!("attempt {}: {error}", attempt.number);
                Err("its documents cannot be read; see the server's log".into())
            }
        }
    }
}

/// How a machine is sent to its disk where its settings do not say it.
pub(crate) fn disk_of(platform: Option<Platform>, reason: Option<Blocked>) -> BootFromDisk {
    BootFromDisk {
        how: LocalBoot::Auto,
        platform,
        reason,
        report_to: None,
    }
}

fn unwritable(boot: &Boot<'_>, error: &dyn std::fmt::Display) -> BootAction {
    tracing::error!("{error}");
    BootAction::Disk(disk_of(
        boot.ask.report.platform,
        Some(Blocked::JournalUnwritable),
    ))
}

/// Tells whether a script names this server by `base`.
fn leads_to(script: &[u8], base: &[u8]) -> bool {
    let after = |at: usize| script.get(at + base.len());
    let mut places = script.windows(base.len()).enumerate();
    places.any(|(at, found)| found == base && after(at) == Some(&b'/'))
}

/// The machine that a decision hands an installer.
fn installed_now(decision: &Decision) -> Option<MachineId> {
    match decision {
        Decision::Open(opening) => Some(opening.machine),
        Decision::Repeat { machine, .. } => Some(*machine),
        Decision::Disk(_)
        | Decision::Wait(_)
        | Decision::ProbeAddresses(_)
        | Decision::Microkernel(_)
        | Decision::Script(..) => None,
    }
}
