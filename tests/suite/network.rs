//! The program on a network with other hosts: address conflicts, interfaces that go and return, ports in use, another DHCP server, and
//! storms of undeclared clients.

use std::{net::UdpSocket, process::Command, time::Duration};

use crate::support::{
    child::{KillOnDrop, in_network_namespace},
    client::{find_token, log, node, until},
    namespace::{Host, ip},
    needs::needs,
    program::ServerProgram,
    test_name,
};

/// The message of the first node, and the reply if its address is reserved.
const ASK: &str = "discover 1 boot";
const RESERVED: &str = "offer 192.0.2.11 snponly.efi";

#[test]
fn another_host_at_a_machines_address_holds_the_machine_until_the_address_is_free() {
    in_network_namespace(test_name!(), address_taken);
}

fn address_taken() {
    let other = Host::behind("near");
    other.ip("link set far address 52:54:00:00:00:99");
    other.ip("address add 192.0.2.11/24 dev far");
    let arp = other.observe_arp();
    let mut server = ServerProgram::start(3, "dhcp = \"reserve\"");
    let held = "192.0.2.11 is used by 52:54:00:00:00:99, which is not a NIC of this machine";
    let script = server.machines.boot(1);
    assert!(
        script.contains("holds this machine") && script.contains(held),
        "{script}"
    );
    assert_eq!(find_token(&script), None);
    let shown = node(&mut server.operators, 1);
    assert_eq!(shown["state"], "held");
    assert!(
        shown["reason"].as_str().unwrap().starts_with(held),
        "{shown}"
    );
    // The address of the second machine is free, which is checked first.
    assert!(!arp.has("192.0.2.12"));
    assert!(
        server
            .machines
            .boot(2)
            .contains("installing n02.lab.example")
    );
    arp.wait_for("192.0.2.12");
    // That of the third is checked as soon as the machine sends a DHCP message.
    other.expect("discover 3 boot", |_| true);
    arp.wait_for("192.0.2.13");
    assert!(
        server
            .machines
            .boot(3)
            .contains("installing n03.lab.example")
    );
    // Two hosts with one address disturb each other, so the machine is not offered it.
    assert_eq!(server.ignores(&other, ASK), [""; 0]);
    other.ip("address del 192.0.2.11/24 dev far");
    until("the machine is released", || {
        (node(&mut server.operators, 1)["state"] == "bound").then_some(())
    });
    assert!(
        server
            .machines
            .boot(1)
            .contains("installing n01.lab.example")
    );
    let log = log(&mut server.operators, 1);
    let released = log.iter().find(|line| line["event"] == "released").unwrap();
    assert_eq!(released["cause"], "address");
}

#[test]
fn grub_polls_while_its_address_is_checked() {
    in_network_namespace(test_name!(), grub);
}

fn grub() {
    let _other = Host::behind("near");
    let _server = ServerProgram::start(1, "");
    let ask = || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let request = b"\0\x01grub/by-mac/52:54:00:00:00:01/grub.cfg\0octet\0";
        socket
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        socket.send_to(request, "127.0.0.1:69").unwrap();
        let mut block = [0; 600];
        let (length, _) = socket.recv_from(&mut block).unwrap();
        String::from_utf8_lossy(&block[4..length]).into_owned()
    };
    let first = ask();
    assert!(
        first.contains("checking that its IP address is not in use"),
        "{first}"
    );
    assert!(first.contains("sleep 30\nconfigfile $prefix"), "{first}");
    until("the address is known to be free", || {
        (!ask().contains("checking that its IP address is not in use")).then_some(())
    });
}

#[test]
fn an_interface_that_returns_is_served_without_a_restart() {
    in_network_namespace(test_name!(), interface_returns);
}

