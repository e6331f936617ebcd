//! Detects settings of this machine: its network, DNS, time zone, and the user's SSH keys.

use std::{
    fmt, fs,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use ipnet::Ipv4Net;
use nix::ifaddrs::getifaddrs;

use crate::site::current_timezone;

/// The detected settings; each may be missing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct HostSettings {
    /// The interface of the default route, and this machine's address and network there.
    pub(super) network: Option<(String, Ipv4Addr, Ipv4Net)>,
    pub(super) gateway: Option<Ipv4Addr>,
    /// DNS servers that other machines can use too: none on loopback.
    pub(super) dns: Vec<IpAddr>,
    pub(super) domain: Option<String>,
    pub(super) timezone: Option<String>,
    /// Public SSH keys, each with its type and comment.
    pub(super) keys: Vec<String>,
}

/// The files that list DNS servers. The first that lists one outside loopback is used: with systemd-resolved, resolv.conf
/// lists only its loopback address.
const RESOLVERS: [&str; 2] = ["etc/resolv.conf", "run/systemd/resolve/resolv.conf"];

impl HostSettings {
    /// Reads the system's files below `root`, and the SSH keys in the home directory.
    pub(super) fn detect(root: &Path, home: Option<&Path>) -> HostSettings {
        // An unreadable file is treated as missing.
        let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
        let route = default_route(&read("proc/net/route"));
        let resolver = RESOLVERS
            .iter()
            .map(|path| read(path))
            .find(|text| !dns(text).is_empty())
            .unwrap_or_default();
        let local_time = fs::read_link(root.join("etc/localtime")).ok();
        let local_time = local_time
            .as_deref()
            .and_then(Path::to_str)
            .and_then(zone_of_link);
        HostSettings {
            network: route
                .as_ref()
                .and_then(|(interface, _)| network_of(interface)),
            gateway: route.map(|(_, gateway)| gateway),
            dns: dns(&resolver),
            domain: domain(&resolver),
            timezone: zone_of_text(&read("etc/timezone")).or(local_time),
            keys: home
                .map(|home| keys(&home.join(".ssh")))
                .unwrap_or_default(),
        }
    }
}

impl fmt::Display for HostSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some((interface, _, network)) = &self.network {
            parts.push(format!("network {network} on {interface}"));
        }
        if let Some(gateway) = self.gateway {
            parts.push(format!("gateway {gateway}"));
        }
        if !self.dns.is_empty() {
            let dns: Vec<String> = self.dns.iter().map(ToString::to_string).collect();
            parts.push(format!("DNS {}", dns.join(" and ")));
        }
        parts.extend(
            self.timezone
                .as_ref()
                .map(|zone| format!("time zone {zone}")),
        );
        match self.keys.len() {
            0 => {}
            1 => parts.push("1 SSH key".into()),
            keys => parts.push(format!("{keys} SSH keys")),
        }
        match parts.is_empty() {
            true => writeln!(
                f,
                "Found     no network settings on this machine; the site contains examples instead"
            ),
            false => writeln!(f, "Found     {}", parts.join(", ")),
        }
    }
}

/// The interface and gateway of the default route with the lowest metric, from the kernel's table.
fn default_route(table: &str) -> Option<(String, Ipv4Addr)> {
    let routes = table.lines().skip(1).filter_map(|line| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        let [
            interface,
            destination,
            gateway,
            _flags,
            _references,
            _use,
            metric,
            mask,
            ..,
        ] = columns.as_slice()
        else {
            return None;
        };
        if *destination != "00000000" || *mask != "00000000" {
            return None;
        }
        // The kernel writes addresses in the processor's byte order, which is little-endian on all supported ones.
        let gateway = u32::from_str_radix(gateway, 16).ok()?.to_le_bytes();
        Some((
            metric.parse::<u32>().ok()?,
            interface.to_string(),
            Ipv4Addr::from(gateway),
        ))
    });
    let first = routes
        .filter(|(_, _, gateway)| !gateway.is_unspecified())
        .min_by_key(|(metric, ..)| *metric)?;
    Some((first.1, first.2))
}

/// This machine's address on an interface, and its subnet.
fn network_of(interface: &str) -> Option<(String, Ipv4Addr, Ipv4Net)> {
    // Interfaces that cannot be listed are treated as missing.
    let mut all = getifaddrs()
        .ok()?
        .filter(|entry| entry.interface_name == interface);
    all.find_map(|entry| {
        let ip = entry.address?.as_sockaddr_in()?.ip();
        let mask = entry.netmask?.as_sockaddr_in()?.ip();
        let network = Ipv4Net::with_netmask(ip, mask).ok()?.trunc();
        // A smaller subnet has no room for machines.
        (network.prefix_len() <= 30).then(|| (interface.to_string(), ip, network))
    })
}

