//! What the server keeps in memory only.
//!
//! It is lost when the server stops. Every use of it is safe without it: at worst, a machine boots its local disk once more.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use ipnet::Ipv4Net;

use super::{
    Decision, dhcp::pool::AddressPool, diagnosis::progress::BootProgress,
    install::preparation::Preparation, remarks::RecordedRemarks, report_budget::ReportBudgets,
};
use crate::{
    journal::{MachineId, MachineMap},
    model::{Mac, MonotonicTime, NetworkName, RepoName, Revision, SmallSet, Timestamp},
};

/// What the server keeps in memory only, by subject.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct VolatileState {
    /// For new machine numbers.
    pub(super) seed: u64,
    pub(crate) boots: RecentBoots,
    pub(crate) discovery: DiscoveryRateLimit,
    pub(crate) attempts: AttemptTimes,
    pub(crate) deadlines: RunningDeadlines,
    pub(crate) progress: ObservedBoots,
    pub(crate) dhcp: DhcpOffers,
    pub(crate) addresses: ProbedAddresses,
    pub(crate) microkernels: RunningMicrokernels,
    /// The NICs of simulated machines, and since when.
    pub(crate) simulated: BTreeMap<Mac, MonotonicTime>,
    /// Repos whose image is not verified, each with the reason.
    pub(crate) unverified: BTreeMap<RepoName, String>,
    pub(crate) remarks: RecordedRemarks,
    pub(crate) reports: ReportBudgets,
    /// Why no new installation is recorded, while the journal cannot be written.
    pub(crate) unwritable: Option<String>,
}

/// The latest network boots.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct RecentBoots {
    pub(crate) latest: MachineMap<Box<LatestBoot>>,
    /// When a machine that was installing was last sent to its disk, and in which attempt.
    pub(crate) disk_tried: MachineMap<(u32, MonotonicTime)>,
    /// When a packet from a machine's MAC showed that it boots, since its latest boot.
    pub(crate) announced: MachineMap<MonotonicTime>,
    /// When a machine's log last named a refused or ambiguous request.
    pub(crate) refused: MachineMap<MonotonicTime>,
    /// The same for all machines that are not known.
    pub(crate) refused_unknown: Option<MonotonicTime>,
}

/// A network boot and its answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct LatestBoot {
    pub(crate) id: Option<String>,
    pub(crate) at: MonotonicTime,
    pub(crate) decision: Decision,
}

/// When attempts were opened, and with which site.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct AttemptTimes {
    /// When the attempts of declared machines were opened.
    pub(crate) opened: VecDeque<MonotonicTime>,
    /// When those of undeclared machines were opened.
    pub(crate) opened_undeclared: VecDeque<MonotonicTime>,
    /// When each open attempt was opened. Its documents are served for a limited time from then on.
    pub(crate) since: MachineMap<MonotonicTime>,
    /// By which revision each open attempt's documents were rendered.
    pub(crate) rendered: MachineMap<Option<Revision>>,
    /// The attempts whose files are being rendered and written.
    pub(crate) preparing: BTreeMap<MachineId, Preparation>,
}

/// The running deadlines, by machine and by the time when they end.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct RunningDeadlines {
    pub(crate) by_machine: MachineMap<StageDeadline>,
    pub(crate) by_time: BTreeSet<(MonotonicTime, MachineId)>,
}

/// The deadline that runs for a machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct StageDeadline {
    pub(crate) awaited: Awaited,
    pub(crate) after: Duration,
    pub(crate) due: MonotonicTime,
    pub(crate) passed: bool,
    /// When the deadline for `installing` ended, if that stage was never reported.
    pub(crate) missed: Option<MonotonicTime>,
}

/// The stage that an attempt has to reach next, and since when that is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Awaited {
    pub(crate) attempt: u32,
    pub(crate) stage: AwaitedStage,
    pub(crate) since: Timestamp,
}

/// A stage that has a deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum AwaitedStage {
    Document,
    Installing,
    Installed,
    Finished,
}

/// How far each machine's boot has come, as far as the server observed it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct ObservedBoots {
    pub(crate) records: MachineMap<MachineBoot>,
    /// When each boot counts as stalled.
    pub(crate) stalls: BTreeSet<(MonotonicTime, MachineId)>,
    /// Which declared machines were never seen, and when that was looked up.
    pub(crate) never_seen: Option<(MonotonicTime, Option<String>)>,
    /// The machine that last received a script at an address.
    pub(crate) by_address: BTreeMap<IpAddr, MachineId>,
}