fn interface_returns() {
    let host = Host::behind("near");
    // The reply is sent to this MAC address only.
    host.ip("link set far address 52:54:00:00:00:01");
    host.ip("address add 192.0.2.11/24 dev far");
    let ask = "unicast 1 boot";
    let server = ServerProgram::start(1, "dhcp = \"reserve\"");
    host.expect_reply(ask, RESERVED);
    ip("link set near down");
    ip("link set near up");
    host.expect_reply(ask, RESERVED);
    // Created again, it has another index.
    ip("link delete near");
    host.connect("near");
    ip("address add 192.0.2.1/24 dev near");
    host.ip("link set far address 52:54:00:00:00:01");
    host.ip("address add 192.0.2.11/24 dev far");
    host.expect_reply(ask, RESERVED);
    ip("address del 192.0.2.1/24 dev near");
    server.wait_until_it_ignores(&host, ask);
    ip("address add 192.0.2.1/24 dev near");
    host.expect_reply(ask, RESERVED);
}

#[test]
fn dhcp_that_is_switched_on_is_served_without_a_restart() {
    in_network_namespace(test_name!(), network_switched_on);
}

fn network_switched_on() {
    let server = ServerProgram::start(1, "dhcp = \"off\"");
    assert!(!is_bound(67));
    // Its interface appears later, too.
    let host = Host::behind("near");
    server.edit("dhcp = \"off\"", "dhcp = \"reserve\"");
    host.expect_reply(ASK, RESERVED);
    assert_eq!(server.ignores(&host, "discover 77 phone"), [""; 0]);
    let with_range = "dhcp = \"server\"\nrange = \"192.0.2.100-192.0.2.110\"";
    server.edit("dhcp = \"reserve\"", with_range);
    host.expect_reply("discover 77 phone", "offer 192.0.2.100");
    server.edit(with_range, "dhcp = \"off\"");
    server.wait_for_log("DHCP: stopped listening on port 67");
    assert!(!is_bound(67));
}

/// Tests whether a UDP port is bound in this namespace.
fn is_bound(port: u16) -> bool {
    let sockets = std::fs::read_to_string("/proc/thread-self/net/udp").unwrap();
    sockets.contains(&format!(":{port:04X} "))
}

#[test]
fn a_port_in_use_is_logged_with_its_program_and_is_bound_when_it_is_free() {
    needs!("dnsmasq");
    in_network_namespace(test_name!(), port_taken);
}

fn port_taken() {
    let host = Host::behind("near");
    host.ip("address add 192.0.2.200/24 dev far");
    let name = std::fs::read_to_string("/proc/self/comm").unwrap();
    let we = format!("{} (pid {})", name.trim(), std::process::id());
    let hold = |port: u16| UdpSocket::bind(("0.0.0.0", port)).unwrap();

    let held = [hold(67), hold(69)];
    let server = ServerProgram::start(1, "dhcp = \"proxy\"");
    server.wait_for_log("cannot bind DHCP port 67");
    server.wait_for_log(&format!(
        "in use by {we}; proxy networks use port 4011 only"
    ));
    server.wait_for_log(&format!(
        "port 69 is in use by {we}; binding is retried every 10 s"
    ));
    host.expect_reply("boot-server 1", "ack 0.0.0.0 snponly.efi");
    // What is sent to port 67 arrives at the program that holds it, and is not answered.
    let client = host.send(ASK);
    held[0].recv(&mut [0; 2_048]).unwrap();
    host.expect_reply("boot-server 1", "ack 0.0.0.0 snponly.efi");
    assert_eq!(client.replies(), [""; 0]);
    drop(held);
    server.wait_for_log("DHCP: listening on port 67");
    server.wait_for_log("TFTP: listening on port 69");
    host.expect_reply(ASK, "offer 0.0.0.0 snponly.efi");
    // Once, and not every ten seconds.
    assert_eq!(server.log().matches("cannot bind DHCP port").count(), 1);
    drop(server);

    let held = hold(4011);
    let server = ServerProgram::start(1, "dhcp = \"proxy\"");
    server.wait_for_log("cannot bind DHCP port 4011");
    server.wait_for_log(&format!(
        "in use by {we}; firmware that queries the boot server gets no answer"
    ));
    host.expect_reply(ASK, "offer 0.0.0.0 snponly.efi");
    drop(held);
    server.wait_for_log("DHCP: listening on port 4011");
    drop(server);

    // In its default mode it keeps the port for itself.
    let other = dnsmasq(Command::new("dnsmasq"), "near", "192.0.2.120,192.0.2.150");
    until("dnsmasq has the port", || {
        UdpSocket::bind(("0.0.0.0", 67)).err()
    });
    let server = ServerProgram::start(1, "dhcp = \"proxy\"");
    server.wait_for_log(&format!("in use by dnsmasq (pid {})", other.0.id()));
    host.expect_reply("boot-server 1", "ack 0.0.0.0 snponly.efi");
    drop(other);
    server.wait_for_log("DHCP: listening on port 67");
    host.expect_reply(ASK, "offer 0.0.0.0 snponly.efi");
}

