//! Which policy binds a machine: the first in order that matches, and why each earlier one does not.

use std::fmt;

use super::{CompiledRules, TagSet, TruthValue};
use crate::{
    model::{Accept, Facts, Policy, PolicyName, TagName},
    site::Site,
};

/// What a policy is matched against.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// Whether a node declares it.
    pub is_declared: bool,
    /// Why no policy for undeclared machines may bind it: the machine, or one that it may be, was declared or
    /// installed before.
    pub known: Option<&'a str>,
    pub tags: &'a TagSet,
    pub facts: &'a Facts,
}

/// Why a policy does not bind a machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Mismatch {
    /// `enabled` is false.
    Disabled,
    /// It has neither `tags` nor `when`: it binds only nodes that name it.
    NamedOnly,
    /// The machine lacks this tag.
    LacksTag(TagName),
    /// It is unknown whether the machine has this tag.
    UnknownTag(TagName, String),
    /// The expression of `when` is false.
    WhenNo,
    /// The expression of `when` cannot be evaluated.
    WhenUnknown(String),
    /// It binds only declared machines.
    Undeclared,
    /// It binds undeclared machines, but this one was declared or installed before.
    KnownBefore(String),
    /// It has reached its `max-count`.
    Full(u64),
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Disabled => f.write_str("disabled"),
            Mismatch::NamedOnly => f.write_str("binds only nodes that name it"),
            Mismatch::LacksTag(tag) => write!(f, "lacks tag `{tag}`"),
            Mismatch::UnknownTag(tag, reason) => write!(f, "tag `{tag}` is unknown: {reason}"),
            Mismatch::WhenNo => f.write_str("its `when` does not hold"),
            Mismatch::WhenUnknown(reason) => write!(f, "its `when` is unknown: {reason}"),
            Mismatch::Undeclared => f.write_str("accepts declared machines only"),
            Mismatch::KnownBefore(why) => f.write_str(why),
            Mismatch::Full(max) => write!(f, "binds {max} machines already (`max-count`)"),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Choice {
    /// The policy that binds the machine.
    pub policy: Option<PolicyName>,
    /// Every policy before it in order, with the reason why it does not bind.
    pub passed_over: Vec<(PolicyName, Mismatch)>,
}

/// Returns the first of the site's policies that matches. `bound` returns how many other machines a policy binds.
pub fn choose(
    site: &Site,
    rules: &CompiledRules,
    candidate: Candidate<'_>,
    bound: impl Fn(&PolicyName) -> u64,
) -> Choice {
    let mut choice = Choice::default();
    for name in &site.order {
        let policy = &site.policies[name];
        match mismatch(policy, rules, candidate, bound(name)) {
            None => {
                choice.policy = Some(name.clone());
                break;
            }
            Some(mismatch) => choice.passed_over.push((name.clone(), mismatch)),
        }
    }
    choice
}

/// Returns why a policy does not bind a node that names it. Its `tags`, `when` and `accept` do not apply.
pub fn mismatch_of_named(policy: &Policy, bound: u64) -> Option<Mismatch> {
    if !policy.rule.effective().enabled {
        return Some(Mismatch::Disabled);
    }
    let max = policy.rule.max_count.as_ref().map(|max| **max);
    max.filter(|max| *max <= bound).map(Mismatch::Full)
}

/// Returns why a policy does not bind a machine that does not name it.
pub fn mismatch(
    policy: &Policy,
    rules: &CompiledRules,
    candidate: Candidate<'_>,
    bound: u64,
) -> Option<Mismatch> {
    let named = mismatch_of_named(policy, bound);
    if named == Some(Mismatch::Disabled) {
        return named;
    }
    if policy.rule.tags.is_none() && policy.rule.when.is_none() {
        return Some(Mismatch::NamedOnly);
    }
    if !candidate.is_declared {
        match policy.rule.effective().accept {
            Accept::Declared => return Some(Mismatch::Undeclared),
            Accept::Discovered => {
                if let Some(why) = candidate.known {
                    return Some(Mismatch::KnownBefore(why.into()));
                }
            }
        }
    }
    mismatch_of_tags(policy, candidate.tags)
        .or_else(|| mismatch_of_when(policy, rules, candidate))
        .or(named)
}

fn mismatch_of_tags(policy: &Policy, tags: &TagSet) -> Option<Mismatch> {
    let wanted = policy.rule.tags.iter().flat_map(|list| list.values());
    let lacking = wanted.into_iter().find(|tag| !tags.yes.contains(*tag))?;
    Some(match tags.unknown.get(lacking) {
        Some(reason) => Mismatch::UnknownTag(lacking.clone(), reason.clone()),
        None => Mismatch::LacksTag(lacking.clone()),
    })
}

