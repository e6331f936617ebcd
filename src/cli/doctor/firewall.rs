//! Whether a firewall of this host blocks machines, and the commands that allow them.

use serde_json::Value;

use super::{
    finding::DoctorFinding,
    firewall_state::{BlockedPorts, Firewall, ToolOutput},
    firewalld,
    nft::{FilterResult, NftChain, TestPacket, filter_result},
    ports::port_list,
    ufw,
};
use crate::net::ports::Protocol;

/// Returns the findings of firewalld or ufw if one is active, since they write the nftables rules; else those of nftables.
pub(super) fn findings(firewall: &Firewall) -> Vec<DoctorFinding> {
    match (&firewall.firewalld, &firewall.ufw) {
        (ToolOutput::Output(zones), _) if !zones.is_empty() => firewalld::findings(firewall, zones),
        (_, ToolOutput::Output(status)) if ufw::is_active(status) => {
            ufw::findings(firewall, status)
        }
        (_, ToolOutput::Unavailable(reason)) => {
            let text = format!("ufw is active, but its rules cannot be read: {reason}");
            let lines = ufw::lines(firewall, None, &firewall.openings).into_iter();
            let finding = lines.fold(DoctorFinding::unknown(text), DoctorFinding::run);
            vec![finding.help("these commands allow machines in, if no rule does yet")]
        }
        (ToolOutput::Unavailable(reason), _) => vec![DoctorFinding::unknown(format!(
            "cannot query firewalld: {reason}"
        ))],
        _ => nft_findings(firewall),
    }
}

fn nft_findings(firewall: &Firewall) -> Vec<DoctorFinding> {
    let mut findings = ruleset_findings(firewall);
    if firewall.has_legacy_iptables {
        findings.push(
            DoctorFinding::unknown(
                "the kernel also has rules of iptables-legacy, which nft does not show",
            )
            .run("iptables-legacy -S INPUT")
            .help(format!(
                "machines must reach {}",
                port_list(&firewall.openings)
            )),
        );
    }
    findings
}

fn ruleset_findings(firewall: &Firewall) -> Vec<DoctorFinding> {
    let ruleset = match &firewall.nft {
        ToolOutput::Missing if firewall.only_iptables => {
            return vec![
                DoctorFinding::unknown(
                    "iptables is installed without nft: its rules were not checked",
                )
                .run("iptables -S INPUT")
                .help(format!(
                    "machines must reach {}",
                    port_list(&firewall.openings)
                )),
            ];
        }
        ToolOutput::Missing => {
            return vec![DoctorFinding::ok(
                "none of nft, ufw, firewalld and iptables is installed",
            )];
        }
        ToolOutput::Unavailable(reason) => {
            return vec![
                DoctorFinding::unknown(format!("cannot read the nftables rules: {reason}"))
                    .run("nft list chains")
                    .help(format!("if a chain with `hook input` has the policy drop, machines must still reach {}", port_list(&firewall.openings))),
            ];
        }
        ToolOutput::Output(ruleset) => ruleset,
    };
    let interfaces = firewall.checked_interfaces();
    let mut findings = Vec::new();
    for interface in &interfaces {
        findings.extend(blocked_finding(firewall, ruleset, interface.as_deref()));
    }
    if findings.is_empty() {
        let openings = port_list(&firewall.openings);
        findings.push(DoctorFinding::ok(format!(
            "nftables allows machines to reach {openings}{}",
            firewall.on_interfaces()
        )));
    }
    findings
}

/// A finding for the ports that nftables blocks on one interface.
fn blocked_finding(
    firewall: &Firewall,
    ruleset: &Value,
    interface: Option<&str>,
) -> Option<DoctorFinding> {
    let mut blocked = BlockedPorts::new(interface);
    let mut chain: Option<NftChain> = None;
    for (protocol, port) in &firewall.openings {
        let packet = TestPacket {
            interface,
            protocol: *protocol,
            port: *port,
        };
        match filter_result(ruleset, packet) {
            FilterResult::Accepted => {}
            FilterResult::Dropped(by) => {
                chain = chain.or(Some(by));
                blocked.blocked.push((*protocol, *port));
            }
            FilterResult::Unknown(by) => {
                chain = chain.or(Some(by));
                blocked.unclear.push((*protocol, *port));
            }
        }
    }
    let chain = chain?;
    let NftChain {
        family,
        table,
        name,
        drops_by_policy,
    } = &chain;
    let by = match drops_by_policy {
        true => format!("the chain {family} {table} {name}, with policy drop,"),
        false => format!("the chain {family} {table} {name}"),
    };
    let mut finding = blocked.finding(&by);
    for line in rule_conditions(&blocked.all(), interface) {
        finding = finding.run(format!(
            "nft insert rule {family} {table} {name} {line} accept"
        ));
    }
    Some(finding.help(
        "to keep the rule, add it to /etc/nftables.conf, or to the file that defines the chain",
    ))
}

/// The conditions of nft rules for these ports: one rule for each protocol.
fn rule_conditions(openings: &[(Protocol, u16)], interface: Option<&str>) -> Vec<String> {
    let on = interface.map_or_else(String::new, |name| format!("iifname \"{name}\" "));
    let of = |protocol: Protocol| {
        let ports: Vec<String> = openings
            .iter()
            .filter(|(one, _)| *one == protocol)
            .map(|(_, port)| port.to_string())
            .collect();
        match &ports[..] {
            [] => None,
            [port] => Some(format!("{on}{protocol} dport {port}")),
            ports => Some(format!("{on}{protocol} dport {{ {} }}", ports.join(", "))),
        }
    };
    [Protocol::Udp, Protocol::Tcp]
        .into_iter()
        .filter_map(of)
        .collect()
}

#[cfg(test)]
mod tests;
