//! Names of NICs in the RHEL family: the installed system has the declared ones, or its own.
//!
//! Anaconda writes `10-anaconda-ifname-NAME.link` for each `ifname=` of the kernel command line, and binds the connection of the
//! NIC to that name.

use std::{collections::BTreeMap, sync::Arc};

use bootwright::model::{Node, NodeName};

use crate::support::{
    needs::{initrd_generator, needs},
    rendering::{Rendering, SITE, installed_files, networks, rendering},
};

/// Nodes whose NICs have declared names.
const DECLARED: &str = r#"
[node.named]
mac = "52:54:00:00:00:71"
policy = "rocky"
interface = { mac = "52:54:00:00:00:71", name = "lan0", address = "192.0.2.71" }

[node.named-vlan]
mac = "52:54:00:00:00:72"
policy = "rocky"
interface = { mac = "52:54:00:00:00:72", name = "lan0" }
vlan."lan0.20" = { on = "lan0", id = 20, network = "management", address = "198.51.100.72" }
"#;

/// The sites of these tests.
fn sites() -> [Rendering; 3] {
    let declared = rendering(&format!("{SITE}{DECLARED}"), &[]);
    [rendering(SITE, &[]), networks("rocky"), declared]
}

/// The nodes of a site that the policy `rocky` binds.
fn rocky_nodes(site: &Rendering) -> impl Iterator<Item = (&NodeName, &Arc<Node>)> {
    site.site.nodes.iter().filter(|(_, node)| {
        let policy = node.body.policy.as_ref();
        policy.is_some_and(|policy| policy.value.as_str() == "rocky")
    })
}

/// The arguments of the kernel for one node.
fn arguments(script: &str) -> Vec<String> {
    let kernel = script.lines().find(|line| line.starts_with("kernel "));
    let words = kernel.unwrap().split(' ').filter(|word| word.contains('='));
    words.map(String::from).collect()
}

/// The names in `ifname=` arguments, with their MACs.
fn renamed(arguments: &[String]) -> BTreeMap<String, String> {
    let names = arguments
        .iter()
        .filter_map(|word| word.strip_prefix("ifname="));
    names
        .filter_map(|word| word.split_once(':'))
        .map(|(name, mac)| (name.into(), mac.into()))
        .collect()
}

/// The connections that NetworkManager makes in the installer, by id.
fn connections(arguments: &[String]) -> BTreeMap<String, String> {
    let output = initrd_generator()
        .unwrap()
        .args(["-s", "--"])
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success() && !errors.contains("<warn>"),
        "{arguments:?}: {errors}"
    );
    let sections = text.split("*** Connection '").skip(1);
    sections
        .map(|section| {
            let (name, text) = section.split_once("' ***\n").unwrap();
            (name.to_owned(), text.to_owned())
        })
        .collect()
}

#[test]
fn the_installer_configures_the_nic_with_the_mac_of_the_declaration() {
    needs!("nmcli");
    let mut seen = [0, 0];
    for site in sites() {
        for (node, declared) in rocky_nodes(&site) {
            let words = arguments(&site.text(node.as_str(), "boot.ipxe"));
            let ip = words
                .iter()
                .find_map(|word| word.strip_prefix("ip="))
                .unwrap();
            let connections = connections(&words);
            let macs = declared.macs();
            let mac = macs.first().map(|mac| mac.value.to_string());
            if ip == "dhcp" {
                let connection = &connections["default_connection"];
                assert!(
                    connection.contains("[ipv4]\ndhcp-timeout=90\nmay-fail=false\nmethod=auto\n"),
                    "{node}: {connection}"
                );
                seen[0] += 1;
                continue;
            }
            let address = ip.trim_start_matches('[').split([']', ':']).next().unwrap();
            let v6 = ip
                .starts_with('[')
                .then(|| ip[1..].split(']').next().unwrap());
            let address = format!("\naddress1={}/", v6.unwrap_or(address));
            let with_address: Vec<_> = connections
                .values()
                .filter(|text| text.contains(&address))
                .collect();
            let [connection] = with_address[..] else {
                panic!("{node}: {words:?}: {connections:#?}");
            };
            assert!(
                connection.contains("\nmethod=manual\n"),
                "{node}: {connection}"
            );
            let renamed = renamed(&words);
            if renamed.is_empty() {
                let bound = format!("mac-address={}\n", mac.unwrap().to_uppercase());
                assert!(connection.contains(&bound), "{node}: {connection}");
                assert!(
                    !connection.contains("interface-name="),
                    "{node}: {connection}"
                );
                assert_eq!(connections.len(), 1, "{node}: {connections:#?}");
            } else {
                let of_name = renamed
                    .keys()
                    .any(|name| connection.contains(&format!("interface-name={name}")));
                assert!(of_name, "{node}: {connection}");
            }
            seen[1] += 1;
        }
    }
    assert!(seen[0] >= 3 && seen[1] >= 8, "{seen:?}");
}

#[test]
fn an_address_without_a_nic_would_be_found() {
    needs!("nmcli");
    let words = ["ip=192.0.2.21::192.0.2.1:255.255.255.0:host::none".to_owned()];
    let connections = connections(&words);
    let connection = &connections["default_connection"];
    assert!(
        connection.contains("address1=192.0.2.21/24"),
        "{connection}"
    );
    assert!(!connection.contains("mac-address="), "{connection}");
}

#[test]
fn a_name_of_the_installer_does_not_stay() {
    let mut seen = [0, 0, 0];
    for site in sites() {
        for (node, _) in rocky_nodes(&site) {
            let words = arguments(&site.text(node.as_str(), "boot.ipxe"));
            let kickstart = site.text(node.as_str(), "ks.cfg");
            let files = installed_files(&kickstart);
            for (name, mac) in renamed(&words) {
                let own = files.get(&format!("10-{name}.link"));
                if let Some(own) = own {
                    // The declared name, as in Anaconda's file.
                    assert!(
                        own.contains(&format!("PermanentMACAddress={mac}\n")),
                        "{node}: {own}"
                    );
                    seen[0] += 1;
                    continue;
                }
                let masked = format!(
                    "ln -sf /dev/null \"$root/etc/systemd/network/10-anaconda-ifname-{name}.link\""
                );
                let removed = format!("rm -f /etc/systemd/network/10-anaconda-ifname-{name}.link");
                assert!(
                    kickstart.contains(&masked) && kickstart.contains(&removed),
                    "{node}:\n{kickstart}"
                );
                // Anaconda's connection has that name too.
                assert!(
                    kickstart
                        .contains("rm -f /etc/NetworkManager/system-connections/*.nmconnection"),
                    "{node}"
                );
                let keyfiles: Vec<_> = files
                    .iter()
                    .filter(|(file, _)| file.ends_with(".nmconnection"))
                    .collect();
                assert!(!keyfiles.is_empty(), "{node}");
                for (file, text) in keyfiles {
                    assert!(!text.contains(&name), "{node}: {file}:\n{text}");
                }
                seen[1] += 1;
            }
            seen[2] += usize::from(renamed(&words).is_empty());
        }
    }
    assert!(seen.iter().all(|number| *number > 0), "{seen:?}");
}
