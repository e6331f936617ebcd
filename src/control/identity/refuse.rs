//! What a request gets that is not confirmed, or that contradicts what is known. It changes no machine that is known.

use std::time::Duration;

use super::{
    ambiguity::Ambiguity,
    identify::Identified,
    sender::{Confirmation, Sender},
    unconfirmed::Unconfirmed,
};
use crate::{
    control::{
        Decision, NetworkBoot, Transaction, boot::disk, diagnosis::progress::Observation,
        install::blocked::Blocked,
    },
    journal::{BootAnswer, MachineEvent, MachineId},
    model::{LocalBoot, SmallSet, UndeclaredMode},
};

/// A machine's log names refused requests at most once in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// How long a DHCP message shows that a machine boots.
const ANNOUNCEMENT: Duration = Duration::from_secs(10 * 60);

impl Transaction<'_> {
    /// Compares the sender of a request with the machine that it names.
    pub(crate) fn confirm(
        &self,
        found: &Identified,
        sender: &Sender,
    ) -> Result<Confirmation, Unconfirmed> {
        let nics = match (found.id, &found.node) {
            (None, None) => found.identity.mac.clone(),
            (id, node) => self.nics_of(id, node.as_deref()),
        };
        let is_strict = matches!(sender, Sender::Compared { strict: true, .. });
        if nics.is_empty() && is_strict {
            return Err(Unconfirmed::NoMac);
        }
        sender.confirm(&nics)
    }

    /// Returns whether a boot counts against a running installation: if it is confirmed, or if DHCP announced it.
    pub(crate) fn counts(&mut self, id: MachineId, confirmation: Confirmation) -> bool {
        let announced = self.server.volatile.boots.announced.remove(id);
        let is_announced = announced.is_some_and(|at| self.now.mono.since(at) <= ANNOUNCEMENT);
        confirmation.is_confirmed() || is_announced
    }

    /// Answers a machine whose MAC address is not confirmed. Nothing of its report is stored.
    pub(crate) fn refuse_unconfirmed(
        &mut self,
        ask: &NetworkBoot,
        found: &Identified,
        why: Unconfirmed,
    ) -> Decision {
        let blocked = Blocked::Unconfirmed(why);
        let id = match (found.id, &found.node) {
            (None, Some(node)) => Some(self.machine_of(node)),
            (id, _) => id,
        };
        self.log_refusal(ask, id, &blocked);
        disk(ask, LocalBoot::Auto, Some(blocked))
    }

    /// Answers a request that matches no machine, or more than one.
    pub(crate) fn boot_ambiguous(
        &mut self,
        ask: &NetworkBoot,
        id: Option<MachineId>,
        reason: Ambiguity,
    ) -> Decision {
        let blocked = Blocked::Ambiguous(reason);
        self.log_refusal(ask, id, &blocked);
        disk(ask, LocalBoot::Auto, Some(blocked))
    }

    /// Answers a machine that matches a node without MACs, none of whose NICs is known. The microkernel can report them.
    pub(crate) fn boot_without_mac(&mut self, ask: &NetworkBoot, found: &Identified) -> Decision {
        let macs = &found.identity.mac;
        let known = macs.first().and_then(|mac| self.server.index.mac.get(mac));
        let own = Identified {
            id: known.and_then(SmallSet::first).copied(),
            identity: found.identity.clone(),
            ..Identified::default()
        };
        let confirmation = match ask.sender.confirm(macs) {
            Ok(confirmation) => confirmation,
            Err(why) => return self.refuse_unconfirmed(ask, found, why),
        };
        let network = ask.network.as_ref();
        let network = network.and_then(|name| self.snapshot.site.networks.get(name));
        let unknown = network.map(|network| network.body.effective().unknown);
        let id = self.admit(&own, confirmation);
        match id.filter(|_| unknown == Some(UndeclaredMode::Discover)) {
            Some(id) => {
                let given = BootAnswer::Microkernel;
                self.record_boot(id, ask, given);
                Decision::Microkernel(id)
            }
            None => self.refuse_unconfirmed(ask, &own, Unconfirmed::NoMac),
        }
    }

    /// Records a refusal: at most one an hour for each machine, and one for all machines that are not known.
    pub(crate) fn log_refusal(
        &mut self,
        ask: &NetworkBoot,
        id: Option<MachineId>,
        blocked: &Blocked,
    ) {
        if let Some(id) = id {
            // The log has the reason, so the boot has not stopped without one.
            self.observe(id, Observation::Over);
        }
        if !self.may_log_refusal(id) {
            return;
        }
        match id {
            Some(id) => self.record_boot(id, ask, BootAnswer::Disk(blocked.to_string())),
            None => {
                let mac = ask.report.macs.first();
                let mac = mac.map_or_else(|| "a machine without MAC".into(), ToString::to_string);
                let text = format!("{mac} boots its disk: {blocked}");
                self.record_site(MachineEvent::Remark { text });
            }
        }
    }

    /// Remarks that another host sent a request of a machine, at most once an hour.
    pub(crate) fn remark_unconfirmed(&mut self, id: MachineId, text: String) {
        if self.may_log_refusal(Some(id)) {
            self.record(id, MachineEvent::Remark { text });
        }
    }

    /// Returns whether a refusal is logged now, and begins the interval in which no other is.
    pub(crate) fn may_log_refusal(&mut self, id: Option<MachineId>) -> bool {
        let now = self.now.mono;
        let boots = &mut self.server.volatile.boots;
        let last = match id {
            Some(id) => boots.refused.get(id).copied(),
            None => boots.refused_unknown,
        };
        if last.is_some_and(|last| now.since(last) < LOG_INTERVAL) {
            return false;
        }
        match id {
            Some(id) => drop(boots.refused.insert(id, now)),
            None => boots.refused_unknown = Some(now),
        }
        true
    }

    pub(crate) fn record_boot(&mut self, id: MachineId, ask: &NetworkBoot, given: BootAnswer) {
        let event = MachineEvent::Boot {
            by: ask.report.by,
            platform: ask.report.platform,
            given,
        };
        self.record(id, event);
    }
}
