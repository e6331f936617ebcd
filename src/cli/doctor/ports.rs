//! Findings about the ports that a server needs: free, in use, or not permitted.

use std::{io, net::SocketAddr};

use super::{
    account::ServerProcess,
    finding::{DoctorFinding, list},
};
use crate::net::ports::{BoundSocket, PortOwner, Protocol};

/// The use of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PortUse {
    Dhcp,
    /// The PXE boot server.
    Pxe,
    Tftp,
    /// HTTP for machines.
    Machines,
    /// HTTP for operators.
    Operators,
}

/// A port and its current use.
#[derive(Debug, Clone)]
pub(super) struct PortReport {
    pub(super) needed_for: PortUse,
    pub(super) protocol: Protocol,
    /// The address at which a server would listen.
    pub(super) address: SocketAddr,
    /// The sockets on this port, or why they cannot be listed.
    pub(super) held: Result<Vec<BoundSocket>, String>,
    /// The result of binding it; `None` if this site's server uses it.
    pub(super) bind_result: Option<Result<(), io::ErrorKind>>,
}

/// Which DHCP features need ports.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct DhcpNeeds {
    /// A network assigns addresses: `reserve` or `server`.
    pub(super) addresses: bool,
    /// A network is `proxy`.
    pub(super) proxy: bool,
    /// `port-67` is not false.
    pub(super) port_67: bool,
}

impl DhcpNeeds {
    fn dhcp(self) -> bool {
        self.addresses || self.proxy
    }
}

impl PortUse {
    fn label(self) -> &'static str {
        match self {
            PortUse::Dhcp => "DHCP",
            PortUse::Pxe => "PXE boot server",
            PortUse::Tftp => "TFTP",
            PortUse::Machines => "HTTP for machines",
            PortUse::Operators => "HTTP for operators",
        }
    }
}

/// Returns the findings. Ports for machines are in the order in which a server tries them.
pub(super) fn findings(
    ports: &[PortReport],
    need: DhcpNeeds,
    server: &ServerProcess,
) -> Vec<DoctorFinding> {
    let mut findings = Vec::new();
    let mut machines = ports
        .iter()
        .filter(|port| port.needed_for == PortUse::Machines);
    let (first, second) = (machines.next(), machines.next());
    let is_second = |port: &PortReport| second.is_some_and(|second| second.address == port.address);
    for port in ports {
        match port.needed_for {
            PortUse::Dhcp if need.dhcp() && !need.port_67 => findings.push(DoctorFinding::ok(
                "67/udp (DHCP): not used (`port-67 = false` in `[dhcp]`)",
            )),
            PortUse::Dhcp | PortUse::Pxe if !need.dhcp() => {}
            // The second port is only used if the first is not available.
            PortUse::Machines
                if is_second(port) && first.is_some_and(|first| first.is_available(server)) => {}
            _ => findings.push(port_finding(port, need, server)),
        }
    }
    if !need.dhcp() {
        findings.push(DoctorFinding::ok(
            "67/udp and 4011/udp (DHCP): not needed: no network has `dhcp` on",
        ));
    }
    findings
}

impl PortReport {
    fn name(&self) -> String {
        let (port, protocol) = (self.address.port(), self.protocol);
        format!("{port}/{protocol} ({})", self.needed_for.label())
    }

    /// A program other than this site's server that uses the port.
    fn other(&self, server: &ServerProcess) -> Option<&PortOwner> {
        let held = self.held.as_ref().ok()?;
        let mut programs_on = held.iter().filter_map(|held| held.owner.as_ref());
        programs_on.find(|holder| Some(holder.pid) != server.pid)
    }

    fn is_own(&self, server: &ServerProcess) -> bool {
        let held = self.held.as_deref().unwrap_or_default();
        let mut pids = held
            .iter()
            .filter_map(|held| held.owner.as_ref())
            .map(|holder| holder.pid);
        pids.any(|pid| Some(pid) == server.pid)
    }

    fn is_available(&self, server: &ServerProcess) -> bool {
        self.is_own(server) || matches!(self.bind_result, Some(Ok(())))
    }
}

