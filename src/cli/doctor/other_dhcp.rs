//! Findings about other DHCP servers on the site's networks.

use std::net::Ipv4Addr;

use super::{finding::DoctorFinding, networks::mode_text};
use crate::model::DhcpMode;

/// The time of a probe in seconds: three DHCPDISCOVERs, two seconds each.
pub(super) const PROBE_SECONDS: u32 = 6;

/// The probe of one interface.
#[derive(Debug, Clone)]
pub(super) struct DhcpProbe {
    pub(super) network: String,
    pub(super) mode: DhcpMode,
    pub(super) interface: String,
    pub(super) result: DhcpProbeResult,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DhcpProbeResult {
    /// This server offered an address.
    Server(Ipv4Addr),
    NoServer,
    /// No probe was possible, and why.
    NotProbed(String),
}

pub(super) fn findings(probe: &[DhcpProbe]) -> Vec<DoctorFinding> {
    if probe.is_empty() {
        return vec![DoctorFinding::unknown(
            "not checked: no interface of this machine has an address in a network of the site",
        )];
    }
    probe.iter().map(one).collect()
}

fn one(probe: &DhcpProbe) -> DoctorFinding {
    let DhcpProbe {
        network,
        mode,
        interface,
        result,
    } = probe;
    let begin = format!("network {network} on {interface}:");
    let no_server = format!("{begin} no other DHCP server answered in {PROBE_SECONDS} seconds");
    let mode_words = mode_text(*mode);
    match (result, mode) {
        (DhcpProbeResult::NotProbed(reason), _) => DoctorFinding::unknown(format!("{begin} not checked for other DHCP servers: {reason}")),
        (DhcpProbeResult::Server(server), DhcpMode::Server) => DoctorFinding::error(format!(
            "{begin} another DHCP server, {server}, answers although dhcp is {mode_words}: meanwhile this server assigns no addresses"
        ))
        .help("turn that server off, or set `dhcp = \"reserve\"` to answer only declared machines beside it"),
        (DhcpProbeResult::NoServer, DhcpMode::Server) => DoctorFinding::ok(no_server),
        (DhcpProbeResult::Server(server), DhcpMode::Proxy | DhcpMode::Reserve) => DoctorFinding::ok(format!(
            "{begin} {server} assigns addresses, as dhcp {mode_words} requires"
        )),
        (DhcpProbeResult::NoServer, DhcpMode::Proxy) => DoctorFinding::warning(format!(
            "{no_server}, and dhcp {mode_words} assigns no addresses: machines get none"
        ))
        .help("start the network's DHCP server, or set `dhcp = \"server\"` with a `range`"),
        (DhcpProbeResult::NoServer, DhcpMode::Reserve) => DoctorFinding::warning(format!(
            "{no_server}: dhcp {mode_words} assigns addresses only to declared machines; other machines get none"
        ))
        .help("start the network's DHCP server, or set `dhcp = \"server\"` with a `range`"),
        (DhcpProbeResult::Server(server), DhcpMode::Off) => DoctorFinding::ok(format!(
            "{begin} {server} assigns addresses; dhcp is off, so that server must provide the boot file"
        )),
        (DhcpProbeResult::NoServer, DhcpMode::Off) => DoctorFinding::warning(format!(
            "{no_server}, and dhcp is off: machines that boot from the network get no answer"
        ))
        .help("set `dhcp = \"server\"` with a `range` in that network"),
    }
}
