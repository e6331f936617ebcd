//! What a machine gets at its next network boot, and why: its binding, where each value is set, and why other policies do
//! not bind it.

use std::{collections::BTreeSet, sync::Arc};

use crate::{
    api::{Explanation, InstallCounts, NodeStatus, PolicyVerdict, ShadowedValue, ValueOrigin},
    control::{Blocked, NextBoot, Transaction, Unbound},
    journal::MachineId,
    matcher::{self, Candidate},
    model::{Node, NodeName, PolicyName},
    site::{Provenance, Subject, provenance},
};

/// Explains what a machine gets at its next network boot. `None` if there is no machine of this name.
pub fn explain(transaction: &Transaction<'_>, name: &str) -> Option<Explanation> {
    let (id, node) = transaction.find(name)?;
    let node = node.as_ref();
    let site = &transaction.snapshot.site;
    let status = transaction.status(id, node);
    let machine = id.and_then(|id| transaction.server.state.machine(id));
    let facts = machine.map(|machine| machine.facts.clone());
    let facts = facts.unwrap_or_default();
    let tags = matcher::tags(
        site,
        &transaction.snapshot.rules,
        node.map(AsRef::as_ref),
        &facts,
    );
    let candidate = Candidate {
        is_declared: node.is_some(),
        known: None,
        tags: &tags,
        facts: &facts,
    };
    let place = |span| site.sources.file_line(span);
    let policy_setting = node.and_then(|node| node.body.policy.as_ref());
    Some(Explanation {
        declared: node.map(|node| place(node.span())),
        bound_by: policy_setting.map(|policy| place(policy.span)),
        next: next_text(
            &transaction.next_boot(id, node),
            status.installs,
            machine.is_some_and(|machine| machine.reinstall),
        ),
        values: values(transaction, id, node, &status),
        policies: other_policies(transaction, candidate, status.policy.as_ref()),
        name: status.name,
        state: status.state,
        reason: status.reason,
        policy: status.policy,
        task: status.task,
        installs: status.installs,
        tags: tags.yes,
        tags_unknown: tags.unknown,
    })
}

/// What the next network boot gets.
fn next_text(next: &NextBoot, installs: InstallCounts, is_requested: bool) -> String {
    let counts = format!(
        "installs wanted {}, done {}",
        installs.wanted, installs.done
    );
    match next {
        NextBoot::Installer if is_requested => {
            format!("installer (requested by an operator; {counts})")
        }
        NextBoot::Installer => format!("installer ({counts})"),
        NextBoot::Task(task) => format!("task {task}, which installs nothing"),
        NextBoot::DiskFirst => "its own disk first: an installation runs".into(),
        NextBoot::Blocked(Blocked::NotDue) => format!("its own disk ({counts})"),
        NextBoot::Blocked(Blocked::Protected(_)) => "its own disk: it is protected".into(),
        NextBoot::Blocked(Blocked::Unbound {
            reason: Unbound::NoPolicy(_),
            ..
        }) => "what the network's `unknown` sets: nothing binds it".into(),
        NextBoot::Blocked(blocked) if blocked.hold_reason().is_some() => {
            "its own disk: it is held".into()
        }
        NextBoot::Blocked(blocked) if blocked.ends_soon() => {
            format!("a wait, then the installer: {blocked}")
        }
        NextBoot::Blocked(blocked) => format!("its own disk: {blocked}"),
    }
}

fn values(
    transaction: &Transaction<'_>,
    id: Option<MachineId>,
    node: Option<&Arc<Node>>,
    status: &NodeStatus,
) -> Vec<ValueOrigin> {
    let site = &transaction.snapshot.site;
    let Ok(name) = status.name.parse::<NodeName>() else {
        return Vec::new();
    };
    let subject = Subject {
        name: &name,
        declared: node,
        macs: status.mac.clone(),
        pooled: id.and_then(|id| transaction.pool_address(id)),
    };
    let policy = status.policy.as_ref();
    let policy = policy.and_then(|policy| site.policies.get(policy));
    let values = provenance(site, &subject, policy.map(AsRef::as_ref));
    let place = |span| site.sources.file_line(span);
    let shadowed = |(value, span)| ShadowedValue {
        value,
        from: place(span),
    };
    let origin = |value: Provenance| ValueOrigin {
        key: value.key,
        value: value.value,
        from: value.span.map(place),
        detail: value.detail,
        shadows: value.shadows.into_iter().map(shadowed).collect(),
    };
    values.into_iter().map(origin).collect()
}

/// Why each policy does not bind the machine, except the one that does.
fn other_policies(
    transaction: &Transaction<'_>,
    candidate: Candidate<'_>,
    bound: Option<&PolicyName>,
) -> Vec<PolicyVerdict> {
    let (site, rules) = (&transaction.snapshot.site, &transaction.snapshot.rules);
    let verdict = |name: &PolicyName| {
        let policy = &site.policies[name];
        let machines = transaction.server.state.bound.get(name);
        let count = machines.map_or(0, BTreeSet::len) as u64;
        let mismatch = matcher::mismatch(policy, rules, candidate, count);
        PolicyVerdict {
            name: name.clone(),
            order: policy.rule.effective().order,
            why: mismatch.map_or_else(
                || "it would fit; another one comes first".into(),
                |mismatch| mismatch.to_string(),
            ),
            from: site.sources.file_line(policy.name.span),
        }
    };
    let others = site.order.iter().filter(|name| Some(*name) != bound);
    others.map(verdict).collect()
}