fn port_finding(port: &PortReport, need: DhcpNeeds, server: &ServerProcess) -> DoctorFinding {
    let name = port.name();
    let held = match &port.held {
        Ok(held) => held,
        Err(error) => {
            return DoctorFinding::unknown(format!(
                "{name}: cannot determine which program uses it: {error}"
            ));
        }
    };
    if port.is_own(server) {
        return match port.other(server) {
            None => DoctorFinding::ok(format!("{name}: in use by this site's server")),
            Some(other) => shared_finding(
                port,
                need,
                &format!("in use by this site's server and {other}"),
                other,
            ),
        };
    }
    match (port.other(server), held.is_empty()) {
        (Some(other), _) => in_use_finding(port, need, other),
        (None, false) if server.answers && server.pid.is_none() => DoctorFinding::unknown(format!(
            "{name}: in use by this site's server or another program; run doctor as root to determine which"
        )),
        (None, false) => {
            unavailable_finding(port, need, format!("{name}: in use by another program"))
                .run(format!("ss -lnp 'sport = :{}'", port.address.port()))
                .help("as root, this command shows the program")
        }
        (None, true) => free_finding(port, need, server),
    }
}

/// A finding for a port that another program shares.
fn shared_finding(
    port: &PortReport,
    need: DhcpNeeds,
    users: &str,
    other: &PortOwner,
) -> DoctorFinding {
    let finding = DoctorFinding::warning(format!(
        "{}: {users}: both may receive broadcasts",
        port.name()
    ));
    let finding = match other.name.as_str() {
        "dnsmasq" => finding.help(
            "libvirt's dnsmasq receives only from its own bridge and can stay; stop any other dnsmasq",
        ),
        _ => finding,
    };
    with_proxy_help(with_stop_help(finding, other), need)
}

/// Adds the advice for a proxy, which can run without port 67.
fn with_proxy_help(finding: DoctorFinding, need: DhcpNeeds) -> DoctorFinding {
    match need.proxy {
        true => finding.help("or leave the port to it: with `port-67 = false` in `[dhcp]` this server answers only on port 4011 (for `dhcp = \"proxy\"`)"),
        false => finding,
    }
}

fn in_use_finding(port: &PortReport, need: DhcpNeeds, other: &PortOwner) -> DoctorFinding {
    let name = port.name();
    if port.needed_for == PortUse::Dhcp && matches!(port.bind_result, Some(Ok(()))) {
        return shared_finding(
            port,
            need,
            &format!("in use by {other}, which shares it"),
            other,
        );
    }
    let finding = unavailable_finding(port, need, format!("{name}: in use by {other}"));
    let finding = with_stop_help(finding, other);
    match port.needed_for {
        PortUse::Dhcp => with_proxy_help(finding, need),
        PortUse::Machines => finding.help(
            "or set another `listen` in `[http]`; ESXi can report back only on ports 80 and 443",
        ),
        PortUse::Operators => finding.help("or set another `listen` in `[operator]`"),
        PortUse::Pxe | PortUse::Tftp => finding,
    }
}

/// Adds how to stop a program. One that systemd started must be stopped with systemctl.
fn with_stop_help(finding: DoctorFinding, holder: &PortOwner) -> DoctorFinding {
    match &holder.unit {
        _ if holder.name == "docker-proxy" => {
            finding.help("stop the container that publishes the port: `docker ps` lists them")
        }
        _ if holder.name == "bootwright" => finding.help(format!(
            "process {} serves another site, or this one with another state directory: stop one of the two",
            holder.pid
        )),
        Some(unit) if unit.starts_with("libvirt") => {
            finding.help("stop libvirt's network: `virsh net-list`, then `virsh net-destroy NAME`")
        }
        Some(unit) => finding.run(format!("systemctl disable --now {unit}")),
        None => finding.help(format!("stop that program (process {})", holder.pid)),
    }
}