#[test]
fn another_dhcp_server_silences_this_one_until_it_is_gone() {
    needs!("dnsmasq");
    in_network_namespace(test_name!(), second_server);
}

fn second_server() {
    let host = Host::behind("near");
    host.ip("address add 192.0.2.254/24 dev far");
    let range = "dhcp = \"server\"\nrange = \"192.0.2.100-192.0.2.110\"";
    let server = ServerProgram::start(1, range);
    let (ask, own) = ("discover 77 phone", "offer 192.0.2.100");
    host.expect_reply(ask, own);
    // The other server's own offers may arrive as well.
    let expect_no_offer = || {
        let replies = server.ignores(&host, ask);
        assert!(!replies.iter().any(|reply| reply == own), "{replies:?}");
    };
    let taken = "another DHCP server, 192.0.2.254, answers on network lab";
    let free_message = "no other DHCP server answers on network lab any more";

    let router = dnsmasq(host.program("dnsmasq"), "far", "192.0.2.120,192.0.2.150");
    server.signal("-HUP");
    server.wait_for_log(taken);
    expect_no_offer();
    drop(router);
    server.signal("-HUP");
    server.wait_for_log(free_message);
    host.expect_reply(ask, own);
    // A client's request to it counts at once.
    let client = host.send("request 78 phone 192.0.2.254 192.0.2.130");
    server.wait_for_log_times(taken, 2);
    expect_no_offer();
    drop(client);
    server.signal("-HUP");
    server.wait_for_log_times(free_message, 2);
    host.expect_reply(ask, own);
}

/// Starts the other server on an interface.
fn dnsmasq(mut command: Command, interface: &str, range: &str) -> KillOnDrop {
    command
        .args([
            "--keep-in-foreground",
            "--port=0",
            "--conf-file=/dev/null",
            "--pid-file",
        ])
        .args(["--user=root", "--no-ping", "--dhcp-leasefile=/dev/null"])
        .arg(format!("--interface={interface}"))
        .arg(format!("--dhcp-range={range},10m"));
    KillOnDrop(
        command
            .spawn()
            .expect("dnsmasq is installed by `tests/run tools`"),
    )
}

#[test]
fn declared_machines_are_answered_in_a_storm_of_undeclared_clients() {
    in_network_namespace(test_name!(), storm);
}

fn storm() {
    let host = Host::behind("near");
    let range = "dhcp = \"server\"\nrange = \"192.0.2.100-192.0.2.250\"";
    let mut server = ServerProgram::start(1, range);
    host.expect_reply("discover 77 phone", "offer 192.0.2.100");
    let (memory, journal) = (server.memory_kib(), server.journal_lines());
    let nodes = |server: &mut ServerProgram| {
        let nodes = server.operators.get("/api/v1/nodes").json();
        nodes.as_array().unwrap().len()
    };
    for (who, most_nodes, most_lines) in [("phone", 1, 30), ("boot", 51, 2_000)] {
        let mut storm = host.begin_storm(5_000, who);
        host.expect_reply(ASK, RESERVED);
        assert!(storm.0.wait().unwrap().success());
        let (shown, lines) = (nodes(&mut server), server.journal_lines() - journal);
        assert!(shown <= most_nodes, "{shown} nodes after {who}");
        assert!(lines <= most_lines, "{lines} lines after {who}");
        let grown = server.memory_kib().saturating_sub(memory);
        assert!(grown < 16 << 10, "{grown} KiB more after {who}");
    }
    assert_eq!(nodes(&mut server), 51);
    host.expect_reply(ASK, RESERVED);
}
