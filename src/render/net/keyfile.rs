//! NetworkManager keyfiles (nm-settings-keyfile(5)), one for each link. NICs are identified by MAC address.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::{
    model::LinkName,
    site::{LinkKind, PlannedLink},
};

use super::{
    NetFile, UnsupportedSetting, bond,
    view::{LinkView, gateway, joined, mac},
};

/// Returns the files, and adds the settings that NetworkManager does not support.
pub(super) fn files(
    view: &LinkView<'_>,
    unsupported: &mut Vec<UnsupportedSetting>,
) -> Vec<NetFile> {
    let links = view.plan.links.iter().enumerate();
    links
        .map(|(at, link)| NetFile {
            path: format!(
                "/etc/NetworkManager/system-connections/{}.nmconnection",
                id(link, at)
            ),
            mode: "0600",
            text: keyfile(view, at, link, unsupported),
        })
        .collect()
}

/// The name of a connection: that of its device, or the MAC address of the NIC.
fn id(link: &PlannedLink, at: usize) -> String {
    let name = link.name.as_ref().map(ToString::to_string);
    name.or_else(|| mac(link).map(|mac| format!("card-{}", mac.hyphens())))
        .unwrap_or_else(|| format!("link{at}"))
}

fn keyfile(
    view: &LinkView<'_>,
    at: usize,
    link: &PlannedLink,
    unsupported: &mut Vec<UnsupportedSetting>,
) -> String {
    let controller = controller(view, at);
    let mut text = format!("[connection]\nid={}\ntype={}\n", id(link, at), kind(link));
    if let Some(name) = &link.name
        && mac(link).is_none()
    {
        text += &format!("interface-name={name}\n");
    }
    if let Some((name, kind)) = &controller {
        text += &format!("master={name}\nslave-type={kind}\n");
    }
    text += &ethernet(view, link);
    text += &own_section(view, link, unsupported);
    if controller.is_none() {
        text += &family(view, at, link, true);
        text += &family(view, at, link, false);
    }
    text
}

fn kind(link: &PlannedLink) -> &'static str {
    match link.kind {
        LinkKind::Nic { .. } => "ethernet",
        LinkKind::Bond { .. } => "bond",
        LinkKind::Vlan { .. } => "vlan",
        LinkKind::Bridge { .. } => "bridge",
    }
}

/// The bond or bridge that a link is a port of.
fn controller(view: &LinkView<'_>, at: usize) -> Option<(String, &'static str)> {
    let mut links = view.plan.links.iter().enumerate();
    links.find_map(|(owner, link)| match &link.kind {
        LinkKind::Bond { ports, .. } if ports.contains(&at) => Some((id(link, owner), "bond")),
        LinkKind::Bridge { ports, .. } if ports.contains(&at) => Some((id(link, owner), "bridge")),
        _ => None,
    })
}

/// The `[ethernet]` section. A VLAN whose parent has no name is bound to the parent's MAC address here.
fn ethernet(view: &LinkView<'_>, link: &PlannedLink) -> String {
    let bound_mac = match &link.kind {
        LinkKind::Nic { mac } => {
            mac.or_else(|| link.name.is_none().then_some(view.plan.boot_mac).flatten())
        }
        LinkKind::Vlan { on, .. } if view.plan.links[*on].name.is_none() => {
            mac(&view.plan.links[*on]).or(view.plan.boot_mac)
        }
        _ => None,
    };
    let mac_address = bound_mac
        .map(|mac| format!("mac-address={mac}\n"))
        .unwrap_or_default();
    let mtu = link
        .mtu
        .map(|mtu| format!("mtu={mtu}\n"))
        .unwrap_or_default();
    match mac_address.is_empty() && mtu.is_empty() {
        true => String::new(),
        false => format!("\n[ethernet]\n{mac_address}{mtu}"),
    }
}

