//! No two nodes claim the same: MAC, serial number, UUID, asset tag, static address, host name.

use std::{collections::BTreeMap, fmt::Display, net::IpAddr, sync::Arc};

use crate::model::{Asset, Hostname, Mac, Network, Node, Serial, SourceSpan, Spanned, Uuid};

use super::SiteCheck;
use crate::site::{
    Diagnostic, HostnameRule, free_addresses::static_addresses, layers::SettingsLayers, net,
};

/// Who claimed a value first, in the order of the files.
struct FirstClaims<'a, T>(BTreeMap<T, (&'a Node, SourceSpan)>);

impl<'a, T: Ord> FirstClaims<'a, T> {
    fn new() -> Self {
        FirstClaims(BTreeMap::new())
    }

    /// Notes a claim and returns the one that was there before it.
    fn claim(
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

/// Every claim that was made so far.
pub(super) struct Claims<'a> {
    macs: FirstClaims<'a, Mac>,
    serials: FirstClaims<'a, &'a Serial>,
    uuids: FirstClaims<'a, &'a Uuid>,
    assets: FirstClaims<'a, &'a Asset>,
    addresses: FirstClaims<'a, IpAddr>,
    hostnames: FirstClaims<'a, String>,
}

impl Claims<'_> {
    /// No claim was made yet.
    pub(super) fn none() -> Self {
        Claims {
            macs: FirstClaims::new(),
            serials: FirstClaims::new(),
            uuids: FirstClaims::new(),
            assets: FirstClaims::new(),
            addresses: FirstClaims::new(),
            hostnames: FirstClaims::new(),
        }
    }
}

impl<'a> SiteCheck<'a> {
    /// Notes what a node is known by, and reports what another one was known by before.
    pub(super) fn identities(
        &mut self,
        claims: &mut Claims<'a>,
        node: &'a Node,
        macs: &[Spanned<Mac>],
    ) {
        for mac in macs {
            let first = claims.macs.claim(mac.value, node, mac.span);
            self.twice("MAC", mac, node, first);
        }
        if let Some(at) = &node.body.serial {
            let first = claims.serials.claim(&at.value, node, at.span);
            self.twice("serial number", at, node, first);
        }
        if let Some(at) = &node.body.uuid {
            let first = claims.uuids.claim(&at.value, node, at.span);
            self.twice("UUID", at, node, first);
        }
        if let Some(at) = &node.body.asset {
            let first = claims.assets.claim(&at.value, node, at.span);
            self.twice("asset tag", at, node, first);
        }
    }

    /// Notes a node's static addresses, and reports those that another one has.
    pub(super) fn addresses(&mut self, claims: &mut Claims<'a>, node: &'a Node) {
        for at in static_addresses(node) {
            let ip = at.value.ip;
            let first = claims.addresses.claim(ip, node, at.span);
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

    /// Notes a node's host name, and reports one that another node has, or that is none.
    pub(super) fn hostname(
        &mut self,
        claims: &mut Claims<'a>,
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
                let first = claims.hostnames.claim(folded, node, span);
                let quoted = format_args!("`{name}`");
                self.found
                    .extend(twice("host name", &quoted, span, node, first));
            }
            Err(_) if self.is_named_by_policy(node) => {}
            // The domain is a mistake of its own.
            Err(_) if layers.domain(network).is_some_and(is_malformed) => {}
            Err(mistake) => self.report(*mistake),
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
