//! Tests of the findings: the state of a host as values, and the expected findings as tables.

use std::net::Ipv4Addr;

use super::{
    account::{self, ProcessPrivileges, ServerAccount, ServerProcess},
    clock, files,
    finding::{Area, DoctorFinding, FindingLevel, count, finding_lines},
    loaders,
    networks::{self, NetworkReport, NetworksReport},
    other_dhcp::{self, DhcpProbe, DhcpProbeResult},
    ports::{self, DhcpNeeds, PortReport, PortUse},
    show,
};
use crate::{
    cli::terminal::{Color, Terminal},
    disk::dpkg::Package,
    model::{DhcpMode, Timestamp},
    net::{
        interfaces::Interface,
        ports::{BoundSocket, PortOwner, Protocol},
    },
};

fn no_server() -> ServerProcess {
    ServerProcess {
        user: "user 1000".into(),
        ..ServerProcess::default()
    }
}

fn running() -> ServerProcess {
    ServerProcess {
        pid: Some(900),
        answers: true,
        ..no_server()
    }
}

fn holder(name: &str, pid: u32, unit: Option<&str>) -> PortOwner {
    PortOwner {
        name: name.into(),
        pid,
        unit: unit.map(String::from),
    }
}

fn held(holder: Option<PortOwner>) -> Vec<BoundSocket> {
    let address = Ipv4Addr::UNSPECIFIED.into();
    vec![BoundSocket {
        address,
        owner: holder,
    }]
}

fn port(
    needed_for: PortUse,
    number: u16,
    held: Vec<BoundSocket>,
    bind_result: Option<Result<(), std::io::ErrorKind>>,
) -> PortReport {
    let protocol = match needed_for {
        PortUse::Dhcp | PortUse::Pxe | PortUse::Tftp => Protocol::Udp,
        PortUse::Machines | PortUse::Operators => Protocol::Tcp,
    };
    PortReport {
        needed_for,
        protocol,
        address: (Ipv4Addr::new(192, 0, 2, 1), number).into(),
        held: Ok(held),
        bind_result,
    }
}

const ON: DhcpNeeds = DhcpNeeds {
    addresses: true,
    proxy: false,
    port_67: true,
};

const PROXY: DhcpNeeds = DhcpNeeds {
    addresses: false,
    proxy: true,
    port_67: true,
};

