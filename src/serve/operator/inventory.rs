//! Every machine as Ansible wants to be told of it: a dynamic inventory, as `ansible-inventory --list` reads it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::serve::operator::views;
use crate::{control::Transaction, journal::MachineId, matcher};

/// The inventory: every machine that something binds, in groups by state, policy, task and tag.
pub(crate) fn inventory(transaction: &Transaction<'_>) -> Value {
    let mut groups: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut hosts: BTreeMap<String, Value> = BTreeMap::new();
    for status in views::nodes(transaction) {
        if status.policy.is_none() && !status.declared {
            continue;
        }
        let host = status.name.clone();
        let found = transaction.find(&host);
        let id = found.as_ref().and_then(|(id, _)| *id);
        let tags: Vec<String> = match &found {
            Some((Some(id), node)) => {
                let (site, rules) = (&transaction.snapshot.site, &transaction.snapshot.rules);
                let facts = &transaction
                    .server
                    .state
                    .machine(*id)
                    .map(|m| m.facts.clone());
                let facts = facts.clone().unwrap_or_default();
                let tags = matcher::tags(site, rules, node.as_deref(), &facts).yes;
                tags.iter().map(ToString::to_string).collect()
            }
            _ => Vec::new(),
        };
        let mut of = vec![format!("state_{}", status.state)];
        of.extend(
            status
                .policy
                .as_ref()
                .map(|policy| format!("policy_{policy}")),
        );
        of.extend(status.task.as_ref().map(|task| format!("task_{task}")));
        of.extend(tags.iter().map(|tag| format!("tag_{tag}")));
        for group in of {
            groups
                .entry(plain(&group))
                .or_default()
                .insert(host.clone());
        }
        let mut vars = Map::new();
        // Of an address and the length of its prefix.
        if let Some(address) = &status.address {
            let address = address.split('/').next().unwrap_or(address);
            vars.insert("ansible_host".into(), json!(address));
        }
        let mut told = json!(status);
        told["tags"] = json!(tags);
        told["facts"] = facts(transaction, id);
        vars.insert("bootwright".into(), told);
        hosts.insert(host, Value::Object(vars));
    }
    let mut inventory = Map::new();
    let children: Vec<&String> = groups.keys().collect();
    inventory.insert("all".into(), json!({ "children": children }));
    inventory.insert("_meta".into(), json!({ "hostvars": hosts }));
    for (group, hosts) in &groups {
        inventory.insert(group.clone(), json!({ "hosts": hosts }));
    }
    Value::Object(inventory)
}

fn facts(transaction: &Transaction<'_>, id: Option<MachineId>) -> Value {
    let machine = id.and_then(|id| transaction.server.state.machine(id));
    machine.map_or(Value::Null, |machine| json!(machine.facts))
}

/// A group's name as Ansible takes it: letters, digits and underscores.
fn plain(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '_' };
    name.chars().map(plain).collect()
}
