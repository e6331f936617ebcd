//! Which tags a machine has.

use std::collections::{BTreeMap, BTreeSet};

use super::{CompiledRules, TruthValue};
use crate::{
    model::{Facts, Node, TagName},
    site::Site,
};

/// The tags of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TagSet {
    pub yes: BTreeSet<TagName>,
    /// Tags of which it is unknown whether the machine has them, with the reason. They count as absent.
    pub unknown: BTreeMap<TagName, String>,
}

/// Determines the tags of a machine: those of its declaration, and those whose rule its facts satisfy. A declared
/// tag takes precedence over its rule.
pub fn tags(site: &Site, rules: &CompiledRules, node: Option<&Node>, facts: &Facts) -> TagSet {
    let carried = node.and_then(|node| node.body.tags.as_ref());
    let mut tags = TagSet {
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
            TruthValue::Yes => drop(tags.yes.insert(name.clone())),
            TruthValue::No => {}
            TruthValue::Unknown(reason) => drop(tags.unknown.insert(name.clone(), reason)),
        }
    }
    tags
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        matcher::compile,
        site::{LoadCache, SiteFiles, load},
    };

    const SITE: &str = r#"
[tag.big]
when = "facts.memory_mib > 65536"
[tag.gpu]
when = "facts.custom.bays != '0'"
[tag.plain]
[policy.all]
tags = ["big", "gpu", "plain", "own"]
task = "local"
[node.a]
mac = "52:54:00:00:00:01"
tags = ["big", "plain", "own"]
task = "local"
[node.b]
mac = "52:54:00:00:00:02"
task = "local"
"#;

    /// Formats the tags of a machine on one line. An unknown one has a question mark.
    fn line(node: Option<&str>, known: &[(&str, &str)]) -> String {
        let files = SiteFiles {
            content: [("policies.d/site.toml".into(), SITE.as_bytes().into())].into(),
            ..SiteFiles::default()
        };
        let (site, diagnostics) = load(&files, &mut LoadCache::default());
        assert_eq!(diagnostics, []);
        let (rules, diagnostics) = compile(&site);
        assert_eq!(diagnostics, []);
        let mut facts = Facts::default();
        for (name, text) in known {
            facts.update(Facts::parse(name, text).unwrap());
        }
        let node = node.map(|name| &*site.nodes[name]);
        let tags = tags(&site, &rules, node, &facts);
        let yes = tags.yes.iter().map(ToString::to_string);
        let unknown = tags.unknown.keys().map(|tag| format!("{tag}?"));
        yes.chain(unknown).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn tags_are_declared_derived_from_facts_or_unknown() {
        let (small, big) = (("memory_mib", "1024"), ("memory_mib", "131072"));
        for (node, known, expected) in [
            (None, vec![], "big? gpu?"),
            (None, vec![small, ("bays", "0")], ""),
            (None, vec![big, ("bays", "2")], "big gpu"),
            (Some("b"), vec![big], "big gpu?"),
            // A declared tag takes precedence over its rule, and a tag that only nodes declare needs no definition.
            (Some("a"), vec![], "big own plain gpu?"),
            (Some("a"), vec![small, ("bays", "0")], "big own plain"),
        ] {
            assert_eq!(line(node, &known), expected, "{node:?} {known:?}");
        }
    }
}
