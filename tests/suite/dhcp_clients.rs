//! DHCP clients of installed systems: behind a gateway that is outside of their subnet, and on InfiniBand.

use std::{
    fs,
    process::{Command, Stdio},
};

use crate::support::{
    child::{KillOnDrop, in_network_namespace},
    client::until,
    namespace::{Host, ip},
    needs::{needs, nmcli, program},
    program::ServerProgram,
    test_name,
};

/// The gateway, and a host behind it.
const GATEWAY: &str = "172.31.1.1";
const BEHIND: &str = "203.0.113.7";

/// The settings of the network, and its options.
const NETWORK: &str = "dhcp = \"reserve\"\non-link = true\n";
const OPTIONS: &str = "\n[network.lab.options]\n\
    tzdb-timezone = \"Europe/Berlin\"\n\
    classless-static-routes = \"10.0.0.0/8 via 192.0.2.77\"\n\
    224 = { hex = \"01a4\", always = true }\n";

/// The first node of a site whose gateway is outside of the subnet. This host is the gateway too.
fn behind_a_gateway() -> (Host, ServerProgram) {
    let host = Host::behind("near");
    host.ip("link set far address 52:54:00:00:00:01");
    ip(&format!("address add {GATEWAY}/32 dev near"));
    ip(&format!("address add {BEHIND}/32 dev lo"));
    let server = ServerProgram::prepared(1, NETWORK, |site| {
        let file = site.path().join("policies.d/site.toml");
        let own = fs::read_to_string(file).unwrap();
        let before = "gateway = \"192.0.2.1\"";
        assert!(own.contains(before), "{own}");
        let own = own.replace(before, &format!("gateway = \"{GATEWAY}\""));
        let long = "x".repeat(250);
        let long = format!("225 = {{ text = \"{long}\", always = true }}\n");
        site.write("policies.d/site.toml", &(own + OPTIONS + &long));
    });
    (host, server)
}

/// Waits until the host behind the gateway answers the client. Returns the client's routes.
fn routes_when_reachable(host: &Host) -> Vec<String> {
    until("the host behind the gateway answers", || {
        let ping = host
            .program("busybox")
            .args(["ping", "-c", "1", "-W", "1", BEHIND])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        ping.unwrap().success().then_some(())
    });
    let shown = host
        .program("ip")
        .args(["-4", "route", "show", "dev", "far"])
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    shown.lines().map(|line| line.trim().to_owned()).collect()
}

fn assert_has_routes(routes: &[String]) {
    for expected in [
        "default via 172.31.1.1",
        "172.31.1.1 ",
        "10.0.0.0/8 via 192.0.2.77",
    ] {
        let has = routes.iter().any(|route| route.starts_with(expected));
        assert!(has, "{expected}: {routes:?}");
    }
}

#[test]
fn systemd_networkd_reaches_what_is_behind_a_gateway_outside_of_the_subnet() {
    needs!("busybox", "systemd-networkd", "mount");
    in_network_namespace(test_name!(), networkd);
}

