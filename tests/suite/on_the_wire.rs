//! What happens on a wire where others are: somebody has a machine's address, interfaces come and go, ports are
//! taken, another server appears, strangers storm.

use std::{
    net::UdpSocket,
    process::Command,
    time::{Duration, Instant},
};

use crate::support::{
    server::{find_token, log, node, until},
    wire::{Ends, Host, Serving, alone, ip},
};

/// What the first node asks with, and what it hears where its address is reserved.
const ASK: &str = "discover 1 boot";
const RESERVED: &str = "offer 192.0.2.11 snponly.efi";

#[test]
fn somebody_else_at_a_declared_address_holds_its_machine_until_he_has_gone() {
    alone(
        "on_the_wire::somebody_else_at_a_declared_address_holds_its_machine_until_he_has_gone",
        address_taken,
    );
}

fn address_taken() {
    let other = Host::behind("near");
    other.ip("link set far address 52:54:00:00:00:99");
    other.ip("address add 192.0.2.11/24 dev far");
    let mut serving = Serving::start(3, "dhcp = \"reserve\"");
    let held = "192.0.2.11 is used by 52:54:00:00:00:99, which is not a NIC of this machine";
    let script = serving.machines.boot(1);
    assert!(
        script.contains("holds this machine") && script.contains(held),
        "{script}"
    );
    assert_eq!(find_token(&script), None);
    let shown = node(&mut serving.operators, 1);
    assert_eq!(shown["state"], "held");
    assert!(
        shown["reason"].as_str().unwrap().starts_with(held),
        "{shown}"
    );
    // Nobody has the other one's.
    let begun = Instant::now();
    assert!(
        serving
            .machines
            .boot(2)
            .contains("installing n02.lab.example")
    );
    assert!(begun.elapsed().as_millis() >= 500, "it was not asked for");
    // While a machine is at its DHCP questions it is asked for already.
    assert!(!other.say("discover 3 boot").is_empty());
    std::thread::sleep(Duration::from_secs(1));
    let begun = Instant::now();
    serving.machines.boot(3);
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(500), "{took:?}");
    // Two machines with one address disturb each other: it is not given out.
    assert_eq!(other.say(ASK), [""; 0]);
    other.ip("address del 192.0.2.11/24 dev far");
    until("it is released by itself", || {
        (node(&mut serving.operators, 1)["state"] == "bound").then_some(())
    });
    assert!(
        serving
            .machines
            .boot(1)
            .contains("installing n01.lab.example")
    );
    let log = log(&mut serving.operators, 1);
    let released = log.iter().find(|line| line["event"] == "released").unwrap();
    assert_eq!(released["cause"], "address");
}

#[test]
fn grub_asks_again_while_an_address_is_asked_for() {
    alone(
        "on_the_wire::grub_asks_again_while_an_address_is_asked_for",
        grub,
    );
}

fn grub() {
    let _other = Host::behind("near");
    let _serving = Serving::start(1, "");
    let ask = || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let request = b"\0\x01grub/by-mac/52:54:00:00:00:01/grub.cfg\0octet\0";
        socket
            .set_read_timeout(Some(Duration::from_secs(10)))
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
    std::thread::sleep(Duration::from_secs(2));
    let second = ask();
    assert!(!second.contains("being looked"), "{second}");
}

#[test]
fn an_interface_that_goes_and_comes_is_served_without_a_restart() {
    alone(
        "on_the_wire::an_interface_that_goes_and_comes_is_served_without_a_restart",
        interface_goes_and_comes,
    );
}

fn interface_goes_and_comes() {
    let host = Host::behind("near");
    // The answer goes to its card alone.
    host.ip("link set far address 52:54:00:00:00:01");
    host.ip("address add 192.0.2.11/24 dev far");
    let ask = "quietly 1 boot";
    let _serving = Serving::start(1, "dhcp = \"reserve\"");
    host.hears(ask, RESERVED);
    ip("link set near down");
    assert_eq!(host.say(ask), [""; 0]);
    ip("link set near up");
    host.hears(ask, RESERVED);
    // Made again it has another number.
    ip("link delete near");
    host.connect("near");
    host.ip("link set far address 52:54:00:00:00:01");
    host.ip("address add 192.0.2.11/24 dev far");
    host.hears(ask, RESERVED);
    ip("address del 192.0.2.1/24 dev near");
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(host.say(ask), [""; 0]);
    ip("address add 192.0.2.1/24 dev near");
    host.hears(ask, RESERVED);
}

#[test]
fn a_network_that_is_switched_on_is_served_without_a_restart() {
    alone(
        "on_the_wire::a_network_that_is_switched_on_is_served_without_a_restart",
        network_switched_on,
    );
}

fn network_switched_on() {
    let serving = Serving::start(1, "dhcp = \"off\"");
    // Its interface comes later, too.
    let host = Host::behind("near");
    assert_eq!(host.say(ASK), [""; 0]);
    serving.edit("dhcp = \"off\"", "dhcp = \"reserve\"");
    host.hears(ASK, RESERVED);
    assert_eq!(host.say("discover 77 phone"), [""; 0]);
    let server = "dhcp = \"server\"\nrange = \"192.0.2.100-192.0.2.110\"";
    serving.edit("dhcp = \"reserve\"", server);
    host.hears("discover 77 phone", "offer 192.0.2.100");
    serving.edit(server, "dhcp = \"off\"");
    serving.says("DHCP has left port 67");
    assert_eq!(host.say(ASK), [""; 0]);
}

#[test]
fn a_port_that_is_taken_is_named_and_taken_up_when_it_is_free() {
    alone(
        "on_the_wire::a_port_that_is_taken_is_named_and_taken_up_when_it_is_free",
        port_taken,
    );
}

