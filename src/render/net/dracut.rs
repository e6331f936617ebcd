//! Network settings of the installer on the kernel command line, in dracut's format (dracut.cmdline(7)).

use std::net::IpAddr;

use crate::model::{Hostname, LinkName};

use super::view::{LinkView, families, gateway, mac};

/// The name of the installer's NIC if arguments need one and none is declared. Anaconda would write it into the installed system,
/// with a connection that is bound to it.
const TEMPORARY_NAME: &str = "boot0";

/// Returns the name that only the installer uses, if there is one.
pub(super) fn temporary_name(arguments: &[String]) -> Option<&'static str> {
    let mut names = arguments
        .iter()
        .filter_map(|argument| argument.strip_prefix("ifname="));
    let is_temporary = |name: &str| name.split(':').next() == Some(TEMPORARY_NAME);
    names.any(is_temporary).then_some(TEMPORARY_NAME)
}

/// Returns the kernel arguments that configure the installer's network.
pub(super) fn cmdline(view: &LinkView<'_>, hostname: &Hostname) -> Vec<String> {
    let address = (!view.in_boot_network)
        .then(|| static_address(view, hostname))
        .flatten();
    let mut arguments = address.unwrap_or_else(|| vec!["ip=dhcp".into()]);
    arguments.extend(
        view.installer_mac()
            .map(|mac| format!("BOOTIF=01-{}", mac.hyphens())),
    );
    arguments
}

fn static_address(view: &LinkView<'_>, hostname: &Hostname) -> Option<Vec<String>> {
    let primary = view.plan.primary()?;
    let base = view.base(primary);
    let nic_mac = mac(base.nics.first()?).or(view.installer_mac())?;
    let (v4, v6) = families(primary);
    let (client, length, via) = match (v4.first(), v6.first()) {
        (Some(net), _) => (
            net.addr().to_string(),
            net.netmask().to_string(),
            gateway(primary, true),
        ),
        // It gets an IPv4 address by DHCP, with which it reaches the server.
        (None, Some(_)) if primary.dhcp => return None,
        (None, Some(net)) => (
            format!("[{}]", net.addr()),
            net.prefix_len().to_string(),
            gateway(primary, false),
        ),
        (None, None) => return None,
    };
    let off_subnet = via.filter(|via| primary.is_off_subnet(*via));
    let via = via.map(|via| bracketed(&via)).unwrap_or_default();
    let nic_mac = view.installer_mac().unwrap_or(nic_mac);
    let nic = base.nics.iter().find(|nic| mac(nic) == Some(nic_mac));
    let name = nic.and_then(|nic| nic.name.as_ref());
    // Without a name, the address is that of the NIC of `BOOTIF`. VLANs and routes refer to a device by its name.
    let needs_name = base.vlan.is_some() || off_subnet.is_some();
    let name = name.map(LinkName::as_str);
    let name = name
        .or(needs_name.then_some(TEMPORARY_NAME))
        .unwrap_or_default();
    let mut arguments = Vec::new();
    if !name.is_empty() {
        arguments.push(format!("ifname={name}:{nic_mac}"));
    }
    let device = match base.vlan {
        Some(id) => {
            arguments.push(format!("vlan={name}.{id}:{name}"));
            format!("{name}.{id}")
        }
        None => name.into(),
    };
    let mtu = primary.mtu.map(|mtu| format!(":{mtu}")).unwrap_or_default();
    arguments.push(format!(
        "ip={client}::{via}:{length}:{hostname}:{device}:none{mtu}"
    ));
    // The route to a gateway outside of the subnet.
    arguments.extend(off_subnet.map(|via| format!("rd.route={}::{device}", host_route(&via))));
    arguments.extend(
        view.plan
            .dns
            .iter()
            .take(3)
            .map(|dns| format!("nameserver={}", bracketed(dns))),
    );
    Some(arguments)
}

fn host_route(address: &IpAddr) -> String {
    match address {
        IpAddr::V4(address) => format!("{address}/32"),
        IpAddr::V6(address) => format!("[{address}/128]"),
    }
}

/// IPv6 addresses need brackets, since colons separate the fields.
fn bracketed(address: &IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}
