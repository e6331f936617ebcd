//! Checks policies that bind no machine, or too many.

use std::{collections::BTreeSet, sync::Arc};

use crate::model::{Accept, AddressSource, NetworkName, Policy, TagName};

use super::{SiteCheck, references::shortened};
use crate::site::{Diagnostic, ObjectKind, hostname::is_template, suggest::suggest};

impl<'a> SiteCheck<'a> {
    pub(super) fn policies(&mut self) {
        let site = self.site;
        for policy in site.policies.values() {
            self.check_discovery_rule(policy);
            self.policy_tags(policy);
            if is_enabled(policy) {
                self.check_shared_hostname(policy);
                self.check_pool(policy);
                self.check_policy_task(policy);
            }
        }
        if site.unread.is_empty() {
            self.check_unbound_policies();
        }
    }

    fn check_discovery_rule(&mut self, policy: &Policy) {
        let accept = policy.rule.accept.as_ref();
        let Some(accept) = accept.filter(|at| at.value == Accept::Discovered) else {
            return;
        };
        let is_flawed = self
            .site
            .unread
            .has_flawed(ObjectKind::Policy, policy.name.as_str());
        if !has_rule(policy) && !is_flawed {
            let message = format!(
                "policy `{}` accepts every machine that boots from the network",
                policy.name
            );
            self.report(
                Diagnostic::error(message, accept.span)
                    .label("neither `tags` nor `when`")
                    .help("restrict it with `tags` or `when`"),
            );
        }
    }

    fn policy_tags(&mut self, policy: &Policy) {
        for tag in policy.rule.tags.iter().flat_map(|list| &list.value) {
            let site = self.site;
            let exists = site.tags.contains_key(&tag.value) || self.node_tags.contains(&tag.value);
            let unread = site.unread.may_declare(ObjectKind::Tag, tag.as_str())
                || site.may_carry_more_tags();
            if exists || unread {
                continue;
            }
            let known: BTreeSet<&TagName> = site
                .tags
                .keys()
                .chain(self.node_tags.iter().copied())
                .collect();
            let known: Vec<&str> = known.into_iter().map(TagName::as_str).collect();
            let help = match suggest(tag.as_str(), known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None if known.is_empty() => format!("define it: [tag.{tag}]"),
                None => format!("expected one of {}", shortened(&known)),
            };
            let message = format!("tag `{tag}` is neither defined nor carried by any node");
            self.report(Diagnostic::error(message, tag.span).help(help));
        }
    }

    fn check_shared_hostname(&mut self, policy: &Policy) {
        let Some(hostname) = &policy.settings.hostname else {
            return;
        };
        let single = policy
            .rule
            .max_count
            .as_ref()
            .is_some_and(|at| at.value <= 1);
        if !single && has_rule(policy) && !is_template(hostname) {
            let message = format!(
                "every machine of policy `{}` would have the host name `{hostname}`",
                policy.name
            );
            self.report(
                Diagnostic::warning(message, hostname.span)
                    .help("write a template such as `esx-{{ node.serial | lower }}`"),
            );
        }
    }

    /// Checks that a policy for undeclared machines has a pool, if their addresses come from a pool.
    fn check_pool(&mut self, policy: &Policy) {
        let site = self.site;
        let of_defaults = &site.defaults.settings;
        let addresses = policy
            .settings
            .addresses
            .as_deref()
            .or(of_defaults.addresses.as_deref());
        let Some(addresses) = addresses.filter(|at| at.value == AddressSource::Pool) else {
            return;
        };
        if !accepts_discovered(policy) {
            return;
        }
        let network = policy
            .settings
            .network
            .as_deref()
            .or(of_defaults.network.as_deref());
        let unread = &site.unread;
        let with_pool = |name: &NetworkName| {
            let network = site.networks.get(name);
            let is_flawed = unread.has_flawed(ObjectKind::Network, name.as_str());
            is_flawed || network.is_none_or(|network| network.body.pool.is_some())
        };
        let pools = site
            .networks
            .values()
            .filter(|network| network.body.pool.is_some());
        let (message, help) = match network {
            Some(name) if with_pool(&name.value) => return,
            Some(name) => (
                format!("network `{name}` has no `pool`"),
                "give the network a `pool`",
            ),
            None if pools.count() == 1 || !unread.is_empty() => return,
            None => ("no network is set for its pool".into(), "set `network`"),
        };
        let message = format!("policy `{}`: {message}", policy.name);
        self.report(Diagnostic::error(message, addresses.span).help(help));
    }