#[test]
fn a_port_is_free_in_use_or_not_permitted() {
    use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    let dnsmasq = || held(Some(holder("dnsmasq", 812, Some("dnsmasq.service"))));
    let own_socket = || held(Some(holder("bootwright", 900, None)));
    let taken = Some(Err(AddrInUse));
    let cases = [
        (
            port(PortUse::Dhcp, 67, vec![], Some(Ok(()))),
            ON,
            no_server(),
            "ok: 67/udp (DHCP): free",
        ),
        (
            port(PortUse::Dhcp, 67, own_socket(), None),
            ON,
            running(),
            "ok: 67/udp (DHCP): in use by this site's server",
        ),
        (
            port(PortUse::Dhcp, 67, dnsmasq(), taken),
            ON,
            no_server(),
            "error: 67/udp (DHCP): in use by dnsmasq (pid 812), so networks with `reserve` or `server` get no DHCP answer \
             $ systemctl disable --now dnsmasq.service",
        ),
        (
            port(PortUse::Dhcp, 67, dnsmasq(), taken),
            PROXY,
            no_server(),
            "warning: 67/udp (DHCP): in use by dnsmasq (pid 812), so `proxy` networks use only port 4011 \
             $ systemctl disable --now dnsmasq.service \
             > or leave the port to it: with `port-67 = false` in `[dhcp]` this server answers only on port 4011 (for `dhcp = \"proxy\"`)",
        ),
        (
            port(PortUse::Dhcp, 67, dnsmasq(), Some(Ok(()))),
            ON,
            no_server(),
            "warning: 67/udp (DHCP): in use by dnsmasq (pid 812), which shares it: both may receive broadcasts \
             $ systemctl disable --now dnsmasq.service \
             > libvirt's dnsmasq receives only from its own bridge and can stay; stop any other dnsmasq",
        ),
        (
            port(PortUse::Dhcp, 67, [own_socket(), dnsmasq()].concat(), None),
            PROXY,
            running(),
            "warning: 67/udp (DHCP): in use by this site's server and dnsmasq (pid 812): both may receive broadcasts \
             $ systemctl disable --now dnsmasq.service \
             > libvirt's dnsmasq receives only from its own bridge and can stay; stop any other dnsmasq \
             > or leave the port to it: with `port-67 = false` in `[dhcp]` this server answers only on port 4011 (for `dhcp = \"proxy\"`)",
        ),
        (
            port(PortUse::Dhcp, 67, vec![], Some(Err(PermissionDenied))),
            ON,
            no_server(),
            "warning: 67/udp (DHCP): free, but user 1000 may not bind ports below 1024 \
             > start the server as root, or with CAP_NET_BIND_SERVICE and CAP_NET_RAW (see examples/systemd)",
        ),
        (
            port(PortUse::Pxe, 4011, dnsmasq(), taken),
            PROXY,
            no_server(),
            "error: 4011/udp (PXE boot server): in use by dnsmasq (pid 812), so firmware that queries the boot server gets no answer \
             $ systemctl disable --now dnsmasq.service",
        ),
        (
            port(PortUse::Tftp, 69, held(None), taken),
            ON,
            no_server(),
            "error: 69/udp (TFTP): in use by another program, so firmware can load the loader only over HTTP \
             $ ss -lnp 'sport = :69' > as root, this command shows the program",
        ),
        (
            port(PortUse::Tftp, 69, held(None), taken),
            ON,
            ServerProcess {
                pid: None,
                ..running()
            },
            "unknown: 69/udp (TFTP): in use by this site's server or another program; run doctor as root to determine which",
        ),
        (
            port(
                PortUse::Tftp,
                69,
                held(Some(holder("in.tftpd", 31, None))),
                taken,
            ),
            DhcpNeeds::default(),
            no_server(),
            "warning: 69/udp (TFTP): in use by in.tftpd (pid 31), so nothing can be loaded over TFTP > stop that program (process 31)",
        ),
        (
            port(PortUse::Tftp, 69, vec![], Some(Ok(()))),
            ON,
            running(),
            "warning: 69/udp (TFTP): free, although this site's server is running \
             > its log shows why it does not use the port; a change of bootwright.toml needs a restart",
        ),
        (
            port(
                PortUse::Machines,
                8080,
                held(Some(holder("docker-proxy", 77, Some("docker.service")))),
                taken,
            ),
            ON,
            no_server(),
            "error: 8080/tcp (HTTP for machines): in use by docker-proxy (pid 77), so machines cannot fetch anything \
             > stop the container that publishes the port: `docker ps` lists them \
             > or set another `listen` in `[http]`; ESXi can report back only on ports 80 and 443",
        ),
        (
            port(PortUse::Machines, 80, vec![], Some(Err(AddrNotAvailable))),
            ON,
            no_server(),
            "error: 80/tcp (HTTP for machines): this machine has no address 192.0.2.1 \
             > correct `listen` in bootwright.toml; `[::]` listens on all addresses",
        ),
        (
            port(
                PortUse::Operators,
                8067,
                held(Some(holder("bootwright", 4, None))),
                taken,
            ),
            ON,
            no_server(),
            "error: 8067/tcp (HTTP for operators): in use by bootwright (pid 4), so the server does not start \
             > process 4 serves another site, or this one with another state directory: stop one of the two > or set another `listen` in `[operator]`",
        ),
    ];
    for (port, need, server, expected) in cases {
        let found = finding_lines(&ports::findings(std::slice::from_ref(&port), need, &server));
        assert_eq!(found[0], expected);
    }
}

