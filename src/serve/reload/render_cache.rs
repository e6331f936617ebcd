//! Who was rendered without a mistake, and need not be rendered again.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    control::{RenderTarget, Snapshot},
    model::{Hostname, Node, NodeName, Policy, PolicyName, Settings},
    render::Fingerprint,
    site::{Diagnostic, Resolved},
};

/// Who was rendered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RenderKey {
    /// A declared node.
    Node(NodeName),
    /// A machine that nobody declared, bound by this policy.
    Undeclared(PolicyName),
}

impl RenderKey {
    pub(crate) fn of(examined: &RenderTarget) -> RenderKey {
        match examined {
            RenderTarget::Node(node) => RenderKey::Node(node.name.value.clone()),
            RenderTarget::Undeclared(policy) => RenderKey::Undeclared(policy.name.value.clone()),
        }
    }
}

/// Somebody who was rendered without a mistake. It holds no text of its own where it need not: a small piece of memory
/// that stays, among all that rendering needs for a moment, keeps a page of it.
#[derive(Clone)]
pub(crate) struct RenderedNode {
    /// From what.
    pub(crate) inputs: Inputs,
    /// The host name that came out, where it is made by a template.
    pub(crate) hostname: Option<Hostname>,
    /// How many files did.
    pub(crate) documents: usize,
    /// What was remarked.
    pub(crate) warnings: Vec<Diagnostic>,
}

/// What somebody's files are made from, besides what every machine's are. Objects of files that did not change
/// are the same ones from load to load.
#[derive(Clone)]
pub(crate) struct Inputs {
    templates: Fingerprint,
    node: Option<Arc<Node>>,
    policy: Option<Arc<Policy>>,
}

impl Inputs {
    /// Collects them.
    pub(crate) fn new(snapshot: &Snapshot, resolved: &Resolved) -> Self {
        let policy = resolved
            .policy
            .as_ref()
            .and_then(|name| snapshot.site.policies.get(name));
        Inputs {
            templates: snapshot.library.fingerprint_for(resolved),
            node: resolved.declared.clone(),
            policy: policy.cloned(),
        }
    }

    /// Whether both are the same.
    pub(crate) fn is(&self, other: &Inputs) -> bool {
        fn same<T>(a: Option<&Arc<T>>, b: Option<&Arc<T>>) -> bool {
            match (a, b) {
                (Some(a), Some(b)) => Arc::ptr_eq(a, b),
                (None, None) => true,
                _ => false,
            }
        }
        self.templates == other.templates
            && same(self.node.as_ref(), other.node.as_ref())
            && same(self.policy.as_ref(), other.policy.as_ref())
    }
}

/// Whether what every machine's files are made from is what it was.
pub(crate) fn is_same(before: &Snapshot, after: &Snapshot) -> bool {
    Arc::ptr_eq(&before.site.defaults, &after.site.defaults)
        && same(&before.site.networks, &after.site.networks)
        && same(&before.site.repos, &after.site.repos)
        && same(&before.site.brokers, &after.site.brokers)
        && same(&before.site.tags, &after.site.tags)
        && before.outside.secrets == after.outside.secrets
        && before.outside.passwords == after.outside.passwords
        && before.outside.repos == after.outside.repos
}

/// Whether, in addition, all policies and templates are what they were, so that whose declaration is, too, is
/// given the same files.
pub(crate) fn only_nodes_differ(before: &Snapshot, after: &Snapshot) -> bool {
    same(&before.site.policies, &after.site.policies) && after.library.has_all_of(&before.library)
}

/// Whether somebody is declared as before.
pub(crate) fn is_declared_as_in(before: &Snapshot, examined: &RenderTarget) -> bool {
    match examined {
        RenderTarget::Node(node) => {
            let known = before.site.nodes.get(&node.name.value);
            known.is_some_and(|known| Arc::ptr_eq(known, node))
        }
        RenderTarget::Undeclared(policy) => {
            let known = before.site.policies.get(&policy.name.value);
            known.is_some_and(|known| Arc::ptr_eq(known, policy))
        }
    }
}

/// Whether a host name may come out of a template, so that two machines may turn out to have the same one.
pub(crate) fn names_by_template(snapshot: &Snapshot) -> bool {
    let site = &snapshot.site;
    let is_template = |settings: &Settings| {
        let hostname = settings.hostname.as_deref();
        hostname.is_some_and(|hostname| hostname.value.contains('{'))
    };
    site.layers().any(is_template)
}

fn same<K: Ord, T>(before: &BTreeMap<K, Arc<T>>, after: &BTreeMap<K, Arc<T>>) -> bool {
    before.len() == after.len()
        && before
            .values()
            .zip(after.values())
            .all(|(a, b)| Arc::ptr_eq(a, b))
}
