//! When an attempt is opened, and when the same one is handed out again.

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

/// For how long an attempt's documents are served.
pub(crate) const DOCUMENTS_LIVE: Duration = Duration::from_secs(24 * 3_600);

/// The period of `installs-per-hour`.
const RATE_PERIOD: Duration = Duration::from_secs(3_600);

/// `installs-per-hour` where the site does not set it.
const INSTALLS_PER_HOUR: u32 = 10;

impl Transaction<'_> {
    /// Opens the attempt: its documents are rendered and kept.
    pub fn opened(&mut self, opening: &NewAttempt) {
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

    /// Does not open the attempt: its documents could not be rendered or kept.
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
        // The next request may find it mended.
        self.server.volatile.boots.latest.remove(id);
        BootFromDisk {
            how: opening.how,
            platform: opening.platform,
            reason: Some(Blocked::Unrendered),
            report_to: None,
        }
    }

    /// Notes that the documents of an attempt of which nothing was read were rendered again.
    pub fn refreshed(&mut self, machine: MachineId) {
        self.server
            .volatile
            .attempts
            .rendered
            .insert(machine, self.snapshot.site.revision.clone());
    }

    /// Hands the same attempt out again, unless what it was opened for is no longer what would be done.
    pub(crate) fn repeat(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
        ask: &NetworkBoot,
        how: LocalBoot,
    ) -> Decision {
        let blocked = match self.readiness_or_hold(id, node, Phase::Repeat) {
            Ok(_) => return self.repetition(id),
            Err(blocked) => blocked,
        };
        if !blocked.ends_attempt() {
            return self.blocked(id, node, ask, how, blocked);
        }
        let attempt = self.machine(id).opened;
        let reason = blocked.to_string();
        self.record(id, MachineEvent::Closed { attempt, reason });
        if self.machine(id).is_due(node) {
            self.open(id, node, ask, how)
        } else {
            disk(ask, how, None)
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

    /// Opens an attempt, if nothing stands against it.
    pub(crate) fn open(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
        ask: &NetworkBoot,
        how: LocalBoot,
    ) -> Decision {
        let (bound, address) = match self.readiness_or_hold(id, node, Phase::Open) {
            Ok(Ready::Install { bound, address }) => (bound, address),
            Ok(Ready::Task(bound)) => return Decision::Script(id, bound.task),
            Ok(Ready::Attempt) => unreachable!("no attempt is open"),
            Err(blocked) => return self.blocked(id, node, ask, how, blocked),
        };
        Decision::Open(NewAttempt {
            machine: id,
            attempt: AttemptId {
                machine: id,
                number: self.machine(id).opened + 1,
            },
            installs: installs_of(node),
            address,
            policy: bound
                .policy
                .as_ref()
                .map(|policy| policy.name.value.clone()),
            task: bound.task,
            repo: bound.repo,
            by: ask.report.by,
            platform: ask.report.platform,
            how,
        })
    }

    /// What a machine boots that is not installed now.
    pub(crate) fn blocked(
        &self,
        id: MachineId,
        node: Option<&Node>,
        ask: &NetworkBoot,
        how: LocalBoot,
        blocked: Blocked,
    ) -> Decision {
        match blocked {
            Blocked::AddressUnprobed(addresses) => Decision::ProbeAddresses(addresses),
            blocked if blocked.ends_soon() => Decision::Wait(blocked),
            Blocked::Unbound {
                reason: Unbound::NoPolicy(_),
                ..
            } if self.discovers(ask) => Decision::Microkernel(id),
            Blocked::Unbound {
                reason: Unbound::NoPolicy(_),
                ..
            } if node.is_none() => disk(ask, how, None),
            Blocked::NotDue => disk(ask, how, None),
            blocked => disk(ask, how, Some(blocked)),
        }
    }

    fn discovers(&self, ask: &NetworkBoot) -> bool {
        let networks = &self.snapshot.site.networks;
        let network = ask.network.as_ref().and_then(|name| networks.get(name));
        let undeclared = network.and_then(|network| network.body.unknown.as_ref());
        undeclared.is_some_and(|mode| mode.value == UndeclaredMode::Discover)
    }

    /// A hold for an expectation ends when it holds by now; its reason is kept up to date.
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

    /// Tells whether an attempt of which nothing was read is too old.
    pub(crate) fn is_expired(&self, id: MachineId) -> bool {
        let since = self.server.volatile.attempts.since.get(id);
        let since = since.copied().unwrap_or_default();
        self.now.mono.since(since) >= DOCUMENTS_LIVE
    }

    /// Takes note of the repos from which nothing may be installed, since their image is not known to be the one that
    /// the site names.
    pub fn on_images(&mut self, unverified: BTreeMap<RepoName, String>) {
        self.server.volatile.unverified = unverified;
    }

    /// Why no installation may begin now, with so many others that are about to.
    pub(crate) fn over_limit(&self, announced: usize) -> Option<Blocked> {
        let limits = &self.snapshot.site.config.limits;
        let limit = limits.installs_per_hour.as_ref();
        let limit = limit.map_or(INSTALLS_PER_HOUR, |limit| limit.value);
        let opened = self.server.volatile.attempts.opened.iter().rev();
        let recent = opened.take_while(|at| self.now.mono.since(**at) < RATE_PERIOD);
        let is_full = recent.count() + announced >= limit as usize;
        is_full.then_some(Blocked::RateLimited { limit })
    }
}
