//! A loaded and checked site: the basis of all decisions of a request.

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

/// A loaded and checked site with its revision. It is immutable.
#[derive(Debug, Default)]
pub struct Snapshot {
    pub site: Site,
    /// The compiled expressions.
    pub rules: CompiledRules,
    /// The properties of each task that decisions depend on.
    pub tasks: BTreeMap<TaskName, TaskTraits>,
    /// The compiled templates.
    pub library: Library,
    /// The values that were read from outside the site.
    pub outside: ExternalInputs,
    /// All static addresses of declarations, collected at the first DHCP message.
    pub declared: OnceLock<HashSet<IpAddr>>,
}

/// The properties of a task that decisions depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TaskTraits {
    /// Whether it installs anything. A task that does not never opens an attempt.
    pub installs: bool,
    /// Whether its machines report `finished`, or are observed to be.
    pub finishes: bool,
    /// Whether ESXi's own loader can start it without iPXE.
    pub by_mboot: bool,
}

impl Snapshot {
    /// Creates a snapshot of what was loaded.
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

    /// Whether an address of a network's range may be leased: neither a declaration nor the network itself uses it.
    pub(crate) fn may_lease(&self, network: &Network, ip: Ipv4Addr) -> bool {
        let ip = IpAddr::V4(ip);
        let declared = self.declared.get_or_init(|| self.site.static_addresses());
        let body = &network.body;
        let mut own = [&body.gateway, &body.dns].into_iter().flatten();
        let is_own = own.any(|list| list.values().any(|known| *known == ip));
        !is_own && !declared.contains(&ip) && !site::is_edge(network, ip)
    }

    /// Returns the network whose subnet contains `ip`, an address of this host that received a request. It
    /// determines the network and never identifies a machine.
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
