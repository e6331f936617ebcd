//! Caches which renderings had no errors, so that they are not repeated.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    control::{RenderTarget, Snapshot},
    model::{Hostname, Node, NodeName, Policy, PolicyName, Settings},
    render::Fingerprint,
    site::{Diagnostic, Resolved},
};

/// What was rendered.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub(crate) enum RenderKey {
    /// A declared node.
    Node(NodeName),
    /// Undeclared machines that this policy binds.
    Undeclared(PolicyName),
}

impl RenderKey {
    pub(crate) fn of(target: &RenderTarget) -> RenderKey {
        match target {
            RenderTarget::Node(node) => RenderKey::Node(node.name.value.clone()),
            RenderTarget::Undeclared(policy) => RenderKey::Undeclared(policy.name.value.clone()),
        }
    }
}

impl std::fmt::Display for RenderKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            RenderKey::Node(name) => write!(f, "node `{name}`"),
            RenderKey::Undeclared(name) => write!(f, "policy `{name}` for an undeclared machine"),
        }
    }
}

/// A node or policy that was rendered without errors.
///
/// It holds few allocations of its own: a small allocation that survives a rendering would keep a whole page of that
/// rendering's memory in use.
#[derive(Clone)]
pub(crate) struct RenderedNode {
    /// What it was rendered from.
    pub(crate) inputs: Inputs,
    /// The rendered host name, if it is set by a template.
    pub(crate) hostname: Option<Hostname>,
    /// The number of rendered files.
    pub(crate) documents: usize,
    pub(crate) warnings: Vec<Diagnostic>,
}

/// What the files of one machine are rendered from, besides what all machines have in common. Objects from files that did not
/// change stay the same allocation from load to load, so pointers are compared.
#[derive(Clone)]
pub(crate) struct Inputs {
    templates: Fingerprint,
    node: Option<Arc<Node>>,
    policy: Option<Arc<Policy>>,
}

impl Inputs {
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

    /// Returns whether both are the same.
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

/// Returns whether the inputs that all machines have in common are unchanged.
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

/// Returns whether all policies and templates are unchanged too, so that a machine with an unchanged declaration gets the same
/// files.
pub(crate) fn only_nodes_differ(before: &Snapshot, after: &Snapshot) -> bool {
    same(&before.site.policies, &after.site.policies) && after.library.has_all_of(&before.library)
}

/// Returns whether a node or policy is declared as in `before`.
pub(crate) fn is_declared_as_in(before: &Snapshot, target: &RenderTarget) -> bool {
    match target {
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

/// Returns whether a template sets a host name, so that two machines may get the same one.
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
