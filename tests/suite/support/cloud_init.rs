//! cloud-init's converters, and what the files that they write set.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    needs::{cloud_init, python},
    rendering::{Rendering, text},
    sources::root,
};

/// A release as numbers, such as 22.4.2.
pub(crate) fn release(text: &str) -> Vec<u32> {
    text.split('.').map(|part| part.parse().unwrap()).collect()
}

/// The unpacked releases, oldest first.
pub(crate) fn releases() -> Vec<PathBuf> {
    let entries = fs::read_dir(cloud_init()).unwrap();
    let mut found: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    found.sort_by_key(|path| release(name(path)));
    found
}

pub(crate) fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

/// Writes the seeds of the nodes of a site into a directory for each node.
pub(crate) fn write_seeds(rendering: &Rendering, folder: &Path) -> usize {
    let mut seen = 0;
    for node in rendering.site.nodes.keys() {
        let (rendered, found) = rendering.inspect(node.as_str());
        let rendered = rendered.unwrap_or_else(|| panic!("{node}: {found:?}"));
        for file in &rendered.files {
            if ["network-config", "user-data"].contains(&file.name.as_str()) {
                let folder = folder.join(node.as_str());
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join(&file.name), text(&file.body)).unwrap();
                seen += 1;
            }
        }
    }
    seen
}

/// Converts and validates the seeds in `source`, and returns the failures.
pub(crate) fn convert(release: &Path, source: &Path, target: &Path) -> BTreeMap<String, String> {
    let script = root().join("tests/fixtures/cloud_init/convert.py");
    let output = Command::new(python())
        .arg("-B")
        .arg(script)
        .args([release, source, target])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{release:?}: {errors}");
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// A line of a file: a key without its number, and the words of its value. `IPADDR1=192.0.2.1` has the key `IPADDR`.
pub(crate) struct Line {
    file: String,
    key: String,
    words: BTreeSet<String>,
}

/// The lines of all files of a directory.
pub(crate) fn lines_below(folder: &Path) -> Vec<Line> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            lines.extend(lines_below(&path));
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        // An entry of a YAML list can be a table.
        let all = text
            .lines()
            .map(|line| line.trim().trim_start_matches("-   "))
            .filter(|line| !line.starts_with('#'));
        lines.extend(all.filter(|line| !line.is_empty()).map(|line| {
            let (key, value) = line.split_once(['=', ' ']).unwrap_or((line, ""));
            let words = value
                .split([' ', ',', ';', '"', '\''])
                .filter(|word| !word.is_empty());
            Line {
                file: name(&path).to_string(),
                key: without_number(key).to_string(),
                words: words.map(String::from).collect(),
            }
        }));
    }
    lines
}

fn without_number(key: &str) -> &str {
    key.trim_end_matches(|c: char| c.is_ascii_digit())
}

/// Whether a renderer's files have a setting.
pub(crate) fn is_set(renderer: &str, setting: &str, lines: &[Line]) -> bool {
    // NetworkManager has a file for each link, and the ports of a bond have its MTU as well.
    let file = match setting.split_once(' ') {
        Some(("bond-mtu", _)) if renderer == "network-manager" => "bond0.nmconnection",
        Some(("vlan-mtu", _)) if renderer == "network-manager" => "bond0.30.nmconnection",
        _ => "",
    };
    let of_file = || lines.iter().filter(|line| line.file.ends_with(file));
    evidence(renderer, setting)
        .iter()
        .all(|(key, word)| of_file().any(|line| line.key == *key && line.words.contains(word)))
}