#[test]
fn the_second_port_for_machines_is_used_if_the_first_is_not_available() {
    use std::io::ErrorKind::AddrInUse;
    let nginx = || held(Some(holder("nginx", 5, None)));
    for (first, expected) in [
        (
            port(PortUse::Machines, 80, vec![], Some(Ok(()))),
            vec![(Protocol::Tcp, 80)],
        ),
        (
            port(PortUse::Machines, 80, nginx(), Some(Err(AddrInUse))),
            vec![(Protocol::Tcp, 8080)],
        ),
    ] {
        let mut list = vec![first, port(PortUse::Machines, 8080, vec![], Some(Ok(())))];
        list.push(port(PortUse::Operators, 8067, vec![], Some(Ok(()))));
        let found = ports::findings(&list, DhcpNeeds::default(), &no_server());
        let names: Vec<&str> = found
            .iter()
            .map(|one| one.text.split(' ').next().unwrap())
            .collect();
        let is_only_80 = expected == [(Protocol::Tcp, 80)];
        let all = ["80/tcp", "8080/tcp", "8067/tcp", "67/udp"];
        let wanted: Vec<&str> = all
            .into_iter()
            .filter(|name| !is_only_80 || *name != "8080/tcp")
            .collect();
        assert_eq!(names, wanted);
        assert_eq!(
            ports::openings(&list, DhcpNeeds::default(), &no_server()),
            expected
        );
    }
    let dhcp = [
        port(PortUse::Dhcp, 67, vec![], None),
        port(PortUse::Pxe, 4011, vec![], None),
    ];
    let udp = |number| (Protocol::Udp, number);
    for (need, expected) in [
        (ON, vec![udp(67), udp(4011)]),
        (
            DhcpNeeds {
                port_67: false,
                ..PROXY
            },
            vec![udp(4011)],
        ),
        (DhcpNeeds::default(), vec![]),
    ] {
        assert_eq!(
            ports::openings(&dhcp, need, &no_server()),
            expected,
            "{need:?}"
        );
    }
    let found = ports::findings(
        &dhcp,
        DhcpNeeds {
            port_67: false,
            ..PROXY
        },
        &no_server(),
    );
    assert_eq!(
        finding_lines(&found)[0],
        "ok: 67/udp (DHCP): not used (`port-67 = false` in `[dhcp]`)"
    );
}

fn interface(name: &str, address: &str, is_up: bool) -> Interface {
    Interface {
        name: name.into(),
        index: 7,
        mac: None,
        addresses: address
            .split_whitespace()
            .map(|text| text.parse().unwrap())
            .collect(),
        is_up,
        is_loopback: name == "lo",
    }
}

fn network(name: &str, subnet: &str, mode: DhcpMode) -> NetworkReport {
    NetworkReport {
        name: name.into(),
        subnets: vec![subnet.parse().unwrap()],
        mode,
    }
}

fn report(interfaces: Vec<Interface>, networks: Vec<NetworkReport>) -> NetworksReport {
    NetworksReport {
        interfaces: Ok(interfaces),
        networks,
        chosen: None,
        is_enabled: true,
    }
}

