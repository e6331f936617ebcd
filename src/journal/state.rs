//! The state of all machines and of the whole site. It is the fold of the journal.

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
    /// The machines that were merged into another one, each with that machine.
    pub merged: BTreeMap<MachineId, MachineId>,
    /// The MACs that several machines have reported, which identify no further one.
    #[serde(default)]
    pub shared: BTreeSet<Mac>,
    /// The machines that are bound to each policy, for `max-count`.
    pub bound: BTreeMap<PolicyName, BTreeSet<MachineId>>,
    /// The times at which the latest attempts of declared machines were opened, for the limit per hour.
    pub opened: Vec<Timestamp>,
    /// The same for undeclared machines, which have a limit of their own.
    #[serde(default)]
    pub opened_undeclared: Vec<Timestamp>,
    /// The leases of every network's range. An expired lease is kept, so that its NIC gets the same address again.
    #[serde(default)]
    pub leases: BTreeMap<Ipv4Addr, Lease>,
    #[serde(default)]
    pub deliveries: DeliveryQueue,
    /// Whether all installations are paused.
    pub paused: bool,
    /// The reason to hold every installation until the state directory is declared new or taken over.
    pub lost: Option<String>,
    /// The reason to hold every machine without a recorded attempt.
    #[serde(default)]
    pub unrecorded: Option<String>,
    /// Whether machines without a recorded attempt are asked for their seals, in the microkernel.
    #[serde(default)]
    pub asks_machines: bool,
    /// The machines that were deleted although something was installed on them, oldest first.
    #[serde(default)]
    pub forgotten: Vec<MachineId>,
    /// The number of decisions about installations, which stay in the journal for ever.
    #[serde(default)]
    pub decisions: u64,
    /// Whether the server was started and has not stopped normally.
    #[serde(default)]
    pub is_running: bool,
    /// The time of the latest event.
    #[serde(default)]
    pub latest: Timestamp,
}

/// The lease of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The NIC's MAC; none if another host was found to use the address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<Mac>,
    /// The time at which the reservation of the address ends. The lease itself ends earlier.
    pub until: Timestamp,
}

/// What `StateDeclared` has if the machines are asked for their seals.
pub const FROM_MACHINES: &str = "from-machines";

/// Why machines without a recorded attempt are held after `init --state from-machines`.
const ASKED: &str = "nothing is recorded of it, and none of its disks has shown a seal of this site; it boots the microkernel once \
                     to report them; if it is new: `bootwright release`";

/// The same for the whole site.
const ASKED_ALL: &str = "machines without a recorded installation boot the microkernel once to report their disks: one with a seal \
                         of this site is `finished`, and one without is held until `bootwright release`";

/// The most times of opened attempts that are stored: more than any useful limit per hour.
const MAX_OPENED: usize = 10_000;

/// The number of deleted machines whose seals are recognised.
const MAX_FORGOTTEN: usize = 10_000;

impl JournalState {
    /// Returns a machine by its own number, or by the number of a machine that was merged into it.
    pub fn machine(&self, id: MachineId) -> Option<&Machine> {
        self.machines
            .get(self.resolve(id))
            .map(|machine| &**machine)
    }

    /// Returns the machine that now has the history of `id`: the machine itself, or the one into which it was merged.
    pub fn resolve(&self, mut id: MachineId) -> MachineId {
        while let Some(into) = self.merged.get(&id) {
            id = *into;
        }
        id
    }

    /// Why installations are held for the whole site, if they are.
    pub fn doubt(&self) -> Option<String> {
        if let Some(lost) = &self.lost {
            return Some(format!("installations are held: {lost}"));
        }
        let unrecorded = self.unrecorded.as_ref()?;
        Some(if self.asks_machines {
            ASKED_ALL.into()
        } else {
            format!("machines without a recorded installation are held: {unrecorded}")
        })
    }

    /// Applies a parsed line. An event of a later release is skipped. If it is critical, its machine is held.
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

    pub fn apply(&mut self, line: &JournalLine) {
        self.latest = self.latest.max(line.at);
        self.decisions += u64::from(line.event.is_of_installation());
        match (&line.event, line.machine) {
            (Event::Machine(event), Some(id)) => self.change(id, event, line.at),
            // Only a remark has no machine. It changes nothing.
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
            SiteEvent::StateDeclared { as_ } => {
                self.lost = None;
                self.asks_machines = as_ == FROM_MACHINES;
                self.unrecorded = self.asks_machines.then(|| ASKED.into());
                let machines = self.machines.values_mut();
                machines.for_each(|machine| drop(machine.holds.remove(&HoldCause::Journal)));
            }
            SiteEvent::Suspected { reason } => {
                self.unrecorded.get_or_insert_with(|| reason.clone());
            }
            SiteEvent::Trusted {} => {
                self.unrecorded = None;
                self.asks_machines = false;
            }
            SiteEvent::Started { .. } => self.is_running = true,
            SiteEvent::Stopped {} => self.is_running = false,
            SiteEvent::Reloaded { .. } => {}
        }
    }

    fn change(&mut self, id: MachineId, event: &MachineEvent, at: Timestamp) {
        let id = self.resolve(id);
        match event {
            MachineEvent::Merged { into } => return self.merge(id, self.resolve(*into)),
            MachineEvent::Forgotten { .. } => return self.forget(id),
            MachineEvent::Bound { policy, .. } => self.bind(id, policy.as_ref()),
            MachineEvent::Shared { mac } => drop(self.shared.insert(*mac)),
            MachineEvent::Attempt { .. } => {
                let machine = self.machines.get(id);
                let is_declared = machine.is_some_and(|machine| machine.node.is_some());
                let opened = match is_declared {
                    true => &mut self.opened,
                    false => &mut self.opened_undeclared,
                };
                opened.push(at);
                let surplus = opened.len().saturating_sub(MAX_OPENED);
                opened.drain(..surplus);
            }
            // The other events change only the machine.
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
            target.merge(*other);
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
        let forgotten = self.machines.remove(id);
        if forgotten.is_some_and(|machine| machine.was_bound()) {
            let merged = self.merged.iter().filter(|(_, into)| **into == id);
            self.forgotten.extend(merged.map(|(from, _)| *from));
            self.forgotten.push(id);
            let surplus = self.forgotten.len().saturating_sub(MAX_FORGOTTEN);
            self.forgotten.drain(..surplus);
        }
        self.merged.retain(|_, into| *into != id);
        self.unbind(id);
    }
}
