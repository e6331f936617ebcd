//! Checks the declarations of a site against each other.
//!
//! Each file has one subject. One pass reports all mistakes, in file order. A reference to a declaration that could not be read
//! is not reported, because the mistake in the declaration is reported already.

mod settings;
mod references;
mod repos;
mod networks;
mod dhcp_options;
mod policies;
mod nodes;
mod operator;
mod unique;
mod unused;

pub(crate) use operator::unencrypted_operators;

use std::{collections::BTreeSet, sync::Arc};

use crate::model::{NetworkName, Node, Settings, TagName};

use super::{Diagnostic, FreeAddresses, Site};

/// Returns a diagnostic for every mistake.
pub(super) fn check(site: &Site) -> Vec<Diagnostic> {
    let mut check = SiteCheck::new(site);
    check.operator();
    check.settings();
    check.repos();
    check.hooks();
    check.networks();
    check.policies();
    check.nodes();
    if site.unread.is_empty() {
        check.unused();
    }
    check.found
}

/// The state that all rules share.
struct SiteCheck<'a> {
    site: &'a Site,
    free: FreeAddresses<'a>,
    /// Every node, in file order.
    nodes: Vec<&'a Arc<Node>>,
    /// The tags that nodes carry.
    node_tags: BTreeSet<&'a TagName>,
    /// The networks of all links.
    used_networks: BTreeSet<&'a NetworkName>,
    found: Vec<Diagnostic>,
}

impl<'a> SiteCheck<'a> {
    fn new(site: &'a Site) -> Self {
        let mut nodes: Vec<&Arc<Node>> = site.nodes.values().collect();
        let order = site.sources.order();
        nodes.sort_by_key(|node| order(node.span()));
        let tags = nodes.iter().flat_map(|node| &node.body.tags);
        SiteCheck {
            site,
            free: FreeAddresses::new(site),
            node_tags: tags.flat_map(|list| list.values()).collect(),
            nodes,
            used_networks: BTreeSet::new(),
            found: Vec::new(),
        }
    }

    fn report(&mut self, mistake: Diagnostic) {
        self.found.push(mistake);
    }

    /// Iterates over all declared settings.
    fn layers(&self) -> impl Iterator<Item = &'a Settings> + use<'a> {
        self.site.layers()
    }
}
