//! Warns about declarations that nothing uses.

use std::collections::BTreeSet;

use crate::model::{DhcpMode, Network, SourceSpan};

use super::SiteCheck;
use crate::site::Diagnostic;

impl<'a> SiteCheck<'a> {
    pub(super) fn unused(&mut self) {
        let site = self.site;
        let installers = site
            .repos
            .values()
            .filter_map(|repo| repo.body.installer.as_ref());
        let repos: BTreeSet<_> = self
            .layers()
            .filter_map(|layer| layer.repo.as_deref())
            .chain(installers)
            .map(|at| &at.value)
            .collect();
        for repo in site
            .repos
            .values()
            .filter(|repo| !repos.contains(&repo.name.value))
        {
            self.warn_unused("repo", &repo.name.to_string(), repo.name.span);
        }
        let brokers: BTreeSet<_> = self
            .layers()
            .filter_map(|layer| layer.broker.as_ref())
            .map(|at| &at.value)
            .collect();
        for broker in site
            .brokers
            .values()
            .filter(|broker| !brokers.contains(&broker.name.value))
        {
            self.warn_unused("broker", &broker.name.to_string(), broker.name.span);
        }
        self.unused_networks();
        self.unused_tags();
    }

    fn unused_networks(&mut self) {
        let named = self
            .layers()
            .flat_map(|layer| [&layer.network, &layer.boot_network]);
        let mut used: BTreeSet<_> = named.flatten().map(|at| &at.value).collect();
        used.extend(&self.used_networks);
        for network in self.site.networks.values() {
            if !used.contains(&network.name.value) && !has_effect(network) {
                self.warn_unused("network", &network.name.to_string(), network.name.span);
            }
        }
    }

    /// Warns about tags that no policy lists and no expression contains.
    fn unused_tags(&mut self) {
        let site = self.site;
        let policies = site.policies.values();
        let listed = policies.clone().flat_map(|policy| &policy.rule.tags);
        let listed: BTreeSet<_> = listed.flat_map(|list| list.values()).collect();
        let of_policies = policies.filter_map(|policy| policy.rule.when.as_ref());
        let of_tags = site.tags.values().filter_map(|tag| tag.body.when.as_ref());
        let expected = self.layers().filter_map(|layer| layer.expect.as_deref());
        let expressions: Vec<&str> = of_policies
            .chain(of_tags)
            .chain(expected)
            .map(|at| at.value.as_str())
            .collect();
        for tag in site.tags.values() {
            let name = tag.name.as_str();
            let is_used = listed.contains(&tag.name.value)
                || expressions.iter().any(|text| text.contains(name));
            if !is_used {
                self.warn_unused("tag", name, tag.name.span);
            }
        }
    }

    fn warn_unused(&mut self, word: &str, name: &str, span: SourceSpan) {
        let message = format!("nothing uses {word} `{name}`");
        self.report(Diagnostic::warning(message, span));
    }
}

/// Returns whether a network has an effect on machines without a declaration that names it: by `dhcp` or `unknown`.
fn has_effect(network: &Network) -> bool {
    network.body.effective().dhcp != DhcpMode::Off || network.body.unknown.is_some()
}
