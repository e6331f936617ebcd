//! Opens attempts, and repeats an open attempt at further network boots.

use std::{collections::BTreeMap, time::Duration};

use super::{
    blocked::Blocked,
    gate::{Phase, Ready},
};
use crate::control::{
    BootFromDisk, Decision, NetworkBoot, NewAttempt, Transaction, Unbound, boot::disk,
    diagnosis::progress::Observation,
};
use crate::{
    journal::{AttemptId, BootAnswer, HoldCause, MachineEvent, MachineId, installs_of},
    model::{LocalBoot, Node, RepoName, UndeclaredMode},
};

/// How long an attempt's documents are served.
pub(crate) const DOCUMENT_LIFETIME: Duration = Duration::from_secs(24 * 3_600);

/// The period of `installs-per-hour`.
const RATE_PERIOD: Duration = Duration::from_secs(3_600);

impl Transaction<'_> {
    /// Records that the attempt is open: its documents are rendered and stored.
    pub(crate) fn opened(&mut self, opening: &NewAttempt) {
        let id = opening.machine;
        let binding = self.machine(id).binding.as_ref();
        let same = binding
            .is_some_and(|has| has.policy == opening.policy && has.address == opening.address);
        if !same {
            self.record(
                id,
                MachineEvent::Bound {
                    policy: opening.policy.clone(),
                    address: opening.address,
                },
            );
        }
        self.record(
            id,
            MachineEvent::Attempt {
                attempt: opening.attempt.number,
                installs: opening.installs,
                sealed: opening.sealed,
                task: opening.task.clone(),
                repo: opening.repo.clone(),
            },
        );
        self.server.volatile.boots.disk_tried.remove(id);
        let given = BootAnswer::Installer(opening.attempt.number);
        self.record(
            id,
            MachineEvent::Boot {
                by: opening.by,
                platform: opening.platform,
                given,
            },
        );
        if let Some(latest) = self.server.volatile.boots.latest.get_mut(id) {
            latest.decision = Decision::Repeat {
                machine: id,
                attempt: opening.attempt,
                is_stale: false,
            };
        }
    }

    /// Records that the attempt is not opened, because its documents could not be rendered or stored. Returns how the machine
    /// boots its disk.
    pub fn not_opened(&mut self, opening: &NewAttempt, reason: String) -> BootFromDisk {
        let id = opening.machine;
        self.record(
            id,
            MachineEvent::Unrendered {
                reason: reason.clone(),
            },
        );
        self.record(
            id,
            MachineEvent::Boot {
                by: opening.by,
                platform: opening.platform,
                given: BootAnswer::Disk(reason),
            },
        );
        self.observe(id, Observation::Over);
        // The cause may be gone at the next request, so that is decided anew.
        self.server.volatile.boots.latest.remove(id);
        BootFromDisk {
            local_boot: opening.local_boot,
            platform: opening.platform,
            reason: Some(Blocked::Unrendered),
            report_to: None,
        }
    }

    /// Stores that the documents of an unread attempt were rendered again, by the current revision.
    pub fn mark_refreshed(&mut self, machine: MachineId) {
        self.server
            .volatile
            .attempts
            .rendered
            .insert(machine, self.snapshot.site.revision.clone());
    }

    /// Repeats the open attempt. An attempt that the machine would not get now is closed, and a new one is opened if an
    /// installation is due.
    pub(crate) fn repeat(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
        request: &NetworkBoot,
        local_boot: LocalBoot,
    ) -> Decision {
        let blocked = match self.readiness_or_hold(id, node, Phase::Repeat) {
            Ok(_) => return self.repetition(id),
            Err(blocked) => blocked,
        };
        if !blocked.ends_attempt() {
            return self.blocked(id, node, request, local_boot, blocked);
        }
        let attempt = self.machine(id).opened;
        let reason = blocked.to_string();
        self.record(id, MachineEvent::Closed { attempt, reason });
        if self.machine(id).is_due(node) {
            self.open(id, node, request, local_boot)
        } else {
            disk(request, local_boot, None)
        }
    }

    fn repetition(&self, id: MachineId) -> Decision {
        let attempt = self.machine(id).open();
        let attempt = attempt.expect("an open attempt is repeated").id;
        let rendered = self.server.volatile.attempts.rendered.get(id);
        Decision::Repeat {
            machine: id,
            attempt,
            is_stale: rendered != Some(&self.snapshot.site.revision),
        }
    }

    /// Opens an attempt if every condition is met.
    pub(crate) fn open(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
        request: &NetworkBoot,
        local_boot: LocalBoot,
    ) -> Decision {
        let (bound, address) = match self.readiness_or_hold(id, node, Phase::Open) {
            Ok(Ready::Install { bound, address }) => (bound, address),
            Ok(Ready::Task(bound)) => return Decision::Script(id, bound.task),
            Ok(Ready::Attempt) => unreachable!("no attempt is open"),
            Err(blocked) => return self.blocked(id, node, request, local_boot, blocked),
        };
        Decision::Open(NewAttempt {
            machine: id,
            attempt: AttemptId {
                machine: id,
                number: self.machine(id).opened + 1,
            },
            installs: installs_of(node),
            sealed: self.now.wall,
            address,
            policy: bound
                .policy
                .as_ref()
                .map(|policy| policy.name.value.clone()),
            task: bound.task,
            repo: bound.repo,
            by: request.report.by,
            platform: request.report.platform,
            local_boot,
        })
    }

    /// Returns what a machine boots when it is not installed now.
    pub(crate) fn blocked(
        &self,
        id: MachineId,
        node: Option<&Node>,
        request: &NetworkBoot,
        local_boot: LocalBoot,
        blocked: Blocked,
    ) -> Decision {
        match blocked {
            Blocked::AddressUnprobed(addresses) => Decision::ProbeAddresses(addresses),
            blocked if self.asks_for_seals(id, &blocked) => Decision::Microkernel(id),
            blocked if blocked.ends_soon() => Decision::Wait(blocked),
            Blocked::Unbound {
                reason: Unbound::NoPolicy(_),
                ..
            } if self.discovers(request) => Decision::Microkernel(id),
            Blocked::Unbound {
                reason: Unbound::NoPolicy(_),
                ..
            } if node.is_none() => disk(request, local_boot, None),
            Blocked::NotDue => disk(request, local_boot, None),
            blocked => disk(request, local_boot, Some(blocked)),
        }
    }

    fn discovers(&self, request: &NetworkBoot) -> bool {
        let networks = &self.snapshot.site.networks;
        let network = request.network.as_ref().and_then(|name| networks.get(name));
        let unknown = network.map(|network| network.body.effective().unknown);
        unknown == Some(UndeclaredMode::Discover)
    }

    /// Ends the hold for `expect` if that is true now. Otherwise its reason is updated.
    pub(crate) fn recheck_expectation(&mut self, id: MachineId, node: Option<&Node>) {
        if !self.machine(id).holds.contains_key(&HoldCause::Expect) {
            return;
        }
        match self.expectation(id, node) {
            None => {}
            Some(Some(blocked)) => self.hold(id, HoldCause::Expect, &blocked.to_string()),
            Some(None) => self.end_hold(id, HoldCause::Expect),
        }
    }

    /// Returns whether the open attempt is older than [`DOCUMENT_LIFETIME`].
    pub(crate) fn is_expired(&self, id: MachineId) -> bool {
        let since = self.server.volatile.attempts.since.get(id);
        let since = since.copied().unwrap_or_default();
        self.now.mono.since(since) >= DOCUMENT_LIFETIME
    }

    /// Stores the repos whose image is not verified, each with the reason. Nothing is installed from them.
    pub fn on_unverified_images(&mut self, unverified: BTreeMap<RepoName, String>) {
        self.server.volatile.unverified = unverified;
    }

    /// Stores why the journal cannot be written, for the status of machines that wait for it.
    pub fn on_journal(&mut self, unwritable: Option<String>) {
        self.server.volatile.unwritable = unwritable;
    }

    /// Returns the block if `installs-per-hour` permits no further installation. `announced` is how many others are about to
    /// begin.
    pub(crate) fn rate_limited(&self, is_declared: bool, announced: usize) -> Option<Blocked> {
        let limit = self
            .snapshot
            .site
            .config
            .limits
            .effective()
            .installs_per_hour;
        let attempts = &self.server.volatile.attempts;
        let opened = match is_declared {
            true => &attempts.opened,
            false => &attempts.opened_undeclared,
        };
        let recent = opened
            .iter()
            .rev()
            .take_while(|at| self.now.mono.since(**at) < RATE_PERIOD);
        let is_full = recent.count() + announced >= limit as usize;
        is_full.then_some(Blocked::RateLimited { limit })
    }
}
