//! Checks each node: its links, its name and its binding.

use std::sync::Arc;

use crate::model::{DhcpMode, Mac, Network, Node, Spanned};

use super::{SiteCheck, unique::UsedValues};
use crate::site::{
    Diagnostic, ObjectKind, Subject,
    layers::SettingsLayers,
    net::{self, LinkLayout},
};

impl<'a> SiteCheck<'a> {
    pub(super) fn nodes(&mut self) {
        let mut used = UsedValues::new();
        for node in self.nodes.clone() {
            let macs = node.macs();
            self.node_references(node);
            self.hardware_addresses(node, &macs);
            let layers = SettingsLayers::of(self.site, Some(node), None);
            let subject = Subject::declared(node);
            let layout = net::layout(self.site, &subject, &layers, &self.free, &mut self.found);
            let networks = layout.links.iter().filter_map(|link| link.network);
            self.used_networks
                .extend(networks.map(|network| &network.name.value));
            self.check_reachable(node, &layout);
            let unread = &self.site.unread;
            if !unread.has_flawed(ObjectKind::Node, node.name.as_str()) {
                self.check_identifiable(node, !macs.is_empty(), &layout);
            }
            self.check_secure_boot(node, &layers, &layout);
            self.binding(node, &layers);
            self.identities(&mut used, node, &macs);
            self.addresses(&mut used, node);
            self.hostname(&mut used, node, &layers, layout.network);
        }
    }

    fn hardware_addresses(&mut self, node: &Node, macs: &[Spanned<Mac>]) {
        for mac in macs {
            if !mac.value.is_unicast() {
                let message = format!(
                    "{mac} cannot be the address of a NIC: it is a group address or all zeros"
                );
                self.report(Diagnostic::error(message, mac.span).label(node.name.as_str()));
            }
        }
        let list = node
            .body
            .mac
            .iter()
            .flat_map(|list| list.value.iter().enumerate());
        for (at, mac) in list {
            let earlier = node.body.mac.iter().flat_map(|list| &list.value[..at]);
            if let Some(first) = earlier.into_iter().find(|first| **first == *mac) {
                let message = format!("MAC {mac} is listed twice");
                let mistake = Diagnostic::error(message, mac.span).label(node.name.as_str());
                self.report(mistake.other(first.span, "the first"));
            }
        }
    }

    /// Warns about a node without any gateway and with an address outside all networks, which therefore inherits no gateway.
    fn check_reachable(&mut self, node: &Node, layout: &LinkLayout<'_>) {
        let links = &layout.links;
        let has_gateway = links
            .iter()
            .any(|link| link.dhcp || !link.gateways.is_empty() || link.is_unresolved);
        let outside = links
            .iter()
            .flat_map(|link| &link.addresses)
            .find(|address| address.network.is_none());
        let Some(address) = outside.filter(|_| !has_gateway && !self.site.may_have_more_subnets())
        else {
            return;
        };
        let message = format!(
            "address {} is in no network of the site, and nothing sets a gateway",
            address.net
        );
        self.report(Diagnostic::warning(message, address.span).label(node.name.as_str()));
    }

    /// Warns about nodes that no machine can be identified as.
    fn check_identifiable(&mut self, node: &Node, has_mac: bool, layout: &LinkLayout<'_>) {
        let body = &node.body;
        let has_uuid = body.uuid.is_some();
        if !(has_mac || has_uuid || body.serial.is_some() || body.asset.is_some()) {
            let message = format!("nothing identifies the machine of node `{}`", node.name);
            self.report(
                Diagnostic::warning(message, node.span())
                    .help("declare its `mac`, `serial`, `uuid` or `asset`"),
            );
        } else if !(has_mac || has_uuid) {
            let boots_in = layout.boot_network.or(layout.network);
            if let Some(network) = boots_in.filter(|network| is_reserve(network)) {
                let message = format!(
                    "node `{}` has neither `mac` nor `uuid`, and DHCP messages contain no other identity",
                    node.name
                );
                let why = format!("network {} answers only declared machines", network.name);
                let at = network
                    .body
                    .dhcp
                    .as_ref()
                    .map_or(network.name.span, |at| at.span);
                self.report(
                    Diagnostic::warning(message, node.span())
                        .other(at, why)
                        .help("declare its `mac`"),
                );
            }
        }
    }

    /// Reports Secure Boot with `dhcp = "proxy"`: the signed GRUB requests files only from the DHCP server that assigned the
    /// address.
    fn check_secure_boot(
        &mut self,
        node: &Node,
        layers: &SettingsLayers<'a>,
        layout: &LinkLayout<'_>,
    ) {
        let secure = layers.find(|settings| settings.secure_boot.as_deref());
        let network = layout.boot_network.or(layout.network);
        let mode = network.and_then(|network| network.body.dhcp.as_ref());
        if let Some(secure) = secure.filter(|at| at.value)
            && let Some(mode) = mode.filter(|at| at.value == DhcpMode::Proxy)
        {
            let message = format!(
                "node `{}` cannot use Secure Boot in a network with `dhcp = \"proxy\"`",
                node.name
            );
            self.report(
                Diagnostic::error(message, secure.span)
                    .other(mode.span, "GRUB requests files from the DHCP server that assigned its address, not from this server")
                    .help("set `dhcp = \"reserve\"` in the network: this server then assigns the addresses of declared machines"),
            );
        }
    }

    /// Checks what a node declares about its own installation.
    fn binding(&mut self, node: &'a Arc<Node>, layers: &SettingsLayers<'a>) {
        let disabled = layers
            .policy
            .and_then(|policy| policy.rule.enabled.as_ref());
        if let (Some(named), Some(at)) = (&node.body.policy, disabled.filter(|at| !at.value)) {
            let message = format!(
                "node `{}` names policy `{named}`, which is disabled",
                node.name
            );
            let mistake = Diagnostic::warning(message, named.span);
            self.report(mistake.other(at.span, "disabled here"));
        }
        self.check_node_task(node, layers);
    }

    fn check_node_task(&mut self, node: &Node, layers: &SettingsLayers<'a>) {
        let Some(repo) = &node.settings.repo else {
            return;
        };
        let task = layers.find(|settings| settings.task.as_deref());
        let of_repo = self.site.repos.get(&repo.value);
        let has_task = of_repo.is_none_or(|of_repo| of_repo.body.task.is_some());
        let has_task = has_task || self.site.unread.has_flawed(ObjectKind::Repo, repo.as_str());
        if task.is_none() && !has_task {
            let message = format!("no task is set for repo `{repo}`");
            self.report(
                Diagnostic::error(message, repo.span)
                    .label(node.name.as_str())
                    .help("set `task` in the repo or in the node"),
            );
        }
    }
}

fn is_reserve(network: &Network) -> bool {
    network.body.effective().dhcp == DhcpMode::Reserve
}
