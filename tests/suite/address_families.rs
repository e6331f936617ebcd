//! Machines with IPv6 only, and addresses that a machine cannot contact.

use crate::support::rendering::{Rendering, SITE, rendering};

/// The site of the golden files with one more node, on an own network with both families.
fn site(node: &str) -> Rendering {
    rendering(&format!("{SITE}\n{node}\n"), &[])
}

fn found(rendering: &Rendering, node: &str) -> Vec<String> {
    let (_, found) = rendering.inspect(node);
    rendering.shown(
        &rendering
            .found
            .iter()
            .chain(&found)
            .cloned()
            .collect::<Vec<_>>(),
    )
}

/// The node `six` of a policy, with these settings.
fn six(policy: &str, settings: &str) -> Rendering {
    site(&format!(
        "[node.six]\nmac = \"52:54:00:00:00:66\"\npolicy = \"{policy}\"\n{settings}"
    ))
}

const ONLY_V6: &str = "address = \"2001:db8::66\"\ndns = \"2001:db8::2\"\n";
const V4: &str = "http://192.0.2.1/";
const V6: &str = "http://[2001:db8::1]/";

#[test]
fn a_machine_with_ipv6_only_is_told_to_contact_the_server_by_ipv6() {
    // The file, what the loader or the microkernel fetches by IPv4, and what the installer and the system contact by IPv6.
    for (policy, file, by_v4, by_v6) in [
        (
            "rocky",
            "boot.ipxe",
            &[
                "kernel http://192.0.2.1/repo/rocky/images/pxeboot/vmlinuz ",
                "initrd.img http://192.0.2.1/",
            ][..],
            &[
                "inst.ks=http://[2001:db8::1]/t/",
                "inst.repo=http://[2001:db8::1]/repo/rocky ",
                " ip=[2001:db8::66]::[2001:db8::1]:64:six.lab.example::none",
                " nameserver=[2001:db8::2]",
            ][..],
        ),
        (
            "rocky",
            "ks.cfg",
            &[],
            &[
                "url --url=\"http://[2001:db8::1]/repo/rocky\"\n",
                "http://[2001:db8::1]/t/00000000000000000000000000000000/stage/installed",
                "http://[2001:db8::1]/t/00000000000000000000000000000000/first-boot.sh",
            ],
        ),
        (
            "rocky",
            "first-boot.sh",
            &[],
            &["http://[2001:db8::1]/t/00000000000000000000000000000000/stage/finished"],
        ),
        (
            "debian",
            "boot.ipxe",
            &["kernel http://192.0.2.1/repo/debian/"],
            &[
                "url=http://[2001:db8::1]/t/",
                " netcfg/get_ipaddress=2001:db8::66 ",
                " netcfg/get_nameservers=2001:db8::2 ",
            ],
        ),
        (
            "debian",
            "preseed.cfg",
            &[],
            &["http://[2001:db8::1]/t/00000000000000000000000000000000/late.sh"],
        ),
        (
            "debian",
            "first-boot.sh",
            &[],
            &["http://[2001:db8::1]/t/00000000000000000000000000000000/stage/finished"],
        ),
        (
            "image",
            "boot.ipxe",
            &[
                "http://192.0.2.1/microkernel/vmlinuz ",
                "bootwright.order=http://192.0.2.1/t/",
            ],
            &[],
        ),
        (
            "image",
            "order.json",
            &[
                "\"http://192.0.2.1/repo/images/debian-12.raw.xz\"",
                "\"http://192.0.2.1/t/00000000000000000000000000000000/user-data\"",
                "\"callbacks\": \"http://192.0.2.1/t/",
            ],
            &[],
        ),
        (
            "image",
            "user-data",
            &[],
            &["http://[2001:db8::1]/t/00000000000000000000000000000000/stage/finished"],
        ),
    ] {
        let rendering = six(policy, ONLY_V6);
        assert_eq!(found(&rendering, "six"), [""; 0], "{policy}");
        let text = rendering.text("six", file);
        for expected in by_v4.iter().chain(by_v6) {
            assert!(
                text.contains(expected),
                "{policy} {file} lacks `{expected}`:\n{text}"
            );
        }
        assert!(
            !by_v4.is_empty() || !text.contains(V4),
            "{policy} {file}:\n{text}"
        );
        assert!(
            !by_v6.is_empty() || !text.contains(V6),
            "{policy} {file}:\n{text}"
        );
    }
}

#[test]
fn other_machines_contact_the_server_where_they_booted() {
    for (what, policy, settings) in [
        ("IPv4", "rocky", "address = \"192.0.2.66\""),
        (
            "both",
            "debian",
            "address = [\"2001:db8::66\", \"192.0.2.66\"]",
        ),
        (
            "IPv6, and IPv4 by DHCP",
            "rocky",
            "address = \"2001:db8::66\"\ndhcp = true",
        ),
        (
            "IPv6, and IPv4 by DHCP",
            "debian",
            "address = \"2001:db8::66\"\ndhcp = true",
        ),
        (
            "IPv6, and IPv4 by DHCP",
            "image",
            "address = \"2001:db8::66\"\ndhcp = true",
        ),
        ("DHCP", "debian", "network = \"lab\"\ndhcp = true"),
        (
            "IPv4 on another NIC",
            "image",
            "interface = [{ mac = \"52:54:00:00:00:66\", address = \"2001:db8::66\" }, { mac = \"52:54:00:00:00:67\", network = \"storage\", address = \"10.1.0.66\" }]",
        ),
    ] {
        let rendering = six(policy, settings);
        assert_eq!(found(&rendering, "six"), [""; 0], "{what}: {policy}");
        let (rendered, _) = rendering.inspect("six");
        for file in rendered.unwrap().files {
            let text = crate::support::rendering::text(&file.body);
            assert!(
                !text.contains(V6),
                "{what}: {policy} {}:\n{text}",
                file.name
            );
        }
        let boot = rendering.text("six", "boot.ipxe");
        if settings.contains("dhcp") {
            assert!(!boot.contains("2001:db8::66"), "{what}: {policy}:\n{boot}");
        }
    }
}