fn mismatch_of_when(
    policy: &Policy,
    rules: &CompiledRules,
    candidate: Candidate<'_>,
) -> Option<Mismatch> {
    match rules.policy(policy.rule.when.as_ref()?, candidate.facts, candidate.tags) {
        TruthValue::Yes => None,
        TruthValue::No => Some(Mismatch::WhenNo),
        TruthValue::Unknown(reason) => Some(Mismatch::WhenUnknown(reason)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        matcher::{self, compile},
        site::{LoadCache, SiteFiles, load},
    };

    const POLICIES: &str = r#"
        [defaults]
        task = "local"
        [node.a]
        mac = "52:54:00:00:00:01"
        policy = "named"
        [tag.gpu]
        when = "facts.manufacturer == 'Nvidia'"
        [tag.old]
        when = "facts.memory_mib < 1024"
        [policy.off]
        order = 1
        enabled = false
        when = "true"
        [policy.named]
        order = 2
        [policy.gpu]
        order = 3
        tags = ["gpu", "old"]
        [policy.big]
        order = 4
        when = "facts.memory_mib > 65536"
        max-count = 2
        [policy.undeclared]
        order = 5
        when = "'gpu' in tags"
        accept = "discovered"
        [policy.rest]
        order = 5
        when = "facts.manufacturer != 'None'"
        [policy.last]
        order = 6
        when = "true"
        accept = "discovered"
    "#;

    fn site() -> (Site, CompiledRules) {
        let files = SiteFiles {
            content: [("policies.d/site.toml".into(), POLICIES.as_bytes().into())].into(),
            ..SiteFiles::default()
        };
        let (site, diagnostics) = load(&files, &mut LoadCache::default());
        assert_eq!(diagnostics, []);
        let (rules, diagnostics) = compile(&site);
        assert_eq!(diagnostics, []);
        (site, rules)
    }

    fn facts(known: &[(&str, &str)]) -> Facts {
        let mut facts = Facts::default();
        for (name, text) in known {
            facts.update(Facts::parse(name, text).unwrap());
        }
        facts
    }

    /// Chooses, and returns the outcome with one line for each policy that was examined.
    fn chosen(
        known: &[(&str, &str)],
        is_declared: bool,
        before: Option<&str>,
        bound: u64,
    ) -> Vec<String> {
        let (site, rules) = site();
        let facts = facts(known);
        let tags = matcher::tags(&site, &rules, None, &facts);
        let candidate = Candidate {
            is_declared,
            known: before,
            tags: &tags,
            facts: &facts,
        };
        let choice = choose(&site, &rules, candidate, |_| bound);
        let over = choice.passed_over.iter();
        over.map(|(name, mismatch)| format!("{name}: {mismatch}"))
            .chain(choice.policy.map(|name| format!("{name} binds")))
            .collect()
    }

    #[test]
    fn the_first_match_binds_and_earlier_policies_have_a_reason() {
        let manufacturer = ("manufacturer", "Nvidia");
        assert_eq!(
            chosen(&[manufacturer, ("memory_mib", "512")], true, None, 0),
            [
                "off: disabled",
                "named: binds only nodes that name it",
                "gpu binds"
            ]
        );
        let unknown = "big: its `when` is unknown: fact `memory_mib` is not known";
        assert_eq!(
            chosen(&[manufacturer], true, None, 0)[2..],
            [
                "gpu: tag `old` is unknown: fact `memory_mib` is not known",
                unknown,
                "rest binds"
            ]
        );
        assert_eq!(
            chosen(
                &[("manufacturer", "Dell"), ("memory_mib", "131072")],
                true,
                None,
                1
            )[2..],
            ["gpu: lacks tag `gpu`", "big binds"]
        );
        assert_eq!(
            chosen(
                &[("manufacturer", "Dell"), ("memory_mib", "131072")],
                true,
                None,
                2
            )[2..],
            [
                "gpu: lacks tag `gpu`",
                "big: binds 2 machines already (`max-count`)",
                "rest binds"
            ]
        );
    }

    #[test]
    fn an_undeclared_machine_is_bound_only_by_a_policy_that_accepts_it() {
        let undeclared = "accepts declared machines only";
        let before = |name: &str, what: &str| format!("{name}: {what}");
        let nvidia = [("manufacturer", "Nvidia")];
        assert_eq!(
            chosen(&nvidia, false, None, 9)[2..],
            [
                before("gpu", undeclared),
                before("big", undeclared),
                before("rest", undeclared),
                "undeclared binds".into()
            ]
        );
        assert_eq!(
            chosen(&nvidia, false, Some("seen before"), 0)[2..],
            [
                before("gpu", undeclared),
                before("big", undeclared),
                before("rest", undeclared),
                before("undeclared", "seen before"),
                before("last", "seen before")
            ]
        );
    }

    #[test]
    fn a_named_policy_has_no_conditions_but_may_be_disabled_or_full() {
        let (site, _) = site();
        for (name, bound, expected) in [
            ("off", 0, Some(Mismatch::Disabled)),
            ("named", 9, None),
            ("gpu", 9, None),
            ("big", 1, None),
            ("big", 2, Some(Mismatch::Full(2))),
            ("big", 3, Some(Mismatch::Full(2))),
        ] {
            let mismatch = mismatch_of_named(&site.policies[name], bound);
            assert_eq!(mismatch, expected, "{name}, {bound} bound");
        }
    }
}
