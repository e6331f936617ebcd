//! ESXi: one `network` line, and esxcli at the first boot for the rest.
//!
//! The installer takes exactly one `network` line (of several the last one wins, in silence), guesses a
//! gateway and a netmask that are not there, and uses the first two DNS servers.

use std::net::IpAddr;

use crate::{model::Hostname, site::PlannedLink};

use super::{
    super::installer_setting::InstallerSetting,
    NetText, UnsupportedSetting, esxi_later,
    view::{LinkBase, LinkLabel, LinkView, families, gateway, joined, mac},
};

pub(super) fn express(view: &LinkView<'_>, hostname: &Hostname) -> NetText {
    let mut text = NetText::default();
    let Some(primary) = view.plan.primary() else {
        text.lines.push("network --bootproto=dhcp".into());
        text.losses.push(hostname_loss(hostname, None));
        return text;
    };
    let base = view.base(primary);
    let device = device(&base, &mut text.losses);
    if let Some(bridge) = base.bridge {
        text.losses.push(loss(
            InstallerSetting::Bridge,
            bridge,
            "ESXi has virtual switches in place of bridges",
        ));
    }
    let (v4, _) = families(primary);
    match v4.first() {
        Some(address) => {
            let address = IpAddr::V4(address.addr());
            text.lines.push(static_line(
                view,
                primary,
                &base,
                &device,
                hostname,
                &mut text.losses,
            ));
            if !view.elsewhere {
                text.words
                    .extend(installer_words(view, primary, &base, address));
            }
        }
        None => {
            text.lines.push(dhcp_line(&base, &device));
            text.losses.push(hostname_loss(hostname, primary.span));
            if !primary.dhcp {
                text.losses.push(loss(
                    InstallerSetting::Ipv6,
                    primary,
                    "the installer needs an IPv4 address",
                ));
            }
        }
    }
    text.losses
        .extend(esxi_later::losses(view, primary, &base, !v4.is_empty()));
    text
}

fn loss(setting: InstallerSetting, link: &PlannedLink, why: &str) -> UnsupportedSetting {
    UnsupportedSetting {
        setting,
        what: format!("{}: {why}", LinkLabel(link)),
        span: link.span,
        later: Vec::new(),
    }
}

/// The words for the card: its address, with colons, or `vmnicN`.
fn device(base: &LinkBase<'_>, losses: &mut Vec<UnsupportedSetting>) -> String {
    let Some(card) = base.cards.first() else {
        return String::new();
    };
    for card in &base.cards {
        let name = card
            .name
            .as_ref()
            .map(|name| name.as_str())
            .filter(|name| !is_vmnic(name));
        if name.is_some() {
            losses.push(loss(
                InstallerSetting::Interface,
                card,
                "ESXi names its cards itself: vmnic0, vmnic1, …",
            ));
        }
    }
    match (mac(card), &card.name) {
        (Some(mac), _) => format!(" --device={mac}"),
        (None, Some(name)) if is_vmnic(name.as_str()) => format!(" --device={name}"),
        _ => String::new(),
    }
}

fn is_vmnic(name: &str) -> bool {
    name.strip_prefix("vmnic")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
}

fn static_line(
    view: &LinkView<'_>,
    primary: &PlannedLink,
    base: &LinkBase<'_>,
    device: &str,
    hostname: &Hostname,
    losses: &mut Vec<UnsupportedSetting>,
) -> String {
    let (v4, _) = families(primary);
    let address = v4[0];
    let mut line = format!(
        "network --bootproto=static{device} --ip={} --netmask={}",
        address.addr(),
        address.netmask()
    );
    match gateway(primary, true) {
        Some(gateway) => line += &format!(" --gateway={gateway}"),
        None => losses.push(loss(
            InstallerSetting::Gateway,
            primary,
            "the installer guesses a gateway where none is set",
        )),
    }
    let dns: Vec<IpAddr> = view.plan.dns.iter().copied().take(2).collect();
    match dns.is_empty() {
        false => line += &format!(" --nameserver={}", joined(dns, ",")),
        true => losses.push(loss(
            InstallerSetting::Dns,
            primary,
            "the installer wants at least one server beside a static address",
        )),
    }
    line += &format!(" --hostname={hostname}");
    line + &vlan(base) + PORT_GROUP
}

fn dhcp_line(base: &LinkBase<'_>, device: &str) -> String {
    format!("network --bootproto=dhcp{device}{}{PORT_GROUP}", vlan(base))
}

/// "VM Network", as an installation by hand makes it.
const PORT_GROUP: &str = " --addvmportgroup=1";

fn vlan(base: &LinkBase<'_>) -> String {
    base.vlan
        .map(|id| format!(" --vlanid={id}"))
        .unwrap_or_default()
}

/// What the installer itself needs so as to ask no DHCP.
fn installer_words(
    view: &LinkView<'_>,
    primary: &PlannedLink,
    base: &LinkBase<'_>,
    address: IpAddr,
) -> Vec<String> {
    let (v4, _) = families(primary);
    let mut words = vec![
        format!("ip={address}"),
        format!("netmask={}", v4[0].netmask()),
    ];
    words.extend(gateway(primary, true).map(|gateway| format!("gateway={gateway}")));
    words.extend(view.plan.dns.first().map(|dns| format!("nameserver={dns}")));
    words.extend(view.installer_mac().map(|mac| format!("netdevice={mac}")));
    words.extend(base.vlan.map(|id| format!("vlanid={id}")));
    words
}

fn hostname_loss(
    hostname: &Hostname,
    span: Option<crate::model::SourceSpan>,
) -> UnsupportedSetting {
    UnsupportedSetting {
        setting: InstallerSetting::Hostname,
        what: "the installer takes a host name only beside a static address".into(),
        span,
        later: vec![format!("esxcli system hostname set --fqdn={hostname}")],
    }
}