fn own_section(
    view: &LinkView<'_>,
    link: &PlannedLink,
    unsupported: &mut Vec<UnsupportedSetting>,
) -> String {
    match &link.kind {
        LinkKind::Nic { .. } => String::new(),
        LinkKind::Bond { mode, options, .. } => {
            let device = |port: usize| view.plan.links[port].name.as_ref().map(LinkName::to_string);
            let written = bond::keyfile(link, options, device);
            unsupported.extend(written.unsupported);
            let options: String = written
                .known
                .iter()
                .map(|(name, value)| format!("{name}={value}\n"))
                .collect();
            format!("\n[bond]\nmode={mode}\n{options}")
        }
        LinkKind::Vlan { id, on } => {
            let parent = view.plan.links[*on]
                .name
                .as_ref()
                .map(|name| format!("parent={name}\n"));
            format!("\n[vlan]\nid={id}\n{}", parent.unwrap_or_default())
        }
        LinkKind::Bridge { stp, .. } => format!("\n[bridge]\nstp={stp}\n"),
    }
}

/// The settings of one address family.
fn family(view: &LinkView<'_>, at: usize, link: &PlannedLink, v4: bool) -> String {
    let is_of_family = |address: &IpAddr| address.is_ipv4() == v4;
    let addresses: Vec<_> = link
        .addresses
        .iter()
        .filter(|net| is_of_family(&net.addr()))
        .collect();
    let primary = at == view.plan.primary;
    let mut text = format!("\n[{}]\n", if v4 { "ipv4" } else { "ipv6" });
    text += match (addresses.is_empty(), link.dhcp, v4) {
        (false, _, _) => "method=manual\n",
        (true, true, _) => "method=auto\n",
        (true, false, true) => "method=disabled\n",
        // A router may still announce a prefix.
        (true, false, false) if link.addresses.is_empty() => "method=disabled\n",
        (true, false, false) => "method=auto\n",
    };
    for (number, net) in addresses.iter().enumerate() {
        text += &format!("address{}={net}\n", number + 1);
    }
    text += &gateway(link, v4)
        .map(|via| format!("gateway={via}\n"))
        .unwrap_or_default();
    let dns: Vec<IpAddr> = machine_wide(&view.plan.dns, &link.dns, primary)
        .into_iter()
        .filter(is_of_family)
        .collect();
    if !dns.is_empty() {
        text += &format!("dns={};\n", joined(dns, ";"));
    }
    let search = machine_wide(&view.plan.search, &link.search, primary);
    // One family is enough, since both use one resolver. A disabled family ignores it.
    let last = link.addresses.iter().all(|net| !net.addr().is_ipv4()) && !link.dhcp;
    if !search.is_empty() && v4 != last {
        text += &format!("dns-search={};\n", search.join(";"));
    }
    // A gateway outside of the subnets needs a route of its own.
    let hops = gateway(link, v4).filter(|via| link.is_off_subnet(*via));
    let to_gateway = hops.map(|via| (IpNet::from(via).to_string(), false));
    let routes = link.routes.iter().filter(|route| is_of_family(&route.via));
    let routes = routes.map(|route| {
        let metric = route.metric.map(|metric| format!(",{metric}"));
        let text = format!("{},{}{}", route.to, route.via, metric.unwrap_or_default());
        (text, link.is_off_subnet(route.via))
    });
    for (number, (route, is_on_link)) in (1..).zip(to_gateway.into_iter().chain(routes)) {
        text += &format!("route{number}={route}\n");
        if is_on_link {
            text += &format!("route{number}_options=onlink=true\n");
        }
    }
    text
}

/// The settings of a link. On the primary link, those of the whole machine precede its own.
pub(super) fn machine_wide<T: Clone + PartialEq>(
    machine: &[T],
    own: &[T],
    primary: bool,
) -> Vec<T> {
    let machine = if primary { machine } else { &[] };
    let mut list = machine.to_vec();
    for one in own {
        if !list.contains(one) {
            list.push(one.clone());
        }
    }
    list
}