fn networkd() {
    let (host, _server) = behind_a_gateway();
    // A read-only /sys is that of a container: networkd does not wait for udev.
    let script = "mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /etc/systemd && mount -t sysfs -o ro sysfs /sys \
        && mkdir /etc/systemd/network && printf '%s' \"$0\" >/etc/systemd/network/far.network && exec \"$1\"";
    let settings = "[Match]\nName=far\n\n[Network]\nDHCP=ipv4\nLinkLocalAddressing=no\n";
    let networkd = host
        .program("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script])
        .arg(settings)
        .arg(program("systemd-networkd").unwrap())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let _networkd = KillOnDrop(networkd.unwrap());
    let routes = routes_when_reachable(&host);
    assert_has_routes(&routes);
}

#[test]
fn udhcpc_gets_the_routes_and_the_options_of_the_site() {
    needs!("busybox");
    in_network_namespace(test_name!(), udhcpc);
}

/// What the script of a distribution does with an offer: the address, then the routes, of which some are on the link. It prints
/// the values that it got.
const SCRIPT: &str = r#"#!/bin/sh
[ "$1" = bound ] || exit 0
echo "$tzdbstr $opt224"
ip address add "$ip/$mask" dev "$interface"
set -- $staticroutes
while [ $# -ge 2 ]; do
    if [ "$2" = 0.0.0.0 ]; then
        ip route add "$1" dev "$interface"
    else
        ip route add "$1" via "$2" dev "$interface"
    fi
    shift 2
done
"#;

fn udhcpc() {
    let (host, server) = behind_a_gateway();
    let directory = tempfile::tempdir().unwrap();
    let script = directory.path().join("script");
    fs::write(&script, SCRIPT).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&script, mode).unwrap();
    let ended = host
        .program("busybox")
        .args([
            "udhcpc", "-i", "far", "-f", "-q", "-n", "-t", "20", "-T", "1",
        ])
        // RFC 4833's, and the routes.
        .args(["-O", "101", "-O", "121", "-s"])
        .arg(&script)
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&[ended.stdout, ended.stderr].concat()).into_owned();
    assert!(ended.status.success(), "{printed}");
    assert!(printed.contains("Europe/Berlin 01a4"), "{printed}");
    assert_has_routes(&routes_when_reachable(&host));
    // udhcpc sends this size in option 57. The line is for the offer and for the acknowledgement.
    let line = "DHCP: the answer to 52:54:00:00:00:01 has no room for the options 225: the client accepts 576 bytes";
    assert_eq!(server.log().matches(line).count(), 1);
}

#[test]
fn an_infiniband_client_gets_no_address_and_one_line_in_the_log() {
    in_network_namespace(test_name!(), infiniband);
}

fn infiniband() {
    let host = Host::behind("near");
    let range = "dhcp = \"server\"\nrange = \"192.0.2.100-192.0.2.110\"";
    let server = ServerProgram::start(1, range);
    host.expect_reply("discover 77 phone", "offer 192.0.2.100");
    let clients: Vec<_> = (1..=3)
        .map(|number| host.send(&format!("infiniband {number}")))
        .collect();
    server.wait_for_log("no answer to an InfiniBand device");
    // The next address is not used up, and what was sent before is not answered.
    host.expect_reply("discover 78 phone", "offer 192.0.2.101");
    for client in clients {
        let replies = client.replies();
        assert!(
            replies.iter().all(|reply| reply == "offer 192.0.2.101"),
            "{replies:?}"
        );
    }
    assert_eq!(server.log().matches("to an InfiniBand device").count(), 1);
}

#[test]
fn the_commands_of_the_manual_configure_an_infiniband_device() {
    needs!("nmcli", "netplan");
    let page = include_str!("../../src/manual/networks.md");
    let block = |language: &str| {
        let (_, rest) = page.split_once("\n## InfiniBand\n").unwrap();
        let (_, rest) = rest.split_once(&format!("```{language}\n")).unwrap();
        rest.split_once("```").unwrap().0.to_owned()
    };
    let script = block("sh").replace("\\\n", "");
    let arguments = script.trim().strip_prefix("nmcli ").unwrap();
    let made = nmcli()
        .unwrap()
        .arg("--offline")
        .args(arguments.split_whitespace())
        .output()
        .unwrap();
    let made = String::from_utf8(made.stdout).unwrap();
    for line in [
        "type=infiniband",
        "interface-name=ib0",
        "transport-mode=datagram",
        "address1=198.51.100.7/24",
    ] {
        assert!(made.lines().any(|other| other == line), "{line}: {made}");
    }
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("etc/netplan");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("ib0.yaml"), block("yaml")).unwrap();
    let ended = Command::new(program("netplan").unwrap())
        .args(["generate", "--root-dir"])
        .arg(root.path())
        .output()
        .unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let made = root
        .path()
        .join("run/systemd/network/10-netplan-ib0.network");
    let made = fs::read_to_string(made).unwrap();
    let expected = "[Match]\nName=ib0\n\n[Network]\nLinkLocalAddressing=ipv6\nAddress=198.51.100.7/24\n\n[IPoIB]\nMode=datagram\n";
    assert_eq!(made, expected);
}
