//! Why a machine gets what it gets.

use serde_json::{Value, json};

use crate::{
    control::{MachineState, Transaction},
    matcher::{self, Candidate},
    model::Node,
    site::{Provenance, Subject, provenance},
};

/// Says why a machine gets what it gets: what binds it, what its next network boot is answered with, where
/// each value comes from and what it shadows, and why other policies do not bind it.
pub fn explain(transaction: &Transaction<'_>, name: &str) -> Option<Value> {
    let (id, node) = transaction.find(name)?;
    let site = &transaction.snapshot.site;
    let status = transaction.status(id, node.as_ref());
    let machine = id.and_then(|id| transaction.server.state.machine(id));
    let facts = machine
        .map(|machine| machine.facts.clone())
        .unwrap_or_default();
    let tags = matcher::tags(site, &transaction.snapshot.rules, node.as_deref(), &facts);
    let others = other_policies(transaction, node.as_deref(), &tags, &facts, &status);
    let node_name = status.name.parse().ok();
    let values = node_name.map_or_else(Vec::new, |name| {
        let subject = Subject {
            name: &name,
            declared: node.as_ref(),
            macs: status.mac.clone(),
            pooled: status.pooled,
        };
        let policy = status
            .policy
            .as_ref()
            .and_then(|policy| site.policies.get(policy));
        provenance(site, &subject, policy.map(AsRef::as_ref))
    });
    let declared = node
        .as_ref()
        .map(|node| site.sources.file_line(node.span()));
    let by = node
        .as_ref()
        .and_then(|node| node.body.policy.as_ref())
        .map(|at| site.sources.file_line(at.span));
    Some(json!({
        "name": status.name,
        "state": status.state,
        "reason": status.reason,
        "declared": declared,
        "policy": status.policy,
        "bound_by": by,
        "task": status.task,
        "installs": status.installs,
        "next": next(&status),
        "tags": tags.yes,
        "tags_unknown": tags.unknown,
        "values": values.iter().map(|value| value_of(transaction, value)).collect::<Vec<_>>(),
        "policies": others,
    }))
}

fn next(status: &crate::control::Status) -> String {
    let counts = format!(
        "installs wanted {}, done {}",
        status.installs.wanted, status.installs.done
    );
    match status.state {
        MachineState::Held => "its own disk: it is held".into(),
        MachineState::Protected => "its own disk: it is protected".into(),
        MachineState::Discovered => "what the network's `unknown` sets: nothing binds it".into(),
        MachineState::Bound if status.requested => {
            format!("installer (an operator asked for it; {counts})")
        }
        MachineState::Bound => format!("installer ({counts})"),
        MachineState::Installing => "its own disk first: an installation runs".into(),
        MachineState::Failed if status.installs.wanted > status.installs.done => {
            "its own disk first, or another attempt where one is left".into()
        }
        MachineState::Installed | MachineState::Finished | MachineState::Failed => {
            format!("its own disk ({counts})")
        }
    }
}

fn value_of(transaction: &Transaction<'_>, value: &Provenance) -> Value {
    let sources = &transaction.snapshot.site.sources;
    json!({
        "key": value.key,
        "value": value.value,
        "from": value.span.map(|span| sources.file_line(span)),
        "detail": value.detail,
        "shadows": value.shadows.iter().map(|(value, span)| json!({
            "value": value,
            "from": sources.file_line(*span),
        })).collect::<Vec<_>>(),
    })
}

fn other_policies(
    transaction: &Transaction<'_>,
    node: Option<&Node>,
    tags: &matcher::TagSet,
    facts: &crate::model::Facts,
    status: &crate::control::Status,
) -> Vec<Value> {
    let site = &transaction.snapshot.site;
    let candidate = Candidate {
        is_declared: node.is_some(),
        known: None,
        tags,
        facts,
    };
    let bound = |policy: &crate::model::PolicyName| {
        transaction
            .server
            .state
            .bound
            .get(policy)
            .map_or(0, std::collections::BTreeSet::len) as u64
    };
    let mut list = Vec::new();
    for name in site
        .order
        .iter()
        .filter(|name| Some(*name) != status.policy.as_ref())
    {
        let policy = &site.policies[name];
        let why = matcher::mismatch(policy, &transaction.snapshot.rules, candidate, bound(name));
        let why = why.map_or_else(
            || "it would fit; another one comes first".into(),
            |why| why.to_string(),
        );
        list.push(json!({
            "name": name,
            "order": policy.rule.order.as_ref().map_or(100, |order| order.value),
            "why": why,
            "from": site.sources.file_line(policy.name.span),
        }));
    }
    list
}
