//! The layers that a machine's settings come from: `defaults` < network < policy < node.

use std::sync::Arc;

use crate::model::{Defaults, Network, Node, NodeName, Policy, Settings, Spanned};

use super::{
    Diagnostic, HostnameRule, Site,
    hostname::{complete_hostname, is_template},
};

/// The layers of one machine, without its network: the other layers determine which network that is.
#[derive(Debug, Clone, Copy)]
pub(super) struct SettingsLayers<'a> {
    pub(super) node: Option<&'a Node>,
    /// The policy that binds it.
    pub(super) policy: Option<&'a Policy>,
    pub(super) defaults: &'a Defaults,
}

impl<'a> SettingsLayers<'a> {
    /// Returns the layers of a machine. Without `policy`, the policy is the one that the node names, if any.
    pub(super) fn of(site: &'a Site, node: Option<&'a Node>, policy: Option<&'a Policy>) -> Self {
        let named = || {
            let name = &node?.body.policy.as_ref()?.value;
            site.policies.get(name).map(Arc::as_ref)
        };
        SettingsLayers {
            node,
            policy: policy.or_else(named),
            defaults: &site.defaults,
        }
    }

    /// Returns the value of `pick` in the highest layer that sets it, without the network.
    pub(super) fn find<T>(
        &self,
        pick: impl Fn(&'a Settings) -> Option<&'a Spanned<T>>,
    ) -> Option<&'a Spanned<T>> {
        self.upper()
            .chain([&self.defaults.settings])
            .find_map(&pick)
    }

    /// Returns the value in the highest layer that sets it. `of_network` reads the network, which is between policy and
    /// defaults.
    pub(super) fn find_with<T>(
        &self,
        network: Option<&'a Arc<Network>>,
        pick: impl Fn(&'a Settings) -> Option<&'a Spanned<T>>,
        of_network: impl Fn(&'a Network) -> Option<&'a Spanned<T>>,
    ) -> Option<&'a Spanned<T>> {
        self.upper()
            .find_map(&pick)
            .or_else(|| network.and_then(|network| of_network(network)))
            .or_else(|| pick(&self.defaults.settings))
    }

    /// Iterates over the settings above the network, the node's first.
    pub(super) fn upper(&self) -> impl Iterator<Item = &'a Settings> + use<'a> {
        let node = self.node.map(|node| &node.settings);
        let policy = self.policy.map(|policy| &policy.settings);
        node.into_iter().chain(policy)
    }

    /// Returns the settings in effect for the machine in `network`.
    pub(super) fn merged(&self, network: Option<&Network>) -> Settings {
        let mut settings = Settings::default();
        for layer in self.upper() {
            settings.fill(layer);
        }
        if let Some(network) = network {
            settings.fill(&of_network(network));
        }
        settings.fill(&self.defaults.settings);
        settings
    }

    /// Returns the domain that completes the machine's name.
    pub(super) fn domain(&self, network: Option<&'a Arc<Network>>) -> Option<&'a Spanned<String>> {
        self.find_with(
            network,
            |settings| settings.domain.as_deref(),
            |network| network.body.domain.as_ref(),
        )
    }

    /// Returns the machine's host name, or its template.
    pub(super) fn hostname(
        &self,
        name: &NodeName,
        network: Option<&'a Arc<Network>>,
    ) -> Result<HostnameRule, Box<Diagnostic>> {
        let declared = self.find(|settings| settings.hostname.as_deref());
        if let Some(text) = declared.filter(|text| is_template(text)) {
            return Ok(HostnameRule::Template(text.clone()));
        }
        let text = declared.map_or(name.as_str(), |at| at.value.as_str());
        let domain = self.domain(network);
        complete_hostname(text, domain.map(|at| at.value.as_str()))
            .map(HostnameRule::Plain)
            .map_err(|error| {
                Box::new(match declared {
                    Some(at) => Diagnostic::error(error.to_string(), at.span),
                    None => Diagnostic::error(error.to_string(), self.node.map(Node::span))
                        .help("the node's name is its host name by default: set `hostname`"),
                })
            })
    }
}

/// Returns the settings that a network sets for the machines in it.
pub(super) fn of_network(network: &Network) -> Settings {
    let body = &network.body;
    Settings {
        dns: body.dns.clone().map(Box::new),
        search: body.search.clone().map(Box::new),
        domain: body.domain.clone().map(Box::new),
        ntp: body.ntp.clone().map(Box::new),
        loader: body.loader.clone().map(Box::new),
        ..Settings::default()
    }
}