#[test]
fn an_installer_in_a_boot_network_uses_ipv4_and_its_system_ipv6() {
    for policy in ["rocky", "debian"] {
        let rendering = six(policy, &format!("boot-network = \"boot\"\n{ONLY_V6}"));
        assert_eq!(found(&rendering, "six"), [""; 0], "{policy}");
        assert!(rendering.text("six", "first-boot.sh").contains(V6));
        assert!(!rendering.text("six", "first-boot.sh").contains(V4));
        let document = if policy == "rocky" {
            "ks.cfg"
        } else {
            "preseed.cfg"
        };
        assert!(rendering.text("six", document).contains(V4), "{policy}");
        assert!(!rendering.text("six", document).contains(V6), "{policy}");
    }
}

#[test]
fn what_a_machine_cannot_contact_is_an_error() {
    const NO_SERVER: &str = "node `six` has only IPv6 addresses, and cannot report to this server at `http://192.0.2.1`";
    for (what, policy, settings, server_has_v6, expected) in [
        ("a server without IPv6", "rocky", ONLY_V6, false, NO_SERVER),
        ("a server without IPv6", "debian", ONLY_V6, false, NO_SERVER),
        ("a server without IPv6", "image", ONLY_V6, false, NO_SERVER),
        (
            "a mirror with an IPv4 address",
            "rocky",
            "address = \"2001:db8::66\"\ndns = \"2001:db8::2\"\nvars = { mirror = \"http://192.0.2.5/rocky\" }",
            true,
            "node `six` cannot contact `http://192.0.2.5/rocky`: it has an IPv4 address, and the node only IPv6",
        ),
        (
            "a proxy with an IPv4 address",
            "debian",
            "address = \"2001:db8::66\"\ndns = \"2001:db8::2\"\nvars = { proxy = \"http://192.0.2.5:3128\" }",
            true,
            "node `six` cannot contact `http://192.0.2.5:3128`: it has an IPv4 address, and the node only IPv6",
        ),
        (
            "security updates with an IPv4 address",
            "debian",
            "address = \"2001:db8::66\"\ndns = \"2001:db8::2\"\nvars = { security = \"http://192.0.2.5/debian-security\" }",
            true,
            "node `six` cannot contact `http://192.0.2.5/debian-security`: it has an IPv4 address, and the node only IPv6",
        ),
        (
            "a mirror with an IPv6 address",
            "debian",
            "network = \"storage\"\naddress = \"10.1.0.66\"\nvars = { mirror = \"http://[2001:db8::5]/debian\" }",
            true,
            "node `six` cannot contact `http://[2001:db8::5]/debian`: it has an IPv6 address, and the node only IPv4",
        ),
        (
            "only IPv4 DNS servers",
            "debian",
            "address = \"2001:db8::66\"",
            true,
            "node `six` can contact none of its DNS servers: it has only IPv6 addresses",
        ),
    ] {
        let mut rendering = six(policy, settings);
        if !server_has_v6 {
            rendering.external.v6_urls.clear();
        }
        let found = found(&rendering, "six");
        assert_eq!(found.len(), 1, "{what}, {policy}: {found:#?}");
        assert!(found[0].contains(expected), "{what}, {policy}: {found:#?}");
    }
}

#[test]
fn servers_of_a_family_that_the_machine_lacks_are_left_out() {
    const BOTH: &str = "dns = [\"192.0.2.2\", \"2001:db8::2\"]\nntp = [\"192.0.2.2\", \"2001:db8::3\", \"ntp.example.com\"]\n";
    for (policy, file) in [
        ("rocky", "boot.ipxe"),
        ("rocky", "ks.cfg"),
        ("debian", "boot.ipxe"),
        ("debian", "late.sh"),
        ("image", "network-config"),
        ("image", "user-data"),
    ] {
        let only_v6 = six(policy, &format!("address = \"2001:db8::66\"\n{BOTH}"));
        assert_eq!(found(&only_v6, "six"), [""; 0], "{policy}");
        let text = only_v6.text("six", file);
        assert!(!text.contains("192.0.2.2"), "{policy} {file}:\n{text}");
        let both = six(
            policy,
            &format!("address = [\"192.0.2.66\", \"2001:db8::66\"]\n{BOTH}"),
        );
        let all: String = both
            .inspect("six")
            .0
            .unwrap()
            .files
            .iter()
            .map(|file| crate::support::rendering::text(&file.body))
            .collect();
        assert!(
            all.contains("192.0.2.2") && all.contains("2001:db8::2"),
            "{policy}"
        );
    }
    // Its installer has only the IPv4 address.
    let both = six(
        "debian",
        "address = [\"192.0.2.66\", \"2001:db8::66\"]\ndns = [\"2001:db8::2\", \"192.0.2.2\"]\n",
    );
    let boot = both.text("six", "boot.ipxe");
    assert!(
        boot.contains(" netcfg/get_nameservers=192.0.2.2 "),
        "{boot}"
    );
}