#[test]
fn interfaces_are_matched_with_the_networks_of_the_site() {
    let lab = |mode| vec![network("lab", "192.0.2.0/24", mode)];
    let lo = || interface("lo", "127.0.0.1/8", true);
    let eth0 = |is_up| interface("eth0", "192.0.2.1/24", is_up);
    let dnsmasq = holder("dnsmasq", 812, None);
    let behind = "it connects guests on this host, not machines on your network";
    let cases: Vec<(NetworksReport, Vec<&PortOwner>, Vec<String>)> = vec![
        (
            report(vec![lo(), eth0(true)], lab(DhcpMode::Reserve)),
            vec![],
            vec!["ok: eth0: 192.0.2.1/24, up; network lab, dhcp \"reserve\"".into()],
        ),
        (
            report(vec![lo(), eth0(false)], lab(DhcpMode::Proxy)),
            vec![],
            vec!["error: eth0: 192.0.2.1/24, no link; network lab, dhcp \"proxy\" $ ip link set eth0 up \
                  > if that does not help, check the cable and the switch port".into()],
        ),
        (
            NetworksReport { chosen: Some(vec!["192.0.2.1".into()]), ..report(vec![eth0(true)], lab(DhcpMode::Server)) },
            vec![],
            vec!["ok: eth0: 192.0.2.1/24, up; network lab, dhcp \"server\"".into()],
        ),
        (
            NetworksReport { chosen: Some(vec!["eth1".into(), "wlan7".into()]), ..report(vec![lo(), eth0(true), interface("eth1", "", false)], lab(DhcpMode::Server)) },
            vec![],
            vec![
                "warning: eth0: 192.0.2.1/24, up; network lab, dhcp \"server\", but it is missing from `interfaces` in `[dhcp]` > add \"eth0\" there: without it the server does not answer DHCP on this interface".into(),
                "ok: eth1: no IPv4 address".into(),
                "error: `wlan7` of `interfaces` in `[dhcp]` is not an interface or address of this machine > there are: eth0 and eth1".into(),
            ],
        ),
        (
            report(
                vec![
                    interface("virbr0", "192.0.2.1/24", true),
                    interface("br-0123456789ab", "172.18.0.1/16", true),
                    interface("br-lan", "198.51.100.1/24 198.51.100.2/24", true),
                    interface("veth12", "", true),
                    interface("vnet3", "", true),
                ],
                lab(DhcpMode::Server),
            ),
            vec![&dnsmasq],
            vec![
                format!("warning: virbr0: 192.0.2.1/24, up; a bridge of libvirt: {behind}; dnsmasq (pid 812) uses port 67, as libvirt's dnsmasq does for such a bridge; network lab with dhcp \"server\" is on it > to boot virtual machines from this server, remove <dhcp> from the libvirt network: `virsh net-edit NAME`"),
                format!("ok: br-0123456789ab: 172.18.0.1/16, up; a bridge of Docker: {behind}"),
                "ok: br-lan: 198.51.100.1/24 and 198.51.100.2/24, up; not in any network of the site".into(),
                "ok: veth12 and vnet3: connected to containers or virtual machines".into(),
            ],
        ),
        (
            report(vec![lo()], lab(DhcpMode::Reserve)),
            vec![],
            vec![
                "error: no interface of this machine except loopback has an IPv4 address".into(),
                "error: network lab: dhcp \"reserve\", but no interface of this machine has an address in 192.0.2.0/24 > only machines behind a DHCP relay are answered there: correct `subnet`, or assign an address in it to the interface of that network".into(),
            ],
        ),
        (
            report(vec![eth0(true)], [lab(DhcpMode::Reserve), vec![network("far", "203.0.113.0/24", DhcpMode::Server)]].concat()),
            vec![],
            vec![
                "ok: eth0: 192.0.2.1/24, up; network lab, dhcp \"reserve\"".into(),
                "warning: network far: dhcp \"server\", but no interface of this machine has an address in 203.0.113.0/24 > only machines behind a DHCP relay are answered there: correct `subnet`, or assign an address in it to the interface of that network".into(),
            ],
        ),
        (
            NetworksReport { is_enabled: false, ..report(vec![eth0(true)], lab(DhcpMode::Server)) },
            vec![],
            vec![
                "ok: eth0: 192.0.2.1/24, up; network lab, dhcp \"server\"".into(),
                "warning: `enabled = false` in `[dhcp]`: the networks' `dhcp` setting has no effect > remove it from bootwright.toml and restart the server".into(),
            ],
        ),
        (
            NetworksReport { interfaces: Err("no such thing".into()), ..report(vec![], vec![]) },
            vec![],
            vec!["unknown: cannot list the interfaces of this machine: no such thing".into()],
        ),
    ];
    for (report, dhcp, expected) in cases {
        assert_eq!(finding_lines(&networks::findings(&report, &dhcp)), expected);
    }
    let off = finding_lines(&networks::findings(
        &report(vec![eth0(true)], lab(DhcpMode::Off)),
        &[],
    ));
    assert_eq!(off[0], "ok: eth0: 192.0.2.1/24, up; network lab, dhcp off");
    assert!(
        off[1].starts_with("warning: no network of the site has `dhcp` on"),
        "{off:?}"
    );
}