    /// Checks that a task is set if the repo has none.
    fn check_policy_task(&mut self, policy: &Policy) {
        let of_defaults = &self.site.defaults.settings;
        let task = policy
            .settings
            .task
            .as_deref()
            .or(of_defaults.task.as_deref());
        let repo = policy
            .settings
            .repo
            .as_deref()
            .or(of_defaults.repo.as_deref());
        let Some(repo) = repo else { return };
        let Some(of_repo) = self.site.repos.get(&repo.value) else {
            return;
        };
        let by_node = self
            .site
            .nodes
            .values()
            .any(|node| node.settings.task.is_some());
        let is_flawed = self.site.unread.has_flawed(ObjectKind::Repo, repo.as_str());
        if task.is_none() && of_repo.body.task.is_none() && !by_node && !is_flawed {
            let message = format!("no task is set for repo `{repo}`");
            self.report(
                Diagnostic::error(message, repo.span)
                    .label(format!("policy {}", policy.name))
                    .help("set `task` in the repo or in the policy"),
            );
        }
    }

    /// Warns about policies that never bind a machine.
    fn check_unbound_policies(&mut self) {
        let site = self.site;
        let named: BTreeSet<_> = site
            .nodes
            .values()
            .filter_map(|node| node.body.policy.as_ref())
            .map(|at| &at.value)
            .collect();
        let mut earlier: Vec<&Arc<Policy>> = Vec::new();
        for policy in self.enabled_policies() {
            if let Some(max) = policy.rule.max_count.as_ref().filter(|at| at.value == 0) {
                let message = format!(
                    "policy `{}` never binds a machine: `max-count` is 0",
                    policy.name
                );
                let help = "to disable it, set enabled = false";
                self.report(Diagnostic::warning(message, max.span).help(help));
            } else if !named.contains(&policy.name.value) {
                self.check_unbound(policy, &earlier);
            }
            earlier.push(policy);
        }
    }

    /// Lists the enabled policies in the order in which they are evaluated.
    fn enabled_policies(&self) -> Vec<&'a Arc<Policy>> {
        let mut policies: Vec<_> = self
            .site
            .policies
            .values()
            .filter(|policy| is_enabled(policy))
            .collect();
        policies.sort_by_key(|policy| (policy.rule.effective().order, &policy.name.value));
        policies
    }

    fn check_unbound(&mut self, policy: &Policy, earlier: &[&Arc<Policy>]) {
        let name = &policy.name;
        let never = |why: String| {
            Diagnostic::warning(
                format!("policy `{name}` never binds a machine: {why}"),
                name.span,
            )
        };
        if !has_rule(policy) {
            if accepts_discovered(policy) {
                return; // `check_discovery_rule` reports it.
            }
            let help = "give it `tags` or `when`, or name it from a node";
            return self.report(never("it has no rule and no node names it".into()).help(help));
        }
        let tags = policy.rule.tags.iter().flat_map(|list| &list.value);
        let is_never_set = |tag: &&crate::model::Spanned<TagName>| {
            let defined = self.site.tags.get(&tag.value);
            defined.is_some_and(|tag| tag.body.when.is_none())
                && !self.node_tags.contains(&tag.value)
        };
        if let Some(tag) = tags.clone().find(is_never_set) {
            let why = format!("no node carries tag `{tag}`, and the tag has no `when`");
            return self.report(never(why).other(tag.span, "the tag"));
        }
        if let Some(above) = earlier.iter().find(|above| binds_all_of(above, policy)) {
            let why = format!("policy `{}` binds its machines first", above.name);
            let help = "give it a lower `order`, or give the other policy more `tags`";
            self.report(
                never(why)
                    .other(above.name.span, "the earlier policy")
                    .help(help),
            );
        }
    }
}

fn is_enabled(policy: &Policy) -> bool {
    policy.rule.effective().enabled
}

fn accepts_discovered(policy: &Policy) -> bool {
    policy.rule.effective().accept == Accept::Discovered
}

/// Returns whether a policy has `tags` or `when`, so that it binds machines that do not name it.
pub(super) fn has_rule(policy: &Policy) -> bool {
    let tags = policy.rule.tags.as_ref();
    policy.rule.when.is_some() || tags.is_some_and(|list| !list.is_empty())
}

/// Returns whether `above`, which is evaluated first, binds every machine that `below` would bind.
fn binds_all_of(above: &Policy, below: &Policy) -> bool {
    let tags = |policy: &'_ Policy| -> BTreeSet<TagName> {
        let list = policy.rule.tags.iter();
        list.flat_map(|list| list.values().cloned()).collect()
    };
    has_rule(above)
        && above.rule.when.is_none()
        && above.rule.max_count.is_none()
        && (accepts_discovered(above) || !accepts_discovered(below))
        && tags(above).is_subset(&tags(below))
}
