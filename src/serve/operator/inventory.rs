//! All machines as an Ansible inventory.

use super::views;
use crate::{
    api::{HostDetails, HostVars, Inventory, NodeStatus},
    control::Transaction,
    matcher,
};

/// Every machine that is declared or bound, in groups by state, policy, task and tag.
pub(crate) fn inventory(transaction: &Transaction<'_>) -> Inventory {
    let mut inventory = Inventory::default();
    for status in views::nodes(transaction) {
        if status.declared || status.policy.is_some() {
            let host = status.name.clone();
            let details = details(transaction, status);
            for group in groups(&details) {
                inventory.all.children.insert(group.clone());
                let group = inventory.groups.entry(group).or_default();
                group.hosts.insert(host.clone());
            }
            inventory.meta.hostvars.insert(host, vars(details));
        }
    }
    inventory
}

fn details(transaction: &Transaction<'_>, status: NodeStatus) -> HostDetails {
    let (id, node) = transaction.find(&status.name).unwrap_or_default();
    let machine = id.and_then(|id| transaction.server.state.machine(id));
    let facts = machine.map(|machine| machine.facts.clone());
    let (site, rules) = (&transaction.snapshot.site, &transaction.snapshot.rules);
    let tags = facts
        .as_ref()
        .map(|facts| matcher::tags(site, rules, node.as_deref(), facts).yes);
    HostDetails {
        status,
        tags: tags.unwrap_or_default(),
        facts,
    }
}

fn groups(host: &HostDetails) -> impl Iterator<Item = String> {
    let status = &host.status;
    let state = format!("state_{}", status.state);
    let policy = status
        .policy
        .iter()
        .map(|policy| format!("policy_{policy}"));
    let task = status.task.iter().map(|task| format!("task_{task}"));
    let tags = host.tags.iter().map(|tag| format!("tag_{tag}"));
    let groups = [state].into_iter().chain(policy).chain(task).chain(tags);
    groups.map(|group| group_name(&group))
}

fn vars(details: HostDetails) -> HostVars {
    let address = details.status.address.as_deref();
    let without_prefix = |address: &str| address.split('/').next().unwrap_or(address).to_owned();
    HostVars {
        ansible_host: address.map(without_prefix),
        bootwright: details,
    }
}

/// A valid name of a group: letters, digits and underscores.
fn group_name(name: &str) -> String {
    let valid = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    name.chars().map(valid).collect()
}
