//! Checks the `network` line of ESXi's ks.cfg.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::model::Hostname;

use super::{RuleViolation, commands::KsCommand};

pub(super) fn check(lines: &[KsCommand]) -> Vec<RuleViolation> {
    lines
        .iter()
        .filter(|line| line.name == "network")
        .flat_map(check_line)
        .collect()
}

fn check_line(line: &KsCommand) -> Vec<RuleViolation> {
    let mut violations = match line.value("--bootproto") {
        Some("static") => fixed(line),
        Some("dhcp") => dynamic(line),
        _ => vec![RuleViolation::error(
            13,
            line.number,
            "`--bootproto` must be `static` or `dhcp`",
        )],
    };
    let error = |rule, message: &str| RuleViolation::error(rule, line.number, message);
    if let Some(name) = line.value("--hostname").filter(|name| !is_hostname(name)) {
        violations.push(error(16, &format!("`{name}` is not a host name")));
    }
    let servers: Vec<&str> = line
        .value("--nameserver")
        .iter()
        .flat_map(|list| list.split(','))
        .collect();
    if servers.len() > 2 {
        violations.push(error(
            17,
            "the installer uses two name servers and ignores the others",
        ));
    }
    if let Some(server) = servers
        .iter()
        .find(|server| server.parse::<std::net::IpAddr>().is_err())
    {
        violations.push(error(
            17,
            &format!("`{server}` is not the address of a name server"),
        ));
    }
    let tag = line.value("--vlanid");
    if tag.is_some_and(|tag| !tag.parse::<u16>().is_ok_and(|tag| tag <= 4095)) {
        violations.push(error(18, "`--vlanid` must be a number from 0 to 4095"));
    }
    if let Some(device) = line.value("--device").filter(|device| !is_device(device)) {
        violations.push(error(
            19,
            &format!("`{device}` is neither `vmnicN` nor a MAC address with colons"),
        ));
    }
    let group = line.value("--addvmportgroup");
    if group.is_some_and(|group| !["0", "1", "true", "false"].contains(&group)) {
        violations.push(error(11, "`--addvmportgroup` must be 0 or 1"));
    }
    violations
}

/// Checks a static address. The installer guesses missing values.
fn fixed(line: &KsCommand) -> Vec<RuleViolation> {
    let wanted = ["--ip", "--netmask", "--gateway", "--hostname"];
    let mut missing: Vec<&str> = wanted
        .into_iter()
        .filter(|name| line.value(name).is_none())
        .collect();
    if line.value("--nameserver").is_none() && !line.has("--nodns") {
        missing.push("--nameserver");
    }
    let mut violations: Vec<RuleViolation> = missing
        .into_iter()
        .map(|name| {
            RuleViolation::error(
                13,
                line.number,
                format!("without `{name}` the installer fails, or guesses"),
            )
        })
        .collect();
    let ip = line.value("--ip").map(str::parse::<Ipv4Addr>);
    let gateway = line.value("--gateway").map(str::parse::<Ipv4Addr>);
    if let (Some(Ok(ip)), Some(Ok(gateway)), Some(length)) =
        (&ip, &gateway, line.value("--netmask").map(prefix))
    {
        violations.extend(in_subnet(line, *ip, *gateway, length));
    } else if ip.is_some() && gateway.is_some() && line.value("--netmask").is_some() {
        violations.push(RuleViolation::error(
            15,
            line.number,
            "address, netmask and gateway must all be IPv4",
        ));
    }
    violations
}

/// The length of a netmask, which may be written as a number.
fn prefix(mask: &str) -> Option<u8> {
    mask.parse::<u8>()
        .ok()
        .or_else(|| ipnet::ipv4_mask_to_prefix(mask.parse().ok()?).ok())
}

fn in_subnet(
    line: &KsCommand,
    ip: Ipv4Addr,
    gateway: Ipv4Addr,
    length: Option<u8>,
) -> Option<RuleViolation> {
    let error = |message: &str| Some(RuleViolation::error(15, line.number, message));
    let Some(net) = length.and_then(|length| Ipv4Net::new(ip, length).ok()) else {
        return error("this is not a netmask");
    };
    if !net.contains(&gateway) {
        return error("the gateway is not in the subnet of the address");
    }
    let edge = |address: Ipv4Addr| {
        net.prefix_len() < 31 && (address == net.network() || address == net.broadcast())
    };
    if edge(ip) || edge(gateway) {
        return error("this is the network address or the broadcast address");
    }
    None
}

fn dynamic(line: &KsCommand) -> Vec<RuleViolation> {
    let static_only = [
        "--ip",
        "--netmask",
        "--gateway",
        "--hostname",
        "--nameserver",
    ];
    static_only
        .into_iter()
        .filter(|name| line.has(name))
        .map(|name| {
            RuleViolation::error(
                14,
                line.number,
                format!("`{name}` is not allowed with DHCP"),
            )
        })
        .collect()
}

fn is_hostname(name: &str) -> bool {
    name.parse::<Hostname>().is_ok()
}

fn is_device(device: &str) -> bool {
    let number = device.strip_prefix("vmnic");
    let vmnic = number.is_some_and(|number| {
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    // The installer does not accept a MAC address with hyphens.
    vmnic || (device.contains(':') && device.parse::<crate::model::Mac>().is_ok())
}
