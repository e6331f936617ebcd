//! The options of bonds in the formats of all readers.

use bootwright::site::{Diagnostic, Severity};

use crate::support::rendering::{rendering, whole};

const NETWORKS: &str = include_str!("../fixtures/render/networks.toml");

/// A node with one bond over two NICs, of which the second has a name.
fn site(policy: &str, mode: &str, options: &str) -> String {
    let networks = NETWORKS.split("[node.").next().unwrap();
    format!(
        "{networks}
[repo.esxi]
path = \"esxi\"
task = \"esxi\"

[policy.esxi]
repo = \"esxi\"
disk = {{}}

[node.n1]
mac = [\"52:54:00:00:00:01\", \"52:54:00:00:00:02\"]
policy = \"{policy}\"
bond.bond0 = {{ mode = \"{mode}\", ports = [\"52:54:00:00:00:01\", \"52:54:00:00:00:02\"], address = \"192.0.2.11\", options = {{ {options} }} }}
"
    )
}

/// The text of all files of the node, and its diagnostics.
fn rendered(policy: &str, mode: &str, options: &str) -> (String, Vec<String>) {
    let rendering = rendering(&site(policy, mode, options), &[]);
    let is_error = |found: &&Diagnostic| found.severity == Severity::Error;
    let errors: Vec<Diagnostic> = rendering.found.iter().filter(is_error).cloned().collect();
    assert_eq!(rendering.shown(&errors), Vec::<String>::new());
    let (attempt, found) = rendering.inspect("n1");
    let text = attempt.map(|attempt| whole(&attempt));
    let messages = found.iter().map(|one| one.message.clone()).collect();
    (text.unwrap_or_default(), messages)
}

#[test]
fn every_option_is_written_with_the_name_and_the_unit_of_its_reader() {
    for (mode, option, keyfile, netplan, networkd) in [
        (
            "802.3ad",
            "miimon = 50",
            "miimon=50",
            "mii-monitor-interval: \"50\"",
            "MIIMonitorSec=50ms",
        ),
        (
            "802.3ad",
            "updelay = 200",
            "updelay=200",
            "up-delay: 200",
            "UpDelaySec=200ms",
        ),
        (
            "802.3ad",
            "downdelay = 200",
            "downdelay=200",
            "down-delay: 200",
            "DownDelaySec=200ms",
        ),
        (
            "802.3ad",
            "lacp_rate = 1",
            "lacp_rate=fast",
            "lacp-rate: \"fast\"",
            "LACPTransmitRate=fast",
        ),
        (
            "802.3ad",
            "min_links = 2",
            "min_links=2",
            "min-links: 2",
            "MinLinks=2",
        ),
        (
            "802.3ad",
            "ad_select = \"count\"",
            "ad_select=count",
            "ad-select: \"count\"",
            "AdSelect=count",
        ),
        (
            "802.3ad",
            "xmit_hash_policy = \"layer2+3\"",
            "xmit_hash_policy=layer2+3",
            "transmit-hash-policy: \"layer2+3\"",
            "TransmitHashPolicy=layer2+3",
        ),
        (
            "802.3ad",
            "xmit_hash_policy = \"vlan+srcmac\"",
            "xmit_hash_policy=vlan+srcmac",
            "",
            "",
        ),
        (
            "802.3ad",
            "ad_actor_sys_prio = 7",
            "ad_actor_sys_prio=7",
            "",
            "AdActorSystemPriority=7",
        ),
        (
            "802.3ad",
            "ad_actor_system = \"52-54-00-00-00-0F\"",
            "ad_actor_system=52:54:00:00:00:0f",
            "",
            "AdActorSystem=52:54:00:00:00:0f",
        ),
        (
            "802.3ad",
            "ad_user_port_key = 9",
            "ad_user_port_key=9",
            "",
            "AdUserPortKey=9",
        ),
        ("802.3ad", "use_carrier = false", "use_carrier=0", "", ""),
        ("802.3ad", "lacp_active = false", "", "", ""),
        ("802.3ad", "coupled_control = true", "", "", ""),
        ("802.3ad", "broadcast_neighbor = true", "", "", ""),
        (
            "active-backup",
            "all_slaves_active = \"on\"",
            "all_slaves_active=1",
            "all-slaves-active: true",
            "AllSlavesActive=yes",
        ),
        (
            "active-backup",
            "fail_over_mac = \"follow\"",
            "fail_over_mac=follow",
            "fail-over-mac-policy: \"follow\"",
            "FailOverMACPolicy=follow",
        ),
        (
            "active-backup",
            "primary_reselect = \"better\"",
            "primary_reselect=better",
            "primary-reselect-policy: \"better\"",
            "PrimaryReselectPolicy=better",
        ),
        (
            "active-backup",
            "num_grat_arp = 3",
            "num_grat_arp=3",
            "gratuitous-arp: 3",
            "GratuitousARP=3",
        ),
        (
            "active-backup",
            "num_unsol_na = 3",
            "num_unsol_na=3",
            "gratuitous-arp: 3",
            "GratuitousARP=3",
        ),
        (
            "active-backup",
            "num_grat_arp = 0",
            "num_grat_arp=0",
            "",
            "GratuitousARP=0",
        ),
        (
            "active-backup",
            "resend_igmp = 4",
            "resend_igmp=4",
            "resend-igmp: 4",
            "ResendIGMP=4",
        ),
        (
            "active-backup",
            "miimon = 100, peer_notif_delay = 300",
            "peer_notif_delay=300",
            "",
            "",
        ),
        (
            "balance-rr",
            "packets_per_slave = 5",
            "packets_per_slave=5",
            "packets-per-slave: 5",
            "PacketsPerSlave=5",
        ),
        (
            "balance-rr",
            "packets_per_slave = 0",
            "packets_per_slave=0",
            "",
            "PacketsPerSlave=0",
        ),
        (
            "balance-tlb",
            "tlb_dynamic_lb = false",
            "tlb_dynamic_lb=0",
            "",
            "DynamicTransmitLoadBalancing=no",
        ),
        (
            "balance-alb",
            "lp_interval = 2",
            "lp_interval=2",
            "learn-packet-interval: \"2\"",
            "LearnPacketIntervalSec=2",
        ),
        (
            "active-backup",
            "arp_interval = 250, arp_ip_target = \"192.0.2.1\"",
            "arp_interval=250",
            "arp-interval: 250",
            "ARPIntervalSec=250ms",
        ),
        (
            "active-backup",
            "arp_interval = 250, arp_ip_target = [\"192.0.2.1\", \"192.0.2.2\"]",
            "arp_ip_target=192.0.2.1,192.0.2.2",
            "arp-ip-targets: [\"192.0.2.1\", \"192.0.2.2\"]",
            "ARPIPTargets=192.0.2.1 192.0.2.2",
        ),
        (
            "active-backup",
            "arp_interval = 250, arp_ip_target = \"192.0.2.1,192.0.2.2\"",
            "arp_ip_target=192.0.2.1,192.0.2.2",
            "arp-ip-targets: [\"192.0.2.1\", \"192.0.2.2\"]",
            "ARPIPTargets=192.0.2.1 192.0.2.2",
        ),
        (
            "active-backup",
            "arp_interval = 250, arp_ip_target = \"192.0.2.1\", arp_validate = \"backup\"",
            "arp_validate=backup",
            "arp-validate: \"backup\"",
            "ARPValidate=backup",
        ),
        (
            "active-backup",
            "arp_interval = 250, arp_ip_target = \"192.0.2.1\", arp_validate = \"filter\"",
            "arp_validate=filter",
            "",
            "",
        ),
        (
            "active-backup",
            "arp_interval = 250, arp_ip_target = \"192.0.2.1\", arp_all_targets = \"all\"",
            "arp_all_targets=all",
            "arp-all-targets: \"all\"",
            "ARPAllTargets=all",
        ),
        (
            "active-backup",
            "arp_interval = 250, arp_ip_target = \"192.0.2.1\", arp_missed_max = 3",
            "",
            "",
            "",
        ),
        (
            "active-backup",
            "arp_interval = 250, ns_ip6_target = \"2001:db8::2\"",
            "",
            "",
            "",
        ),
    ] {
        for (policy, reader, expected) in [
            ("rocky", "NetworkManager", keyfile),
            ("image", "netplan", netplan),
            ("debian", "systemd-networkd", networkd),
        ] {
            let (text, messages) = rendered(policy, mode, option);
            let name = option
                .rsplit(", ")
                .next()
                .unwrap()
                .split(' ')
                .next()
                .unwrap();
            let lacks = messages.iter().any(|message| {
                message.contains(&format!("{reader} "))
                    && message.contains("has no equivalent of the option")
            });
            assert_eq!(
                lacks,
                expected.is_empty(),
                "{policy}, {name}: {messages:?}\n{text}"
            );
            let has_line = text.lines().any(|line| line.trim() == expected);
            assert!(lacks || has_line, "{policy}: no {expected} in\n{text}");
        }
    }
}

#[test]
fn the_primary_port_is_named_as_each_reader_needs_it() {
    let options = "primary = \"52:54:00:00:00:02\"";
    for (policy, expected) in [
        // NetworkManager needs a device name, so the NIC gets one.
        (
            "rocky",
            &[
                "primary=lan1",
                "PermanentMACAddress=52:54:00:00:00:02\n\n[Link]\nName=lan1",
            ][..],
        ),
        (
            "image",
            &[
                "primary: \"lan1\"",
                "lan1:\n    match:\n      macaddress: \"52:54:00:00:00:02\"",
            ],
        ),
        (
            "debian",
            &["PermanentMACAddress=52:54:00:00:00:02\n\n[Network]\nBond=bond0\nPrimarySlave=yes"],
        ),
        (
            "esxi",
            &[
                "--active-uplinks=\"$(nic 52:54:00:00:00:02)\" --standby-uplinks=\"$(nic 52:54:00:00:00:01)\"",
            ],
        ),
    ] {
        let (text, messages) = rendered(policy, "active-backup", options);
        assert_eq!(messages, Vec::<String>::new(), "{policy}");
        for part in expected {
            assert!(text.contains(part), "{policy}: no {part} in\n{text}");
        }
    }
}

#[test]
fn the_installer_gives_the_primary_port_the_name_that_it_has_later() {
    let (text, _) = rendered("rocky", "active-backup", "primary = \"52:54:00:00:00:01\"");
    for part in [
        "ifname=lan0:52:54:00:00:00:01 ip=192.0.2.11::192.0.2.1:255.255.255.0:n1.lab.example:lan0:none",
        "primary=lan0",
        "Name=lan0",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}

#[test]
fn a_bond_without_a_monitor_gets_one() {
    for (policy, expected) in [
        ("rocky", "miimon=100"),
        ("image", "mii-monitor-interval: \"100\""),
        ("debian", "MIIMonitorSec=100ms"),
    ] {
        let (text, _) = rendered(policy, "active-backup", "");
        assert!(text.contains(expected), "{policy}: {text}");
        let (text, _) = rendered(policy, "active-backup", "miimon = 0");
        assert!(!text.contains(expected), "{policy}: {text}");
    }
}

#[test]
fn options_of_a_bond_that_teaming_does_not_have_are_errors_on_esxi() {
    for (options, expected) in [
        ("primary_reselect = \"failure\"", None),
        ("primary_reselect = \"better\"", Some("primary_reselect")),
        ("updelay = 100, miimon = 100", Some("updelay")),
    ] {
        let (text, messages) = rendered("esxi", "active-backup", options);
        let expected: Vec<String> = expected
            .iter()
            .map(|option| format!("task `esxi` does not support `bond`: bond bond0: ESXi has no equivalent of the option {option}"))
            .collect();
        assert_eq!(messages, expected, "{options}");
        assert_eq!(
            text.contains("--failback=false"),
            expected.is_empty(),
            "{options}: {text}"
        );
    }
}

#[test]
fn options_with_which_cloud_init_fails_on_images_without_netplan_are_warnings() {
    let (_, messages) = rendered(
        "image",
        "active-backup",
        "arp_interval = 250, arp_ip_target = \"192.0.2.1\"",
    );
    assert_eq!(
        messages,
        [
            "bond bond0: on an image without netplan, cloud-init fails with the option arp_ip_target, and the machine has no network"
        ]
    );
}
