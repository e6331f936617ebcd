//! Network settings that ESXi's installer does not support, as esxcli commands for the first boot.

use std::net::IpAddr;

use crate::site::{LinkKind, PlannedLink};

use super::{
    super::installer_setting::InstallerSetting,
    UnsupportedSetting,
    view::{LinkBase, LinkLabel, LinkView, families, gateway, is_configured, joined, mac},
};

/// Returns all settings that the `network` line does not contain.
pub(super) fn unsupported(
    view: &LinkView<'_>,
    primary: &PlannedLink,
    base: &LinkBase<'_>,
    has_v4: bool,
) -> Vec<UnsupportedSetting> {
    let mut unsupported = Vec::new();
    unsupported.extend(mtu(primary, "vSwitch0", "vmk0"));
    unsupported.extend(more_addresses(primary, has_v4));
    unsupported.extend(ipv6(primary, "vmk0", has_v4));
    unsupported.extend(other_links(view, primary, base));
    for link in &view.plan.links {
        unsupported.extend(routes(link));
    }
    unsupported.extend(names(view, has_v4));
    unsupported.extend(time(view));
    unsupported
}

pub(super) fn lack(
    setting: InstallerSetting,
    link: &PlannedLink,
    detail: impl std::fmt::Display,
    first_boot_commands: Vec<String>,
) -> UnsupportedSetting {
    UnsupportedSetting {
        setting,
        detail: format!("{}: {detail}", LinkLabel(link)),
        span: link.span,
        first_boot_commands,
    }
}

/// A shell expression for the kernel's name of a NIC, found by its MAC address.
pub(super) fn nic(link: &PlannedLink) -> Option<String> {
    mac(link)
        .map(|mac| format!("\"$(nic {mac})\""))
        .or_else(|| link.name.as_ref().map(ToString::to_string))
}

fn mtu(link: &PlannedLink, switch: &str, interface: &str) -> Option<UnsupportedSetting> {
    let mtu = link.mtu.filter(|mtu| *mtu != 1500)?;
    let first_boot_commands = vec![
        format!("esxcli network vswitch standard set --vswitch-name={switch} --mtu={mtu}"),
        format!("esxcli network ip interface set --interface-name={interface} --mtu={mtu}"),
    ];
    Some(lack(InstallerSetting::Mtu, link, mtu, first_boot_commands))
}

fn more_addresses(link: &PlannedLink, has_v4: bool) -> Option<UnsupportedSetting> {
    let (v4, _) = families(link);
    let more = v4.len() > usize::from(has_v4);
    more.then(|| {
        lack(
            InstallerSetting::Addresses,
            link,
            "ESXi supports one IPv4 address for each interface",
            Vec::new(),
        )
    })
}

fn ipv6(link: &PlannedLink, interface: &str, has_v4: bool) -> Option<UnsupportedSetting> {
    let (_, v6) = families(link);
    if v6.is_empty() || !has_v4 {
        return None;
    }
    if let Some(via) = gateway(link, false).filter(|via| link.is_off_subnet(*via)) {
        let detail = format!("the gateway {via} is outside of the subnet");
        return Some(lack(InstallerSetting::Gateway, link, detail, Vec::new()));
    }
    let mut first_boot_commands: Vec<String> = v6
        .iter()
        .map(|net| format!("esxcli network ip interface ipv6 address add --interface-name={interface} --ipv6={net}"))
        .collect();
    first_boot_commands.extend(gateway(link, false).map(|via| add_route("default", via)));
    Some(lack(
        InstallerSetting::Ipv6,
        link,
        joined(&v6, ", "),
        first_boot_commands,
    ))
}

/// Other links: each has an interface on its own switch, or on a port group of the first switch if it shares the primary link's NICs.
fn other_links(
    view: &LinkView<'_>,
    primary: &PlannedLink,
    base: &LinkBase<'_>,
) -> Vec<UnsupportedSetting> {
    let others: Vec<&PlannedLink> = view
        .plan
        .links
        .iter()
        .filter(|link| !std::ptr::eq(*link, primary) && is_configured(link))
        .collect();
    others
        .iter()
        .enumerate()
        .map(|(at, link)| other_link(view, base, link, at + 1))
        .collect()
}

