//! Findings about the interfaces of this machine and the networks of the site.

use ipnet::IpNet;

use super::finding::{DoctorFinding, list};
use crate::{
    model::DhcpMode,
    net::{interfaces::Interface, ports::PortOwner},
};

/// A network of the site.
#[derive(Debug, Clone)]
pub(super) struct NetworkReport {
    pub(super) name: String,
    pub(super) subnets: Vec<IpNet>,
    /// Its DHCP mode.
    pub(super) mode: DhcpMode,
}

/// The interfaces of this machine and the networks of the site.
#[derive(Debug, Clone)]
pub(super) struct NetworksReport {
    /// The interfaces, or why they cannot be listed.
    pub(super) interfaces: Result<Vec<Interface>, String>,
    pub(super) networks: Vec<NetworkReport>,
    /// `[dhcp]` `interfaces`.
    pub(super) chosen: Option<Vec<String>>,
    /// `[dhcp]` `enabled` is not false.
    pub(super) is_enabled: bool,
}

impl NetworksReport {
    /// The interfaces with an address in a network, with that network and address.
    pub(super) fn served(&self) -> Vec<(&Interface, &NetworkReport, std::net::Ipv4Addr)> {
        let interfaces = self.interfaces.as_deref().unwrap_or_default();
        let mut served = Vec::new();
        for interface in interfaces.iter().filter(|one| !one.is_loopback) {
            for address in interface.addresses.iter().map(|net| net.addr()) {
                served.extend(
                    self.network_at(address)
                        .map(|network| (interface, network, address)),
                );
            }
        }
        served
    }

    fn network_at(&self, ip: std::net::Ipv4Addr) -> Option<&NetworkReport> {
        let holds = |network: &&NetworkReport| {
            network
                .subnets
                .iter()
                .any(|net| net.contains(&IpNet::from(std::net::IpAddr::from(ip))))
        };
        self.networks.iter().find(holds)
    }

    fn is_chosen(&self, interface: &Interface) -> bool {
        let chosen = self.chosen.as_ref();
        chosen.is_none_or(|list| list.iter().any(|text| interface.matches(text)))
    }

    /// Whether a network has `dhcp` on.
    pub(super) fn wants_dhcp(&self) -> bool {
        let mut modes = self.networks.iter().map(|network| network.mode);
        self.is_enabled && modes.any(|mode| mode != DhcpMode::Off)
    }
}

/// Returns the findings. `dhcp`: the programs that use port 67.
pub(super) fn findings(report: &NetworksReport, dhcp: &[&PortOwner]) -> Vec<DoctorFinding> {
    let interfaces = match &report.interfaces {
        Ok(interfaces) => interfaces,
        Err(error) => {
            return vec![DoctorFinding::unknown(format!(
                "cannot list the interfaces of this machine: {error}"
            ))];
        }
    };
    let mut findings: Vec<DoctorFinding> = interfaces
        .iter()
        .filter(|one| !one.is_loopback && !is_guest_link(one) && !has_no_address(one))
        .map(|interface| interface_finding(report, interface, dhcp))
        .collect();
    let names = |is_it: fn(&Interface) -> bool| -> Vec<String> {
        let some = interfaces.iter().filter(|one| is_it(one));
        some.map(|interface| interface.name.clone()).collect()
    };
    let (idle, cables) = (names(has_no_address), names(is_guest_link));
    if findings.is_empty() {
        findings.push(DoctorFinding::error(
            "no interface of this machine except loopback has an IPv4 address",
        ));
    }
    if !idle.is_empty() {
        findings.push(DoctorFinding::ok(format!(
            "{}: no IPv4 address",
            list(&idle)
        )));
    }
    if !cables.is_empty() {
        let names = list(&cables);
        findings.push(DoctorFinding::ok(format!(
            "{names}: connected to containers or virtual machines"
        )));
    }
    findings.extend(unknown_interfaces(report, interfaces));
    findings.extend(network_findings(report));
    findings
}

fn interface_finding(
    report: &NetworksReport,
    interface: &Interface,
    dhcp: &[&PortOwner],
) -> DoctorFinding {
    let name = &interface.name;
    let addresses: Vec<String> = interface
        .addresses
        .iter()
        .map(ToString::to_string)
        .collect();
    let addresses = list(&addresses);
    let link = if interface.is_up { "up" } else { "no link" };
    let begin = format!("{name}: {addresses}, {link}");
    let mut on = interface
        .addresses
        .iter()
        .filter_map(|net| report.network_at(net.addr()));
    let network = on.next();
    if let Some(maker) = bridge_owner(name) {
        return bridge_finding(&begin, maker, network, dhcp);
    }
    let Some(network) = network else {
        return DoctorFinding::ok(format!("{begin}; not in any network of the site"));
    };
    let text = format!(
        "{begin}; network {}, dhcp {}",
        network.name,
        mode_text(network.mode)
    );
    match network.mode {
        DhcpMode::Off => DoctorFinding::ok(text),
        _ if !report.is_chosen(interface) => DoctorFinding::warning(format!(
            "{text}, but it is missing from `interfaces` in `[dhcp]`"
        ))
        .help(format!(
            "add \"{name}\" there: without it the server does not answer DHCP on this interface"
        )),
        _ if !interface.is_up => DoctorFinding::error(text)
            .run(format!("ip link set {name} up"))
            .help("if that does not help, check the cable and the switch port"),
        _ => DoctorFinding::ok(text),
    }
}

