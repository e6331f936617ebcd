//! Whether firewalld allows the required ports in the zones of the interfaces.

use super::{
    finding::DoctorFinding,
    firewall_state::{Firewall, FirewalldZone},
    ports::port_list,
};
use crate::net::ports::Protocol;

pub(super) fn findings(firewall: &Firewall, zones: &[FirewalldZone]) -> Vec<DoctorFinding> {
    let mut findings = Vec::new();
    for zone in zones {
        let blocked: Vec<_> = firewall
            .openings
            .iter()
            .copied()
            .filter(|opening| !zone.allows(*opening))
            .collect();
        let (name, interface) = (&zone.name, &zone.interface);
        if blocked.is_empty() {
            let openings = port_list(&firewall.openings);
            findings.push(DoctorFinding::ok(format!(
                "firewalld allows machines to reach {openings} on {interface} (zone {name})"
            )));
            continue;
        }
        let ports: Vec<String> = blocked
            .iter()
            .map(|(protocol, port)| format!("--add-port={port}/{protocol}"))
            .collect();
        findings.push(
            DoctorFinding::error(format!(
                "firewalld blocks {} on {interface} (zone {name})",
                port_list(&blocked)
            ))
            .run(format!(
                "firewall-cmd --permanent --zone={name} {}",
                ports.join(" ")
            ))
            .run("firewall-cmd --reload"),
        );
    }
    findings
}

impl FirewalldZone {
    fn field(&self, name: &str) -> Option<&str> {
        let mut lines = self.listed.lines();
        lines.find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'))
    }

    fn allows(&self, (protocol, port): (Protocol, u16)) -> bool {
        // The names of firewalld's services for these ports.
        let service = match (protocol, port) {
            (Protocol::Udp, 67) => "dhcp",
            (Protocol::Udp, 4011) => "proxy-dhcp",
            (Protocol::Udp, 69) => "tftp",
            (Protocol::Tcp, 80) => "http",
            _ => "",
        };
        let words = |name| self.field(name).unwrap_or_default().split_whitespace();
        let has_port = |word: &str| {
            let Some((ports, of)) = word.split_once('/') else {
                return false;
            };
            let (from, to) = ports.split_once('-').unwrap_or((ports, ports));
            let (from, to) = (from.parse::<u16>(), to.parse::<u16>());
            of == protocol.to_string()
                && from.is_ok_and(|from| from <= port)
                && to.is_ok_and(|to| port <= to)
        };
        self.field("target")
            .is_some_and(|target| target.trim() == "ACCEPT")
            || words("services").any(|word| word == service)
            || words("ports").any(has_port)
    }
}