fn other_link(
    view: &LinkView<'_>,
    primary: &LinkBase<'_>,
    link: &PlannedLink,
    number: usize,
) -> UnsupportedSetting {
    let base = view.base(link);
    let setting = match link.kind {
        LinkKind::Nic { .. } => InstallerSetting::Interface,
        LinkKind::Vlan { .. } => InstallerSetting::Vlan,
        LinkKind::Bond { .. } => InstallerSetting::Bond,
        LinkKind::Bridge { .. } => InstallerSetting::Bridge,
    };
    if base.bridge.is_some() || (base.bond.is_some() && !shares(primary, &base)) {
        return lack(
            setting,
            link,
            "besides the primary link, only NICs and VLANs are supported",
            Vec::new(),
        );
    }
    let shared = shares(primary, &base);
    let switch = if shared {
        "vSwitch0".to_string()
    } else {
        format!("vSwitch{number}")
    };
    let group = link
        .name
        .as_ref()
        .map_or_else(|| format!("bootwright-{number}"), ToString::to_string);
    let interface = format!("vmk{number}");
    let mut first_boot_commands = Vec::new();
    if !shared {
        first_boot_commands.extend(add_switch(&base, &switch));
    }
    first_boot_commands.extend(add_port_group(&base, &group, &switch));
    first_boot_commands.push(format!(
        "esxcli network ip interface add --interface-name={interface} --portgroup-name={group}"
    ));
    first_boot_commands.extend(address(link, &interface));
    // The MTU of a switch is the largest of its interfaces.
    let carried = view.plan.primary().and_then(|link| link.mtu);
    let carries = shared && carried >= link.mtu;
    let commands = |lack: Option<UnsupportedSetting>| {
        lack.map_or_else(Vec::new, |lack| lack.first_boot_commands)
    };
    let mtu = commands(mtu(link, &switch, &interface)).into_iter();
    first_boot_commands.extend(mtu.skip(usize::from(carries)));
    first_boot_commands.extend(commands(ipv6(link, &interface, true)));
    if families(link).0.len() > 1 {
        first_boot_commands.clear();
    }
    lack(
        setting,
        link,
        "the installer supports one interface",
        first_boot_commands,
    )
}

fn add_switch(base: &LinkBase<'_>, switch: &str) -> impl Iterator<Item = String> {
    let add = format!("esxcli network vswitch standard add --vswitch-name={switch}");
    let nics = base.nics.iter().filter_map(|link| nic(link));
    let uplinks = nics.map(move |name| format!("esxcli network vswitch standard uplink add --uplink-name={name} --vswitch-name={switch}"));
    std::iter::once(add).chain(uplinks)
}

fn add_port_group(base: &LinkBase<'_>, group: &str, switch: &str) -> impl Iterator<Item = String> {
    let of = "esxcli network vswitch standard portgroup";
    let add = format!("{of} add --portgroup-name={group} --vswitch-name={switch}");
    let vlan = base
        .vlan
        .map(|id| format!("{of} set --portgroup-name={group} --vlan-id={id}"));
    std::iter::once(add).chain(vlan)
}

/// Whether both have a NIC in common.
fn shares(one: &LinkBase<'_>, other: &LinkBase<'_>) -> bool {
    one.nics
        .iter()
        .any(|link| other.nics.iter().any(|known| std::ptr::eq(*link, *known)))
}

fn address(link: &PlannedLink, interface: &str) -> Option<String> {
    let (v4, _) = families(link);
    let set = "esxcli network ip interface ipv4 set";
    match v4.first() {
        // Without a default route, which belongs to the primary link.
        Some(net) => Some(format!(
            "{set} --interface-name={interface} --type=static --ipv4={} --netmask={}",
            net.addr(),
            net.netmask()
        )),
        None if link.dhcp => Some(format!("{set} --interface-name={interface} --type=dhcp")),
        None => None,
    }
}