#[test]
fn another_dhcp_server_is_an_error_in_mode_server() {
    let server = || DhcpProbeResult::Server(Ipv4Addr::new(192, 0, 2, 254));
    for (mode, result, expected) in [
        (
            DhcpMode::Server,
            server(),
            "error: network lab on eth0: another DHCP server, 192.0.2.254, answers although dhcp is \"server\": meanwhile this server assigns no addresses > turn that server off, or set `dhcp = \"reserve\"` to answer only declared machines beside it",
        ),
        (
            DhcpMode::Server,
            DhcpProbeResult::NoServer,
            "ok: network lab on eth0: no other DHCP server answered in 6 seconds",
        ),
        (
            DhcpMode::Reserve,
            server(),
            "ok: network lab on eth0: 192.0.2.254 assigns addresses, as dhcp \"reserve\" requires",
        ),
        (
            DhcpMode::Proxy,
            server(),
            "ok: network lab on eth0: 192.0.2.254 assigns addresses, as dhcp \"proxy\" requires",
        ),
        (
            DhcpMode::Proxy,
            DhcpProbeResult::NoServer,
            "warning: network lab on eth0: no other DHCP server answered in 6 seconds, and dhcp \"proxy\" assigns no addresses: machines get none > start the network's DHCP server, or set `dhcp = \"server\"` with a `range`",
        ),
        (
            DhcpMode::Reserve,
            DhcpProbeResult::NoServer,
            "warning: network lab on eth0: no other DHCP server answered in 6 seconds: dhcp \"reserve\" assigns addresses only to declared machines; other machines get none > start the network's DHCP server, or set `dhcp = \"server\"` with a `range`",
        ),
        (
            DhcpMode::Off,
            server(),
            "ok: network lab on eth0: 192.0.2.254 assigns addresses; dhcp is off, so that server must provide the boot file",
        ),
        (
            DhcpMode::Off,
            DhcpProbeResult::NoServer,
            "warning: network lab on eth0: no other DHCP server answered in 6 seconds, and dhcp is off: machines that boot from the network get no answer > set `dhcp = \"server\"` with a `range` in that network",
        ),
        (
            DhcpMode::Server,
            DhcpProbeResult::NotProbed("port 68 needs root".into()),
            "unknown: network lab on eth0: not checked for other DHCP servers: port 68 needs root",
        ),
    ] {
        let probe = DhcpProbe {
            network: "lab".into(),
            mode,
            interface: "eth0".into(),
            result,
        };
        assert_eq!(finding_lines(&other_dhcp::findings(&[probe])), [expected]);
    }
    assert_eq!(other_dhcp::findings(&[])[0].mark, FindingLevel::Unknown);
}

#[test]
fn a_missing_loader_is_an_error_if_it_is_needed() {
    let there = |name: &str| loaders::LoaderReport {
        at: Some(format!("/srv/loaders/{name}").into()),
        ..loaders::LoaderReport::missing(name)
    };
    let needed = || Some("machines of this site load it".to_string());
    let list = [
        loaders::LoaderReport {
            needed_by: needed(),
            ..loaders::LoaderReport::missing("snponly.efi")
        },
        loaders::LoaderReport {
            needed_by: Some("node a uses it".into()),
            ..loaders::LoaderReport::missing("own.efi")
        },
        loaders::LoaderReport::missing("shimx64.efi"),
        loaders::LoaderReport::missing("grubx64.efi"),
        there("undionly.kpxe"),
        loaders::LoaderReport {
            version: Some("iPXE 1.21.1".into()),
            from: Some(Package {
                name: "ipxe".into(),
                version: "1.21.1-2".into(),
            }),
            ..there("ipxe.efi")
        },
        loaders::LoaderReport {
            version: Some("GRUB 2.06-13".into()),
            from: Some(Package {
                name: "grub".into(),
                version: "2.06-13".into(),
            }),
            ..there("grubaa64.efi")
        },
        loaders::LoaderReport {
            needed_by: needed(),
            error: Some("Permission denied".into()),
            ..there("bootnetaa64.efi")
        },
    ];
    assert_eq!(
        finding_lines(&loaders::findings(&list)),
        [
            "error: snponly.efi: missing, but machines of this site load it $ apt-get install ipxe > or set `loaders` in `[paths]` to a directory that contains it",
            "error: own.efi: missing, but node a uses it > set `loaders` in `[paths]` to a directory that contains it",
            "ok: undionly.kpxe: /srv/loaders/undionly.kpxe, unknown version",
            "ok: ipxe.efi: /srv/loaders/ipxe.efi, iPXE 1.21.1, package ipxe 1.21.1-2",
            "ok: grubaa64.efi: /srv/loaders/grubaa64.efi, GRUB 2.06-13, package grub",
            "error: bootnetaa64.efi: cannot read /srv/loaders/bootnetaa64.efi: Permission denied",
            "ok: not installed and not needed by this site: shimx64.efi (shim-signed) and grubx64.efi (grub-efi-amd64-signed)",
        ]
    );
}

