//! Whether a firewall of this machine keeps machines out, and the lines that let them in.

use serde_json::Value;

use super::{
    finding::{DoctorFinding, list},
    firewalld::{self, FirewalldZone},
    nft::{FilterResult, NftChain, TestPacket, fate},
    ports::written,
    ufw,
};
use crate::net::ports::Protocol;

/// What was seen of a program.
#[derive(Debug, Clone)]
pub(super) enum ToolOutput<T> {
    /// It is not there.
    Missing,
    /// It could not be asked, with why.
    Unavailable(String),
    /// What it said.
    Output(T),
}

/// What was seen.
#[derive(Debug, Clone)]
pub(super) struct Firewall {
    /// What `nft -j list ruleset` prints.
    pub(super) nft: ToolOutput<Value>,
    /// What `ufw status verbose` prints.
    pub(super) ufw: ToolOutput<String>,
    /// The zones; none when firewalld does not run.
    pub(super) firewalld: ToolOutput<Vec<FirewalldZone>>,
    /// Whether there is `iptables` although there is no `nft`.
    pub(super) iptables_alone: bool,
    /// Whether the kernel holds rules of the older `iptables`, which `nft` does not show.
    pub(super) has_legacy: bool,
    /// The interfaces that machines come in on.
    pub(super) interfaces: Vec<String>,
    /// What must be reached.
    pub(super) openings: Vec<(Protocol, u16)>,
}

/// An interface, and which of the openings are closed there, and which may be.
pub(super) struct BlockedPorts {
    pub(super) interface: Option<String>,
    pub(super) closed: Vec<(Protocol, u16)>,
    pub(super) unclear: Vec<(Protocol, u16)>,
}

/// Says how the firewall is. Of several the one that writes the others' rules speaks.
pub(super) fn findings(seen: &Firewall) -> Vec<DoctorFinding> {
    match (&seen.firewalld, &seen.ufw) {
        (ToolOutput::Output(zones), _) if !zones.is_empty() => firewalld::findings(seen, zones),
        (_, ToolOutput::Output(status)) if ufw::is_active(status) => ufw::findings(seen, status),
        (_, ToolOutput::Unavailable(reason)) => {
            let text = format!("ufw is switched on, and its rules were not read: {reason}");
            let lines = ufw::lines(seen, None, &seen.openings).into_iter();
            let finding = lines.fold(DoctorFinding::unknown(text), DoctorFinding::run);
            vec![finding.help("these let machines in, where no rule does yet")]
        }
        (ToolOutput::Unavailable(reason), _) => vec![DoctorFinding::unknown(format!(
            "firewalld was not asked: {reason}"
        ))],
        _ => of_nft(seen),
    }
}

fn of_nft(seen: &Firewall) -> Vec<DoctorFinding> {
    let mut findings = of_nft_alone(seen);
    if seen.has_legacy {
        findings.push(
            DoctorFinding::unknown(
                "the kernel also holds rules of iptables-legacy, which nft does not show",
            )
            .run("iptables-legacy -S INPUT")
            .help(format!("machines must reach {}", written(&seen.openings))),
        );
    }
    findings
}

fn of_nft_alone(seen: &Firewall) -> Vec<DoctorFinding> {
    let ruleset = match &seen.nft {
        ToolOutput::Missing if seen.iptables_alone => {
            return vec![
                DoctorFinding::unknown(
                    "iptables is there without nft: its rules were not looked at",
                )
                .run("iptables -S INPUT")
                .help(format!("machines must reach {}", written(&seen.openings))),
            ];
        }
        ToolOutput::Missing => {
            return vec![DoctorFinding::ok(
                "neither nft, ufw nor firewalld is there, nor iptables",
            )];
        }
        ToolOutput::Unavailable(reason) => {
            return vec![
                DoctorFinding::unknown(format!("the rules of nft were not read: {reason}"))
                    .run("nft list chains")
                    .help(format!("where a chain with `hook input` has the policy drop, machines must still reach {}", written(&seen.openings))),
            ];
        }
        ToolOutput::Output(ruleset) => ruleset,
    };
    let interfaces = interfaces(seen);
    let mut findings = Vec::new();
    for interface in &interfaces {
        findings.extend(of_nft_on(seen, ruleset, interface.as_deref()));
    }
    if findings.is_empty() {
        let openings = written(&seen.openings);
        findings.push(DoctorFinding::ok(format!(
            "nft lets machines reach {openings}{}",
            on_all(seen)
        )));
    }
    findings
}

/// What nft does on one interface, when it is not all right.
fn of_nft_on(seen: &Firewall, ruleset: &Value, interface: Option<&str>) -> Option<DoctorFinding> {
    let mut closed = BlockedPorts::new(interface);
    let mut chain: Option<NftChain> = None;
    for (protocol, port) in &seen.openings {
        let packet = TestPacket {
            interface,
            protocol: *protocol,
            port: *port,
        };
        match fate(ruleset, packet) {
            FilterResult::Accepted => {}
            FilterResult::Dropped(by) => {
                chain = chain.or(Some(by));
                closed.closed.push((*protocol, *port));
            }
            FilterResult::Unclear(by) => {
                chain = chain.or(Some(by));
                closed.unclear.push((*protocol, *port));
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
        true => format!("the chain {family} {table} {name}, whose policy is drop,"),
        false => format!("the chain {family} {table} {name}"),
    };
    let mut finding = closed.finding(&by);
    for line in rules(&closed.all(), interface) {
        finding = finding.run(format!(
            "nft insert rule {family} {table} {name} {line} accept"
        ));
    }
    Some(finding.help(
        "and the same rule in /etc/nftables.conf, or wherever that chain comes from, to keep it",
    ))
}

/// Conditions of nft for openings: one for each protocol.
fn rules(openings: &[(Protocol, u16)], interface: Option<&str>) -> Vec<String> {
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

impl BlockedPorts {
    pub(super) fn new(interface: Option<&str>) -> BlockedPorts {
        BlockedPorts {
            interface: interface.map(String::from),
            closed: Vec::new(),
            unclear: Vec::new(),
        }
    }

    pub(super) fn all(&self) -> Vec<(Protocol, u16)> {
        self.closed.iter().chain(&self.unclear).copied().collect()
    }

    pub(super) fn finding(&self, by: &str) -> DoctorFinding {
        let on = self
            .interface
            .as_ref()
            .map_or_else(String::new, |name| format!(" on {name}"));
        let closed = written(&self.closed);
        let unclear = written(&self.unclear);
        match (self.closed.is_empty(), self.unclear.is_empty()) {
            (false, true) => DoctorFinding::error(format!("{by} keeps machines from {closed}{on}")),
            (false, false) => DoctorFinding::error(format!(
                "{by} keeps machines from {closed}{on}, and perhaps from {unclear}"
            )),
            (true, _) => DoctorFinding::warning(format!(
                "{by} may keep machines from {unclear}{on}: that hangs on conditions that were not followed"
            )),
        }
    }
}

/// The interfaces to look at; where none is known, any.
pub(super) fn interfaces(seen: &Firewall) -> Vec<Option<String>> {
    match seen.interfaces.is_empty() {
        true => vec![None],
        false => seen.interfaces.iter().cloned().map(Some).collect(),
    }
}

pub(super) fn on_all(seen: &Firewall) -> String {
    match seen.interfaces.is_empty() {
        true => String::new(),
        false => format!(" on {}", list(&seen.interfaces)),
    }
}

#[cfg(test)]
mod tests;
