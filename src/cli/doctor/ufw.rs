//! Whether ufw allows the required ports, from the output of `ufw status verbose`.

use super::{
    finding::DoctorFinding,
    firewall_state::{BlockedPorts, Firewall},
    ports::port_list,
};
use crate::net::ports::Protocol;

pub(super) fn is_active(status: &str) -> bool {
    status.lines().any(|line| line.trim() == "Status: active")
}

pub(super) fn findings(firewall: &Firewall, status: &str) -> Vec<DoctorFinding> {
    if status.contains("allow (incoming)") {
        return vec![DoctorFinding::ok(
            "ufw is active and allows all incoming traffic",
        )];
    }
    let mut findings = Vec::new();
    for interface in firewall.checked_interfaces() {
        let mut blocked = BlockedPorts::new(interface.as_deref());
        for opening in &firewall.openings {
            match allows(status, interface.as_deref(), *opening) {
                Some(true) => {}
                Some(false) => blocked.blocked.push(*opening),
                None => blocked.unclear.push(*opening),
            }
        }
        if blocked.all().is_empty() {
            continue;
        }
        let mut finding = blocked.finding("ufw");
        for line in lines(firewall, blocked.interface.as_deref(), &blocked.all()) {
            finding = finding.run(line);
        }
        findings.push(finding);
    }
    if findings.is_empty() {
        let openings = port_list(&firewall.openings);
        findings.push(DoctorFinding::ok(format!(
            "ufw allows machines to reach {openings}{}",
            firewall.on_interfaces()
        )));
    }
    findings
}

/// Whether a rule allows a port: `67/udp on eth0   ALLOW IN   Anywhere`. `None` if only some sources are allowed.
fn allows(
    status: &str,
    interface: Option<&str>,
    (protocol, port): (Protocol, u16),
) -> Option<bool> {
    let mut some = false;
    for line in status.lines().filter(|line| !line.contains("(v6)")) {
        let Some((to, from)) = line.split_once("ALLOW") else {
            continue;
        };
        let mut words = to.split_whitespace();
        let target = words.next().unwrap_or_default();
        let on = match (words.next(), words.next()) {
            (Some("on"), name) => name,
            _ => None,
        };
        let (ports, of) = target.split_once('/').unwrap_or((target, ""));
        let has_port = ports == "Anywhere"
            || ports.split(',').any(|one| match one.split_once(':') {
                Some((from, to)) => {
                    let (from, to) = (from.parse::<u16>(), to.parse::<u16>());
                    from.is_ok_and(|from| from <= port) && to.is_ok_and(|to| port <= to)
                }
                None => one.parse() == Ok(port),
            });
        let has_protocol = of.is_empty() || of == protocol.to_string();
        if !has_port
            || !has_protocol
            || on.is_some_and(|on| interface.is_some_and(|name| name != on))
        {
            continue;
        }
        let from = from.trim().trim_start_matches("IN").trim();
        if from == "Anywhere" || from.starts_with("Anywhere ") {
            return Some(true);
        }
        some = true;
    }
    (!some).then_some(false)
}

/// The commands that allow these ports.
pub(super) fn lines(
    firewall: &Firewall,
    interface: Option<&str>,
    openings: &[(Protocol, u16)],
) -> Vec<String> {
    let interface = interface.or(match &firewall.interfaces[..] {
        [one] => Some(one),
        _ => None,
    });
    let on = interface.map_or_else(String::new, |name| format!("in on {name} "));
    openings
        .iter()
        .map(|(protocol, port)| format!("ufw allow {on}to any port {port} proto {protocol}"))
        .collect()
}
