//! Queries on a machine's links that several formats need.

use std::{borrow::Cow, fmt, net::IpAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::{
    model::{LinkName, Mac},
    site::{LinkKind, NetPlan, PlannedLink},
};

/// A machine's links, and how its installer phase is connected.
#[derive(Debug, Clone, Copy)]
pub struct LinkView<'a> {
    pub plan: &'a NetPlan,
    /// Whether the installer runs in another network than the installed system, where it uses DHCP.
    pub in_boot_network: bool,
}

/// The devices below a link.
#[derive(Debug, Clone, Default)]
pub(super) struct LinkBase<'a> {
    /// In the order of the declaration.
    pub(super) nics: Vec<&'a PlannedLink>,
    /// The VLAN id.
    pub(super) vlan: Option<u16>,
    pub(super) bond: Option<&'a PlannedLink>,
    pub(super) bridge: Option<&'a PlannedLink>,
}

/// Names every VLAN that has no name: after the link below and the VLAN id, else `vlan` and the id. A VLAN without `mtu` on a
/// link with one gets the default of 1500, since it would inherit the link's.
pub fn named(plan: &NetPlan) -> Cow<'_, NetPlan> {
    let is_incomplete = |link: &PlannedLink| {
        matches!(link.kind, LinkKind::Vlan { .. }) && (link.name.is_none() || link.mtu.is_none())
    };
    if !plan.links.iter().any(is_incomplete) {
        return Cow::Borrowed(plan);
    }
    let mut plan = plan.clone();
    for at in 0..plan.links.len() {
        let LinkKind::Vlan { id, on } = plan.links[at].kind else {
            continue;
        };
        let below = &plan.links[on];
        let own = below.name.as_ref().map(|name| format!("{name}.{id}"));
        // If the name would be too long, the plain form is used.
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
    /// The devices below a link.
    pub(super) fn base(&self, link: &'a PlannedLink) -> LinkBase<'a> {
        let mut base = LinkBase::default();
        self.descend(link, &mut base);
        base
    }

    fn descend(&self, link: &'a PlannedLink, base: &mut LinkBase<'a>) {
        match &link.kind {
            LinkKind::Nic { .. } => base.nics.push(link),
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

    /// The MAC of the NIC that the installer uses: the one with the machine's address, or the boot NIC if the installer runs in
    /// another network.
    pub fn installer_mac(&self) -> Option<Mac> {
        let boot = self.plan.boot_mac;
        if self.in_boot_network {
            return boot;
        }
        let primary = self.plan.primary()?;
        let macs: Vec<Mac> = self
            .base(primary)
            .nics
            .into_iter()
            .filter_map(mac)
            .collect();
        boot.filter(|boot| macs.contains(boot))
            .or_else(|| macs.first().copied())
            .or(boot)
    }
}

/// The MAC address of a NIC.
pub(super) fn mac(link: &PlannedLink) -> Option<Mac> {
    match link.kind {
        LinkKind::Nic { mac } => mac,
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

/// Whether a link has addresses, static or by DHCP.
pub(in super::super) fn is_configured(link: &PlannedLink) -> bool {
    link.dhcp || !link.addresses.is_empty()
}

/// A link's name in messages.
pub(super) struct LinkLabel<'a>(pub(super) &'a PlannedLink);

impl fmt::Display for LinkLabel<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.name.as_ref().map(LinkName::as_str);
        match (&self.0.kind, name) {
            (LinkKind::Nic { mac: Some(mac) }, _) => write!(f, "NIC {mac}"),
            (LinkKind::Nic { mac: None }, name) => {
                write!(
                    f,
                    "{}",
                    name.map_or("the boot NIC".into(), |name| format!("NIC {name}"))
                )
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

/// Returns messages for invalid names in a plan. All other names are safe in every format.
pub fn invalid_names(plan: &NetPlan) -> Vec<String> {
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
        if let LinkKind::Bond { mode, .. } = &link.kind
            && !is_word(mode)
        {
            found.push(format!("{}: `{mode}` is not a valid mode", LinkLabel(link)));
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