#[test]
fn missing_privileges_are_a_warning_if_dhcp_is_on() {
    let status = |uid: u32, bits: &str| {
        let text = format!("Name:\tx\nUid:\t0\t{uid}\t0\t0\nCapPrm:\tffff\nCapEff:\t{bits}\n");
        ProcessPrivileges::read(&text)
    };
    assert_eq!(ProcessPrivileges::read("Name:\tx\n"), None);
    let account = |privileges, wants_dhcp| ServerAccount {
        privileges,
        user: None,
        has_qemu: true,
        wants_dhcp,
    };
    let help = "> start the server as root, or with these capabilities and `user` in `[run]` (see examples/systemd)";
    let begin = "a server started like this command would run";
    for (account, server, expected) in [
        (account(status(0, "000001ffffffffff"), true), no_server(), format!("ok: {begin} as root")),
        (account(status(7, "0000000000002400"), true), running(), "ok: this site's server (pid 900) runs as user 7 with CAP_NET_BIND_SERVICE and CAP_NET_RAW".into()),
        (account(status(7, "0000000000000400"), true), no_server(), format!("warning: {begin} as user 7 without CAP_NET_RAW: DHCP replies are sent by broadcast {help}")),
        (account(status(7, "0000000000000000"), true), no_server(), format!("warning: {begin} as user 7 without CAP_NET_BIND_SERVICE: it cannot bind ports below 1024 {help}")),
        (account(status(7, "0000000000000000"), false), no_server(), format!("ok: {begin} as user 7 without capabilities; only ports below 1024 and `dhcp` need them")),
        (account(None, true), no_server(), "unknown: cannot read the process's privileges from /proc".into()),
    ] {
        assert_eq!(finding_lines(&account::findings(&account, &server))[0], expected);
    }
    for (error, expected) in [
        (
            None,
            "ok: the server switches to user boot (`user` in `[run]`)",
        ),
        (
            Some("there is none".to_string()),
            "error: the server cannot switch to user boot: there is none $ adduser --system --group boot > or correct `user` in `[run]`",
        ),
    ] {
        let account = ServerAccount {
            user: Some(("boot".into(), error)),
            ..account(None, false)
        };
        assert_eq!(
            finding_lines(&account::findings(&account, &no_server()))[1],
            expected
        );
    }
}

