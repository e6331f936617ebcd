//! Kickstart's `network` lines for plain NICs, and NetworkManager keyfiles for everything else.
//!
//! Lines identify a NIC by its MAC address (`--bindto=mac`). Bonds and bridges in lines need interface names, which are not
//! known before the machine is running. The lines also apply to the running installer, which would lose the NIC that it was
//! booted from. So if a plan has more than plain NICs, the installer keeps that NIC and the installed system gets keyfiles.

use crate::{
    model::{Hostname, LinkName},
    site::{BondValue, LinkKind, NetPlan, PlannedLink},
};

use super::{
    NetFile, NetText, dracut, keyfile,
    view::{LinkView, families, gateway, is_configured, joined, mac},
};

pub(super) fn express(view: &LinkView<'_>, hostname: &Hostname) -> NetText {
    let plan = named_primary_ports(view.plan);
    let view = &LinkView {
        plan: &plan,
        ..*view
    };
    let mut text = NetText {
        cmdline: dracut::cmdline(view, hostname),
        ..NetText::default()
    };
    text.temporary_name = dracut::temporary_name(&text.cmdline);
    let configured: Vec<&PlannedLink> = view
        .plan
        .links
        .iter()
        .filter(|link| is_configured(link))
        .collect();
    let plain = !view.in_boot_network
        && !configured.is_empty()
        && configured.iter().all(|link| is_plain(view, link));
    if plain {
        let primary = view.plan.primary();
        let is_primary =
            |link: &PlannedLink| primary.is_some_and(|primary| std::ptr::eq(primary, link));
        text.lines = configured
            .iter()
            .map(|link| line(view, link, is_primary(link).then_some(hostname)))
            .collect();
        text.files = renames(view);
    } else {
        text.lines = vec![installer_line(view, hostname)];
        text.files = keyfile::files(view, &mut text.unsupported)
            .into_iter()
            .chain(renames(view))
            .collect();
        text.replaces = !view.plan.links.is_empty();
    }
    text
}

/// Whether one `network` line can express all settings of the link, in every release of the family.
fn is_plain(view: &LinkView<'_>, link: &PlannedLink) -> bool {
    let (v4, v6) = families(link);
    let is_nic = matches!(link.kind, LinkKind::Nic { .. });
    let one_each = v4.len() <= 1 && v6.len() <= 1 && (!link.dhcp || link.addresses.is_empty());
    // `--ipv4-dns-search` exists from RHEL 9 on.
    let search = view.plan.search.is_empty() && link.search.is_empty();
    let known = mac(link).is_some() || link.name.is_some() || view.plan.links.len() == 1;
    let is_on_subnet = link.gateways.iter().all(|via| !link.is_off_subnet(*via));
    is_nic && one_each && search && known && link.routes.is_empty() && is_on_subnet
}

fn line(view: &LinkView<'_>, link: &PlannedLink, hostname: Option<&Hostname>) -> String {
    let mut arguments = vec!["network".to_string()];
    arguments.extend(device(view, link));
    let (v4, v6) = families(link);
    match v4.first() {
        Some(net) => {
            arguments.push(format!(
                "--bootproto=static --ip={} --netmask={}",
                net.addr(),
                net.netmask()
            ));
            match gateway(link, true) {
                Some(via) => arguments.push(format!("--gateway={via}")),
                None => arguments.push("--nodefroute".into()),
            }
        }
        None if link.dhcp => arguments.push("--bootproto=dhcp".into()),
        None => arguments.push("--noipv4".into()),
    }
    arguments.extend(v6.first().map(|net| format!("--ipv6={net}")));
    arguments.extend(gateway(link, false).map(|via| format!("--ipv6gateway={via}")));
    let dns = keyfile::machine_wide(&view.plan.dns, &link.dns, hostname.is_some());
    if !dns.is_empty() {
        arguments.push(format!("--nameserver={}", joined(dns, ",")));
    }
    arguments.extend(link.mtu.map(|mtu| format!("--mtu={mtu}")));
    arguments.extend(hostname.map(|hostname| format!("--hostname={hostname}")));
    arguments.push("--onboot=yes --activate".into());
    arguments.join(" ")
}

fn device(view: &LinkView<'_>, link: &PlannedLink) -> Option<String> {
    match (mac(link), &link.name) {
        (Some(mac), _) => Some(format!("--device={mac} --bindto=mac")),
        (None, Some(name)) => Some(format!("--device={name}")),
        (None, None) => view
            .plan
            .boot_mac
            .map(|mac| format!("--device={mac} --bindto=mac")),
    }
}

/// The line for an installer that keeps the connection with which it was started.
fn installer_line(view: &LinkView<'_>, hostname: &Hostname) -> String {
    let dynamic = view.in_boot_network || view.plan.address().is_none();
    let device = view
        .installer_mac()
        .map(|mac| format!(" --device={mac}"))
        .unwrap_or_default();
    match dynamic {
        true => format!("network{device} --bootproto=dhcp --hostname={hostname}"),
        // The kernel command line has configured the NIC; another line for it would conflict.
        false => format!("network --hostname={hostname}"),
    }
}

/// Names the primary port of each bond, since NetworkManager accepts only a device name as `primary`.
fn named_primary_ports(plan: &NetPlan) -> NetPlan {
    let mut plan = plan.clone();
    let values = plan.links.iter().flat_map(PlannedLink::bond_options);
    let ports: Vec<usize> = values
        .filter_map(|option| match option.value {
            BondValue::Port(port) => Some(port),
            _ => None,
        })
        .collect();
    for port in ports {
        if plan.links[port].name.is_none() {
            let is_free = |name: &LinkName| {
                let mut names = plan.links.iter().filter_map(|link| link.name.as_ref());
                names.all(|known| known != name)
            };
            let mut names = (port..).filter_map(|number| format!("lan{number}").parse().ok());
            plan.links[port].name = names.find(is_free);
        }
    }
    plan
}

/// Files that give NICs their declared names.
pub(super) fn renames(view: &LinkView<'_>) -> Vec<NetFile> {
    let named = view
        .plan
        .links
        .iter()
        .filter_map(|link| Some((mac(link)?, link.name.as_ref()?)));
    named
        .map(|(mac, name)| NetFile {
            path: format!("/etc/systemd/network/10-{name}.link"),
            mode: "0644",
            text: format!("[Match]\nPermanentMACAddress={mac}\n\n[Link]\nName={name}\n"),
        })
        .collect()
}