/// How one machine boots.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct MachineBoot {
    /// The last line of DHCP in its log, and when it was written.
    pub(crate) logged: Option<(String, MonotonicTime)>,
    /// How far its boot has come.
    pub(crate) progress: BootProgress,
    /// Its current address.
    pub(crate) address: Option<IpAddr>,
    /// The loader that it fetched last.
    pub(crate) loader: Option<String>,
    /// How often it fetched a loader since it last requested a script.
    pub(crate) fetched: u32,
    /// The loader that has led to a script.
    pub(crate) worked: Option<String>,
    /// When an unanswered DISCOVER last counted as a boot, and whether the machine was to boot its disk.
    pub(crate) unanswered: Option<(MonotonicTime, bool)>,
}

/// DHCP: addresses on offer, and where to search for free ones.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct DhcpOffers {
    /// The address that was offered to each MAC.
    pub(crate) offers: BTreeMap<Mac, (Ipv4Addr, MonotonicTime)>,
    /// The same by address.
    pub(crate) offered_to: BTreeMap<Ipv4Addr, (Mac, MonotonicTime)>,
    /// Where in each network's range the search for a free address continues, and when it began.
    pub(crate) pools: BTreeMap<NetworkName, (MonotonicTime, AddressPool)>,
    /// When the leases of this run end. The journal has later times: see `lease`.
    pub(crate) ends: BTreeMap<Ipv4Addr, Timestamp>,
}

/// Limits how many undeclared machines become known.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct DiscoveryRateLimit {
    /// One less each second.
    pub(crate) count: u32,
    pub(crate) at: MonotonicTime,
    /// Whether the limit was logged.
    pub(crate) is_logged: bool,
}

/// Which addresses were probed by ARP.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct ProbedAddresses {
    /// The links on which addresses can be probed.
    pub(crate) links: Vec<Ipv4Net>,
    pub(crate) results: BTreeMap<Ipv4Addr, ArpResult>,
}

/// Which MACs answered for an address, and when.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ArpResult {
    pub(crate) at: MonotonicTime,
    pub(crate) macs: SmallSet<Mac>,
}

/// Machines in the microkernel.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct RunningMicrokernels {
    /// When each machine last reported.
    pub(crate) reported: MachineMap<MonotonicTime>,
    /// Which machines get the instruction to power off at their next poll.
    pub(crate) switching_off: BTreeSet<MachineId>,
    /// Which machines were instructed to reboot, and when.
    pub(crate) rebooting: BTreeMap<MachineId, MonotonicTime>,
}

impl VolatileState {
    /// The state of a server that has just started. `seed` is random.
    pub(super) fn new(seed: u64) -> Self {
        VolatileState {
            seed,
            boots: RecentBoots::default(),
            discovery: DiscoveryRateLimit::default(),
            attempts: AttemptTimes::default(),
            deadlines: RunningDeadlines::default(),
            progress: ObservedBoots::default(),
            dhcp: DhcpOffers::default(),
            addresses: ProbedAddresses::default(),
            microkernels: RunningMicrokernels::default(),
            simulated: BTreeMap::new(),
            unverified: BTreeMap::new(),
            remarks: RecordedRemarks::default(),
            reports: ReportBudgets::default(),
            unwritable: None,
        }
    }

    /// Removes everything about a machine.
    pub(super) fn forget(&mut self, id: MachineId) {
        self.boots.latest.remove(id);
        self.boots.disk_tried.remove(id);
        self.boots.announced.remove(id);
        self.boots.refused.remove(id);
        self.attempts.since.remove(id);
        self.attempts.rendered.remove(id);
        self.attempts.preparing.remove(&id);
        self.progress.forget(id);
        self.reports.forget(id);
        self.microkernels.reported.remove(id);
        self.microkernels.switching_off.remove(&id);
        self.microkernels.rebooting.remove(&id);
        self.remarks.forget(id);
        if let Some(deadline) = self.deadlines.by_machine.remove(id) {
            self.deadlines.by_time.remove(&(deadline.due, id));
        }
    }
}

impl ObservedBoots {
    fn forget(&mut self, id: MachineId) {
        let Some(record) = self.records.remove(id) else {
            return;
        };
        if let Some(due) = record.progress.due() {
            self.stalls.remove(&(due, id));
        }
        let address = record.address;
        if let Some(address) = address.filter(|address| self.by_address.get(address) == Some(&id)) {
            self.by_address.remove(&address);
        }
    }
}
