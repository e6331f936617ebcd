//! Files for systemd-networkd (systemd.network(5), systemd.netdev(5)). NICs are identified by MAC address.

use std::net::IpAddr;

use crate::site::{BondOption, LinkKind, PlannedLink};

use super::{
    NetFile, NetText, UnsupportedSetting, bond,
    keyfile::machine_wide,
    kickstart,
    view::{LinkView, is_configured, joined, mac},
};

/// Adds the files, the package that they need, and the settings that systemd-networkd does not support.
pub(super) fn express(view: &LinkView<'_>, text: &mut NetText) {
    for (at, link) in view.plan.links.iter().enumerate() {
        text.files.extend(device(link, &mut text.unsupported));
        text.files.push(network(view, at, link));
    }
    text.files.extend(kickstart::renames(view));
    // systemd-networkd passes DNS servers only to systemd-resolved.
    text.packages.push("systemd-resolved");
    text.replaces = true;
}

/// A link's name in file names and in `[Match]`.
fn name(link: &PlannedLink, at: usize) -> String {
    let own = link.name.as_ref().map(ToString::to_string);
    own.or_else(|| mac(link).map(|mac| format!("card-{}", mac.hyphens())))
        .unwrap_or_else(|| format!("link{at}"))
}

/// The file that creates a virtual device.
fn device(link: &PlannedLink, unsupported: &mut Vec<UnsupportedSetting>) -> Option<NetFile> {
    let name = link.name.as_ref()?;
    let (kind, section) = match &link.kind {
        LinkKind::Nic { .. } => return None,
        LinkKind::Bond { mode, options, .. } => {
            ("bond", bond_section(link, mode, options, unsupported))
        }
        LinkKind::Vlan { id, .. } => ("vlan", format!("\n[VLAN]\nId={id}\n")),
        LinkKind::Bridge { stp, .. } => (
            "bridge",
            format!("\n[Bridge]\nSTP={}\n", if *stp { "yes" } else { "no" }),
        ),
    };
    Some(NetFile {
        path: format!("/etc/systemd/network/10-{name}.netdev"),
        mode: "0644",
        text: format!("[NetDev]\nName={name}\nKind={kind}\n{section}"),
    })
}

fn bond_section(
    link: &PlannedLink,
    mode: &str,
    options: &[BondOption],
    unsupported: &mut Vec<UnsupportedSetting>,
) -> String {
    let mut section = format!("\n[Bond]\nMode={mode}\n");
    let written = bond::networkd(link, options);
    for (key, value) in written.known {
        section += &format!("{key}={value}\n");
    }
    unsupported.extend(written.unsupported);
    section
}

fn network(view: &LinkView<'_>, at: usize, link: &PlannedLink) -> NetFile {
    let mut text = format!("[Match]\n{}\n", matched(view, link));
    text += &link
        .mtu
        .map(|mtu| format!("\n[Link]\nMTUBytes={mtu}\n"))
        .unwrap_or_default();
    text += "\n[Network]\n";
    text += &vlans(view, at);
    match controller(view, at) {
        Some(line) => {
            text += &line;
            if bond::is_primary_port(view, at) {
                text += "PrimarySlave=yes\n";
            }
        }
        None => text += &addresses(view, at, link),
    }
    let off_subnet = link.gateways.iter().filter(|via| link.is_off_subnet(**via));
    off_subnet.for_each(|via| text += &format!("\n[Route]\nGateway={via}\nGatewayOnLink=yes\n"));
    for route in &link.routes {
        let metric = route
            .metric
            .map(|metric| format!("Metric={metric}\n"))
            .unwrap_or_default();
        let on_link = match link.is_off_subnet(route.via) {
            true => "GatewayOnLink=yes\n",
            false => "",
        };
        text += &format!(
            "\n[Route]\nDestination={}\nGateway={}\n{on_link}{metric}",
            route.to, route.via
        );
    }
    NetFile {
        path: format!("/etc/systemd/network/20-{}.network", name(link, at)),
        mode: "0644",
        text,
    }
}

fn matched(view: &LinkView<'_>, link: &PlannedLink) -> String {
    let boot = || link.name.is_none().then_some(view.plan.boot_mac).flatten();
    match (
        mac(link).or_else(|| {
            matches!(link.kind, LinkKind::Nic { .. })
                .then(boot)
                .flatten()
        }),
        &link.name,
    ) {
        (Some(mac), _) => format!("PermanentMACAddress={mac}"),
        (None, Some(name)) => format!("Name={name}"),
        // Names of Ethernet NICs begin with `en` or `eth`.
        (None, None) => "Name=en* eth*".into(),
    }
}

/// The VLANs on a link.
fn vlans(view: &LinkView<'_>, at: usize) -> String {
    let carried = view
        .plan
        .links
        .iter()
        .filter(|link| matches!(link.kind, LinkKind::Vlan { on, .. } if on == at));
    carried
        .filter_map(|link| link.name.as_ref())
        .map(|name| format!("VLAN={name}\n"))
        .collect()
}

/// The bond or bridge that a link is a port of.
fn controller(view: &LinkView<'_>, at: usize) -> Option<String> {
    view.plan
        .links
        .iter()
        .find_map(|link| match (&link.kind, &link.name) {
            (LinkKind::Bond { ports, .. }, Some(name)) if ports.contains(&at) => {
                Some(format!("Bond={name}\n"))
            }
            (LinkKind::Bridge { ports, .. }, Some(name)) if ports.contains(&at) => {
                Some(format!("Bridge={name}\n"))
            }
            _ => None,
        })
}

fn addresses(view: &LinkView<'_>, at: usize, link: &PlannedLink) -> String {
    let mut text = String::new();
    if link.dhcp {
        text += "DHCP=yes\n";
    }
    if !is_configured(link) {
        text += "LinkLocalAddressing=no\n";
    }
    link.addresses
        .iter()
        .for_each(|net| text += &format!("Address={net}\n"));
    link.gateways
        .iter()
        .filter(|via| !link.is_off_subnet(**via))
        .for_each(|via| text += &format!("Gateway={via}\n"));
    let primary = at == view.plan.primary;
    let dns: Vec<IpAddr> = machine_wide(&view.plan.dns, &link.dns, primary);
    dns.iter().for_each(|dns| text += &format!("DNS={dns}\n"));
    let search = machine_wide(&view.plan.search, &link.search, primary);
    if !search.is_empty() {
        text += &format!("Domains={}\n", joined(search, " "));
    }
    text
}
