//! Adds declared objects to the site and rejects duplicate names.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    hash::Hash,
    sync::Arc,
};

use crate::model::{Identity, Node, PolicyName, SmallSet, SourceSpan, Spanned};

use super::{Diagnostic, IdentityIndex, Site, object::Object};

impl Site {
    /// Adds an object, unless another one of its kind has the same name.
    pub(super) fn declare(
        &mut self,
        object: &Object,
        defaults: &mut Option<SourceSpan>,
    ) -> Option<Diagnostic> {
        match object {
            Object::Defaults(at) => {
                if let Some(first) = *defaults {
                    return Some(declared_twice("the defaults are", at.span, first));
                }
                *defaults = Some(at.span);
                self.defaults = at.value.clone();
                None
            }
            Object::Repo(repo) => put(&mut self.repos, "repo", repo, |repo| &repo.name),
            Object::Network(network) => put(&mut self.networks, "network", network, |network| {
                &network.name
            }),
            Object::Tag(tag) => put(&mut self.tags, "tag", tag, |tag| &tag.name),
            Object::Policy(policy) => {
                put(&mut self.policies, "policy", policy, |policy| &policy.name)
            }
            Object::Node(node) => {
                let twice = put(&mut self.nodes, "node", node, |node| &node.name);
                if twice.is_none() {
                    self.identities.add(node);
                }
                twice
            }
            Object::Broker(broker) => {
                put(&mut self.brokers, "broker", broker, |broker| &broker.name)
            }
            Object::Hook(hook) => put(&mut self.hooks, "hook", hook, |hook| &hook.name),
        }
    }
}

fn put<N: Ord + Clone + fmt::Display, T>(
    map: &mut BTreeMap<N, Arc<T>>,
    kind: &str,
    object: &Arc<T>,
    name: fn(&T) -> &Spanned<N>,
) -> Option<Diagnostic> {
    let Spanned { value, span } = name(object);
    if let Some(first) = map.get(value) {
        let what = format!("{kind} `{value}` is");
        return Some(declared_twice(&what, *span, name(first).span));
    }
    map.insert(value.clone(), object.clone());
    None
}

fn declared_twice(what: &str, span: SourceSpan, first: SourceSpan) -> Diagnostic {
    Diagnostic::error(format!("{what} declared twice"), span).other(first, "first here")
}

impl IdentityIndex {
    /// Returns the nodes that declare any of an identity's MAC addresses, sorted by name.
    pub fn by_mac(&self, identity: &Identity) -> Vec<&Arc<Node>> {
        each_once(declaring(&self.mac, &identity.mac))
    }

    /// Returns the nodes that declare any of an identity's serial numbers, UUIDs or asset tags, sorted by name.
    pub fn by_board(&self, identity: &Identity) -> Vec<&Arc<Node>> {
        let by_serial = declaring(&self.serial, &identity.serial);
        let by_uuid = declaring(&self.uuid, &identity.uuid);
        let by_asset = declaring(&self.asset, &identity.asset);
        each_once(by_serial.chain(by_uuid).chain(by_asset))
    }

    fn add(&mut self, node: &Arc<Node>) {
        for mac in node.macs() {
            self.mac.entry(mac.value).or_insert_with(|| node.clone());
        }
        let body = &node.body;
        if let Some(serial) = &body.serial {
            let entry = self.serial.entry(serial.value.clone());
            entry.or_insert_with(|| node.clone());
        }
        if let Some(uuid) = &body.uuid {
            let entry = self.uuid.entry(uuid.value.clone());
            entry.or_insert_with(|| node.clone());
        }
        if let Some(asset) = &body.asset {
            let entry = self.asset.entry(asset.value.clone());
            entry.or_insert_with(|| node.clone());
        }
    }
}

fn declaring<'a, K: Eq + Hash>(
    declared: &'a HashMap<K, Arc<Node>>,
    identities: &SmallSet<K>,
) -> impl Iterator<Item = &'a Arc<Node>> {
    identities.iter().filter_map(|key| declared.get(key))
}

fn each_once<'a>(nodes: impl Iterator<Item = &'a Arc<Node>>) -> Vec<&'a Arc<Node>> {
    let mut nodes: Vec<&Arc<Node>> = nodes.collect();
    nodes.sort_by_key(|node| &node.name.value);
    nodes.dedup_by_key(|node| &node.name.value);
    nodes
}

/// Returns the names of the policies in the order in which they are evaluated: by `order`, then by name.
pub(super) fn order(site: &Site) -> Vec<PolicyName> {
    let mut names: Vec<PolicyName> = site.policies.keys().cloned().collect();
    names.sort_by_key(|name| site.policies[name].rule.effective().order);
    names
}
