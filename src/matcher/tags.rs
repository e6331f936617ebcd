//! Which tags a machine has.

use std::collections::{BTreeMap, BTreeSet};

use super::{Rules, Verdict};
use crate::{
    model::{Facts, Node, TagName},
    site::Site,
};

/// The tags of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tags {
    /// Those it has.
    pub yes: BTreeSet<TagName>,
    /// Those of which it cannot be known, and why. They count as not there.
    pub unknown: BTreeMap<TagName, String>,
}

/// Works out the tags of a machine: those its declaration carries, and those whose rule its facts satisfy.
/// A carried tag wins over its rule.
pub fn tags(site: &Site, rules: &Rules, node: Option<&Node>, facts: &Facts) -> Tags {
    let carried = node.and_then(|node| node.body.tags.as_ref());
    let mut tags = Tags {
        yes: carried
            .iter()
            .flat_map(|list| list.values().cloned())
            .collect(),
        unknown: BTreeMap::new(),
    };
    for (name, tag) in &site.tags {
        let Some(when) = tag.body.when.as_ref().filter(|_| !tags.yes.contains(name)) else {
            continue;
        };
        match rules.tag(when, facts) {
            Verdict::Yes => drop(tags.yes.insert(name.clone())),
            Verdict::No => {}
            Verdict::Unknown(reason) => drop(tags.unknown.insert(name.clone(), reason)),
        }
    }
    tags
}
