//! Checks that the targets of references exist.

use std::sync::Arc;

use crate::model::{LinkSettings, NetworkName, Node, Settings, Spanned};

use super::SiteCheck;
use crate::site::{Diagnostic, ObjectKind, suggest::suggest};

impl<'a> SiteCheck<'a> {
    /// Checks the references that any layer can contain.
    pub(super) fn references(&mut self, settings: &'a Settings) {
        let site = self.site;
        if let Some(repo) = &settings.repo {
            let known = site.repos.contains_key(&repo.value);
            self.check_reference(ObjectKind::Repo, repo, known, site.repos.keys());
        }
        if let Some(broker) = &settings.broker {
            let known = site.brokers.contains_key(&broker.value);
            self.check_reference(ObjectKind::Broker, broker, known, site.brokers.keys());
        }
        for network in [&settings.network, &settings.boot_network]
            .into_iter()
            .flatten()
        {
            self.check_network_reference(network);
        }
    }

    /// Checks that the `installer` of each repo exists, and boots its own files.
    pub(super) fn repo_references(&mut self) {
        let site = self.site;
        for repo in site.repos.values() {
            let Some(installer) = &repo.body.installer else {
                continue;
            };
            let target = site.repos.get(&installer.value);
            self.check_reference(
                ObjectKind::Repo,
                installer,
                target.is_some(),
                site.repos.keys(),
            );
            let other = target.and_then(|target| target.body.installer.as_ref());
            if let Some(other) = other {
                let message = format!("repo `{installer}` has an `installer` itself");
                let mistake = Diagnostic::error(message, installer.span)
                    .other(other.span, "its files for network boot are here")
                    .help(match other.value == installer.value {
                        true => "name the repo with the files for network boot".to_owned(),
                        false => format!("use `installer = \"{other}\"`"),
                    });
                self.report(mistake);
            }
        }
    }

    /// Checks the references that only a node can contain.
    pub(super) fn node_references(&mut self, node: &'a Arc<Node>) {
        let site = self.site;
        if let Some(policy) = &node.body.policy {
            let known = site.policies.contains_key(&policy.value);
            self.check_reference(ObjectKind::Policy, policy, known, site.policies.keys());
        }
        let body = &node.body;
        let links = body.interface.iter().map(|at| at.value.settings());
        let links = links
            .chain(body.bond.values().map(|at| at.value.settings()))
            .chain(body.vlan.values().map(|at| at.value.settings()))
            .chain(body.bridge.values().map(|at| at.value.settings()));
        for LinkSettings { network, .. } in links {
            network
                .into_iter()
                .for_each(|at| self.check_network_reference(at));
        }
    }

    fn check_network_reference(&mut self, network: &Spanned<NetworkName>) {
        let networks = &self.site.networks;
        let known = networks.contains_key(&network.value);
        self.check_reference(ObjectKind::Network, network, known, networks.keys());
    }

    /// Reports a name without a declaration, unless the declaration may be in a part that could not be read.
    fn check_reference<'n, N: std::borrow::Borrow<str> + std::fmt::Display + 'n>(
        &mut self,
        kind: ObjectKind,
        name: &Spanned<N>,
        known: bool,
        names: impl Iterator<Item = &'n N>,
    ) {
        let written: &str = name.value.borrow();
        if known || self.site.unread.may_declare(kind, written) {
            return;
        }
        let names: Vec<&str> = names.map(|name| name.borrow()).collect();
        let help = match suggest(written, names.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None if names.is_empty() => format!("declare it: [{kind}.{written}]"),
            None => format!("expected one of {}", shortened(&names)),
        };
        let message = format!("there is no {kind} `{written}`");
        self.report(Diagnostic::error(message, name.span).help(help));
    }
}

/// Lists names, or the first five if there are more than six.
pub(super) fn shortened(names: &[&str]) -> String {
    match names {
        [first @ .., _] if names.len() > 6 => format!("{}, ...", first[..5].join(", ")),
        all => all.join(", "),
    }
}
