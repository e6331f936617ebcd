//! The whole site, loaded and checked: what every decision of one request is taken by.

use std::{
    collections::{BTreeMap, HashSet},
    net::{IpAddr, Ipv4Addr},
    sync::OnceLock,
};

use crate::{
    matcher::CompiledRules,
    model::{Network, TaskName},
    render::{ExternalInputs, Library, TaskSpec},
    site::{self, Site},
};

/// The whole site, loaded and checked, immutable, with a revision.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// What the files declare.
    pub site: Site,
    /// The compiled expressions.
    pub rules: CompiledRules,
    /// What decisions need to know of each task.
    pub tasks: BTreeMap<TaskName, TaskTraits>,
    /// The compiled templates.
    pub library: Library,
    /// What was looked up outside the site.
    pub outside: ExternalInputs,
    /// Every static address of a declaration, collected when DHCP first asks.
    pub declared: OnceLock<HashSet<IpAddr>>,
}

/// What decisions need to know of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskTraits {
    /// Whether it installs anything; a task that does not never opens an attempt.
    pub installs: bool,
    /// Whether its machines report `finished`, or are observed to be.
    pub finishes: bool,
    /// Whether ESXi's own loader may start it without iPXE.
    pub by_mboot: bool,
}

impl Snapshot {
    /// Puts together what was loaded.
    pub fn new(
        site: Site,
        rules: CompiledRules,
        library: Library,
        outside: ExternalInputs,
    ) -> Self {
        let traits = |spec: &TaskSpec| TaskTraits {
            installs: spec.installs,
            finishes: !spec.completion.is_empty(),
            by_mboot: spec.has_boot_cfg(),
        };
        let tasks = library
            .tasks()
            .map(|task| (task.name.clone(), traits(&task.spec)))
            .collect();
        Snapshot {
            site,
            rules,
            tasks,
            library,
            outside,
            declared: OnceLock::new(),
        }
    }

    /// Tells whether an address of a network's range may be leased: no declaration has it, nor the network
    /// itself.
    pub(crate) fn may_lease(&self, network: &Network, ip: Ipv4Addr) -> bool {
        let ip = IpAddr::V4(ip);
        let declared = self.declared.get_or_init(|| self.site.static_addresses());
        let body = &network.body;
        let mut own = [&body.gateway, &body.dns].into_iter().flatten();
        let is_own = own.any(|list| list.values().any(|known| *known == ip));
        !is_own && !declared.contains(&ip) && !site::is_edge(network, ip)
    }

    /// Returns the network whose subnet holds `ip`, an address of ours that a request reached. It picks
    /// the network; it never identifies a machine.
    pub fn network_at(&self, ip: IpAddr) -> Option<&Network> {
        let holds = |network: &&Network| {
            network
                .body
                .subnet
                .iter()
                .flat_map(|list| list.values())
                .any(|subnet| subnet.0.contains(&ip))
        };
        self.site
            .networks
            .values()
            .map(|network| &**network)
            .find(holds)
    }
}
