//! Debian's netcfg: one card with one address, on the kernel command line.
//!
//! A preseed file that is fetched over the network is read when netcfg has already run, so address and host
//! name must be kernel arguments. What netcfg cannot say becomes files for systemd-networkd.

use std::net::IpAddr;

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
    text.words = words(view, hostname, &mut text.losses);
    let configured: Vec<&PlannedLink> = view
        .plan
        .links
        .iter()
        .filter(|link| is_configured(link))
        .collect();
    match configured.as_slice() {
        [] => {}
        [link] if !view.elsewhere && is_plain(view, link) => text.files = resolver(view, link),
        _ => networkd::express(view, &mut text),
    }
    text
}

/// The words that connect the installer, and the installed system when that is all there is.
fn words(
    view: &LinkView<'_>,
    hostname: &Hostname,
    losses: &mut Vec<UnsupportedSetting>,
) -> Vec<String> {
    let mut words = vec!["netcfg/choose_interface=auto".to_string()];
    words.extend(
        view.installer_mac()
            .map(|mac| format!("BOOTIF=01-{}", mac.hyphens())),
    );
    if !view.elsewhere {
        words.extend(
            view.plan
                .primary()
                .into_iter()
                .flat_map(|link| static_words(view, link, losses)),
        );
    }
    words.push(format!("hostname={}", hostname.short()));
    // Without a domain the installer would ask for one.
    words.push(format!("domain={}", hostname.domain().unwrap_or_default()));
    words
}

fn static_words(
    view: &LinkView<'_>,
    link: &PlannedLink,
    losses: &mut Vec<UnsupportedSetting>,
) -> Vec<String> {
    let (v4, v6) = families(link);
    let (address, mask) = match (v4.first(), v6.first()) {
        (Some(net), _) => (IpAddr::V4(net.addr()), net.netmask().to_string()),
        (None, Some(net)) => (IpAddr::V6(net.addr()), net.netmask().to_string()),
        (None, None) => return Vec::new(),
    };
    if let Some(id) = view.base(link).vlan {
        losses.push(UnsupportedSetting {
            setting: InstallerSetting::Vlan,
            what: format!("{}: the installer cannot tag its packets ({id}); set `boot-network` to the network that it runs in", LinkLabel(link)),
            span: link.span,
            later: Vec::new(),
        });
    }
    let mut words = vec![
        "netcfg/disable_autoconfig=true".to_string(),
        format!("netcfg/get_ipaddress={address}"),
        format!("netcfg/get_netmask={mask}"),
        format!(
            "netcfg/get_gateway={}",
            gateway(link, address.is_ipv4()).map_or_else(|| "none".into(), |via| via.to_string())
        ),
    ];
    // One: a blank would end the word. The rest is written to /etc/resolv.conf.
    words.extend(
        view.plan
            .dns
            .first()
            .map(|dns| format!("netcfg/get_nameservers={dns}")),
    );
    words.push("netcfg/confirm_static=true".into());
    words
}

/// Whether netcfg says all that is set on the link.
fn is_plain(view: &LinkView<'_>, link: &PlannedLink) -> bool {
    let boot_card = matches!(link.kind, LinkKind::Card { .. })
        && (mac(link).is_none() || mac(link) == view.installer_mac());
    let one = link.addresses.len() == usize::from(!link.dhcp);
    boot_card
        && one
        && link.name.is_none()
        && link.mtu.is_none()
        && link.routes.is_empty()
        && link.gateways.len() <= 1
}

/// /etc/resolv.conf of a machine that asks no DHCP.
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
