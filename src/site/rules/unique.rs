//! No two nodes claim the same: MAC, serial number, UUID, asset tag, static address, host name.

use std::{collections::BTreeMap, fmt::Display, net::IpAddr, sync::Arc};

use crate::model::{Asset, At, Hostname, Mac, Node, Place, Serial, Uuid};

use super::Check;
use crate::site::{Diagnostic, HostnameRule, free::static_addresses, layers::Layers, net};

/// Who claimed a value first, in the order of the files.
struct First<'a, T>(BTreeMap<T, (&'a Node, Place)>);

impl<'a, T: Ord> First<'a, T> {
    fn new() -> Self {
        First(BTreeMap::new())
    }

    /// Notes a claim and returns the one that was there before it.
    fn claim(&mut self, value: T, node: &'a Node, place: Place) -> Option<(&'a Node, Place)> {
        match self.0.get(&value) {
            Some(first) => Some(*first),
            None => {
                self.0.insert(value, (node, place));
                None
            }
        }
    }
}

impl<'a> Check<'a> {
    /// Checks that every claim is made once.
    pub(super) fn unique(&mut self) {
        self.identities();
        self.addresses();
        self.hostnames();
    }

    fn identities(&mut self) {
        let (mut macs, mut serials) = (First::<Mac>::new(), First::<&Serial>::new());
        let (mut uuids, mut assets) = (First::<&Uuid>::new(), First::<&Asset>::new());
        for node in self.nodes.clone() {
            for mac in node.macs() {
                let first = macs.claim(mac.value, node, mac.place);
                self.twice("MAC", &mac, node, first);
            }
            if let Some(at) = &node.body.serial {
                let first = serials.claim(&at.value, node, at.place);
                self.twice("serial number", at, node, first);
            }
            if let Some(at) = &node.body.uuid {
                let first = uuids.claim(&at.value, node, at.place);
                self.twice("UUID", at, node, first);
            }
            if let Some(at) = &node.body.asset {
                let first = assets.claim(&at.value, node, at.place);
                self.twice("asset tag", at, node, first);
            }
        }
    }

    fn addresses(&mut self) {
        let mut claims = First::<IpAddr>::new();
        for node in self.nodes.clone() {
            for at in static_addresses(node) {
                let ip = at.value.ip;
                let first = claims.claim(ip, node, at.place);
                let Some(mistake) = twice("address", &ip, at.place, node, first) else {
                    continue;
                };
                let hint = self.hint(ip);
                self.report(match hint {
                    Some(hint) => mistake.help(hint),
                    None => mistake,
                });
            }
        }
    }

    fn hint(&self, ip: IpAddr) -> Option<String> {
        let mut networks = self.site.networks.values();
        let network = networks.find(|network| net::subnet_of(network, ip).is_some())?;
        Some(self.free.hint(network, ip))
    }

    fn hostnames(&mut self) {
        let mut claims = First::<String>::new();
        for node in self.nodes.clone() {
            let layers = Layers::of(self.site, Some(node), None);
            let network = self.homes.get(&node.name.value).copied();
            let rule = layers.hostname(&node.name.value, network);
            let own = node.settings.hostname.as_ref();
            let place = own.map_or(node.place(), |at| at.place);
            match rule {
                Ok(HostnameRule::Template(_)) => {}
                Ok(HostnameRule::Plain(name)) => {
                    let first = claims.claim(name.as_str().to_ascii_lowercase(), node, place);
                    let name = format!("`{name}`");
                    self.found
                        .extend(twice("host name", &name, place, node, first));
                }
                Err(_) if self.is_named_by_policy(node) => {}
                // The domain is a mistake of its own.
                Err(_) if layers.domain(network).is_some_and(is_malformed) => {}
                Err(mistake) => self.report(*mistake),
            }
        }
    }

    /// Tells whether a policy that is not known yet may give an unbound node its host name.
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
        at: &At<T>,
        node: &Arc<Node>,
        first: Option<(&Node, Place)>,
    ) {
        self.found
            .extend(twice(what, &at.value, at.place, node, first));
    }
}

fn is_malformed(domain: &At<String>) -> bool {
    domain.parse::<Hostname>().is_err()
}

fn twice(
    what: &str,
    value: &dyn Display,
    place: Place,
    node: &Node,
    first: Option<(&Node, Place)>,
) -> Option<Diagnostic> {
    let (owner, first) = first?;
    let mistake = Diagnostic::error(format!("{what} {value} is used twice"), place);
    let owner = match owner.name == node.name {
        true => "the first".into(),
        false => format!("{} has it", owner.name),
    };
    Some(mistake.label(node.name.as_str()).other(first, owner))
}
