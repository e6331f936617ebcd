//! The resolved settings of a machine, and their sources.

use bootwright::{
    model::{Mac, NodeName},
    site::{
        HostnameRule, LinkKind, PlannedLink, Resolved, Severity, Site, Subject, provenance, resolve,
    },
};

use crate::support::loading::load;

/// Loads a site in one file that has no errors.
fn site(text: &str) -> Site {
    let (site, diagnostics) = load(&[("policies.d/site.toml", text)]);
    let is_error = |severity: Severity| severity == Severity::Error;
    let errors: Vec<_> = diagnostics
        .iter()
        .filter(|diagnostic| is_error(diagnostic.severity))
        .collect();
    assert!(errors.is_empty(), "{errors:#?}");
    site
}

fn resolved(site: &Site, node: &str) -> Resolved {
    let (resolved, mistakes) = resolve(site, &Subject::declared(&site.nodes[node]), None);
    assert_eq!(mistakes, [], "{node}");
    resolved
}

/// Formats a link as one line: its kind, then its settings.
fn line(at: usize, link: &PlannedLink, resolved: &Resolved) -> String {
    let mut words = vec![match &link.kind {
        LinkKind::Nic { mac: Some(mac) } => format!("{at} nic {mac}"),
        LinkKind::Nic { mac: None } => format!("{at} nic"),
        LinkKind::Bond { mode, ports, .. } => format!("{at} bond {mode} {ports:?}"),
        LinkKind::Vlan { id, on } => format!("{at} vlan {id} on {on}"),
        LinkKind::Bridge { ports, .. } => format!("{at} bridge {ports:?}"),
    }];
    words.extend(link.name.iter().map(|name| name.as_str().into()));
    words.extend(link.addresses.iter().map(ToString::to_string));
    words.extend(link.dhcp.then(|| "dhcp".into()));
    words.extend(link.gateways.iter().map(|ip| format!("via {ip}")));
    words.extend(link.mtu.iter().map(|mtu| format!("mtu {mtu}")));
    words.extend(link.network.iter().map(|name| format!("in {name}")));
    words.extend((at == resolved.net.primary).then(|| "primary".into()));
    words.join(" ")
}

fn lines(resolved: &Resolved) -> Vec<String> {
    let links = resolved.net.links.iter().enumerate();
    links.map(|(at, link)| line(at, link, resolved)).collect()
}

const NETWORKS: &str = r#"
[network.lab]
subnet = ["192.0.2.0/24", "2001:db8::/64"]
gateway = ["192.0.2.1", "2001:db8::1"]
domain = "lab.example"
dns = "192.0.2.53"
pool = "192.0.2.60-192.0.2.69"

[network.rack]
subnet = "203.0.113.0/24"
gateway = "203.0.113.1"
vlan = 30
mtu = 9000

[network.storage]
subnet = "198.51.100.0/24"
gateway = "198.51.100.1"
vlan = 20
"#;

