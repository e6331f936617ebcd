//! Binds machines: determines the policy, task, repo, pool address and settings of a machine.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use crate::control::{Snapshot, Transaction};
use crate::{
    journal::{Machine, MachineId},
    matcher::{self, Candidate, Choice, Mismatch, TagSet},
    model::{
        Accept, AddressSource, EffectiveSettings, Facts, Identity, Network, NetworkName, Node,
        Policy, PolicyName, RepoName, Settings, Spanned, TaskName,
    },
    site::{FreeAddresses, Site},
};

/// What a machine is bound to.
#[derive(Debug, Clone)]
pub struct Bound {
    /// The policy. `None` if the node's own declaration determines the task.
    pub policy: Option<Arc<Policy>>,
    /// The task that installs the machine.
    pub task: TaskName,
    /// The repo that it installs from.
    pub repo: Option<RepoName>,
}

/// Why a machine is not bound.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Unbound {
    /// The policy that its declaration names does not bind it.
    Named(PolicyName, Mismatch),
    /// No policy binds it.
    NoPolicy(Choice),
    /// No setting names the task.
    NoTask,
}

/// Why a machine that needs a pool address gets none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
pub enum NoAddress {
    /// No network has a pool, or more than one has.
    #[error("it needs an address from a pool, but no setting names the network")]
    NoPool,
    /// All addresses of the pool are in use.
    #[error("no address is free in the pool of network {0}")]
    Empty(NetworkName),
}

/// The layers of settings of one machine, without those of its network, which these decisions do not need.
#[derive(Debug, Clone, Copy)]
pub struct SettingLayers<'a> {
    layers: [Option<&'a Settings>; 3],
}

impl<'a> SettingLayers<'a> {
    /// Stacks the settings: the node overrides its policy, which overrides the defaults.
    pub fn new(site: &'a Site, node: Option<&'a Node>, policy: Option<&'a Policy>) -> Self {
        let node = node.map(|node| &node.settings);
        let policy = policy.map(|policy| &policy.settings);
        SettingLayers {
            layers: [node, policy, Some(&site.defaults.settings)],
        }
    }

    /// Returns the settings in effect.
    pub fn effective(&self) -> EffectiveSettings {
        EffectiveSettings::of(self.all())
    }

    /// Returns the layers that exist, highest first.
    pub fn all(&self) -> impl Iterator<Item = &'a Settings> + Clone {
        self.layers.into_iter().flatten()
    }

    /// Returns a setting from the highest layer that has it.
    pub fn get<T>(
        &self,
        setting: impl Fn(&'a Settings) -> Option<&'a Spanned<T>>,
    ) -> Option<&'a T> {
        self.all().find_map(setting).map(|at| &at.value)
    }
}

impl<'a> Transaction<'a> {
    /// Determines the tags of a machine. Each unknown tag is remarked once in its log.
    pub(crate) fn tags(&mut self, id: MachineId, node: Option<&Node>) -> TagSet {
        let (site, rules) = (&self.snapshot.site, &self.snapshot.rules);
        let tags = matcher::tags(site, rules, node, &self.machine(id).facts);
        for (tag, reason) in &tags.unknown {
            self.remark_once(id, format!("tag `{tag}` is unknown: {reason}"));
        }
        tags
    }

    /// Determines what a machine is bound to now.
    pub(crate) fn binding(&mut self, id: MachineId, node: Option<&Node>) -> Result<Bound, Unbound> {
        let tags = self.tags(id, node);
        self.binding_of(self.machine(id), node, &tags)
    }

    /// Like [`Transaction::binding`], with tags that are already determined.
    pub(crate) fn binding_of(
        &self,
        machine: &Machine,
        node: Option<&Node>,
        tags: &TagSet,
    ) -> Result<Bound, Unbound> {
        let known = if node.is_none() && self.snapshot.binds_undeclared() {
            self.known_reason(machine)
        } else {
            None
        };
        let candidate = Candidate {
            is_declared: node.is_some(),
            known: known.as_deref(),
            tags,
            facts: &machine.facts,
        };
        self.bound(node, candidate, Some(machine.id))
    }

