//! Decides what a network boot is answered with.
//!
//! A network boot opens an attempt or repeats one. It never advances a machine: only what the machine
//! then reads and reports does.

use std::time::Duration;

use super::{
    BootFromDisk, Decision, NetworkBoot, SettingLayers, Transaction,
    identity::{ambiguity::Ambiguity, sender::Confirmation, unconfirmed::Unconfirmed},
    install::{blocked::Blocked, gate::Phase},
    request::dropped_values,
    volatile::LatestBoot,
};
use crate::{
    journal::{AttemptId, BootAnswer, MachineEvent, MachineId},
    model::{Facts, Identity, LocalBoot, Node, UndeclaredMode},
};

/// Requests without a boot number belong to the same boot if they arrive within this time of each other.
const SAME_BOOT_WINDOW: Duration = Duration::from_secs(60);

impl Transaction<'_> {
    /// Decides a network boot. A [`Decision::Open`] is followed by [`Transaction::reserve`], then by [`Transaction::complete`]
    /// or [`Transaction::fail`].
    pub fn boot(&mut self, request: &NetworkBoot) -> Decision {
        if self.is_ignored(request) {
            return disk(request, LocalBoot::Auto, None);
        }
        let Some(found) = self.identify(&request.report) else {
            return disk(request, LocalBoot::Auto, Some(Blocked::NoIdentity));
        };
        let confirmation = match self.confirm(&found, &request.sender) {
            Ok(confirmation) => confirmation,
            Err(Unconfirmed::NoMac) => return self.boot_without_mac(request, &found),
            Err(why) => return self.refuse_unconfirmed(request, &found, why),
        };
        let id = self.admit(&found, confirmation);
        if let Some(ambiguity) = &found.ambiguity {
            // The board of a machine that is confirmed shows later that it is the one that was installed from its other NIC.
            let is_known = matches!(ambiguity, Ambiguity::OtherMachine { .. });
            if let Some(id) = id.filter(|_| is_known && confirmation.is_confirmed()) {
                self.learn_boot(id, &found, &request.report);
            }
            return self.boot_ambiguous(request, id, ambiguity.clone());
        }
        let Some(id) = id else {
            return disk(request, LocalBoot::Auto, Some(Blocked::TooManyNew));
        };
        let id = match confirmation.is_confirmed() {
            true => self.learn_boot(id, &found, &request.report),
            false => id,
        };
        self.boot_known(id, found.node.as_deref(), request, confirmation)
    }

    fn boot_known(
        &mut self,
        id: MachineId,
        node: Option<&Node>,
        request: &NetworkBoot,
        confirmation: Confirmation,
    ) -> Decision {
        if self.is_preparing(id) {
            return Decision::Preparing;
        }
        if !self.counts(id, confirmation) && self.has_running_attempt(id) {
            let blocked = Blocked::DiskFirst;
            self.log_refusal(request, Some(id), &blocked);
            return disk(request, self.local_boot(id, node), Some(blocked));
        }
        self.on_script_request(id);
        if confirmation.is_confirmed() || self.machine(id).is_due(node) {
            self.record_boot_facts(id, request, confirmation);
        }
        if let Some(decision) = self.latest_answer(id, request) {
            self.observe_boot(id, request, &decision);
            return decision;
        }
        let decision = self.decide(id, node, request);
        if matches!(decision, Decision::ProbeAddresses(_)) {
            return decision;
        }
        if let Some(given) =
            boot_answer(&decision).filter(|_| !self.is_repeated_wait(id, request, &decision))
        {
            self.record_boot(id, request, given);
        }
        if let (Confirmation::Claimed(Some(why)), Decision::Open(_) | Decision::Repeat { .. }) =
            (confirmation, &decision)
        {
            self.remark_unconfirmed(id, why.to_string());
        }
        self.store_latest_boot(id, request, &decision);
        self.observe_boot(id, request, &decision);
        decision
    }

    /// Whether an installation is running or has failed, so that another boot may end it.
    fn has_running_attempt(&self, id: MachineId) -> bool {
        let open = self.machine(id).open();
        open.is_some_and(|attempt| attempt.is_begun() || attempt.failed.is_some())
    }

    /// Returns whether the machine is undeclared and its network ignores undeclared machines. Nothing is recorded about such a
    /// machine.
    fn is_ignored(&self, request: &NetworkBoot) -> bool {
        let network = request
            .network
            .as_ref()
            .and_then(|name| self.snapshot.site.networks.get(name));
        let unknown = network.map(|network| network.body.effective().unknown);
        unknown == Some(UndeclaredMode::Ignore)
            && self.is_new_undeclared(&self.identity(&request.report))
    }

    pub(crate) fn is_new_undeclared(&self, identity: &Identity) -> bool {
        let declared = &self.snapshot.site.identities;
        declared.by_mac(identity).is_empty()
            && declared.by_board(identity).is_empty()
            && self.server.machines_with(identity).is_empty()
    }

    /// Records what the boot program reports about the machine as facts.
    fn record_boot_facts(
        &mut self,
        id: MachineId,
        request: &NetworkBoot,
        confirmation: Confirmation,
    ) {
        let report = &request.report;
        let facts = Facts {
            manufacturer: report.manufacturer.clone(),
            product: report.product.clone(),
            serial: report.serial.clone(),
            uuid: report.uuid.clone(),
            asset: report.asset.clone(),
            firmware: report.platform,
            ..Facts::default()
        };
        if self.admits_facts(id, &facts) {
            self.record_facts(id, facts, None, confirmation);
        }
        if let Some(what) = dropped_values(&request.dropped) {
            self.record(id, MachineEvent::Dropped { what });
        }
    }

    /// Returns the machine's latest answer if the request belongs to the same boot and the answer still applies. Requests belong
    /// to one boot if they carry the same number, or no number and follow within [`SAME_BOOT_WINDOW`].
    fn latest_answer(&mut self, id: MachineId, request: &NetworkBoot) -> Option<Decision> {
        let now = self.now.mono;
        let latest = self.server.volatile.boots.latest.get_mut(id)?;
        let same = match (&latest.id, &request.boot) {
            (Some(a), Some(b)) => a == b,
            (_, None) => now.since(latest.at) <= SAME_BOOT_WINDOW,
            (None, Some(_)) => false,
        };
        if !same {
            return None;
        }
        latest.at = now;
        let decision = latest.decision.clone();
        let still_applies = match &decision {
            Decision::Repeat {
                machine, attempt, ..
            } => self.may_repeat(*machine, *attempt),
            Decision::Open(_)
            | Decision::Wait(_)
            | Decision::Preparing
            | Decision::ProbeAddresses(_) => false,
            Decision::Disk(_) | Decision::Microkernel(_) | Decision::Script(..) => true,
        };
        still_applies.then_some(decision)
    }

    /// Returns whether the boot waits as its previous request did. A waiting script requests again every 30 s; only the first
    /// request is recorded.
    fn is_repeated_wait(&self, id: MachineId, request: &NetworkBoot, decision: &Decision) -> bool {
        let latest = self.server.volatile.boots.latest.get(id);
        let same =
            latest.is_some_and(|latest| latest.id == request.boot && latest.decision == *decision);
        same && matches!(decision, Decision::Wait(_))
    }

    pub(crate) fn may_repeat(&self, id: MachineId, attempt: AttemptId) -> bool {
        let open = self.machine(id).open().filter(|open| open.id == attempt);
        let is_unread = open.is_some_and(|open| !open.is_begun() && open.failed.is_none());
        let node = self.node_of(id);
        is_unread && self.readiness(id, node.as_deref(), Phase::SameBoot).is_ok()
    }

    fn store_latest_boot(&mut self, id: MachineId, request: &NetworkBoot, decision: &Decision) {
        let latest = LatestBoot {
            id: request.boot.clone(),
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
        request: &NetworkBoot,
    ) -> Decision {
        let local_boot = self.local_boot(id, node);
        // Holds apply to a running installation as well: its machine boots its disk.
        if let Err(blocked) = self.recheck_holds(id, node, Phase::Open) {
            return self.blocked(id, node, request, local_boot, blocked);
        }
        let machine = self.machine(id);
        match machine.open() {
            Some(attempt) if attempt.failed.is_some() => {
                self.next_attempt(id, node, request, local_boot)
            }
            Some(attempt) if attempt.is_begun() => {
                self.try_disk_first(id, node, request, local_boot)
            }
            Some(_) => self.repeat(id, node, request, local_boot),
            None if machine.is_due(node) => self.open(id, node, request, local_boot),
            None => disk(request, local_boot, None),
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
        layers.effective().local_boot
    }
}

pub(crate) fn disk(
    request: &NetworkBoot,
    local_boot: LocalBoot,
    reason: Option<Blocked>,
) -> Decision {
    Decision::Disk(BootFromDisk {
        local_boot,
        platform: request.report.platform,
        reason,
        report_to: None,
    })
}

/// Returns the answer to record. A new attempt is recorded when it is opened.
fn boot_answer(decision: &Decision) -> Option<BootAnswer> {
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