#[test]
fn links_become_a_plan_with_parents_first_and_one_default_route() {
    let cases: [(&str, &[&str]); 14] = [
        (
            r#"address = "192.0.2.11""#,
            &["0 nic 52:54:00:00:00:01 192.0.2.11/24 via 192.0.2.1 in lab primary"],
        ),
        (
            r#"address = ["192.0.2.11/25", "2001:db8::11"]"#,
            &[
                "0 nic 52:54:00:00:00:01 192.0.2.11/25 2001:db8::11/64 via 192.0.2.1 via 2001:db8::1 in lab primary",
            ],
        ),
        (
            "address = \"192.0.2.11\"\ngateway = \"192.0.2.2\"\nmtu = 1400",
            &["0 nic 52:54:00:00:00:01 192.0.2.11/24 via 192.0.2.2 mtu 1400 in lab primary"],
        ),
        (
            r#"address = "203.0.113.11""#,
            &[
                "0 nic 52:54:00:00:00:01 mtu 9000",
                "1 vlan 30 on 0 203.0.113.11/24 via 203.0.113.1 mtu 9000 in rack primary",
            ],
        ),
        (
            r#"network = "rack""#,
            &[
                "0 nic 52:54:00:00:00:01 mtu 9000",
                "1 vlan 30 on 0 dhcp mtu 9000 in rack primary",
            ],
        ),
        ("", &["0 nic 52:54:00:00:00:01 dhcp primary"]),
        (
            r#"address = "10.0.0.1/8""#,
            &["0 nic 52:54:00:00:00:01 10.0.0.1/8 primary"],
        ),
        (
            r#"
            bond.bond0 = { mode = "802.3ad", ports = ["52:54:00:00:00:01", "52:54:00:00:00:02"], address = "192.0.2.11" }
            vlan."bond0.20" = { on = "bond0", network = "storage", address = "198.51.100.7" }
            "#,
            &[
                "0 nic 52:54:00:00:00:01",
                "1 nic 52:54:00:00:00:02",
                "2 bond 802.3ad [0, 1] bond0 192.0.2.11/24 via 192.0.2.1 in lab primary",
                "3 vlan 20 on 2 bond0.20 198.51.100.7/24 in storage",
            ],
        ),
        (
            r#"
            network = "storage"
            bond.bond0 = { ports = ["52:54:00:00:00:01", "52:54:00:00:00:02"], network = "lab", address = "192.0.2.11" }
            vlan."bond0.20" = { on = "bond0", address = "198.51.100.7" }
            "#,
            &[
                "0 nic 52:54:00:00:00:01",
                "1 nic 52:54:00:00:00:02",
                "2 bond active-backup [0, 1] bond0 192.0.2.11/24 in lab",
                "3 vlan 20 on 2 bond0.20 198.51.100.7/24 via 198.51.100.1 in storage primary",
            ],
        ),
        (
            r#"
            interface = [
                { mac = "52:54:00:00:00:01", name = "lan", address = "192.0.2.11" },
                { mac = "52:54:00:00:00:02", network = "rack", dhcp = true },
            ]
            "#,
            &[
                "0 nic 52:54:00:00:00:01 lan 192.0.2.11/24 via 192.0.2.1 in lab primary",
                "1 nic 52:54:00:00:00:02 mtu 9000",
                "2 vlan 30 on 1 dhcp mtu 9000 in rack",
            ],
        ),
        (
            r#"
            bridge.br0 = { ports = ["v20"], address = "198.51.100.7" }
            vlan.v20 = { on = "bond0", id = 20, mtu = 9000 }
            bond.bond0.ports = ["52:54:00:00:00:02"]
            "#,
            &[
                "0 nic 52:54:00:00:00:02 mtu 9000",
                "1 bond active-backup [0] bond0 mtu 9000",
                "2 vlan 20 on 1 v20 mtu 9000",
                "3 bridge [2] br0 198.51.100.7/24 via 198.51.100.1 in storage primary",
            ],
        ),
        (
            r#"
            bridge.br0.ports = ["bond0"]
            bond.bond0.ports = ["52:54:00:00:00:02", "52:54:00:00:00:01"]
            "#,
            &[
                "0 nic 52:54:00:00:00:02",
                "1 nic 52:54:00:00:00:01",
                "2 bond active-backup [0, 1] bond0",
                "3 bridge [2] br0 dhcp primary",
            ],
        ),
        (
            r#"vlan.v20 = { on = "52:54:00:00:00:02", id = 20 }"#,
            &[
                "0 nic 52:54:00:00:00:02",
                "1 vlan 20 on 0 v20",
                "2 nic 52:54:00:00:00:01 dhcp primary",
            ],
        ),
        (
            r#"addresses = "pool""#,
            &["0 nic 52:54:00:00:00:01 in lab primary"],
        ),
    ];
    for (node, plan) in cases {
        let head = "[node.n]\nmac = [\"52:54:00:00:00:01\", \"52:54:00:00:00:02\"]";
        let site = site(&format!("{NETWORKS}\n{head}\n{node}"));
        assert_eq!(lines(&resolved(&site, "n")), plan, "{node}");
    }
}

#[test]
fn an_undeclared_machine_gets_an_address_of_the_pool() {
    let site = site(&format!(
        "{NETWORKS}\n[policy.p]\ntask = \"local\"\nwhen = \"true\"\naccept = \"discovered\"\naddresses = \"pool\""
    ));
    let name: NodeName = "52-54-00-77-00-01".parse().unwrap();
    let mac: Mac = "52:54:00:77:00:01".parse().unwrap();
    let subject = Subject {
        name: &name,
        declared: None,
        macs: vec![mac],
        pooled: Some("192.0.2.60".parse().unwrap()),
    };
    let (resolved, mistakes) = resolve(&site, &subject, Some(&site.policies["p"]));
    assert_eq!(mistakes, []);
    assert_eq!(
        lines(&resolved),
        ["0 nic 52:54:00:77:00:01 192.0.2.60/24 via 192.0.2.1 in lab primary"]
    );
    let HostnameRule::Plain(hostname) = resolved.hostname else {
        panic!("{:?}", resolved.hostname);
    };
    assert_eq!(hostname.as_str(), "52-54-00-77-00-01.lab.example");
    let free = bootwright::site::FreeAddresses::new(&site);
    assert_eq!(free.pool(&site.networks["lab"]).count(), 10);
}

const LAYERS: &str = r#"[defaults]
timezone = "UTC"
dns = "192.0.2.9"
ntp = "ntp.example"
root-password-hash = "abcdefghijklm"
vars = { a = 1, b = 1, c = 1 }

[network.lab]
subnet = "192.0.2.0/24"
gateway = "192.0.2.1"
dns = "192.0.2.2"
domain = "lab.example"