fn port_taken() {
    let host = Host::behind("near");
    host.ip("address add 192.0.2.200/24 dev far");
    let name = std::fs::read_to_string("/proc/self/comm").unwrap();
    let we = format!("{} (pid {})", name.trim(), std::process::id());
    let hold = |port: u16| UdpSocket::bind(("0.0.0.0", port)).unwrap();

    let held = [hold(67), hold(69)];
    let serving = Serving::start(1, "dhcp = \"proxy\"");
    serving.says("DHCP port 67 cannot be had");
    serving.says(&format!(
        "{we} has it; proxy networks go on with port 4011 alone"
    ));
    serving.says(&format!("{we} has port 69; it is tried again every 10 s"));
    host.hears("boot-server 1", "ack 0.0.0.0 snponly.efi");
    assert_eq!(host.say(ASK), [""; 0]);
    drop(held);
    serving.says("DHCP answers on port 67");
    serving.says("TFTP answers on port 69");
    host.hears(ASK, "offer 0.0.0.0 snponly.efi");
    // Once, and not every ten seconds.
    assert_eq!(serving.log().matches("cannot be had").count(), 1);
    drop(serving);

    let held = hold(4011);
    let serving = Serving::start(1, "dhcp = \"proxy\"");
    serving.says("DHCP port 4011 cannot be had");
    serving.says(&format!(
        "{we} has it; firmware that asks the boot server itself gets no answer"
    ));
    host.hears(ASK, "offer 0.0.0.0 snponly.efi");
    drop(held);
    serving.says("DHCP answers on port 4011");
    drop(serving);

    // In its default mode it keeps the port for itself.
    let other = dnsmasq(Command::new("dnsmasq"), "near", "192.0.2.120,192.0.2.150");
    until("dnsmasq has the port", || {
        UdpSocket::bind(("0.0.0.0", 67)).err()
    });
    let serving = Serving::start(1, "dhcp = \"proxy\"");
    serving.says(&format!("dnsmasq (pid {}) has it", other.0.id()));
    host.hears("boot-server 1", "ack 0.0.0.0 snponly.efi");
    drop(other);
    serving.says("DHCP answers on port 67");
    host.hears(ASK, "offer 0.0.0.0 snponly.efi");
}

#[test]
fn a_second_server_that_appears_silences_this_one_until_it_has_gone() {
    alone(
        "on_the_wire::a_second_server_that_appears_silences_this_one_until_it_has_gone",
        second_server,
    );
}

fn second_server() {
    let host = Host::behind("near");
    host.ip("address add 192.0.2.254/24 dev far");
    let range = "dhcp = \"server\"\nrange = \"192.0.2.100-192.0.2.110\"";
    let serving = Serving::start(1, range);
    let (ask, ours) = ("discover 77 phone", "offer 192.0.2.100");
    host.hears(ask, ours);
    // The other server's own offers may be heard as well.
    let is_silent = || {
        let heard = host.say(ask);
        assert!(!heard.iter().any(|answer| answer == ours), "{heard:?}");
    };
    let taken = "another DHCP server, 192.0.2.254, answers on network lab";
    let gone = "no other DHCP server answers on network lab any more";

    let router = dnsmasq(host.program("dnsmasq"), "far", "192.0.2.120,192.0.2.150");
    serving.signal("-HUP");
    serving.says_times(taken, 1);
    is_silent();
    drop(router);
    serving.signal("-HUP");
    serving.says_times(gone, 1);
    host.hears(ask, ours);
    // What a client says of it is heard at once.
    host.say("request 78 phone 192.0.2.254 192.0.2.130");
    is_silent();
    serving.says_times(taken, 2);
    serving.signal("-HUP");
    serving.says_times(gone, 2);
    host.hears(ask, ours);
}

/// Starts the other server on an interface.
fn dnsmasq(mut command: Command, interface: &str, range: &str) -> Ends {
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
    Ends(
        command
            .spawn()
            .expect("dnsmasq is installed by `tests/run tools`"),
    )
}

#[test]
fn a_storm_of_strangers_is_survived_and_declared_machines_are_answered_in_it() {
    alone(
        "on_the_wire::a_storm_of_strangers_is_survived_and_declared_machines_are_answered_in_it",
        storm,
    );
}

fn storm() {
    let host = Host::behind("near");
    let range = "dhcp = \"server\"\nrange = \"192.0.2.100-192.0.2.250\"";
    let mut serving = Serving::start(1, range);
    host.hears("discover 77 phone", "offer 192.0.2.100");
    let (memory, journal) = (serving.memory(), serving.journal());
    let nodes = |serving: &mut Serving| {
        let nodes = serving.operators.get("/api/v1/nodes").json();
        nodes.as_array().unwrap().len()
    };
    for (who, most_nodes, most_lines) in [("phone", 1, 30), ("boot", 51, 2_000)] {
        let mut storm = host.begin_to_say(&format!("storm 5000 {who}"));
        let begun = Instant::now();
        host.hears(ASK, RESERVED);
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            begun.elapsed()
        );
        assert!(storm.0.wait().unwrap().success());
        let (shown, lines) = (nodes(&mut serving), serving.journal() - journal);
        assert!(shown <= most_nodes, "{shown} nodes after {who}");
        assert!(lines <= most_lines, "{lines} lines after {who}");
        let grown = serving.memory().saturating_sub(memory);
        assert!(grown < 16 << 10, "{grown} KiB more after {who}");
    }
    assert_eq!(nodes(&mut serving), 51);
    host.hears(ASK, RESERVED);
}
