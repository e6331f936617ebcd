//! The state of the simulation: the machine, the site, and the server.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use ipnet::{IpNet, Ipv4Net};

use crate::{
    control::{ServerState, Snapshot, TaskTraits, TokenKey, UrlToken},
    model::*,
    site::Site,
};

pub(super) const MINUTE: i64 = 60_000;

/// The declared address of the machine, and its link.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 21);
pub(super) const LINK: Ipv4Net = Ipv4Net::new_assert(ADDRESS, 24);

pub(super) const KEY: TokenKey = TokenKey([7; 32]);

/// The parts of the site that the operator changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Written {
    pub(super) declared: bool,
    pub(super) renamed: bool,
    pub(super) second_nic: bool,
    pub(super) other_task: bool,
    pub(super) installs: u32,
}

/// The machine.
#[derive(Debug, Clone, Hash, Default)]
pub(super) struct Physical {
    pub(super) second_nic: bool,
    /// Whether it has booted with its first NIC since its history was deleted.
    pub(super) has_booted: bool,
    /// The attempt whose installer is running, from the start of its script.
    pub(super) runs: Option<Run>,
    /// The attempt that wrote the disk, as far as it got.
    pub(super) disk: Option<Run>,
    /// Whether an attempt wiped the disk without a report reaching the server.
    pub(super) wiped_without_report: bool,
    /// The value of `installs` of an attempt whose success was reported.
    pub(super) reached: u32,
    /// Whether another installation was requested, and no success was reported since.
    pub(super) is_requested: bool,
    /// An operator holds it.
    pub(super) held: bool,
}

#[derive(Debug, Clone, Copy, Hash, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) token: UrlToken,
    pub(super) installs: u32,
    pub(super) read: bool,
    pub(super) is_confirmed: bool,
    pub(super) installed: bool,
    pub(super) is_success_reported: bool,
}

#[derive(Clone)]
pub(super) struct Life {
    pub(super) server: ServerState,
    pub(super) written: Written,
    pub(super) machine: Physical,
    pub(super) now: Now,
    pub(super) boots: u32,
    pub(super) state: StateDirectoryFate,
    /// The operator has paused the server.
    pub(super) paused: bool,
    /// Another host uses the machine's address.
    pub(super) address_in_use: bool,
}

/// The state directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum StateDirectoryFate {
    Kept,
    /// It was lost, and the operator has not declared the new one.
    Lost,
    /// The operator has declared the new one.
    Declared,
}

fn at<T>(value: T) -> Spanned<T> {
    Spanned::new(
        value,
        SourceSpan {
            file: FileId(0),
            start: 0,
            end: 0,
        },
    )
}

