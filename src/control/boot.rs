//! What a network boot is answered with.
//!
//! Booting never advances a machine: it opens an attempt or repeats one, and only what the machine then
//! reads and reports moves it on.

use std::time::Duration;

use super::{
    BootFromDisk, Decision, NetworkBoot, SettingLayers, Transaction,
    diagnosis::progress::Observation,
    identity::{ambiguity::Ambiguity, identify::Identified},
    install::{blocked::Blocked, gate::Phase},
    volatile::LatestBoot,
};
use crate::{
    journal::{AttemptId, BootAnswer, MachineEvent, MachineId},
    model::{Facts, Identity, LocalBoot, Node, UndeclaredMode},
};

/// For how long requests that carry no number are the same boot.
const SAME_BOOT: Duration = Duration::from_secs(60);

impl Transaction<'_> {
    /// Decides a network boot. A [`Decision::Open`] is followed by [`Transaction::reserve`], then [`Transaction::complete`] or
    /// [`Transaction::fail`].
    pub fn boot(&mut self, ask: &NetworkBoot) -> Decision {
        let identity = ask.report.identity();
        if self.is_ignored(ask, &identity) {
            return disk(ask, LocalBoot::Auto, None);
        }
        if let Some(reason) = &ask.unconfirmed {
            return self.refuse_unconfirmed(ask, reason);
        }
        let (id, node) = match self.identify(&identity) {
            Identified::NoIdentity => {
                return disk(ask, LocalBoot::Auto, Some(Blocked::NoIdentity));
            }
            Identified::Ambiguous(id, reason) => return self.boot_ambiguous(ask, id, reason),
            Identified::Machine(id, node) => (id, node),
        };
        if self.is_preparing(id) {
            return Decision::Preparing;
        }
        self.on_script_request(id);
        self.record_facts(id, ask);
        if let Some(same) = self.same_boot(id, ask) {
            self.observe_boot(id, ask, &same);
            return same;
        }
        let decision = self.decide(id, node.as_deref(), ask);
        if matches!(decision, Decision::ProbeAddresses(_)) {
            return decision;
        }
        if let Some(given) = given(&decision).filter(|_| !self.is_repeated_wait(id, ask, &decision))
        {
            self.record(
                id,
                MachineEvent::Boot {
                    by: ask.report.by,
                    platform: ask.report.platform,
                    given,
                },
            );
        }
        self.remember(id, ask, &decision);
        self.observe_boot(id, ask, &decision);
        decision
    }

    /// On a network that ignores strangers, a stranger leaves no trace.
    fn is_ignored(&self, ask: &NetworkBoot, identity: &Identity) -> bool {
        let network = ask
            .network
            .as_ref()
            .and_then(|name| self.snapshot.site.networks.get(name));
        let ignores = network.and_then(|network| network.body.unknown.as_ref());
        ignores.is_some_and(|unknown| unknown.value == UndeclaredMode::Ignore)
            && self.is_new_undeclared(identity)
    }

    pub(crate) fn is_new_undeclared(&self, identity: &Identity) -> bool {
        self.matches_no_declaration(identity) && self.server.machines_with(identity).is_empty()
    }

    pub(crate) fn matches_no_declaration(&self, identity: &Identity) -> bool {
        let declared = &self.snapshot.site.identities;
        declared.by_mac(identity).is_empty() && declared.by_board(identity).is_empty()
    }

    fn boot_ambiguous(
        &mut self,
        ask: &NetworkBoot,
        id: Option<MachineId>,
        reason: Ambiguity,
    ) -> Decision {
        let blocked = Blocked::Ambiguous(reason);
        if let Some(id) = id {
            let given = BootAnswer::Disk(blocked.to_string());
            self.observe(id, Observation::Over);
            self.record(
                id,
                MachineEvent::Boot {
                    by: ask.report.by,
                    platform: ask.report.platform,
                    given,
                },
            );
        }
        disk(ask, LocalBoot::Auto, Some(blocked))
    }

    /// What iPXE says of the machine are facts like any others.
    fn record_facts(&mut self, id: MachineId, ask: &NetworkBoot) {
        let report = &ask.report;
        let reported = Facts {
            manufacturer: report.manufacturer.clone(),
            product: report.product.clone(),
            serial: report.serial.clone(),
            uuid: report.uuid.clone(),
            asset: report.asset.clone(),
            firmware: report.platform,
            ..Facts::default()
        };
        if !self.machine(id).facts.covers(&reported) {
            self.record(
                id,
                MachineEvent::Facts {
                    facts: Box::new(reported),
                    attempt: None,
                },
            );
        }
        for what in &ask.dropped {
            self.record(id, MachineEvent::Dropped { what: what.clone() });
        }
    }

    /// Requests with the same number, or without one shortly after another, are one boot and get one answer.
    fn same_boot(&mut self, id: MachineId, ask: &NetworkBoot) -> Option<Decision> {
        let now = self.now.mono;
        let latest = self.server.volatile.boots.latest.get_mut(id)?;
        let same = match (&latest.id, &ask.boot) {
            (Some(a), Some(b)) => a == b,
            (_, None) => now.since(latest.at) <= SAME_BOOT,
            (None, Some(_)) => false,
        };
        if !same {
            return None;
        }
        latest.at = now;
        let decision = latest.decision.clone();
        let holds = match &decision {
            Decision::Repeat {
                machine, attempt, ..
            } => self.may_repeat(*machine, *attempt),
            Decision::Open(_)
            | Decision::Wait(_)
            | Decision::Preparing
            | Decision::ProbeAddresses(_) => false,
            Decision::Disk(_) | Decision::Microkernel(_) | Decision::Script(..) => true,
        };
        holds.then_some(decision)
    }

    /// A script that waits asks every half minute; that it does is told once.
    fn is_repeated_wait(&self, id: MachineId, ask: &NetworkBoot, decision: &Decision) -> bool {
        let latest = self.server.volatile.boots.latest.get(id);
        let same =
            latest.is_some_and(|latest| latest.id == ask.boot && latest.decision == *decision);
        same && matches!(decision, Decision::Wait(_))
    }

    pub(crate) fn may_repeat(&self, id: MachineId, attempt: AttemptId) -> bool {
        let open = self.machine(id).open().filter(|open| open.id == attempt);
        let is_unread = open.is_some_and(|open| !open.is_begun() && open.failed.is_none());
        let node = self.node_of(id);
        is_unread && self.readiness(id, node.as_deref(), Phase::SameBoot).is_ok()
    }

    fn remember(&mut self, id: MachineId, ask: &NetworkBoot, decision: &Decision) {
        let latest = LatestBoot {
            id: ask.boot.clone(),
            at: self.now.mono,
            decision: decision.clone(),
        };
        self.server
            .volatile
            .boots
            .latest
            .insert(id, Box::new(latest));
    }

    pub(crate) fn decide(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
        ask: &NetworkBoot,
    ) -> Decision {
        let how = self.local_boot(id, node);
        // A running installation is judged by this as well: its machine gets its disk.
        if let Err(blocked) = self.recheck_holds(id, node, Phase::Open) {
            return self.blocked(id, node, ask, how, blocked);
        }
        let machine = self.machine(id);
        match machine.open() {
            Some(attempt) if attempt.failed.is_some() => self.next_attempt(id, node, ask, how),
            Some(attempt) if attempt.is_begun() => self.try_disk_first(id, node, ask, how),
            Some(_) => self.repeat(id, node, ask, how),
            None if machine.is_due(node) => self.open(id, node, ask, how),
            None => disk(ask, how, None),
        }
    }

    pub(crate) fn local_boot(&self, id: MachineId, node: Option<&Node>) -> LocalBoot {
        let binding = self.machine(id).binding.as_ref();
        let policy =
            binding.and_then(|binding| self.snapshot.site.policies.get(binding.policy.as_ref()?));
        let named = node.and_then(|node| {
            self.snapshot
                .site
                .policies
                .get(&node.body.policy.as_ref()?.value)
        });
        let layers = SettingLayers::new(
            &self.snapshot.site,
            node,
            named.or(policy).map(|policy| &**policy),
        );
        layers
            .get(|settings| settings.local_boot.as_deref())
            .copied()
            .unwrap_or(LocalBoot::Auto)
    }
}

pub(crate) fn disk(ask: &NetworkBoot, how: LocalBoot, reason: Option<Blocked>) -> Decision {
    Decision::Disk(BootFromDisk {
        how,
        platform: ask.report.platform,
        reason,
        report_to: None,
    })
}

/// What the log says a boot was given; an attempt that is yet to be opened is told of when it is.
fn given(decision: &Decision) -> Option<BootAnswer> {
    Some(match decision {
        Decision::Disk(disk) => BootAnswer::Disk(
            disk.reason
                .as_ref()
                .map_or_else(|| "nothing is due".into(), ToString::to_string),
        ),
        Decision::Wait(reason) => BootAnswer::Wait(reason.to_string()),
        Decision::Microkernel(_) => BootAnswer::Microkernel,
        Decision::Script(_, task) => BootAnswer::Script(task.clone()),
        Decision::Repeat { attempt, .. } => BootAnswer::Installer(attempt.number),
        Decision::Open(_) | Decision::Preparing | Decision::ProbeAddresses(_) => return None,
    })
}
