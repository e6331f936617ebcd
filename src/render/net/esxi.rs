//! ESXi: one `network` line, and esxcli commands at the first boot for everything else.
//!
//! The installer uses exactly one `network` line (silently the last one of several), guesses a missing gateway or netmask, and
//! uses the first two DNS servers.

use std::net::IpAddr;

use crate::{model::Hostname, site::PlannedLink};

use super::{
    super::installer_setting::InstallerSetting,
    NetText, UnsupportedSetting, esxi_first_boot, esxi_teaming,
    view::{LinkBase, LinkLabel, LinkView, families, gateway, joined, mac},
};

pub(super) fn express(view: &LinkView<'_>, hostname: &Hostname) -> NetText {
    let mut text = NetText::default();
    let Some(primary) = view.plan.primary() else {
        text.lines.push("network --bootproto=dhcp".into());
        text.unsupported.push(hostname_loss(hostname, None));
        return text;
    };
    let base = view.base(primary);
    let device = device(&base, &mut text.unsupported);
    if let Some(bridge) = base.bridge {
        text.unsupported.push(lack(
            InstallerSetting::Bridge,
            bridge,
            "ESXi has virtual switches instead of bridges",
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
                &mut text.unsupported,
            ));
            if !view.in_boot_network {
                text.cmdline
                    .extend(boot_options(view, primary, &base, address));
            }
        }
        None => {
            text.lines.push(dhcp_line(&base, &device));
            text.unsupported.push(hostname_loss(hostname, primary.span));
            if !primary.dhcp {
                text.unsupported.push(lack(
                    InstallerSetting::Ipv6,
                    primary,
                    "the installer needs an IPv4 address",
                ));
            }
        }
    }
    text.unsupported.extend(esxi_teaming::teaming(view, &base));
    text.unsupported.extend(esxi_first_boot::unsupported(
        view,
        primary,
        &base,
        !v4.is_empty(),
    ));
    text
}

fn lack(setting: InstallerSetting, link: &PlannedLink, why: &str) -> UnsupportedSetting {
    UnsupportedSetting {
        setting,
        detail: format!("{}: {why}", LinkLabel(link)),
        span: link.span,
        first_boot_commands: Vec::new(),
    }
}

/// The `--device` argument: the MAC address with colons, or `vmnicN`.
fn device(base: &LinkBase<'_>, unsupported: &mut Vec<UnsupportedSetting>) -> String {
    let Some(nic) = base.nics.first() else {
        return String::new();
    };
    for nic in &base.nics {
        let name = nic
            .name
            .as_ref()
            .map(|name| name.as_str())
            .filter(|name| !is_vmnic(name));
        if name.is_some() {
            unsupported.push(lack(
                InstallerSetting::Interface,
                nic,
                "ESXi chooses the names of NICs: vmnic0, vmnic1, …",
            ));
        }
    }
    match (mac(nic), &nic.name) {
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
    unsupported: &mut Vec<UnsupportedSetting>,
) -> String {
    let (v4, _) = families(primary);
    let address = v4[0];
    let mut line = format!(
        "network --bootproto=static{device} --ip={} --netmask={}",
        address.addr(),
        address.netmask()
    );
    match gateway(primary, true) {
        Some(gateway) if primary.is_off_subnet(gateway) => unsupported.push(lack(
            InstallerSetting::Gateway,
            primary,
            &format!("the gateway {gateway} is outside of the subnet"),
        )),
        Some(gateway) => line += &format!(" --gateway={gateway}"),
        None => unsupported.push(lack(
            InstallerSetting::Gateway,
            primary,
            "the installer guesses a gateway if none is set",
        )),
    }
    let dns: Vec<IpAddr> = view.plan.dns.iter().copied().take(2).collect();
    match dns.is_empty() {
        false => line += &format!(" --nameserver={}", joined(dns, ",")),
        true => unsupported.push(lack(
            InstallerSetting::Dns,
            primary,
            "with a static address the installer needs at least one name server",
        )),
    }
    line += &format!(" --hostname={hostname}");
    line + &vlan(base) + PORT_GROUP
}

fn dhcp_line(base: &LinkBase<'_>, device: &str) -> String {
    format!("network --bootproto=dhcp{device}{}{PORT_GROUP}", vlan(base))
}

/// Creates the port group "VM Network", as a manual installation does.
const PORT_GROUP: &str = " --addvmportgroup=1";

fn vlan(base: &LinkBase<'_>) -> String {
    base.vlan
        .map(|id| format!(" --vlanid={id}"))
        .unwrap_or_default()
}

/// The boot options that give the installer its static address.
fn boot_options(
    view: &LinkView<'_>,
    primary: &PlannedLink,
    base: &LinkBase<'_>,
    address: IpAddr,
) -> Vec<String> {
    let (v4, _) = families(primary);
    let mut options = vec![
        format!("ip={address}"),
        format!("netmask={}", v4[0].netmask()),
    ];
    options.extend(gateway(primary, true).map(|gateway| format!("gateway={gateway}")));
    options.extend(view.plan.dns.first().map(|dns| format!("nameserver={dns}")));
    options.extend(view.installer_mac().map(|mac| format!("netdevice={mac}")));
    options.extend(base.vlan.map(|id| format!("vlanid={id}")));
    options
}

fn hostname_loss(
    hostname: &Hostname,
    span: Option<crate::model::SourceSpan>,
) -> UnsupportedSetting {
    UnsupportedSetting {
        setting: InstallerSetting::Hostname,
        detail: "the installer only sets a host name with a static address".into(),
        span,
        first_boot_commands: vec![format!("esxcli system hostname set --fqdn={hostname}")],
    }
}
