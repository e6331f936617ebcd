//! Detects when a policy's template would give two machines the same host name.
//!
//! The names of declared nodes are compared when the site is loaded. The name of an undeclared machine is known
//! when it is bound.

use std::net::IpAddr;

use crate::control::Transaction;
use crate::{
    journal::{Machine, MachineId},
    model::{Facts, Hostname, Node, Policy},
    render,
    site::{Subject, resolve},
};

impl Transaction<'_> {
    /// Returns the host name that an undeclared machine would get, and the other machine that has it, if there is
    /// one.
    pub(crate) fn owner_of_host_name(
        &self,
        id: MachineId,
        policy: Option<&Policy>,
        pooled: Option<IpAddr>,
    ) -> Option<(Hostname, String)> {
        let own = self.name_of_undeclared(self.machine(id), policy, pooled)?;
        let other = self
            .declared_with(&own)
            .or_else(|| self.bound_with(id, &own))?;
        Some((own, other))
    }

    /// The declared node with a host name.
    fn declared_with(&self, name: &Hostname) -> Option<String> {
        let site = &self.snapshot.site;
        let mut nodes = site.nodes.values();
        let owner = nodes.find(|node| {
            let policy = node.body.policy.as_ref();
            let policy = policy.and_then(|policy| site.policies.get(&policy.value));
            let (resolved, _) = resolve(site, &Subject::declared(node), policy.map(AsRef::as_ref));
            let facts = self.main_history(node, &self.histories(node));
            let facts = facts.map_or_else(Facts::default, |id| self.machine(id).facts.clone());
            // A name that cannot be rendered yet is not in use.
            render::hostname(&resolved, &facts).is_ok_and(|other| other == *name)
        });
        owner.map(|node| node.name.value.to_string())
    }

    /// Another undeclared machine that a policy has bound, with this host name.
    fn bound_with(&self, id: MachineId, name: &Hostname) -> Option<String> {
        let state = &self.server.state;
        let others = state.bound.iter().flat_map(|(policy, machines)| {
            let machines = machines.iter().filter(|other| **other != id);
            machines.map(move |other| (policy, *other))
        });
        let mut others = others.filter_map(|(policy, other)| {
            let machine = state
                .machine(other)
                .filter(|_| self.node_of(other).is_none())?;
            let policy = self.snapshot.site.policies.get(policy)?;
            let pooled = machine.binding.as_ref().and_then(|binding| binding.address);
            let own = self.name_of_undeclared(machine, Some(policy), pooled)?;
            (own == *name).then(|| name_of(Some(machine), None))
        });
        others.next().or_else(|| self.reserved_with(id, name))
    }

    /// The other machine that no file mentions for which a name is reserved.
    fn reserved_with(&self, id: MachineId, name: &Hostname) -> Option<String> {
        let mut others = self.reserved_by_others(Some(id));
        others.find_map(|opening| {
            let machine = self.server.state.machine(opening.machine);
            let machine = machine.filter(|_| self.node_of(opening.machine).is_none())?;
            let policy = self.snapshot.site.policies.get(opening.policy.as_ref()?)?;
            let own = self.name_of_undeclared(machine, Some(policy), opening.address)?;
            (own == *name).then(|| name_of(Some(machine), None))
        })
    }

    /// The host name of an undeclared machine; none if it cannot be rendered.
    fn name_of_undeclared(
        &self,
        machine: &Machine,
        policy: Option<&Policy>,
        pooled: Option<IpAddr>,
    ) -> Option<Hostname> {
        let name = name_of(Some(machine), None).parse().ok()?;
        let subject = Subject {
            name: &name,
            declared: None,
            macs: machine.identity.mac.iter().copied().collect(),
            pooled,
        };
        let site = &self.snapshot.site;
        let (resolved, _) = resolve(site, &subject, policy);
        let named = render::hostname(&resolved, &machine.facts);
        named.ok()
    }
}

/// Returns the name by which operators know a machine: its declaration's, else the MAC that it boots from.
pub(crate) fn name_of(machine: Option<&Machine>, node: Option<&Node>) -> String {
    if let Some(node) = node {
        return node.name.value.to_string();
    }
    let Some(machine) = machine else {
        return String::new();
    };
    match (&machine.node, machine.boot_mac()) {
        (Some(name), _) => name.to_string(),
        (None, Some(mac)) => mac.hyphens(),
        (None, None) => machine.id.to_string(),
    }
}
