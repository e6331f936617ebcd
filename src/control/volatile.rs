//! What only this run of the server remembers: no journal has it.
//!
//! It is lost with the run, and every use of it is such that losing it is safe: the machine boots its own disk once
//! more.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr},
};

use ipnet::Ipv4Net;

use super::{
    Decision, dhcp::pool::Pool, dhcp::requester::Strangers, dhcp::respond::Firmware,
    install::address_conflict::Look, install::deadline::Clock,
};
use crate::{
    journal::{MachineId, MachineMap},
    model::{Mac, MonotonicTime, NetworkName, RepoName, Revision},
};

/// What only this run remembers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    /// For new machine numbers.
    pub(super) seed: u64,
    /// The latest network boot of each machine.
    pub(crate) boots: MachineMap<Box<LatestBoot>>,
    /// When a machine that was installing was last sent to its disk, and in which attempt.
    pub(crate) disk_tried: MachineMap<(u32, MonotonicTime)>,
    /// The running deadline of each machine.
    pub(crate) clocks: MachineMap<Clock>,
    /// The same, by when they end.
    pub(crate) due: BTreeSet<(MonotonicTime, MachineId)>,
    /// When the attempts of the last hour were opened.
    pub(crate) opened: VecDeque<MonotonicTime>,
    /// When each open attempt was opened, for how long its documents live.
    pub(crate) since: MachineMap<MonotonicTime>,
    /// By which revision each open attempt's documents were rendered.
    pub(crate) rendered: MachineMap<Option<Revision>>,
    /// How each machine comes to boot.
    pub(crate) firmware: MachineMap<Firmware>,
    /// When each boot is to have gone on.
    pub(crate) stalls: BTreeSet<(MonotonicTime, MachineId)>,
    /// Which declared machines were never seen, and when that was looked up.
    pub(crate) unseen: Option<(MonotonicTime, Option<String>)>,
    /// The machine that last got a script at an address.
    pub(crate) at: BTreeMap<IpAddr, MachineId>,
    /// Which address was offered to a card of late, and the same by address.
    pub(crate) offers: BTreeMap<Mac, (Ipv4Addr, MonotonicTime)>,
    pub(crate) offered: BTreeMap<Ipv4Addr, (Mac, MonotonicTime)>,
    /// Where in each network's range the next free address is looked for, and since when.
    pub(crate) pools: BTreeMap<NetworkName, (MonotonicTime, Pool)>,
    /// Strangers that became known by DHCP of late.
    pub(crate) strangers: Strangers,
    /// On which links addresses can be asked for, and who has answered for which of late.
    pub(crate) links: Vec<Ipv4Net>,
    pub(crate) looks: BTreeMap<Ipv4Addr, Look>,
    /// Repos whose image is not known to be the one that the site names, each with the reason.
    pub(crate) unproven: BTreeMap<RepoName, String>,
    /// When each machine in the microkernel last reported.
    pub(crate) reported: MachineMap<MonotonicTime>,
    /// Which are to switch themselves off when they ask.
    pub(crate) switching_off: BTreeSet<MachineId>,
    /// Which were told to boot anew, and when.
    pub(crate) rebooting: BTreeMap<MachineId, MonotonicTime>,
    /// Remarks made once to a machine's log.
    pub(crate) remarked: BTreeSet<(MachineId, String)>,
}

/// A network boot and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LatestBoot {
    pub(crate) id: Option<String>,
    pub(crate) at: MonotonicTime,
    pub(crate) decision: Decision,
}

impl Run {
    /// Remembers nothing yet. `seed` is random.
    pub(super) fn new(seed: u64) -> Self {
        Run {
            seed,
            boots: MachineMap::default(),
            disk_tried: MachineMap::default(),
            clocks: MachineMap::default(),
            due: BTreeSet::new(),
            opened: VecDeque::new(),
            since: MachineMap::default(),
            rendered: MachineMap::default(),
            firmware: MachineMap::default(),
            stalls: BTreeSet::new(),
            unseen: None,
            at: BTreeMap::new(),
            offers: BTreeMap::new(),
            offered: BTreeMap::new(),
            pools: BTreeMap::new(),
            strangers: Strangers::default(),
            links: Vec::new(),
            looks: BTreeMap::new(),
            unproven: BTreeMap::new(),
            reported: MachineMap::default(),
            switching_off: BTreeSet::new(),
            rebooting: BTreeMap::new(),
            remarked: BTreeSet::new(),
        }
    }

    /// Remembers nothing of a machine any more.
    pub(super) fn forget(&mut self, id: MachineId) {
        self.boots.remove(id);
        if let Some(firmware) = self.firmware.remove(id) {
            if let Some(due) = firmware.trail.due() {
                self.stalls.remove(&(due, id));
            }
            if let Some(at) = firmware.at.filter(|at| self.at.get(at) == Some(&id)) {
                self.at.remove(&at);
            }
        }
        self.disk_tried.remove(id);
        self.reported.remove(id);
        self.switching_off.remove(&id);
        self.rebooting.remove(&id);
        self.since.remove(id);
        self.rendered.remove(id);
        let own = (id, String::new())..;
        let own = self.remarked.range(own).take_while(|(of, _)| *of == id);
        let own: Vec<_> = own.cloned().collect();
        for remark in own {
            self.remarked.remove(&remark);
        }
        if let Some(clock) = self.clocks.remove(id) {
            self.due.remove(&(clock.due, id));
        }
    }
}
