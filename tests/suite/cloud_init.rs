//! The seeds of images, converted and validated by cloud-init itself: every renderer, the oldest and the newest supported
//! release.
//!
//! A table has what each node's configuration must set. A second table has what a renderer is known to lose; an entry that is
//! no longer lost fails the test. The manual's page on images says what these tables say.

use std::{collections::BTreeMap, fs};

use crate::support::{
    cloud_init::{convert, is_set, lines_below, name, release, releases, write_seeds},
    needs::needs,
    rendering::{SITE, networks, rendering},
};

const RENDERERS: [&str; 5] = ["eni", "netplan", "networkd", "sysconfig", "network-manager"];

/// What each node of `networks.toml` sets: a kind, a value, and for a bond's option a second value.
const NODES: [(&str, &str); 16] = [
    (
        "one",
        "address 192.0.2.11/24, gateway 192.0.2.1, dns 192.0.2.2, dns 2001:db8::2",
    ),
    (
        "two",
        "address 192.0.2.12/24, gateway 192.0.2.1, address 10.1.0.12/24, mtu 9000",
    ),
    (
        "v6",
        "address 2001:db8::13/64, gateway 2001:db8::1, dns 2001:db8::2",
    ),
    (
        "dual",
        "address 192.0.2.14/24, address 2001:db8::14/64, gateway 192.0.2.1, gateway 2001:db8::1, dns 192.0.2.2, dns 2001:db8::2, \
         search lab.example, search example.com",
    ),
    ("dhcp", "dhcp yes"),
    ("isolated", "address 10.2.0.16/24"),
    (
        "routes",
        "address 192.0.2.17/24, address 2001:db8::17/64, gateway 192.0.2.1, gateway 2001:db8::1, route 10.9.0.0/16 192.0.2.9, \
         metric 50, route 2001:db8:9::/48 2001:db8::9",
    ),
    (
        "jumbo",
        "address 192.0.2.18/24, gateway 192.0.2.1, mtu 9000",
    ),
    ("vlan", "address 192.0.2.19/24, gateway 192.0.2.1, vlan 20"),
    (
        "bond",
        "address 192.0.2.20/24, gateway 192.0.2.1, bond-mtu 9000, bond mode 802.3ad, bond miimon 100, bond updelay 200, \
         bond min_links 1, bond lacp_rate fast, bond xmit_hash_policy layer3+4, bond ad_select bandwidth",
    ),
    (
        "failover",
        "address 192.0.2.21/24, gateway 192.0.2.1, bond mode active-backup, bond miimon 100, bond primary lan1, \
         bond primary_reselect failure, bond fail_over_mac active, bond num_grat_arp 3",
    ),
    (
        "arp",
        "address 192.0.2.22/24, bond mode active-backup, bond arp_interval 250, bond arp_ip_target 192.0.2.1, \
         bond arp_ip_target 192.0.2.2, bond arp_validate all",
    ),
    (
        "stack",
        "address 192.0.2.23/24, gateway 192.0.2.1, vlan 20, bond mode 802.3ad, bond miimon 100, bridge bond0.20",
    ),
    (
        "everything",
        "address 192.0.2.24/24, address 2001:db8::24/64, address 10.1.0.24/24, gateway 192.0.2.1, gateway 2001:db8::1, \
         bond-mtu 9000, vlan-mtu 9000, route 10.9.0.0/16 10.1.0.1, vlan 30, search example.com, bond mode 802.3ad, bond miimon 100, \
         bond lacp_rate fast",
    ),
    (
        "host",
        "address 203.0.113.25/32, address 2001:db8:1::25/128, on-link 172.31.1.1, on-link 2001:db8:ffff::1, dns 192.0.2.2",
    ),
    (
        "hosted",
        "address 198.51.100.26/26, on-link 198.51.100.126, route 10.9.0.0/16 198.51.100.125",
    ),
];

/// What a renderer loses: its name, the releases that lose it (of those that were tested; empty: all), the node (`*`: all), and
/// the beginning of what is lost.
const LOST: &[(&str, &str, &str, &str)] = &[
    // cloud-init's own renderer for systemd-networkd configures addresses and creates no devices.
    ("networkd", "", "*", "bond "),
    ("networkd", "", "*", "vlan "),
    ("networkd", "", "*", "bridge "),
    ("eni", "<25.1", "*", "metric "),
    ("networkd", "<25.1", "*", "metric "),
    ("sysconfig", "<25.1", "*", "metric "),
    ("network-manager", "<25.1", "*", "metric "),
    // `route add default gw` has no route to the gateway, and GatewayOnLink= is only written for `gateway4`.
    ("eni", "", "*", "on-link "),
    ("networkd", "", "*", "on-link "),
    // The default route becomes `::/64`.
    ("sysconfig", "<25.1", "*", "on-link 2001:"),
    ("network-manager", "<25.1", "*", "on-link 2001:"),
    // The table of this renderer has other spellings than the rest of cloud-init. NetworkManager's default for miimon is 100.
    ("network-manager", "", "*", "bond ad_select "),
    ("network-manager", "", "*", "bond lacp_rate "),
    ("network-manager", "", "*", "bond min_links "),
    ("network-manager", "<25.1", "*", "bond miimon "),
    ("network-manager", ">=25.1", "*", "bond fail_over_mac "),
    ("network-manager", ">=25.1", "*", "bond num_grat_arp "),
    ("network-manager", ">=25.1", "*", "bond primary_reselect "),
    ("network-manager", ">=25.1", "*", "bond xmit_hash_policy "),
    ("network-manager", "<25.1", "*", "bond-mtu "),
    ("network-manager", "", "*", "vlan-mtu "),
    // Without an IPv6 address.
    ("network-manager", ">=25.1", "one", "dns 2001:"),
];