/// The keys of a renderer's files that show a setting, each with a word of its value.
fn evidence(renderer: &str, setting: &str) -> Vec<(String, String)> {
    let mut words = setting.split(' ');
    let (kind, value, more) = (words.next().unwrap(), words.next().unwrap(), words.next());
    let kind = if kind.ends_with("-mtu") { "mtu" } else { kind };
    let is_v6 = value.contains(':');
    let (ip, prefix) = value.split_once('/').unwrap_or((value, ""));
    let keys: Vec<(&str, &str)> = match (renderer, kind) {
        ("eni", "address") => vec![("address", value)],
        ("eni", "gateway" | "on-link") => vec![("gateway", value)],
        ("eni", "dns") => vec![("dns-nameservers", value)],
        ("eni", "search") => vec![("dns-search", value)],
        ("eni", "mtu") => vec![("mtu", value)],
        ("eni", "dhcp") => vec![("iface", "dhcp")],
        ("eni", "route") => vec![("post-up", value), ("post-up", more.unwrap())],
        ("eni", "metric") => vec![("post-up", value)],
        ("eni", "vlan") => vec![("vlan_id", value)],
        ("eni", "bridge") => vec![("bridge_ports", value)],
        ("netplan", "address" | "dns" | "search" | "bridge") => vec![("-", value)],
        ("netplan", "gateway") => vec![(if is_v6 { "gateway6:" } else { "gateway4:" }, value)],
        ("netplan", "on-link") => vec![("via:", value), ("on-link:", "true")],
        ("netplan", "mtu") => vec![("mtu:", value)],
        ("netplan", "dhcp") => vec![("dhcp4:", "true")],
        ("netplan", "route") => vec![("to:", value), ("via:", more.unwrap())],
        ("netplan", "metric") => vec![("metric:", value)],
        ("netplan", "vlan") => vec![("id:", value)],
        ("networkd", "address") => vec![("Address", value)],
        ("networkd", "gateway") => vec![("Gateway", value)],
        ("networkd", "on-link") => vec![("Gateway", value), ("GatewayOnLink", "yes")],
        ("networkd", "dns") => vec![("DNS", value)],
        ("networkd", "search") => vec![("Domains", value)],
        ("networkd", "mtu") => vec![("MTUBytes", value)],
        ("networkd", "dhcp") => vec![("DHCP", "ipv4")],
        ("networkd", "route") => vec![("Destination", value), ("Gateway", more.unwrap())],
        ("networkd", "metric") => vec![("Metric", value)],
        ("networkd", "vlan") => vec![("Id", value)],
        ("networkd", "bridge") => vec![("Bridge", value)],
        ("sysconfig", "address") if is_v6 => vec![("IPV6ADDR", value)],
        ("sysconfig", "address") => vec![("IPADDR", ip), ("NETMASK", netmask(prefix))],
        ("sysconfig", "gateway" | "on-link") if is_v6 => vec![("IPV6_DEFAULTGW", value)],
        ("sysconfig", "gateway" | "on-link") => vec![("GATEWAY", value)],
        ("sysconfig", "dns") => vec![("nameserver", value)],
        ("sysconfig", "search") => vec![("search", value)],
        ("sysconfig", "mtu") => vec![("MTU", value)],
        ("sysconfig", "dhcp") => vec![("BOOTPROTO", "dhcp")],
        ("sysconfig", "route") if is_v6 => vec![(without_number(value), more.unwrap())],
        ("sysconfig", "route") => vec![
            ("ADDRESS", ip),
            ("GATEWAY", more.unwrap()),
            ("NETMASK", netmask(prefix)),
        ],
        ("sysconfig", "metric") => vec![("METRIC", value)],
        ("sysconfig", "vlan") => vec![("VLAN", "yes")],
        ("sysconfig", "bridge") => vec![("BRIDGE", "br0")],
        ("network-manager", "address") => vec![("address", value)],
        ("network-manager", "gateway") => vec![("gateway", value)],
        // NetworkManager itself adds the route to the gateway.
        ("network-manager", "on-link") => vec![
            ("route", if is_v6 { "::/0" } else { "0.0.0.0/0" }),
            ("route", value),
        ],
        ("network-manager", "dns") => vec![("dns", value)],
        ("network-manager", "search") => vec![("dns-search", value)],
        ("network-manager", "mtu") => vec![("mtu", value)],
        ("network-manager", "dhcp") => vec![("method", "auto")],
        ("network-manager", "route") => vec![("route", value), ("route", more.unwrap())],
        ("network-manager", "metric") => vec![("route", value)],
        ("network-manager", "vlan") => vec![("id", value)],
        ("network-manager", "bridge") => vec![("slave-type", "bridge")],
        (renderer, "bond") => return vec![bond_option(renderer, value, more.unwrap())],
        other => panic!("{other:?}"),
    };
    let owned = keys
        .into_iter()
        .map(|(key, word)| (key.to_string(), word.to_string()));
    owned.collect()
}

fn bond_option(renderer: &str, option: &str, value: &str) -> (String, String) {
    match renderer {
        "eni" => (format!("bond-{}", option.replace('_', "-")), value.into()),
        "netplan" => {
            let key = match option {
                "miimon" => "mii-monitor-interval",
                "updelay" => "up-delay",
                "xmit_hash_policy" => "transmit-hash-policy",
                "primary_reselect" => "primary-reselect-policy",
                "fail_over_mac" => "fail-over-mac-policy",
                "num_grat_arp" => "gratuitous-arp",
                // A list.
                "arp_ip_target" => return ("-".into(), value.into()),
                other => other,
            };
            (format!("{}:", key.replace('_', "-")), value.into())
        }
        "sysconfig" => ("BONDING_OPTS".into(), format!("{option}={value}")),
        _ => (option.into(), value.into()),
    }
}

fn netmask(prefix: &str) -> &'static str {
    match prefix {
        "16" => "255.255.0.0",
        "24" => "255.255.255.0",
        "26" => "255.255.255.192",
        "32" => "255.255.255.255",
        other => panic!("{other}"),
    }
}