fn dns(text: &str) -> Vec<IpAddr> {
    let servers = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"));
    let servers = servers.filter_map(|server| server.trim().parse::<IpAddr>().ok());
    let mut detected = Vec::new();
    for server in servers.filter(|server| !server.is_loopback()) {
        if !detected.contains(&server) {
            detected.push(server);
        }
    }
    detected
}

fn domain(text: &str) -> Option<String> {
    let words = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        matches!(words.next(), Some("domain" | "search"))
            .then(|| words.next())
            .flatten()
    });
    let mut named = words
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| word.parse::<crate::model::Hostname>().is_ok());
    named.next().map(String::from)
}

/// The current name of the zone in `/etc/timezone`. An unknown one is treated as missing: the site would be invalid.
fn zone_of_text(text: &str) -> Option<String> {
    current_timezone(text.trim()).ok().map(String::from)
}

fn zone_of_link(link: &str) -> Option<String> {
    let (_, zone) = link.split_once("zoneinfo/")?;
    zone_of_text(zone)
}

/// The public keys in `directory`: the owner's own keys first, then `authorized_keys`.
fn keys(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "pub"))
        .collect();
    files.sort();
    files.push(directory.join("authorized_keys"));
    let mut detected: Vec<String> = Vec::new();
    for text in files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
    {
        for key in text.lines().map(str::trim).filter(|line| is_key(line)) {
            let same =
                |known: &String| known.split_whitespace().nth(1) == key.split_whitespace().nth(1);
            if !detected.iter().any(same) {
                detected.push(key.into());
            }
        }
    }
    detected
}

/// Whether a line is a key without options: options restrict a key to one machine.
fn is_key(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let kind = words.next().unwrap_or_default();
    let known = [
        "ssh-ed25519",
        "ssh-rsa",
        "ecdsa-sha2-",
        "sk-ssh-",
        "sk-ecdsa-",
    ]
    .iter()
    .any(|known| kind.starts_with(known));
    let is_base64 = words.next().is_some_and(|body| {
        body.len() > 40
            && body
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || "+/=".contains(c))
    });
    known && is_base64 && !line.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_with_the_lowest_metric_is_used() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
            wlan0\t00000000\t0201A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0\n\
            eth0\t00000000\t0101A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n\
            eth0\t0001A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n";
        assert_eq!(
            default_route(table),
            Some(("eth0".into(), Ipv4Addr::new(192, 168, 1, 1)))
        );
        assert_eq!(default_route(""), None);
        assert_eq!(default_route("Iface\nx 0 1\n"), None);
    }

    #[test]
    fn only_usable_settings_are_detected() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for (name, text) in [
            ("etc/resolv.conf", "nameserver 127.0.0.53\n"),
            (
                "run/systemd/resolve/resolv.conf",
                "# x\nnameserver 192.0.2.2\nnameserver 192.0.2.2\nnameserver fe80::1%eth0\nsearch lab.example. other\n",
            ),
            ("etc/timezone", "Europe/Berlin\n"),
            (
                "home/.ssh/id.pub",
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG5DzIGZQt8lBHXMP5/p83B5U36zyJDNPIHSRiFHBSZT a@b\n",
            ),
            (
                "home/.ssh/authorized_keys",
                "# c\nssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG5DzIGZQt8lBHXMP5/p83B5U36zyJDNPIHSRiFHBSZT again\ncommand=\"x\" ssh-rsa AAAA\nssh-rsa AAAA\n",
            ),
        ] {
            let path = root.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let detected = HostSettings::detect(root, Some(&root.join("home")));
        assert_eq!(
            detected,
            HostSettings {
                dns: vec![Ipv4Addr::new(192, 0, 2, 2).into()],
                domain: Some("lab.example".into()),
                timezone: Some("Europe/Berlin".into()),
                keys: vec!["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG5DzIGZQt8lBHXMP5/p83B5U36zyJDNPIHSRiFHBSZT a@b".into()],
                ..HostSettings::default()
            }
        );
        assert_eq!(
            detected.to_string(),
            "Found     DNS 192.0.2.2, time zone Europe/Berlin, 1 SSH key\n"
        );
        let nothing = HostSettings::detect(&root.join("nowhere"), None);
        assert_eq!(nothing, HostSettings::default());
    }

    #[test]
    fn a_zone_may_be_a_link() {
        assert_eq!(
            zone_of_link("/usr/share/zoneinfo/Etc/GMT+2"),
            Some("Etc/GMT+2".into())
        );
        assert_eq!(zone_of_link("../etc/other"), None);
        for (text, zone) in [
            ("Europe/Berlin\n", Some("Europe/Berlin")),
            ("US/Eastern\n", Some("America/New_York")),
            ("a b", None),
            ("", None),
        ] {
            assert_eq!(zone_of_text(text).as_deref(), zone, "{text}");
        }
    }
}
