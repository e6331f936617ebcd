//! A plan of links, looked at the way installers ask for it.

use std::{borrow::Cow, fmt, net::IpAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::{
    model::{LinkName, Mac},
    site::{LinkKind, NetPlan, PlannedLink},
};

/// A machine's links, and how its installer phase is connected.
#[derive(Debug, Clone, Copy)]
pub struct LinkView<'a> {
    /// The links.
    pub plan: &'a NetPlan,
    /// Whether the installer asks DHCP, since it runs in another network than the installed system.
    pub elsewhere: bool,
}

/// What carries a link at its lower end.
#[derive(Debug, Clone, Default)]
pub(super) struct LinkBase<'a> {
    /// The cards, the first one first.
    pub(super) cards: Vec<&'a PlannedLink>,
    /// The tag, when the link is a tagged one.
    pub(super) vlan: Option<u16>,
    /// The bond in between.
    pub(super) bond: Option<&'a PlannedLink>,
    /// A bridge in between.
    pub(super) bridge: Option<&'a PlannedLink>,
}

/// Gives a name to every VLAN that has none: that of the link below with the tag, else `vlan` with the tag. A VLAN
/// without an `mtu` over a link that has one gets the usual 1500, since it would take over the link's.
pub fn named(plan: &NetPlan) -> Cow<'_, NetPlan> {
    let wanting = |link: &PlannedLink| {
        matches!(link.kind, LinkKind::Vlan { .. }) && (link.name.is_none() || link.mtu.is_none())
    };
    if !plan.links.iter().any(wanting) {
        return Cow::Borrowed(plan);
    }
    let mut plan = plan.clone();
    for at in 0..plan.links.len() {
        let LinkKind::Vlan { id, on } = plan.links[at].kind else {
            continue;
        };
        let below = &plan.links[on];
        let own = below.name.as_ref().map(|name| format!("{name}.{id}"));
        // A name that leaves no room for the tag falls back to the plain form.
        let name = own
            .and_then(|name| name.parse().ok())
            .or_else(|| format!("vlan{id}").parse().ok());
        let mtu = below.mtu.map(|_| 1500);
        let link = &mut plan.links[at];
        link.name = link.name.take().or(name);
        link.mtu = link.mtu.or(mtu);
    }
    Cow::Owned(plan)
}

impl<'a> LinkView<'a> {
    /// What carries a link.
    pub(super) fn base(&self, link: &'a PlannedLink) -> LinkBase<'a> {
        let mut base = LinkBase::default();
        self.descend(link, &mut base);
        base
    }

    fn descend(&self, link: &'a PlannedLink, base: &mut LinkBase<'a>) {
        match &link.kind {
            LinkKind::Card { .. } => base.cards.push(link),
            LinkKind::Vlan { id, on } => {
                base.vlan = Some(*id);
                self.descend(&self.plan.links[*on], base);
            }
            LinkKind::Bond { ports, .. } => {
                base.bond = Some(link);
                ports
                    .iter()
                    .for_each(|port| self.descend(&self.plan.links[*port], base));
            }
            LinkKind::Bridge { ports, .. } => {
                base.bridge = Some(link);
                ports
                    .iter()
                    .for_each(|port| self.descend(&self.plan.links[*port], base));
            }
        }
    }

    /// The card that the installer uses: the one that carries the machine's own address, or the one it boots from
    /// when the installer runs elsewhere.
    pub fn installer_mac(&self) -> Option<Mac> {
        let boot = self.plan.boot_mac;
        if self.elsewhere {
            return boot;
        }
        let primary = self.plan.primary()?;
        let macs: Vec<Mac> = self
            .base(primary)
            .cards
            .into_iter()
            .filter_map(mac)
            .collect();
        boot.filter(|boot| macs.contains(boot))
            .or_else(|| macs.first().copied())
            .or(boot)
    }
}

/// A card's address.
pub(super) fn mac(link: &PlannedLink) -> Option<Mac> {
    match link.kind {
        LinkKind::Card { mac } => mac,
        _ => None,
    }
}

/// The static addresses of a link by family.
pub(super) fn families(link: &PlannedLink) -> (Vec<Ipv4Net>, Vec<Ipv6Net>) {
    let mut both = (Vec::new(), Vec::new());
    for address in &link.addresses {
        match address {
            IpNet::V4(net) => both.0.push(*net),
            IpNet::V6(net) => both.1.push(*net),
        }
    }
    both
}

/// The default gateway of one family.
pub(super) fn gateway(link: &PlannedLink, v4: bool) -> Option<IpAddr> {
    link.gateways
        .iter()
        .copied()
        .find(|gateway| gateway.is_ipv4() == v4)
}

/// Whether a link has any settings of its own.
pub(super) fn is_configured(link: &PlannedLink) -> bool {
    link.dhcp || !link.addresses.is_empty()
}

/// A link as messages call it.
pub(super) struct LinkLabel<'a>(pub(super) &'a PlannedLink);

impl fmt::Display for LinkLabel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.name.as_ref().map(LinkName::as_str);
        match (&self.0.kind, name) {
            (LinkKind::Card { mac: Some(mac) }, _) => write!(f, "card {mac}"),
            (LinkKind::Card { mac: None }, name) => {
                write!(f, "card {}", name.unwrap_or("of the boot"))
            }
            (LinkKind::Bond { .. }, name) => write!(f, "bond {}", name.unwrap_or_default()),
            (LinkKind::Vlan { id, .. }, name) => write!(
                f,
                "VLAN {}",
                name.map_or_else(|| id.to_string(), String::from)
            ),
            (LinkKind::Bridge { .. }, name) => write!(f, "bridge {}", name.unwrap_or_default()),
        }
    }
}

/// Addresses with `separator` between them.
pub(super) fn joined<T: fmt::Display>(
    list: impl IntoIterator<Item = T>,
    separator: &str,
) -> String {
    list.into_iter()
        .map(|one| one.to_string())
        .collect::<Vec<_>>()
        .join(separator)
}

/// Names in a plan that are none, as messages. What is left is safe in every format.
pub fn unsound(plan: &NetPlan) -> Vec<String> {
    let host = |name: &String| {
        name.parse::<IpAddr>().is_ok() || name.parse::<crate::model::Hostname>().is_ok()
    };
    let search = plan
        .search
        .iter()
        .chain(plan.links.iter().flat_map(|link| link.search.iter()));
    let names = search.chain(&plan.ntp).filter(|name| !host(name));
    let mut found: Vec<String> = names
        .map(|name| format!("`{name}` is not a host name"))
        .collect();
    for link in &plan.links {
        if let LinkKind::Bond { mode, options, .. } = &link.kind {
            let words = options
                .iter()
                .flat_map(|(name, value)| [name, value])
                .chain([mode]);
            let bad = words.filter(|word| !is_word(word));
            found.extend(bad.map(|word| {
                format!(
                    "{}: `{word}` is no word of a bond's options",
                    LinkLabel(link)
                )
            }));
        }
    }
    found
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"_-+.:".contains(&byte))
}