    /// Returns why no policy for undeclared machines may bind this machine, if so. Undeclared machines are distinguished by MAC,
    /// but a machine with the serial number or UUID of an installed machine may be that machine with another NIC.
    fn known_reason(&self, machine: &Machine) -> Option<String> {
        if machine.node.is_none() && machine.reinstall {
            return None;
        }
        if machine.node.is_some() || machine.installed {
            return Some("it was declared or installed before: `forget` it first".into());
        }
        let board = Identity {
            mac: Default::default(),
            ..machine.identity.clone()
        };
        let others = self
            .server
            .machines_with(&board)
            .into_iter()
            .filter(|id| *id != machine.id);
        let mut others = others.map(|id| self.machine(id));
        let same =
            others.find(|other| other.installed || other.opened > 0 || other.node.is_some())?;
        let name = crate::control::identity::naming::name_of(Some(same), None);
        Some(format!(
            "{name} reports the same serial number or UUID: it may be the same machine with another NIC; `adopt` it if it is another machine"
        ))
    }

    /// Determines the binding of a node whose machine was never seen.
    pub(crate) fn binding_unseen(&self, node: &Node) -> Result<Bound, Unbound> {
        self.snapshot
            .binding_unseen(node, |policy| self.bound_to(policy, None))
    }

    fn bound(
        &self,
        node: Option<&Node>,
        candidate: Candidate<'_>,
        id: Option<MachineId>,
    ) -> Result<Bound, Unbound> {
        self.snapshot
            .bound(node, candidate, |policy| self.bound_to(policy, id))
    }

    /// Counts the other machines that a policy has bound or reserved.
    fn bound_to(&self, policy: &PolicyName, id: Option<MachineId>) -> u64 {
        let bound = self.server.state.bound.get(policy);
        let is_bound = |id| bound.is_some_and(|bound| bound.contains(&id));
        let count = bound.map_or(0, |bound| bound.len()) - usize::from(id.is_some_and(is_bound));
        let reserved = self.reserved_policy(policy, id).filter(|id| !is_bound(*id));
        (count + reserved.count()) as u64
    }

    /// Returns the pool address that a machine has or would get, if it needs one.
    pub(crate) fn pooled(
        &self,
        id: MachineId,
        node: Option<&Node>,
        bound: &Bound,
    ) -> Result<Option<IpAddr>, NoAddress> {
        let layers = SettingLayers::new(&self.snapshot.site, node, bound.policy.as_deref());
        let wanted =
            layers.get(|settings| settings.addresses.as_deref()) == Some(&AddressSource::Pool);
        if !wanted || node.is_some_and(declares_addresses) {
            return Ok(None);
        }
        let network = self.pool_of(layers).ok_or(NoAddress::NoPool)?;
        let free = FreeAddresses::new(&self.snapshot.site);
        let others = self.pooled_by_others(id);
        let binding = self.machine(id).binding.as_ref();
        let has = binding.and_then(|binding| binding.address);
        if let Some(has) = has.filter(|has| free.is_pooled(network, *has) && !others.contains(has))
        {
            return Ok(Some(has));
        }
        let mut pool = free.pool(network);
        let next = pool.find(|ip| !others.contains(ip));
        next.map(Some)
            .ok_or_else(|| NoAddress::Empty(network.name.value.clone()))
    }