[network.boot]
subnet = "10.0.0.0/24"
unknown = "watch"

[repo.esxi]
path = "esxi"
task = "esxi"

[policy.esxi]
repo = "esxi"
dns = "192.0.2.53"
boot-network = "boot"
vars = { b = 2, c = 2 }

[node.esx02]
mac = "00:50:56:aa:bb:02"
policy = "esxi"
address = "192.0.2.12"
root-password-file = "root"
vars = { c = 3 }

[node.esx03]
mac = "00:50:56:aa:bb:03"
policy = "esxi"
task = "local"
installs = 2
hostname = "esx-{{ node.serial }}"
address = "192.0.2.13/24"
gateway = "192.0.2.3"
dns = []
"#;

#[test]
fn the_higher_layer_wins_and_vars_merge_key_by_key() {
    let site = site(LAYERS);
    let esx02 = resolved(&site, "esx02");
    assert_eq!(
        esx02.net.dns,
        ["192.0.2.53".parse::<std::net::IpAddr>().unwrap()]
    );
    assert_eq!(esx02.net.ntp, ["ntp.example"]);
    assert_eq!(esx02.net.boot_network, Some("boot".parse().unwrap()));
    assert_eq!(esx02.task, Some("esxi".parse().unwrap()));
    assert_eq!(esx02.settings.root_password_hash, None);
    let vars: Vec<String> = esx02
        .settings
        .vars
        .iter()
        .map(|(key, at)| format!("{key}={}", at.value))
        .collect();
    assert_eq!(vars, ["a=1", "b=2", "c=3"]);
    let esx03 = resolved(&site, "esx03");
    assert_eq!(esx03.task, Some("local".parse().unwrap()));
    assert_eq!((esx03.installs, esx03.net.dns.len()), (2, 0));
    assert!(matches!(esx03.hostname, HostnameRule::Template(_)));
}

#[test]
fn every_value_names_its_source_and_the_ones_it_overrides() {
    let site = site(LAYERS);
    let reported = |node: &str| -> Vec<String> {
        let list = provenance(&site, &Subject::declared(&site.nodes[node]), None);
        let line = |span| {
            site.sources
                .file_line(span)
                .replace("policies.d/site.toml:", "")
        };
        list.iter()
            .map(|entry| {
                let mut text = format!("{} = {}", entry.key, entry.value);
                text.extend(entry.span.map(|span| format!(" @{}", line(span))));
                text.extend(entry.detail.iter().map(|detail| format!(" ({detail})")));
                for (value, span) in &entry.shadows {
                    text += &format!(" over {value} @{}", line(*span));
                }
                text
            })
            .collect()
    };
    assert_eq!(
        reported("esx02"),
        [
            r#"policy = "esxi" @30"#,
            r#"repo = "esxi" @23"#,
            r#"task = "esxi" @20 (from repo esxi)"#,
            r#"network = "lab" @9 (it contains the address)"#,
            r#"boot-network = "boot" @25"#,
            r#"hostname = "esx02.lab.example" @28 (domain from policies.d/site.toml:12)"#,
            r#"domain = "lab.example" @12"#,
            r#"address = "192.0.2.12/24" @31 (prefix from network lab, policies.d/site.toml:9)"#,
            r#"gateway = "192.0.2.1" @10"#,
            r#"dns = ["192.0.2.53"] @24 over ["192.0.2.2"] @11 over ["192.0.2.9"] @3"#,
            r#"ntp = ["ntp.example"] @4"#,
            r#"root-password-file = "root" @32 over "…" @5"#,
            r#"timezone = "UTC" @2"#,
            "vars.a = 1 @6",
            "vars.b = 2 @26 over 1 @6",
            "vars.c = 3 @33 over 2 @26 over 1 @6",
        ]
    );
    assert_eq!(
        reported("esx03"),
        [
            r#"policy = "esxi" @37"#,
            r#"repo = "esxi" @23"#,
            r#"task = "local" @38 over "esxi" @20"#,
            "installs = 2 @39",
            r#"network = "lab" @9 (it contains the address)"#,
            r#"boot-network = "boot" @25"#,
            r#"hostname = "esx-{{ node.serial }}" @40"#,
            r#"domain = "lab.example" @12"#,
            r#"address = "192.0.2.13/24" @41"#,
            r#"gateway = "192.0.2.3" @42 over "192.0.2.1" @10"#,
            r#"dns = [] @43 over ["192.0.2.53"] @24 over ["192.0.2.2"] @11 over ["192.0.2.9"] @3"#,
            r#"ntp = ["ntp.example"] @4"#,
            r#"root-password-hash = "…" @5"#,
            r#"timezone = "UTC" @2"#,
            "vars.a = 1 @6",
            "vars.b = 2 @26 over 1 @6",
            "vars.c = 2 @26 over 1 @6",
        ]
    );
}
