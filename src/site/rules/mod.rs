//! Holds the declarations of a site to each other.
//!
//! Each file has one subject. Everything that one pass can find is found in one pass: the operator gets
//! the whole list, in the order of the files. What refers to a declaration that could not be read is left
//! alone, for that is one mistake and not two.

mod settings;
mod references;
mod repos;
mod networks;
mod policies;
mod nodes;
mod unique;
mod unused;

use std::{collections::BTreeSet, sync::Arc};

use crate::model::{NetworkName, Node, Settings, TagName};

use super::{Diagnostic, FreeAddresses, Site};

/// Returns every mistake in how the declarations of `site` fit together.
pub(super) fn check(site: &Site) -> Vec<Diagnostic> {
    let mut check = SiteCheck::new(site);
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

/// What the rules share.
struct SiteCheck<'a> {
    site: &'a Site,
    free: FreeAddresses<'a>,
    /// Every node, in the order of the files.
    nodes: Vec<&'a Arc<Node>>,
    /// Tags that some node carries.
    carried: BTreeSet<&'a TagName>,
    /// Networks in which some link lies.
    inhabited: BTreeSet<&'a NetworkName>,
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
            carried: tags.flat_map(|list| list.values()).collect(),
            nodes,
            inhabited: BTreeSet::new(),
            found: Vec::new(),
        }
    }

    fn report(&mut self, mistake: Diagnostic) {
        self.found.push(mistake);
    }

    /// Walks every declaration that makes settings.
    fn layers(&self) -> impl Iterator<Item = &'a Settings> + use<'a> {
        self.site.layers()
    }
}
