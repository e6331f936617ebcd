//! Everything that has happened, folded: every machine, and what concerns the whole site.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::Ipv4Addr,
};

use serde::{Deserialize, Serialize};

use super::{
    DeliveryQueue, Event, HoldCause, JournalLine, LeaseEvent, Machine, MachineEvent, MachineId,
    MachineMap, ParsedLine, SiteEvent,
};
use crate::model::{Mac, PolicyName, Timestamp};

/// The fold of a journal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct JournalState {
    /// Every machine that is not merged into another or forgotten.
    pub machines: MachineMap<Box<Machine>>,
    /// Where the history of a merged machine went.
    pub merged: BTreeMap<MachineId, MachineId>,
    /// Who is bound to each policy, for `max-count`.
    pub bound: BTreeMap<PolicyName, BTreeSet<MachineId>>,
    /// When the latest attempts were opened, for the limit per hour.
    pub opened: Vec<Timestamp>,
    /// The leases of every network's range, those that have ended among them: who had an address gets it again.
    #[serde(default)]
    pub leases: BTreeMap<Ipv4Addr, Lease>,
    /// What programs are still to hear.
    #[serde(default)]
    pub deliveries: DeliveryQueue,
    /// Whether every hand-out is stopped.
    pub paused: bool,
    /// Why every installation is held until the state directory is declared new or taken over.
    pub lost: Option<String>,
}

/// Who has an address, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The card; none: somebody else was found to use the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// When it ends.
    pub until: Timestamp,
}

/// How many openings are remembered: more than any limit per hour that makes sense.
const REMEMBERED: usize = 10_000;

impl JournalState {
    /// Returns a machine by its own number, or by that of one that was merged into it.
    pub fn machine(&self, id: MachineId) -> Option<&Machine> {
        self.machines
            .get(self.resolve(id))
            .map(|machine| &**machine)
    }

    /// Returns where a history is kept now.
    pub fn resolve(&self, mut id: MachineId) -> MachineId {
        while let Some(into) = self.merged.get(&id) {
            id = *into;
        }
        id
    }

    /// Takes in a line as it was read: an event that nobody here knows is skipped, unless its writer called
    /// it critical; that holds its machine.
    pub fn take(&mut self, parsed: &ParsedLine) {
        match parsed {
            ParsedLine::Known(line) => self.apply(line),
            ParsedLine::Unknown {
                at,
                machine: Some(id),
                event,
                critical: true,
            } => {
                let reason = format!(
                    "its journal has `{event}`, which this release does not know: use the newer one"
                );
                let cause = HoldCause::Journal;
                self.change(*id, &MachineEvent::Held { cause, reason }, *at);
            }
            ParsedLine::Unknown { .. } => {}
        }
    }

    /// Takes one line in.
    pub fn apply(&mut self, line: &JournalLine) {
        match (&line.event, line.machine) {
            (Event::Machine(event), Some(id)) => self.change(id, event, line.at),
            // A remark on the whole site changes nothing.
            (Event::Machine(_), None) => {}
            (Event::Lease(event), _) => self.change_lease(event),
            (Event::Delivery(event), id) => {
                self.deliveries.apply(id, event, line.at);
                id.map(|id| self.machine_or_new(self.resolve(id), line.at));
            }
            (Event::Site(event), _) => self.change_site(event),
        }
    }

    fn change_lease(&mut self, event: &LeaseEvent) {
        match event {
            LeaseEvent::Granted {
                address,
                mac,
                until,
            } => {
                let lease = Lease {
                    mac: *mac,
                    until: *until,
                };
                self.leases.insert(*address, lease);
            }
            LeaseEvent::Ended { address } => {
                self.leases.remove(address);
            }
        }
    }

    fn change_site(&mut self, event: &SiteEvent) {
        match event {
            SiteEvent::Paused {} => self.paused = true,
            SiteEvent::Resumed {} => self.paused = false,
            SiteEvent::StateLost { reason } => self.lost = Some(reason.clone()),
            SiteEvent::StateDeclared { .. } => {
                self.lost = None;
                let machines = self.machines.values_mut();
                machines.for_each(|machine| drop(machine.holds.remove(&HoldCause::Journal)));
            }
            SiteEvent::Started { .. } | SiteEvent::Stopped {} | SiteEvent::Reloaded { .. } => {}
        }
    }

    fn change(&mut self, id: MachineId, event: &MachineEvent, at: Timestamp) {
        let id = self.resolve(id);
        match event {
            MachineEvent::Merged { into } => return self.merge(id, self.resolve(*into)),
            MachineEvent::Forgotten { .. } => return self.forget(id),
            MachineEvent::Bound { policy, .. } => self.bind(id, policy.as_ref()),
            MachineEvent::Attempt { .. } => {
                self.opened.push(at);
                let surplus = self.opened.len().saturating_sub(REMEMBERED);
                self.opened.drain(..surplus);
            }
            // The rest concerns the machine alone.
            _ => {}
        }
        self.machine_or_new(id, at).apply(event, at);
    }

    fn machine_or_new(&mut self, id: MachineId, at: Timestamp) -> &mut Machine {
        let new = || Box::new(Machine::new(id, at));
        self.machines.get_or_insert_with(id, new)
    }

    fn bind(&mut self, id: MachineId, policy: Option<&PolicyName>) {
        self.unbind(id);
        if let Some(policy) = policy {
            self.bound.entry(policy.clone()).or_default().insert(id);
        }
    }

    fn unbind(&mut self, id: MachineId) {
        self.bound.retain(|_, machines| {
            machines.remove(&id);
            !machines.is_empty()
        });
    }

    fn merge(&mut self, id: MachineId, into: MachineId) {
        if id == into {
            return;
        }
        let Some(other) = self.machines.remove(id) else {
            return;
        };
        self.unbind(id);
        self.merged.insert(id, into);
        if let Some(target) = self.machines.get_mut(into) {
            target.absorb(*other);
            let policy = target
                .binding
                .as_ref()
                .and_then(|binding| binding.policy.clone());
            self.bind(into, policy.as_ref());
        } else {
            let other = Machine { id: into, ..*other };
            self.machines.insert(into, Box::new(other));
        }
    }

    fn forget(&mut self, id: MachineId) {
        self.machines.remove(id);
        self.merged.retain(|_, into| *into != id);
        self.unbind(id);
    }
}
