//! Who else gives addresses on the networks of the site.

use std::net::Ipv4Addr;

use super::{finding::Finding, networks::words};
use crate::model::DhcpMode;

/// How long is waited for an answer, in seconds: three questions of two seconds.
pub(super) const SECONDS: u32 = 6;

/// What came of asking on one interface.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    /// The network.
    pub(super) network: String,
    /// Its mode.
    pub(super) mode: DhcpMode,
    /// The interface.
    pub(super) interface: String,
    /// What was heard.
    pub(super) heard: Heard,
}

/// What was heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    /// This server offers an address.
    Server(Ipv4Addr),
    /// Nothing.
    Nobody,
    /// It could not be asked, with why.
    Unasked(String),
}

/// Says who else gives addresses.
pub(super) fn findings(asked: &[Asked]) -> Vec<Finding> {
    if asked.is_empty() {
        return vec![Finding::unknown(
            "nobody was asked: no interface of this machine has an address in a network of the site",
        )];
    }
    asked.iter().map(one).collect()
}

fn one(asked: &Asked) -> Finding {
    let Asked {
        network,
        mode,
        interface,
        heard,
    } = asked;
    let begin = format!("network {network} on {interface}:");
    let nobody = format!("{begin} no other DHCP server answered in {SECONDS} seconds");
    let mode_words = words(*mode);
    match (heard, mode) {
        (Heard::Unasked(reason), _) => Finding::unknown(format!("{begin} other DHCP servers were not asked: {reason}")),
        (Heard::Server(server), DhcpMode::Server) => Finding::error(format!(
            "{begin} another DHCP server answers, {server}, and dhcp is {mode_words}: nobody gets an address from here meanwhile"
        ))
        .help("switch that one off, or set `dhcp = \"reserve\"` to answer declared machines beside it"),
        (Heard::Nobody, DhcpMode::Server) => Finding::ok(nobody),
        (Heard::Server(server), DhcpMode::Proxy | DhcpMode::Reserve) => Finding::ok(format!(
            "{begin} {server} gives addresses, which dhcp {mode_words} counts on"
        )),
        (Heard::Nobody, DhcpMode::Proxy) => Finding::warning(format!(
            "{nobody}, and dhcp {mode_words} gives no addresses: machines get none"
        ))
        .help("look for that server, or set `dhcp = \"server\"` with a `range`"),
        (Heard::Nobody, DhcpMode::Reserve) => Finding::warning(format!(
            "{nobody}: dhcp {mode_words} gives addresses to declared machines, and nobody gives any to the others"
        ))
        .help("look for that server, or set `dhcp = \"server\"` with a `range`"),
        (Heard::Server(server), DhcpMode::Off) => Finding::ok(format!(
            "{begin} {server} gives addresses; dhcp is off, so that server has to name the boot file"
        )),
        (Heard::Nobody, DhcpMode::Off) => Finding::warning(format!(
            "{nobody}, and dhcp is off: a machine that boots from the network there gets no answer"
        ))
        .help("set `dhcp = \"server\"` with a `range` in that network"),
    }
}
