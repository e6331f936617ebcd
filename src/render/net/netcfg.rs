//! Debian's netcfg: one NIC with one address, on the kernel command line.
//!
//! netcfg runs before the preseed file is fetched over the network, so the address and the host name must be kernel arguments.
//! Settings that netcfg does not support are written as files for systemd-networkd.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use crate::{
    model::Hostname,
    site::{LinkKind, PlannedLink},
};

use super::{
    super::installer_setting::InstallerSetting,
    NetFile, NetText, UnsupportedSetting, networkd,
    view::{LinkLabel, LinkView, families, gateway, is_configured, joined, mac},
};

pub(super) fn express(view: &LinkView<'_>, hostname: &Hostname) -> NetText {
    let mut text = NetText::default();
    text.cmdline = cmdline(view, hostname, &mut text.unsupported);
    let configured: Vec<&PlannedLink> = view
        .plan
        .links
        .iter()
        .filter(|link| is_configured(link))
        .collect();
    match configured.as_slice() {
        [] => {}
        [link] if !view.in_boot_network && is_plain(view, link) => {
            text.files = resolver(view, link)
        }
        _ => networkd::express(view, &mut text),
    }
    text
}

/// The kernel arguments that configure the installer's network, and the installed system's if nothing else is set.
fn cmdline(
    view: &LinkView<'_>,
    hostname: &Hostname,
    unsupported: &mut Vec<UnsupportedSetting>,
) -> Vec<String> {
    let mut arguments = vec!["netcfg/choose_interface=auto".to_string()];
    arguments.extend(
        view.installer_mac()
            .map(|mac| format!("BOOTIF=01-{}", mac.hyphens())),
    );
    if !view.in_boot_network {
        arguments.extend(
            view.plan
                .primary()
                .into_iter()
                .flat_map(|link| static_address(view, link, unsupported)),
        );
    }
    arguments.push(format!("hostname={}", hostname.short()));
    // Without this argument the installer stops to ask for a domain.
    arguments.push(format!("domain={}", hostname.domain().unwrap_or_default()));
    arguments
}

fn static_address(
    view: &LinkView<'_>,
    link: &PlannedLink,
    unsupported: &mut Vec<UnsupportedSetting>,
) -> Vec<String> {
    let (v4, v6) = families(link);
    let (address, mask) = match (v4.first(), v6.first()) {
        (Some(net), _) => (IpAddr::V4(net.addr()), net.netmask().to_string()),
        // The installer gets an IPv4 address by DHCP, with which it reaches the server.
        (None, Some(_)) if link.dhcp => return Vec::new(),
        (None, Some(net)) => (IpAddr::V6(net.addr()), net.netmask().to_string()),
        (None, None) => return Vec::new(),
    };
    let via = gateway(link, address.is_ipv4());
    // netcfg refuses a gateway outside of the subnet, but sets a route to it if the subnet has only one address.
    let mask = match (address, via.is_some_and(|via| link.is_off_subnet(via))) {
        (IpAddr::V4(_), true) => Ipv4Addr::BROADCAST.to_string(),
        (IpAddr::V6(_), true) => Ipv6Addr::from(u128::MAX).to_string(),
        (_, false) => mask,
    };
    if let Some(id) = view.base(link).vlan {
        unsupported.push(UnsupportedSetting {
            setting: InstallerSetting::Vlan,
            detail: format!("{}: the installer does not support VLANs ({id}); set `boot-network` to the network in which it runs", LinkLabel(link)),
            span: link.span,
            first_boot_commands: Vec::new(),
        });
    }
    let mut arguments = vec![
        "netcfg/disable_autoconfig=true".to_string(),
        format!("netcfg/get_ipaddress={address}"),
        format!("netcfg/get_netmask={mask}"),
        format!(
            "netcfg/get_gateway={}",
            via.map_or_else(|| "none".into(), |via| via.to_string())
        ),
    ];
    // Only one, of the family of the address: a blank would end the argument. All of them are written to /etc/resolv.conf.
    let mut servers = view.plan.dns.iter();
    let same_family = servers.find(|dns| dns.is_ipv4() == address.is_ipv4());
    arguments.extend(
        same_family
            .or(view.plan.dns.first())
            .map(|dns| format!("netcfg/get_nameservers={dns}")),
    );
    arguments.push("netcfg/confirm_static=true".into());
    arguments
}

/// Whether netcfg supports all settings of the link.
fn is_plain(view: &LinkView<'_>, link: &PlannedLink) -> bool {
    let is_boot_nic = matches!(link.kind, LinkKind::Nic { .. })
        && (mac(link).is_none() || mac(link) == view.installer_mac());
    let one = link.addresses.len() == usize::from(!link.dhcp);
    let is_host = |net: &IpNet| net.prefix_len() == net.max_prefix_len();
    // The installed system gets the mask of the installer.
    let own_mask = link.addresses.iter().all(is_host)
        || link.gateways.iter().all(|via| !link.is_off_subnet(*via));
    is_boot_nic
        && one
        && link.name.is_none()
        && link.mtu.is_none()
        && link.routes.is_empty()
        && link.gateways.len() <= 1
        && own_mask
}

/// The /etc/resolv.conf of a machine with a static address.
fn resolver(view: &LinkView<'_>, link: &PlannedLink) -> Vec<NetFile> {
    if link.dhcp || (view.plan.dns.len() < 2 && view.plan.search.is_empty()) {
        return Vec::new();
    }
    let mut text = String::new();
    if !view.plan.search.is_empty() {
        text += &format!("search {}\n", joined(&view.plan.search, " "));
    }
    // The resolver reads three (resolv.conf(5)).
    view.plan
        .dns
        .iter()
        .take(3)
        .for_each(|dns| text += &format!("nameserver {dns}\n"));
    vec![NetFile {
        path: "/etc/resolv.conf".into(),
        mode: "0644",
        text,
    }]
}
