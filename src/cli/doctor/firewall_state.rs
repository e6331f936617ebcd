//! The state of this host's firewalls, as their command-line tools report it.

use serde_json::Value;

use super::{
    finding::{DoctorFinding, list},
    ports::port_list,
};
use crate::net::ports::Protocol;

/// The output of a firewall's command-line tool.
#[derive(Debug, Clone)]
pub(super) enum ToolOutput<T> {
    /// It is not installed.
    Missing,
    /// It failed, and why.
    Unavailable(String),
    Output(T),
}

/// The firewall state of this host.
#[derive(Debug, Clone)]
pub(super) struct Firewall {
    /// The output of `nft -j list ruleset`.
    pub(super) nft: ToolOutput<Value>,
    /// The output of `ufw status verbose`.
    pub(super) ufw: ToolOutput<String>,
    /// The zones; empty if firewalld is not running.
    pub(super) firewalld: ToolOutput<Vec<FirewalldZone>>,
    /// Whether `iptables` is installed and `nft` is not.
    pub(super) only_iptables: bool,
    /// Whether the kernel has rules of iptables-legacy, which `nft` does not show.
    pub(super) has_legacy_iptables: bool,
    /// The interfaces on which machines are served.
    pub(super) interfaces: Vec<String>,
    /// The ports that machines must reach.
    pub(super) openings: Vec<(Protocol, u16)>,
}

/// The required ports that are blocked on an interface, and those that may be.
pub(super) struct BlockedPorts {
    pub(super) interface: Option<String>,
    pub(super) blocked: Vec<(Protocol, u16)>,
    pub(super) unclear: Vec<(Protocol, u16)>,
}

/// A zone and an interface that is assigned to it.
#[derive(Debug, Clone)]
pub(super) struct FirewalldZone {
    pub(super) interface: String,
    pub(super) name: String,
    /// The output of `firewall-cmd --zone=… --list-all`.
    pub(super) listed: String,
}

impl Firewall {
    /// The interfaces to check; a single `None` if none is known.
    pub(super) fn checked_interfaces(&self) -> Vec<Option<String>> {
        match self.interfaces.is_empty() {
            true => vec![None],
            false => self.interfaces.iter().cloned().map(Some).collect(),
        }
    }

    /// The interfaces as part of a sentence: ` on eth0 and eth1`.
    pub(super) fn on_interfaces(&self) -> String {
        match self.interfaces.is_empty() {
            true => String::new(),
            false => format!(" on {}", list(&self.interfaces)),
        }
    }
}

impl BlockedPorts {
    pub(super) fn new(interface: Option<&str>) -> BlockedPorts {
        BlockedPorts {
            interface: interface.map(String::from),
            blocked: Vec::new(),
            unclear: Vec::new(),
        }
    }

    pub(super) fn all(&self) -> Vec<(Protocol, u16)> {
        self.blocked.iter().chain(&self.unclear).copied().collect()
    }

    pub(super) fn finding(&self, by: &str) -> DoctorFinding {
        let on = self
            .interface
            .as_ref()
            .map_or_else(String::new, |name| format!(" on {name}"));
        let blocked = port_list(&self.blocked);
        let unclear = port_list(&self.unclear);
        match (self.blocked.is_empty(), self.unclear.is_empty()) {
            (false, true) => DoctorFinding::error(format!("{by} blocks {blocked}{on}")),
            (false, false) => {
                DoctorFinding::error(format!("{by} blocks {blocked}{on}, and possibly {unclear}"))
            }
            (true, _) => DoctorFinding::warning(format!(
                "{by} may block {unclear}{on}: it depends on conditions that doctor does not evaluate"
            )),
        }
    }
}
