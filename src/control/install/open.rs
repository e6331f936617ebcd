//! When an attempt is opened, and when the same one is handed out again.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use crate::control::{
    BootAsk, Bound, Decision, Disk, Layers, Opening, Transaction, Unbound,
    boot::disk,
    diagnosis::progress::Observation,
    install::address_conflict::{AddressConflict, taken},
};
use crate::{
    journal::{AttemptId, BootAnswer, Event, HoldCause, Machine, MachineId},
    matcher::TruthValue,
    model::{LocalBoot, Node, RepoName, UndeclaredMode},
};

/// For how long an attempt's documents are served.
pub(crate) const DOCUMENTS_LIVE: Duration = Duration::from_secs(24 * 3_600);

const PAUSED: &str = "paused: no installer is handed out until `bootwright resume`";

impl Transaction<'_> {
    /// Opens the attempt: its documents are rendered and kept.
    pub fn opened(&mut self, opening: &Opening) {
        let id = opening.machine;
        let binding = self.machine(id).binding.as_ref();
        let same = binding
            .is_some_and(|has| has.policy == opening.policy && has.address == opening.address);
        if !same {
            self.record(
                id,
                Event::Bound {
                    policy: opening.policy.clone(),
                    address: opening.address,
                },
            );
        }
        self.record(
            id,
            Event::Attempt {
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
            Event::Boot {
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
    pub fn not_opened(&mut self, opening: &Opening, reason: String) -> Disk {
        let id = opening.machine;
        self.record(
            id,
            Event::Unrendered {
                reason: reason.clone(),
            },
        );
        self.record(
            id,
            Event::Boot {
                by: opening.by,
                platform: opening.platform,
                given: BootAnswer::Disk(reason),
            },
        );
        self.saw(id, Observation::Over);
        // The next request may find it mended.
        self.server.volatile.boots.latest.remove(id);
        Disk {
            how: opening.how,
            platform: opening.platform,
            reason: Some("its installation cannot be prepared; see the server's log".into()),
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
        ask: &BootAsk,
        how: LocalBoot,
    ) -> Decision {
        if let Some(reason) = self.outdated(id, node) {
            let attempt = self.machine(id).opened;
            let reason = reason.into();
            self.record(id, Event::Closed { attempt, reason });
            return if is_due(self.machine(id), node) {
                self.open(id, node, ask, how)
            } else {
                disk(ask, how, None)
            };
        }
        if self.server.state.paused {
            return disk(ask, how, Some(PAUSED.into()));
        }
        if let Ok(bound) = self.binding(id, node)
            && let Some(reason) = self.unmet(id, node, &bound)
        {
            self.hold(id, HoldCause::Expect, &reason);
            return disk(ask, how, Some(format!("held: {reason}")));
        }
        let repo = self.machine(id).open().and_then(|open| open.repo.as_ref());
        if let Some(reason) = self.unproven(repo) {
            return Decision::Wait(reason);
        }
        let binding = self.machine(id).binding.as_ref();
        let pooled = binding.and_then(|binding| binding.address);
        if let Some(first) = self.unless_free(id, node, pooled, ask, how) {
            return first;
        }
        let attempt = self
            .machine(id)
            .open()
            .expect("an open attempt is repeated");
        let rendered = self.server.volatile.attempts.rendered.get(id);
        Decision::Repeat {
            machine: id,
            attempt: attempt.id,
            is_stale: rendered != Some(&self.snapshot.site.revision),
        }
    }

    /// Tells why an attempt of which nothing was read is no longer what would be opened now.
    fn outdated(&mut self, id: MachineId, node: Option<&Node>) -> Option<&'static str> {
        if !is_due(self.machine(id), node) {
            return Some("no installation is due any more");
        }
        let since = self
            .server
            .volatile
            .attempts
            .since
            .get(id)
            .copied()
            .unwrap_or_default();
        if self.now.mono.since(since) >= DOCUMENTS_LIVE {
            return Some("nothing was read for 24 hours");
        }
        let Ok(bound) = self.binding(id, node) else {
            return Some("nothing binds it any more");
        };
        let address = self.pooled(id, node, &bound);
        let machine = self.machine(id);
        let attempt = machine.open().expect("an open attempt is repeated");
        let policy = bound.policy.as_ref().map(|policy| &policy.name.value);
        let before = machine.binding.as_ref();
        let same = bound.task == attempt.task
            && bound.repo == attempt.repo
            && policy == before.and_then(|binding| binding.policy.as_ref())
            && address == Ok(before.and_then(|binding| binding.address));
        (!same).then_some("its binding changed before anything was read")
    }

    /// Opens an attempt, if everything that must be so is.
    pub(crate) fn open(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
        ask: &BootAsk,
        how: LocalBoot,
    ) -> Decision {
        let bound = match self.binding(id, node) {
            Ok(bound) => bound,
            Err(unbound) => return self.unbound(id, ask, how, node, &unbound),
        };
        let traits = self.snapshot.tasks.get(&bound.task);
        match traits {
            None => return disk(ask, how, Some(format!("there is no task `{}`", bound.task))),
            Some(traits) if !traits.installs => return Decision::Script(id, bound.task),
            Some(_) => {}
        }
        if self.server.state.paused {
            return disk(ask, how, Some(PAUSED.into()));
        }
        if let Some(reason) = self.unmet(id, node, &bound) {
            self.hold(id, HoldCause::Expect, &reason);
            return disk(ask, how, Some(format!("held: {reason}")));
        }
        let address = match self.pooled(id, node, &bound) {
            Ok(address) => address,
            Err(why) => return disk(ask, how, Some(why.to_string())),
        };
        if let Some(reason) = self.namesake(id, node, &bound, address) {
            self.remark_once(id, reason.clone());
            return disk(ask, how, Some(reason));
        }
        if let Some(reason) = self.unproven(bound.repo.as_ref()) {
            return Decision::Wait(reason);
        }
        if let Some(reason) = self.over_limit(0) {
            return Decision::Wait(reason);
        }
        if let Some(first) = self.unless_free(id, node, address, ask, how) {
            return first;
        }
        Decision::Open(Opening {
            machine: id,
            attempt: AttemptId {
                machine: id,
                number: self.machine(id).opened + 1,
            },
            installs: installs(node),
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

    /// What comes before an installation whose static addresses are not known to be free.
    fn unless_free(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
        pooled: Option<IpAddr>,
        ask: &BootAsk,
        how: LocalBoot,
    ) -> Option<Decision> {
        match self.address_conflict(id, node, pooled) {
            AddressConflict::None | AddressConflict::NotLocal => None,
            AddressConflict::NeedsProbe(addresses) => Some(Decision::ProbeAddresses(addresses)),
            AddressConflict::InUse(ip, other) => {
                let reason = taken(ip, other);
                self.hold(id, HoldCause::Address, &reason);
                Some(disk(ask, how, Some(format!("held: {reason}"))))
            }
        }
    }

    fn unbound(
        &self,
        id: MachineId,
        ask: &BootAsk,
        how: LocalBoot,
        node: Option<&Node>,
        unbound: &Unbound,
    ) -> Decision {
        let network = ask
            .network
            .as_ref()
            .and_then(|name| self.snapshot.site.networks.get(name));
        let unknown = network.and_then(|network| network.body.unknown.as_ref());
        let discovers = unknown.is_some_and(|unknown| unknown.value == UndeclaredMode::Discover);
        match unbound {
            Unbound::NoPolicy(_) if discovers => Decision::Microkernel(id),
            Unbound::NoPolicy(_) if node.is_none() => disk(ask, how, None),
            Unbound::NoPolicy(_) => disk(ask, how, Some("no policy binds it".into())),
            Unbound::Named(policy, mismatch) => {
                disk(ask, how, Some(format!("policy {policy}: {mismatch}")))
            }
            Unbound::NoTask => disk(ask, how, Some("nothing says which task installs it".into())),
        }
    }

    /// What is expected before anything is wiped, when it does not hold.
    pub(crate) fn unmet(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
        bound: &Bound,
    ) -> Option<String> {
        let layers = Layers::new(&self.snapshot.site, node, bound.policy.as_deref());
        let expect = layers.get(|settings| settings.expect.as_deref())?.clone();
        let tags = self.tags(id, node);
        match self
            .snapshot
            .rules
            .policy(&expect, &self.machine(id).facts, &tags)
        {
            TruthValue::Yes => None,
            TruthValue::No => Some(format!("`{expect}` does not hold")),
            TruthValue::Unknown(reason) => Some(format!("`{expect}` is unknown: {reason}")),
        }
    }

    /// An expectation that holds by now releases by itself; one that does not says why as things are now.
    pub(crate) fn ask_expectation_again(&mut self, id: MachineId, node: Option<&Node>) {
        if !self.machine(id).holds.contains_key(&HoldCause::Expect) {
            return;
        }
        let Ok(bound) = self.binding(id, node) else {
            return;
        };
        match self.unmet(id, node, &bound) {
            Some(reason) => self.hold(id, HoldCause::Expect, &reason),
            None => self.end_hold(id, HoldCause::Expect),
        }
    }

    /// Takes note of the repos from which nothing may be installed, since their image is not known to be the one that
    /// the site names.
    pub fn on_images(&mut self, unproven: BTreeMap<RepoName, String>) {
        self.server.volatile.unverified = unproven;
    }

    /// Why nothing may be installed from a repo.
    pub(crate) fn unproven(&self, repo: Option<&RepoName>) -> Option<String> {
        self.server.volatile.unverified.get(repo?).cloned()
    }

    /// Why no installation may begin now, with so many others that are about to.
    pub(crate) fn over_limit(&mut self, coming: usize) -> Option<String> {
        let limit = self
            .snapshot
            .site
            .config
            .limits
            .installs_per_hour
            .as_ref()
            .map_or(10, |limit| limit.value);
        let (now, opened) = (self.now.mono, &mut self.server.volatile.attempts.opened);
        while opened
            .front()
            .is_some_and(|at| now.since(*at) >= Duration::from_secs(3_600))
        {
            opened.pop_front();
        }
        let full = opened.len() + coming >= limit as usize;
        full.then(|| {
            format!("{limit} installations were begun within the hour (`installs-per-hour`)")
        })
    }
}

/// Tells whether an installation is due.
pub(crate) fn is_due(machine: &Machine, node: Option<&Node>) -> bool {
    machine.reinstall || installs(node) > machine.done
}

/// A node's `installs`; an undeclared machine is installed once.
pub(crate) fn installs(node: Option<&Node>) -> u32 {
    node.and_then(|node| node.body.installs.as_ref())
        .map_or(1, |installs| installs.value)
}