#[test]
fn the_site_and_the_state_of_its_server_are_reported() {
    let valid = || files::SiteReport {
        path: "lab".into(),
        errors: 0,
        warnings: 0,
        nodes: 2,
        health: None,
        is_rejected: false,
        query_error: None,
        polled: Vec::new(),
    };
    let reported = "ok: the kernel reports changes of its files, so an edit takes effect at once";
    let off = "ok: this site's server is not running";
    let good = "ok: lab: 2 machines declared, no errors";
    let health = |text: &str| Some(text.to_string());
    let cases = [
        (valid(), no_server(), vec![good, off, reported]),
        (
            files::SiteReport {
                errors: 2,
                warnings: 1,
                ..valid()
            },
            no_server(),
            vec![
                "error: lab: 2 machines declared, 2 errors: the server does not load it $ bootwright --site lab check",
                off,
                reported,
            ],
        ),
        (
            files::SiteReport {
                nodes: 0,
                ..valid()
            },
            no_server(),
            vec![
                "warning: lab: no machines declared, no errors: every machine boots from its local disk > declare one: [node.NAME] with its `mac` and `repo`",
                off,
                reported,
            ],
        ),
        (
            files::SiteReport {
                warnings: 1,
                health: health("ok"),
                ..valid()
            },
            running(),
            vec![
                "ok: lab: 2 machines declared, 1 warning $ bootwright --site lab check",
                "ok: this site's server (pid 900) is running",
                reported,
            ],
        ),
        (
            files::SiteReport {
                health: health("degraded: the disk under the journal is full"),
                ..valid()
            },
            running(),
            vec![
                good,
                "error: this site's server (pid 900) is running, degraded: the disk under the journal is full",
                reported,
            ],
        ),
        (
            files::SiteReport {
                health: health("ok"),
                is_rejected: true,
                ..valid()
            },
            ServerProcess {
                pid: None,
                ..running()
            },
            vec![
                good,
                "error: this site's server is running and serves the last valid copy of the site: the current files have errors $ bootwright --site lab check",
                reported,
            ],
        ),
        (
            files::SiteReport {
                query_error: Some("access denied".into()),
                ..valid()
            },
            no_server(),
            vec![
                good,
                "unknown: cannot determine whether this site's server is running: access denied",
                reported,
            ],
        ),
        (
            valid(),
            ServerProcess {
                answers: false,
                ..running()
            },
            vec![
                good,
                "warning: this site's server (pid 900) is running but does not answer at `[operator]` `listen` > restart it if bootwright.toml was changed since its start",
                reported,
            ],
        ),
        (
            files::SiteReport {
                polled: vec![("lab/policies.d".into(), "NFS")],
                ..valid()
            },
            no_server(),
            vec![
                good,
                off,
                "warning: lab/policies.d: on NFS, where the kernel does not report every change: files are checked every two seconds, so an edit takes up to two seconds to take effect",
            ],
        ),
    ];
    for (site, server, expected) in cases {
        assert_eq!(
            finding_lines(&files::site_findings(&site, &server)),
            expected
        );
    }
    let polled = [
        ("lab", "NFS"),
        ("lab/policies.d", "NFS"),
        ("lab/templates", "9P"),
    ];
    let polled = polled.map(|(path, system)| (path.into(), system)).to_vec();
    let outermost =
        [("lab", "NFS"), ("lab/templates", "9P")].map(|(path, system)| (path.into(), system));
    assert_eq!(files::outermost_directories(polled), outermost);
}

#[test]
fn an_unwritable_or_full_state_directory_is_reported() {
    let state = |exists, error: Option<&str>, free| files::StateDirReport {
        path: Ok("/var/lib/x".into()),
        exists,
        error: error.map(String::from),
        free,
    };
    let owner = "> start the server as the directory's owner, or set another `state` in `[paths]`: nothing is installed without a writable state directory";
    let room = "> free some space: if the journal cannot be written, all installations are held";
    let root = || ServerProcess {
        is_root: true,
        ..no_server()
    };
    for (state, server, expected) in [
        (
            state(true, None, Some(5 << 30)),
            no_server(),
            vec![
                "ok: /var/lib/x: writable".to_string(),
                "ok: /var/lib/x: 5 GiB free".into(),
            ],
        ),
        (
            state(false, None, None),
            no_server(),
            vec!["ok: /var/lib/x: does not exist yet; the server creates it".into()],
        ),
        (
            state(true, Some("read-only"), None),
            root(),
            vec![format!(
                "error: /var/lib/x: not writable: read-only {owner}"
            )],
        ),
        (
            state(true, Some("denied"), None),
            no_server(),
            vec![format!(
                "warning: /var/lib/x: not writable by user 1000: denied {owner}"
            )],
        ),
        (
            state(true, Some("denied"), None),
            running(),
            vec!["ok: /var/lib/x: in use by this site's server".into()],
        ),
        (
            state(true, None, Some(100 << 20)),
            no_server(),
            vec![
                "ok: /var/lib/x: writable".into(),
                format!("warning: /var/lib/x: 100 MiB free {room}"),
            ],
        ),
        (
            state(true, None, Some(0)),
            no_server(),
            vec![
                "ok: /var/lib/x: writable".into(),
                format!("error: /var/lib/x: 0 MiB free {room}"),
            ],
        ),
    ] {
        assert_eq!(
            finding_lines(&files::state_findings(&state, &server)),
            expected
        );
    }
    let missing = files::StateDirReport {
        path: Err("no home directory".into()),
        ..state(false, None, None)
    };
    assert_eq!(
        finding_lines(&files::state_findings(&missing, &no_server())),
        ["error: no home directory"]
    );
}