pub(super) fn snapshot(written: Written) -> Snapshot {
    let mut site = Site {
        revision: Some(Revision::new(format!("{written:?}"))),
        ..Site::default()
    };
    let mut config = ServerConfig::default();
    config.limits.installs_per_hour = Some(at(1_000));
    site.config = Arc::new(config);
    let lab: NetworkName = "lab".parse().expect("a name");
    let body = NetworkBody {
        subnet: Some(at(vec![at(Subnet(IpNet::V4(LINK)))])),
        dhcp: Some(at(DhcpMode::Reserve)),
        ..NetworkBody::default()
    };
    let network = Network {
        name: at(lab.clone()),
        body,
    };
    site.networks.insert(lab, Arc::new(network));
    // A policy that accepts every undeclared machine. It must not bind a machine that was installed.
    let rule = Rule {
        when: Some(at("true".into())),
        accept: Some(at(Accept::Discovered)),
        ..Rule::default()
    };
    let name: PolicyName = "any".parse().expect("a name");
    let settings = Settings {
        task: Some(Box::new(at("esxi".parse().expect("a name")))),
        ..Settings::default()
    };
    site.policies.insert(
        name.clone(),
        Arc::new(Policy {
            name: at(name.clone()),
            rule,
            settings,
        }),
    );
    site.order.push(name);
    if written.declared {
        let name: NodeName = if written.renamed { "b" } else { "a" }
            .parse()
            .expect("a name");
        let body = NodeBody {
            mac: Some(at(vec![at(mac(written.second_nic))])),
            installs: Some(Box::new(at(written.installs))),
            address: Some(at(vec![at(HostAddress {
                ip: IpAddr::V4(ADDRESS),
                prefix: None,
            })])),
            ..NodeBody::default()
        };
        let task = if written.other_task { "debian" } else { "esxi" };
        let settings = Settings {
            task: Some(Box::new(at(task.parse().expect("a name")))),
            ..Settings::default()
        };
        let node = Arc::new(Node {
            name: at(name.clone()),
            body,
            settings,
        });
        let mac_address = mac(written.second_nic);
        site.identities.mac.insert(mac_address, node.clone());
        site.nodes.insert(name, node);
    }
    let (rules, diagnostics) = crate::matcher::compile(&site);
    assert!(diagnostics.is_empty(), "{diagnostics:?}");
    let traits = TaskTraits {
        installs: true,
        finishes: true,
        by_mboot: false,
    };
    let tasks = ["esxi", "debian"]
        .map(|task| (task.parse().expect("a name"), traits))
        .into();
    Snapshot {
        site,
        rules,
        tasks,
        ..Snapshot::default()
    }
}

pub(super) fn mac(second: bool) -> Mac {
    Mac([2, 0, 0, 0, 0, if second { 2 } else { 1 }])
}

impl Physical {
    /// Requests another installation, whatever the result of the last one was. The request is open until a success
    /// is reported: a failed attempt is repeated.
    pub(super) fn ask(&mut self) {
        self.is_requested = true;
        self.wiped_without_report = false;
    }

    /// Removes what was lost with the server's state.
    pub(super) fn forget(&mut self) {
        self.reached = 0;
        self.wiped_without_report = false;
        self.held = false;
        self.has_booted = false;
    }
}

impl Life {
    pub(super) fn pass(&mut self, milliseconds: i64) {
        self.now.wall.0 += milliseconds;
        self.now.mono.0 += milliseconds;
    }

    /// A hash of everything in which two states can still differ.
    pub(super) fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.written.hash(&mut hasher);
        self.machine.hash(&mut hasher);
        (self.state, self.paused, self.address_in_use).hash(&mut hasher);
        let mut state = self.server.state.clone();
        (state.latest, state.decisions) = (Timestamp(0), 0);
        state.forgotten.clear();
        state.opened.clear();
        state.opened_undeclared.clear();
        let still = Timestamp(0);
        for machine in state.machines.values_mut() {
            machine.last_activity.clear();
            (machine.first, machine.last, machine.since) = (still, still, still);
            // Seals have an exploration of their own.
            machine.requested = machine.requested.map(|_| still);
            machine.tried.clear();
            for attempt in &mut machine.attempts {
                (attempt.opened, attempt.sealed) = (still, still);
                attempt.read = attempt.read.map(|_| still);
                attempt.stages.values_mut().for_each(|at| *at = still);
            }
        }
        state.hash(&mut hasher);
        let volatile = &self.server.volatile;
        let age = |at: &MonotonicTime| self.now.mono.0 - at.0;
        for (id, (attempt, at)) in volatile.boots.disk_tried.in_order() {
            (id, attempt, age(at) <= 3 * MINUTE, age(at) <= 5 * MINUTE).hash(&mut hasher);
        }
        for (id, clock) in volatile.deadlines.by_machine.in_order() {
            let step = (clock.awaited.attempt, clock.awaited.stage);
            (id, step, clock.passed, clock.missed.is_some()).hash(&mut hasher);
        }
        for (id, at) in volatile.attempts.since.in_order() {
            (id, age(at) / (180 * MINUTE)).hash(&mut hasher);
        }
        volatile.attempts.rendered.hash(&mut hasher);
        hasher.finish()
    }
}