fn routes(link: &PlannedLink) -> Option<UnsupportedSetting> {
    if link.routes.is_empty() {
        return None;
    }
    if let Some(route) = link.routes.iter().find(|route| route.metric.is_some()) {
        return Some(lack(
            InstallerSetting::Routes,
            link,
            format!(
                "ESXi's routes have no metric, as the one to {} has",
                route.to
            ),
            Vec::new(),
        ));
    }
    if let Some(route) = link
        .routes
        .iter()
        .find(|route| link.is_off_subnet(route.via))
    {
        let detail = format!("the next hop {} is outside of the subnet", route.via);
        return Some(lack(InstallerSetting::Routes, link, detail, Vec::new()));
    }
    let first_boot_commands = link
        .routes
        .iter()
        .map(|route| add_route(&route.to.to_string(), route.via))
        .collect();
    Some(lack(
        InstallerSetting::Routes,
        link,
        joined(link.routes.iter().map(|route| route.to), ", "),
        first_boot_commands,
    ))
}

/// esxcli has had routes since 5.1. Older releases need esxcfg-route.
fn add_route(to: &str, via: IpAddr) -> String {
    let (family, old) = if via.is_ipv4() {
        ("ipv4", "V4")
    } else {
        ("ipv6", "V6")
    };
    format!(
        "esxcli network ip route {family} add --gateway={via} --network={to} || esxcfg-route -f {old} -a {to} {via}"
    )
}

/// DNS servers and search domains that the `network` line does not contain.
fn names(view: &LinkView<'_>, has_v4: bool) -> Vec<UnsupportedSetting> {
    let mut unsupported = Vec::new();
    let in_line = if has_v4 { 2 } else { 0 };
    let own = view
        .plan
        .links
        .iter()
        .flat_map(|link| link.dns.iter().copied());
    let mut more: Vec<IpAddr> = view.plan.dns.iter().copied().skip(in_line).collect();
    more.extend(own.filter(|dns| !view.plan.dns.contains(dns)));
    if !more.is_empty() {
        let first_boot_commands = more
            .iter()
            .map(|dns| format!("esxcli network ip dns server add --server={dns}"))
            .collect();
        let detail = format!(
            "the installer uses {in_line} servers: {} would be missing",
            joined(&more, ", ")
        );
        unsupported.push(UnsupportedSetting {
            setting: InstallerSetting::Dns,
            detail,
            span: None,
            first_boot_commands,
        });
    }
    let mut search = view.plan.search.clone();
    let own = view.plan.links.iter().flat_map(|link| link.search.iter());
    own.for_each(|domain| {
        if !search.contains(domain) {
            search.push(domain.clone())
        }
    });
    if !search.is_empty() {
        let first_boot_commands = search
            .iter()
            .map(|domain| format!("esxcli network ip dns search add --domain={domain}"))
            .collect();
        unsupported.push(UnsupportedSetting {
            setting: InstallerSetting::Search,
            detail: search.join(", "),
            span: None,
            first_boot_commands,
        });
    }
    unsupported
}

fn time(view: &LinkView<'_>) -> Option<UnsupportedSetting> {
    let servers = &view.plan.ntp;
    if servers.is_empty() {
        return None;
    }
    let arguments = joined(
        servers.iter().map(|server| format!("--server={server}")),
        " ",
    );
    let lines = joined(
        servers.iter().map(|server| format!("server {server}")),
        "\\n",
    );
    let first_boot_commands = vec![
        "esxcli network firewall ruleset set --ruleset-id=ntpClient --enabled=true".into(),
        // esxcli has had NTP since 7.0. Older releases need the daemon's configuration file.
        format!("esxcli system ntp set {arguments} --enabled=true || {{"),
        format!("  printf '{lines}\\n' >> /etc/ntp.conf"),
        "  /sbin/chkconfig ntpd on".into(),
        "  /etc/init.d/ntpd restart".into(),
        "}".into(),
    ];
    Some(UnsupportedSetting {
        setting: InstallerSetting::Ntp,
        detail: servers.join(", "),
        span: None,
        first_boot_commands,
    })
}

/// The shell function that the commands use to find a NIC.
pub const NIC: &str =
    "nic() { esxcli network nic list | awk -v mac=\"$1\" 'tolower($0) ~ mac { print $1; exit }'; }";