#[test]
fn a_wrong_or_unsynchronised_clock_is_reported() {
    let at = |text: &str| Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
    let noon = at("2026-11-22T12:00:00Z");
    let report = |now, is_synchronised, last| clock::ClockReading {
        now,
        is_synchronised,
        last,
    };
    let help =
        "$ timedatectl set-ntp true > or install chrony; a container uses the clock of its host";
    for (report, expected) in [
        (report(noon, Ok(true), Ok(None)), vec!["ok: 2026-11-22T12:00:00.000Z, synchronised".to_string()]),
        (
            report(noon, Ok(false), Ok(Some(at("2026-11-22T11:00:00Z")))),
            vec![
                format!("warning: 2026-11-22T12:00:00.000Z, not synchronised: if the clock is adjusted, the journal's times jump {help}"),
                "ok: the journal's last line is from 2026-11-22T11:00:00.000Z".into(),
            ],
        ),
        (
            report(at("1970-01-01T00:00:09Z"), Ok(false), Ok(Some(noon))),
            vec![
                format!("error: the time is 1970-01-01T00:00:09.000Z, before this program was released: installers reject certificates and packages at such a time {help}"),
                "warning: the journal's last line is from 2026-11-22T12:00:00.000Z, which is in the future: the clock is behind now, or was ahead then > correct the clock before the next installation: leases depend on it".into(),
            ],
        ),
        (
            report(noon, Err("no such call".into()), Err("denied".into())),
            vec![
                "unknown: 2026-11-22T12:00:00.000Z; cannot determine whether it is synchronised: no such call".into(),
                "unknown: cannot read the journal: denied".into(),
            ],
        ),
    ] {
        assert_eq!(finding_lines(&clock::findings(&report)), expected);
    }
}

fn areas() -> Vec<Area> {
    vec![
        Area {
            area: "ports",
            findings: vec![
                DoctorFinding::ok("67/udp: free"),
                DoctorFinding::error("69/udp: in use by a program\x1b[31m")
                    .run("kill it")
                    .help("or not"),
            ],
        },
        Area {
            area: "clock",
            findings: vec![
                DoctorFinding::unknown("no clock"),
                DoctorFinding::unknown("no time"),
            ],
        },
    ]
}

#[test]
fn findings_are_formatted_as_text_and_json() {
    let mut terminal = Terminal::new(Color::Never);
    terminal.width = None;
    let plain = "ports\n  ok       67/udp: free\n  error    69/udp: in use by a program [31m\n           run:  kill it\n           \
                 help: or not\n\nclock\n  unknown  no clock\n  unknown  no time\n\n1 error and 2 checks that were not possible.\n";
    assert_eq!(show::text(&areas(), &terminal), plain);
    terminal.width = Some(30);
    let words = "one two three four five six seven";
    let area = Area {
        area: "x",
        findings: vec![DoctorFinding::ok(words).run(words)],
    };
    assert_eq!(
        show::text(&[area], &terminal),
        "x\n  ok       one two three four five\n           six seven\n           run:  one two three four five six seven\n\nNo problems found.\n"
    );
    let value: serde_json::Value = serde_json::from_str(&show::json(&areas())).unwrap();
    assert_eq!(
        (&value["errors"], &value["warnings"], &value["unknown"]),
        (&1.into(), &0.into(), &2.into())
    );
    let second = serde_json::json!({"area": "ports", "severity": "error", "message": "69/udp: in use by a program\u{1b}[31m", "run": ["kill it"], "help": ["or not"]});
    assert_eq!(value["findings"][1], second);
    assert_eq!(count(&areas(), FindingLevel::Unknown), 2);
}
