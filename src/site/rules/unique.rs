//! Reports values that two nodes use: MAC, serial number, UUID, asset tag, static address and host name.

use std::{collections::BTreeMap, fmt::Display, net::IpAddr, sync::Arc};

use crate::model::{Asset, Hostname, Mac, Network, Node, Serial, SourceSpan, Spanned, Uuid};

use super::SiteCheck;
use crate::site::{
    Diagnostic, HostnameRule, free_addresses::static_addresses, layers::SettingsLayers, net,
};

/// The first node that uses each value, in file order.
struct FirstUses<'a, T>(BTreeMap<T, (&'a Node, SourceSpan)>);

impl<'a, T: Ord> FirstUses<'a, T> {
    fn new() -> Self {
        FirstUses(BTreeMap::new())
    }

    /// Adds a value, or returns its first use.
    fn insert(
        &mut self,
        value: T,
        node: &'a Node,
        span: SourceSpan,
    ) -> Option<(&'a Node, SourceSpan)> {
        match self.0.get(&value) {
            Some(first) => Some(*first),
            None => {
                self.0.insert(value, (node, span));
                None
            }
        }
    }
}

/// All values that the nodes so far use.
pub(super) struct UsedValues<'a> {
    macs: FirstUses<'a, Mac>,
    serials: FirstUses<'a, &'a Serial>,
    uuids: FirstUses<'a, &'a Uuid>,
    assets: FirstUses<'a, &'a Asset>,
    addresses: FirstUses<'a, IpAddr>,
    hostnames: FirstUses<'a, String>,
}

impl UsedValues<'_> {
    pub(super) fn new() -> Self {
        UsedValues {
            macs: FirstUses::new(),
            serials: FirstUses::new(),
            uuids: FirstUses::new(),
            assets: FirstUses::new(),
            addresses: FirstUses::new(),
            hostnames: FirstUses::new(),
        }
    }
}

impl<'a> SiteCheck<'a> {
    /// Adds a node's identities, and reports those that another node has.
    pub(super) fn identities(
        &mut self,
        used: &mut UsedValues<'a>,
        node: &'a Node,
        macs: &[Spanned<Mac>],
    ) {
        for mac in macs {
            let first = used.macs.insert(mac.value, node, mac.span);
            self.twice("MAC", mac, node, first);
        }
        if let Some(at) = &node.body.serial {
            let first = used.serials.insert(&at.value, node, at.span);
            self.twice("serial number", at, node, first);
        }
        if let Some(at) = &node.body.uuid {
            let first = used.uuids.insert(&at.value, node, at.span);
            self.twice("UUID", at, node, first);
        }
        if let Some(at) = &node.body.asset {
            let first = used.assets.insert(&at.value, node, at.span);
            self.twice("asset tag", at, node, first);
        }
    }

    /// Adds a node's static addresses, and reports those that another node has.
    pub(super) fn addresses(&mut self, used: &mut UsedValues<'a>, node: &'a Node) {
        for at in static_addresses(node) {
            let ip = at.value.ip;
            let first = used.addresses.insert(ip, node, at.span);
            let Some(mistake) = twice("address", &ip, at.span, node, first) else {
                continue;
            };
            let hint = self.hint(ip);
            self.report(match hint {
                Some(hint) => mistake.help(hint),
                None => mistake,
            });
        }
    }

    fn hint(&self, ip: IpAddr) -> Option<String> {
        let mut networks = self.site.networks.values();
        let network = networks.find(|network| net::subnet_of(network, ip).is_some())?;
        Some(self.free.hint(network, ip))
    }

    /// Adds a node's host name, and reports it if another node has it or if it is invalid.
    pub(super) fn hostname(
        &mut self,
        used: &mut UsedValues<'a>,
        node: &'a Node,
        layers: &SettingsLayers<'a>,
        network: Option<&'a Arc<Network>>,
    ) {
        match layers.hostname(&node.name.value, network) {
            Ok(HostnameRule::Template(_)) => {}
            Ok(HostnameRule::Plain(name)) => {
                let own = node.settings.hostname.as_deref();
                let span = own.map_or(node.span(), |at| at.span);
                let folded = name.as_str().to_ascii_lowercase();
                let first = used.hostnames.insert(folded, node, span);
                let quoted = format_args!("`{name}`");
                self.found
                    .extend(twice("host name", &quoted, span, node, first));
            }
            Err(_) if self.is_named_by_policy(node) => {}
            // `SiteCheck::names` reports the invalid domain.
            Err(_) if layers.domain(network).is_some_and(is_malformed) => {}
            Err(mistake) => self.report(*mistake),
        }
    }

    /// Returns whether a policy that binds the node later may set its host name.
    fn is_named_by_policy(&self, node: &Node) -> bool {
        let settings = &node.settings;
        let is_bound =
            node.body.policy.is_some() || settings.repo.is_some() || settings.task.is_some();
        let mut policies = self.site.policies.values();
        !is_bound
            && settings.hostname.is_none()
            && policies.any(|policy| policy.settings.hostname.is_some())
    }

    fn twice<T: Display>(
        &mut self,
        what: &str,
        at: &Spanned<T>,
        node: &Node,
        first: Option<(&Node, SourceSpan)>,
    ) {
        self.found
            .extend(twice(what, &at.value, at.span, node, first));
    }
}

fn is_malformed(domain: &Spanned<String>) -> bool {
    domain.parse::<Hostname>().is_err()
}

fn twice(
    what: &str,
    value: &dyn Display,
    span: SourceSpan,
    node: &Node,
    first: Option<(&Node, SourceSpan)>,
) -> Option<Diagnostic> {
    let (owner, first) = first?;
    let mistake = Diagnostic::error(format!("{what} {value} is used twice"), span);
    let owner = match owner.name == node.name {
        true => "the first".into(),
        false => format!("{} has it", owner.name),
    };
    Some(mistake.label(node.name.as_str()).other(first, owner))
}
