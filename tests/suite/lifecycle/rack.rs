//! A rack of twelve servers that share what real servers share: the MAC of their BMC's NIC over USB, and serial numbers.

use crate::support::story::Lab;

const SERVERS: usize = 12;

const NETWORK: &str = "[network.lab]\nsubnet = \"192.0.2.0/24\"\nunknown = \"discover\"\n";

/// The NIC that a server boots from.
fn boot_mac(server: usize) -> String {
    format!("52:54:00:00:00:{server:02x}")
}

fn second_mac(server: usize) -> String {
    format!("52:54:00:00:01:{server:02x}")
}

/// Servers 1 and 2 have the same serial number, and so have 3 and 4.
fn serial(server: usize) -> String {
    match server {
        1 | 2 => "TWIN-A".into(),
        3 | 4 => "TWIN-B".into(),
        _ => format!("CZ{server:04}"),
    }
}

fn uuid(server: usize) -> String {
    format!("4c4c4544-0042-4410-8053-{server:012x}")
}

/// A server boots the microkernel, which reports its hardware. The virtual functions have other random MACs at every boot.
fn report(lab: &mut Lab, server: usize, boot: usize) {
    let token = lab.step(&boots(server)).0;
    assert_eq!(token, format!("microkernel %{server}"));
    let mac = |mac: String, more: &str| format!(r#"{{"mac":"{mac}",{more}}}"#);
    let nics = [
        mac(boot_mac(server), r#""bus":"pci""#),
        mac(second_mac(server), r#""bus":"pci""#),
        mac(
            "52:54:00:ff:00:01".into(),
            r#""bus":"usb","driver":"cdc_ether""#,
        ),
        mac(
            format!("52:54:02:{boot:02x}:00:{server:02x}"),
            r#""bus":"pci","virtual_function":true"#,
        ),
        mac(
            format!("52:54:02:{boot:02x}:01:{server:02x}"),
            r#""bus":"pci","random_address":true"#,
        ),
    ];
    let (serial, uuid, nics) = (serial(server), uuid(server), nics.join(","));
    let facts = format!(r#"{{"serial":"{serial}","uuid":"{uuid}","nics":[{nics}]}}"#);
    lab.step("wait 1m");
    let answer = lab
        .step(&format!("report %{server} from=c{server} {facts}"))
        .0;
    assert!(answer.contains("waits"), "{answer}");
}

fn boots(server: usize) -> String {
    let (mac, second) = (boot_mac(server), second_mac(server));
    let (serial, uuid) = (serial(server), uuid(server));
    // iPXE lists the NIC of the BMC too.
    format!(
        "boot mac={mac} mac={second} mac=52:54:00:ff:00:01 serial={serial} uuid={uuid} on=lab from=c{server}"
    )
}

fn declared() -> String {
    let nodes = (1..=SERVERS).map(|server| {
        let (mac, second) = (boot_mac(server), second_mac(server));
        format!(
            "[node.n{server}]\nmac = [\"{mac}\", \"{second}\"]\naddress = \"192.0.2.{}\"\ntask = \"debian\"\n",
            100 + server
        )
    });
    format!(
        "[limits]\ninstalls-per-hour = 20\n====={NETWORK}{}",
        nodes.collect::<String>()
    )
}

#[test]
fn twelve_servers_with_one_bmc_mac_are_twelve_machines() {
    let declared = declared();
    let mut lab = Lab::new(&[("discovered", NETWORK), ("declared", &declared)]);
    for boot in 1..=3 {
        for server in 1..=SERVERS {
            report(&mut lab, server, boot);
        }
        let nodes = lab.step("nodes").0;
        assert_eq!(nodes.matches("discovered").count(), SERVERS, "{nodes}");
        for server in 1..=SERVERS {
            let name = boot_mac(server).replace(':', "-");
            assert!(nodes.contains(&name), "{nodes}");
            let macs = [boot_mac(server), second_mac(server)];
            assert_eq!(lab.macs(&name), macs, "its identity is what `adopt` writes");
        }
    }
    lab.step("edit declared");
    for server in 1..=SERVERS {
        let answer = lab.step(&boots(server)).0;
        assert_eq!(answer, format!("#{server}: debian"));
    }
    let nodes = lab.step("nodes").0;
    let names: Vec<String> = (1..=SERVERS)
        .map(|server| format!("n{server} bound"))
        .collect();
    for name in &names {
        assert!(nodes.contains(name.as_str()), "{nodes}");
    }
    assert_eq!(nodes.split(", ").count(), SERVERS, "{nodes}");
}

#[test]
fn two_machines_with_one_second_mac_stay_two() {
    let mut lab = Lab::new(&[("discovered", NETWORK)]);
    for (machine, given) in [(1, "microkernel %1"), (2, "microkernel %2")] {
        let boot = format!("boot c{machine} c9 on=lab from=c{machine}");
        assert_eq!(lab.step(&boot).0, given);
        let nics = format!(
            r#"[{{"mac":"52:54:00:00:00:0{machine}","bus":"virtio"}},{{"mac":"52:54:00:00:00:09","bus":"virtio"}}]"#
        );
        let report = format!(r#"report %{machine} from=c{machine} {{"nics":{nics}}}"#);
        assert!(lab.step(&report).0.contains("waits"));
    }
    let nodes = lab.step("nodes").0;
    assert_eq!(
        nodes,
        "52-54-00-00-00-01 discovered, 52-54-00-00-00-02 discovered"
    );
    // `adopt` declares it for neither: the other one would be ambiguous from then on.
    for machine in ["01", "02"] {
        let name = format!("52-54-00-00-00-{machine}");
        assert_eq!(lab.macs(&name), [format!("52:54:00:00:00:{machine}")]);
    }
    let log = lab.step("log 52-54-00-00-00-02").1.join("\n");
    let line = "shared 52:54:00:00:00:09: another machine reported it first";
    assert_eq!(log.matches(line).count(), 1, "{log}");
    // A machine that boots from it is neither of them, unless its board says so.
    let answer = lab.step("boot c9 on=lab from=c9").0;
    assert!(answer.starts_with("disk: "), "{answer}");
}

#[test]
fn two_laptops_with_one_network_adapter_are_told_apart_by_their_boards() {
    let declared = "[node.second]\nserial = \"L2\"\ntask = \"debian\"\n";
    let one = "uuid=4c4c4544-0042-4410-8053-000000000001";
    let two = "uuid=4c4c4544-0042-4410-8053-000000000002";
    let mut lab = Lab::new(&[("none", ""), ("declared", declared)]);
    assert_eq!(lab.step(&format!("boot c1 serial=L1 {one}")).0, "disk");
    let other = lab.step(&format!("boot c1 serial=L2 {two}")).0;
    assert!(
        other.contains("a shared network adapter: declare these machines by `serial`"),
        "{other}"
    );
    assert_eq!(lab.step("nodes").0, "52-54-00-00-00-01 discovered");
    lab.step("edit declared");
    assert_eq!(
        lab.step(&format!("boot c1 serial=L2 {two}")).0,
        "#1: debian"
    );
    assert_eq!(lab.step(&format!("boot c1 serial=L1 {one}")).0, "disk");
    assert_eq!(
        lab.step("nodes").0,
        "second bound, 52-54-00-00-00-01 discovered"
    );
}