    /// Returns the network whose pool is used: the network that is set, or else the only network with a pool.
    fn pool_of(&self, layers: SettingLayers<'a>) -> Option<&'a Network> {
        let networks = &self.snapshot.site.networks;
        let with_pool = |network: &&'a Arc<Network>| network.body.pool.is_some();
        if let Some(name) = layers.get(|settings| settings.network.as_deref()) {
            return networks
                .get(name)
                .filter(with_pool)
                .map(|network| &**network);
        }
        let mut pools = networks.values().filter(with_pool);
        let only = pools.next()?;
        pools.next().is_none().then_some(only)
    }

    fn pooled_by_others(&self, id: MachineId) -> BTreeSet<IpAddr> {
        let machines = self.server.state.machines.values();
        let others = machines.filter(|machine| machine.id != id);
        let bound = others.filter_map(|machine| machine.binding.as_ref()?.address);
        bound.chain(self.reserved_addresses(id)).collect()
    }
}

/// Returns whether a declaration sets an address, static or by DHCP.
fn declares_addresses(node: &Node) -> bool {
    let body = &node.body;
    let interfaces = body.interface.iter().any(|link| link.address.is_some());
    let bonds = body.bond.values().any(|link| link.address.is_some());
    let vlans = body.vlan.values().any(|link| link.address.is_some());
    let bridges = body.bridge.values().any(|link| link.address.is_some());
    body.address.is_some() || interfaces || bonds || vlans || bridges
}

impl Snapshot {
    /// Returns whether any policy binds undeclared machines.
    fn binds_undeclared(&self) -> bool {
        let mut policies = self.site.policies.values();
        policies.any(|policy| policy.rule.effective().accept == Accept::Discovered)
    }

    /// Determines what a node is bound to of which only its declaration is known. `count` returns how many machines a policy has
    /// bound.
    pub fn binding_unseen(
        &self,
        node: &Node,
        count: impl Fn(&PolicyName) -> u64,
    ) -> Result<Bound, Unbound> {
        let facts = Facts::default();
        let tags = matcher::tags(&self.site, &self.rules, Some(node), &facts);
        let candidate = Candidate {
            is_declared: true,
            known: None,
            tags: &tags,
            facts: &facts,
        };
        self.bound(Some(node), candidate, count)
    }

    fn bound(
        &self,
        node: Option<&Node>,
        candidate: Candidate<'_>,
        count: impl Fn(&PolicyName) -> u64,
    ) -> Result<Bound, Unbound> {
        let sets_own_task =
            |node: &Node| node.settings.repo.is_some() || node.settings.task.is_some();
        let policy = match node.and_then(|node| node.body.policy.as_ref()) {
            Some(name) => Some(self.named(name, &count)?),
            None if node.is_some_and(sets_own_task) => None,
            None => {
                let choice = matcher::choose(&self.site, &self.rules, candidate, count);
                match &choice.policy {
                    Some(name) => Some(self.site.policies[name].clone()),
                    None => return Err(Unbound::NoPolicy(choice)),
                }
            }
        };
        self.with_task(node, policy)
    }

    /// Determines the task and repo of a machine that this policy binds.
    pub(crate) fn with_task(
        &self,
        node: Option<&Node>,
        policy: Option<Arc<Policy>>,
    ) -> Result<Bound, Unbound> {
        let layers = SettingLayers::new(&self.site, node, policy.as_deref());
        let repo = layers.get(|settings| settings.repo.as_deref()).cloned();
        let of_repo = repo
            .as_ref()
            .and_then(|name| self.site.repos.get(name)?.body.task.as_ref());
        let own = layers.get(|settings| settings.task.as_deref());
        let task = own
            .or(of_repo.map(|at| &at.value))
            .ok_or(Unbound::NoTask)?
            .clone();
        Ok(Bound { policy, task, repo })
    }

    /// Returns the policy that a node names. It binds the node regardless of tags, unless it is disabled or full.
    fn named(
        &self,
        name: &PolicyName,
        count: impl Fn(&PolicyName) -> u64,
    ) -> Result<Arc<Policy>, Unbound> {
        let Some(policy) = self.site.policies.get(name) else {
            return Err(Unbound::NoPolicy(Choice::default()));
        };
        match matcher::mismatch_of_named(policy, count(name)) {
            None => Ok(policy.clone()),
            Some(mismatch) => Err(Unbound::Named(name.clone(), mismatch)),
        }
    }
}
