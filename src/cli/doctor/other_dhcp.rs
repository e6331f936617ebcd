//! Who else gives addresses on the networks of the site.

use std::net::Ipv4Addr;

use super::{finding::DoctorFinding, networks::words};
use crate::model::DhcpMode;

/// How long is waited for an answer, in seconds: three questions of two seconds.
pub(super) const SECONDS: u32 = 6;

/// What came of asking on one interface.
#[derive(Debug, Clone)]
pub(super) struct DhcpProbe {
    /// The network.
    pub(super) network: String,
    /// Its mode.
    pub(super) mode: DhcpMode,
    /// The interface.
    pub(super) interface: String,
    /// What was heard.
    pub(super) heard: DhcpProbeResult,
}

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum DhcpProbeResult {
    /// This server offers an address.
    Server(Ipv4Addr),
    /// Nothing.
    Nobody,
    /// It could not be asked, with why.
    Unasked(String),
}

/// Says who else gives addresses.
pub(super) fn findings(asked: &[DhcpProbe]) -> Vec<DoctorFinding> {
    if asked.is_empty() {
        return vec![DoctorFinding::unknown(
            "nobody was asked: no interface of this machine has an address in a network of the site",
        )];
    }
    asked.iter().map(one).collect()
}

fn one(asked: &DhcpProbe) -> DoctorFinding {
    let DhcpProbe {
        network,
        mode,
        interface,
        heard,
    } = asked;
    let begin = format!("network {network} on {interface}:");
    let nobody = format!("{begin} no other DHCP server answered in {SECONDS} seconds");
    let mode_words = words(*mode);
    match (heard, mode) {
        (DhcpProbeResult::Unasked(reason), _) => DoctorFinding::unknown(format!("{begin} other DHCP servers were not asked: {reason}")),
        (DhcpProbeResult::Server(server), DhcpMode::Server) => DoctorFinding::error(format!(
            "{begin} another DHCP server answers, {server}, and dhcp is {mode_words}: nobody gets an address from here meanwhile"
        ))
        .help("switch that one off, or set `dhcp = \"reserve\"` to answer declared machines beside it"),
        (DhcpProbeResult::Nobody, DhcpMode::Server) => DoctorFinding::ok(nobody),
        (DhcpProbeResult::Server(server), DhcpMode::Proxy | DhcpMode::Reserve) => DoctorFinding::ok(format!(
            "{begin} {server} gives addresses, which dhcp {mode_words} counts on"
        )),
        (DhcpProbeResult::Nobody, DhcpMode::Proxy) => DoctorFinding::warning(format!(
            "{nobody}, and dhcp {mode_words} gives no addresses: machines get none"
        ))
        .help("look for that server, or set `dhcp = \"server\"` with a `range`"),
        (DhcpProbeResult::Nobody, DhcpMode::Reserve) => DoctorFinding::warning(format!(
            "{nobody}: dhcp {mode_words} gives addresses to declared machines, and nobody gives any to the others"
        ))
        .help("look for that server, or set `dhcp = \"server\"` with a `range`"),
        (DhcpProbeResult::Server(server), DhcpMode::Off) => DoctorFinding::ok(format!(
            "{begin} {server} gives addresses; dhcp is off, so that server has to name the boot file"
        )),
        (DhcpProbeResult::Nobody, DhcpMode::Off) => DoctorFinding::warning(format!(
            "{nobody}, and dhcp is off: a machine that boots from the network there gets no answer"
        ))
        .help("set `dhcp = \"server\"` with a `range` in that network"),
    }
}