fn bridge_finding(
    begin: &str,
    maker: &str,
    network: Option<&NetworkReport>,
    dhcp: &[&PortOwner],
) -> DoctorFinding {
    let text = format!(
        "{begin}; a bridge of {maker}: it connects guests on this host, not machines on your network"
    );
    // libvirt's own dnsmasq assigns addresses on its bridges.
    let holder = dhcp.iter().find(|holder| holder.name == "dnsmasq");
    let (text, help) = match holder.filter(|_| maker == "libvirt") {
        Some(holder) => (
            format!("{text}; {holder} uses port 67, as libvirt's dnsmasq does for such a bridge"),
            "to boot virtual machines from this server, remove <dhcp> from the libvirt network: `virsh net-edit NAME`",
        ),
        None => (
            text,
            "this network serves only guests on this host; for physical machines, set its `subnet` to that of a physical interface",
        ),
    };
    match network.filter(|network| network.mode != DhcpMode::Off) {
        None => DoctorFinding::ok(text),
        Some(network) => DoctorFinding::warning(format!(
            "{text}; network {} with dhcp {} is on it",
            network.name,
            mode_text(network.mode)
        ))
        .help(help),
    }
}

/// The software that creates bridges with such a name, for containers or virtual machines.
fn bridge_owner(name: &str) -> Option<&'static str> {
    let is_docker = |name: &str| {
        let id = name.strip_prefix("br-");
        id.is_some_and(|id| id.len() == 12 && id.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    match name {
        "docker0" | "docker_gwbridge" => Some("Docker"),
        _ if is_docker(name) => Some("Docker"),
        "lxcbr0" => Some("LXC"),
        "lxdbr0" => Some("LXD"),
        "incusbr0" => Some("Incus"),
        _ if name.starts_with("virbr") => Some("libvirt"),
        _ if name.starts_with("podman") => Some("Podman"),
        _ if name.starts_with("cni") || name.starts_with("flannel") => Some("Kubernetes"),
        _ => None,
    }
}

/// Whether it is the host's end of a link to a container or virtual machine, without an address.
fn is_guest_link(interface: &Interface) -> bool {
    let names = ["veth", "vnet", "cali", "lxc", "tap"];
    interface.addresses.is_empty()
        && bridge_owner(&interface.name).is_none()
        && names.iter().any(|name| interface.name.starts_with(name))
}

/// Whether it is an interface without an address.
fn has_no_address(interface: &Interface) -> bool {
    !interface.is_loopback && interface.addresses.is_empty() && !is_guest_link(interface)
}

/// Findings for entries of `[dhcp]` `interfaces` that match no interface.
fn unknown_interfaces(report: &NetworksReport, interfaces: &[Interface]) -> Vec<DoctorFinding> {
    let there: Vec<String> = interfaces
        .iter()
        .filter(|one| !one.is_loopback)
        .map(|interface| interface.name.clone())
        .collect();
    let chosen = report.chosen.iter().flatten();
    let without = chosen.filter(|text| !interfaces.iter().any(|one| one.matches(text)));
    without
        .map(|text| {
            DoctorFinding::error(format!(
                "`{text}` of `interfaces` in `[dhcp]` is not an interface or address of this machine"
            ))
            .help(format!("there are: {}", list(&there)))
        })
        .collect()
}

fn network_findings(report: &NetworksReport) -> Vec<DoctorFinding> {
    let on: Vec<&NetworkReport> = report
        .networks
        .iter()
        .filter(|network| network.mode != DhcpMode::Off)
        .collect();
    let mut findings = Vec::new();
    if on.is_empty() {
        findings.push(
            DoctorFinding::warning("no network of the site has `dhcp` on: this server does not answer DHCP")
                .help("set `dhcp = \"reserve\"` in the machines' network if a router assigns addresses there, or \"server\" if nothing does")
                .help("or configure the network's DHCP server to load iPXE and then the script /boot.ipxe of this server"),
        );
    }
    if !report.is_enabled {
        findings.push(
            DoctorFinding::warning(
                "`enabled = false` in `[dhcp]`: the networks' `dhcp` setting has no effect",
            )
            .help("remove it from bootwright.toml and restart the server"),
        );
    }
    if !findings.is_empty() {
        return findings;
    }
    let served = report.served();
    let is_served =
        |network: &NetworkReport| served.iter().any(|(_, on, _)| on.name == network.name);
    let any = on.iter().any(|network| is_served(network));
    let away = on.iter().filter(|network| !is_served(network));
    away.map(|network| unreachable_network(network, any))
        .collect()
}

/// A finding for a network without an interface. This is normal behind a relay; if no network has an interface, it is the
/// probable reason why machines get no answer.
fn unreachable_network(network: &NetworkReport, others_are_served: bool) -> DoctorFinding {
    let subnets: Vec<String> = network.subnets.iter().map(ToString::to_string).collect();
    let text = format!(
        "network {}: dhcp {}, but no interface of this machine has an address in {}",
        network.name,
        mode_text(network.mode),
        list(&subnets)
    );
    let finding = match others_are_served {
        true => DoctorFinding::warning(text),
        false => DoctorFinding::error(text),
    };
    finding.help("only machines behind a DHCP relay are answered there: correct `subnet`, or assign an address in it to the interface of that network")
}

/// A mode as written in the configuration.
pub(super) fn mode_text(mode: DhcpMode) -> &'static str {
    match mode {
        DhcpMode::Off => "off",
        DhcpMode::Proxy => "\"proxy\"",
        DhcpMode::Reserve => "\"reserve\"",
        DhcpMode::Server => "\"server\"",
    }
}