/// The renderers that fail on a node's configuration, with the beginning of the message.
const FAILING: &[(&str, &str, &str)] = &[
    ("eni", "arp", "KeyError: 'arp-ip-targets'"),
    ("networkd", "arp", "KeyError: 'arp-ip-targets'"),
    ("sysconfig", "arp", "KeyError: 'arp-ip-targets'"),
    ("network-manager", "arp", "KeyError: 'arp-ip-targets'"),
    // netplan has keys that the schema does not have. The schema is not used where netplan is; elsewhere it warns.
    ("network-config", "host", "SchemaValidationError: "),
    ("network-config", "hosted", "SchemaValidationError: "),
];

/// Whether the table has the setting as lost.
fn is_lost(renderer: &str, version: &[u32], node: &str, setting: &str) -> bool {
    let is_of = |releases: &str| match releases.strip_prefix('<') {
        Some(fixed) => version < release(fixed).as_slice(),
        None => releases.is_empty() || version >= release(&releases[2..]).as_slice(),
    };
    LOST.iter().any(|(of, releases, on, lost)| {
        *of == renderer && is_of(releases) && ["*", node].contains(on) && setting.starts_with(lost)
    })
}

#[test]
fn every_renderer_sets_what_the_site_declares_but_for_what_it_is_known_to_lose() {
    needs!("cloud-init");
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("seeds");
    assert_eq!(write_seeds(&networks("image"), &source), 2 * NODES.len());
    let releases = releases();
    let oldest = release(name(&releases[0]));
    assert!(
        oldest < release("23.1") && releases.len() > 1,
        "{releases:?}"
    );
    let mut wrong = Vec::new();
    for path in &releases {
        let version = name(path);
        let target = folder.path().join(version);
        let failures = convert(path, &source, &target);
        for (call, message) in &failures {
            let known = FAILING.iter().any(|(renderer, node, start)| {
                *call == format!("{renderer}/{node}") && message.starts_with(start)
            });
            if !known {
                wrong.push(format!("{version}, {call}: {message}"));
            }
        }
        for (renderer, (node, settings)) in RENDERERS
            .iter()
            .flat_map(|renderer| NODES.map(|node| (*renderer, node)))
        {
            if failures.contains_key(&format!("{renderer}/{node}")) {
                continue;
            }
            let lines = lines_below(&target.join(renderer).join(node));
            for setting in settings.split(", ") {
                let is_set = is_set(renderer, setting, &lines);
                let lost = is_lost(renderer, &release(version), node, setting);
                match (is_set, lost) {
                    (true, true) => wrong.push(format!(
                        "{version}, {renderer}, {node}: {setting} is not lost"
                    )),
                    (false, false) => {
                        wrong.push(format!("{version}, {renderer}, {node}: {setting} is lost"))
                    }
                    _ => {}
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn cloud_init_accepts_every_seed_of_the_golden_site() {
    needs!("cloud-init");
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("seeds");
    assert!(write_seeds(&rendering(SITE, &[]), &source) > 6);
    // The test can fail.
    let broken = source.join("broken");
    fs::create_dir(&broken).unwrap();
    fs::write(broken.join("user-data"), "#cloud-config\nruncmd: 7\n").unwrap();
    let network = "version: 2\nethernets: {}\nbonds: {bond0: {interfaces: [], parameters: {mii-monitor-interval: 100}}}\n";
    fs::write(broken.join("network-config"), network).unwrap();
    for path in releases() {
        let target = folder.path().join(name(&path));
        let mut failures = convert(&path, &source, &target);
        assert!(
            failures.remove("user-data/broken").is_some(),
            "{failures:#?}"
        );
        let refuses_numbers = release(name(&path)) >= release("24.4");
        assert_eq!(
            failures.remove("network-config/broken").is_some(),
            refuses_numbers,
            "{failures:#?}"
        );
        assert_eq!(failures, BTreeMap::new(), "{path:?}");
    }
}