/// A finding for a port that is not available: an error if it is essential.
fn unavailable_finding(port: &PortReport, need: DhcpNeeds, text: String) -> DoctorFinding {
    let (rest, is_error) = match port.needed_for {
        PortUse::Dhcp if need.addresses => (
            "so networks with `reserve` or `server` get no DHCP answer",
            true,
        ),
        PortUse::Dhcp => ("so `proxy` networks use only port 4011", false),
        PortUse::Pxe => (
            "so firmware that queries the boot server gets no answer",
            need.proxy,
        ),
        PortUse::Tftp if need.dhcp() => ("so firmware can load the loader only over HTTP", true),
        PortUse::Tftp => ("so nothing can be loaded over TFTP", false),
        PortUse::Machines if port.address.port() == 80 => {
            ("so a server without `listen` in `[http]` uses 8080", false)
        }
        PortUse::Machines => ("so machines cannot fetch anything", true),
        PortUse::Operators => ("so the server does not start", true),
    };
    let text = format!("{text}, {rest}");
    match is_error {
        true => DoctorFinding::error(text),
        false => DoctorFinding::warning(text),
    }
}

fn free_finding(port: &PortReport, need: DhcpNeeds, server: &ServerProcess) -> DoctorFinding {
    let name = port.name();
    match port.bind_result {
        Some(Err(io::ErrorKind::PermissionDenied)) => DoctorFinding::warning(format!(
            "{name}: free, but {} may not bind ports below 1024",
            server.user
        ))
        .help("start the server as root, or with CAP_NET_BIND_SERVICE and CAP_NET_RAW (see examples/systemd)"),
        Some(Err(io::ErrorKind::AddrNotAvailable)) => {
            let ip = port.address.ip();
            DoctorFinding::error(format!("{name}: this machine has no address {ip}"))
                .help("correct `listen` in bootwright.toml; `[::]` listens on all addresses")
        }
        Some(Err(error)) => unavailable_finding(port, need, format!("{name}: cannot bind it ({error})")),
        _ if server.is_running() => DoctorFinding::warning(format!(
            "{name}: free, although this site's server is running"
        ))
        .help("its log shows why it does not use the port; a change of bootwright.toml needs a restart"),
        _ => DoctorFinding::ok(format!("{name}: free")),
    }
}

/// The programs that use a port.
pub(super) fn programs_on(ports: &[PortReport], needed_for: PortUse) -> Vec<&PortOwner> {
    let held = ports
        .iter()
        .filter(|port| port.needed_for == needed_for)
        .filter_map(|port| port.held.as_ref().ok());
    held.flatten()
        .filter_map(|held| held.owner.as_ref())
        .collect()
}

/// The ports that machines must reach.
pub(super) fn openings(
    ports: &[PortReport],
    need: DhcpNeeds,
    server: &ServerProcess,
) -> Vec<(Protocol, u16)> {
    let machines = machines(ports, server).map(|port| port.address);
    let is_there = |port: &&PortReport| match port.needed_for {
        PortUse::Dhcp => need.dhcp() && need.port_67,
        PortUse::Pxe => need.dhcp(),
        PortUse::Tftp => true,
        PortUse::Operators => false,
        PortUse::Machines => Some(port.address) == machines,
    };
    let needed = ports.iter().filter(is_there);
    needed
        .map(|port| (port.protocol, port.address.port()))
        .collect()
}

/// The port for machines: the first available one, else the last one.
fn machines<'a>(ports: &'a [PortReport], server: &ServerProcess) -> Option<&'a PortReport> {
    let mut all = ports
        .iter()
        .filter(|port| port.needed_for == PortUse::Machines)
        .peekable();
    while let Some(port) = all.next() {
        if port.is_available(server) || all.peek().is_none() {
            return Some(port);
        }
    }
    None
}

/// Formats ports: `67/udp, 69/udp and 80/tcp`.
pub(super) fn port_list(openings: &[(Protocol, u16)]) -> String {
    let label: Vec<String> = openings
        .iter()
        .map(|(protocol, port)| format!("{port}/{protocol}"))
        .collect();
    list(&label)
}
