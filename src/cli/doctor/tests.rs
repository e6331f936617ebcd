//! Tests of the findings: what was seen is a value, what is said of it a table.

use std::net::Ipv4Addr;

use super::{
    account::{self, ProcessRights, ServerAccount, ServerProcess},
    clock, files,
    finding::{Area, DoctorFinding, FindingLevel, count, written},
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

fn nobody() -> ServerProcess {
    ServerProcess {
        user: "user 1000".into(),
        ..ServerProcess::default()
    }
}

fn running() -> ServerProcess {
    ServerProcess {
        pid: Some(900),
        answers: true,
        ..nobody()
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
    vec![BoundSocket { address, holder }]
}

fn port(
    needed_for: PortUse,
    number: u16,
    held: Vec<BoundSocket>,
    tried: Option<Result<(), std::io::ErrorKind>>,
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
        tried,
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
fn a_port_is_free_ours_anothers_or_beyond_our_rights() {
    use std::io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
    let dnsmasq = || held(Some(holder("dnsmasq", 812, Some("dnsmasq.service"))));
    let ours = || held(Some(holder("bootwright", 900, None)));
    let taken = Some(Err(AddrInUse));
    let cases = [
        (
            port(PortUse::Dhcp, 67, vec![], Some(Ok(()))),
            ON,
            nobody(),
            "ok: 67/udp (DHCP): free",
        ),
        (
            port(PortUse::Dhcp, 67, ours(), None),
            ON,
            running(),
            "ok: 67/udp (DHCP): this site's server has it",
        ),
        (
            port(PortUse::Dhcp, 67, dnsmasq(), taken),
            ON,
            nobody(),
            "error: 67/udp (DHCP): dnsmasq (pid 812) has it, so networks with `reserve` or `server` are answered nothing \
             $ systemctl disable --now dnsmasq.service",
        ),
        (
            port(PortUse::Dhcp, 67, dnsmasq(), taken),
            PROXY,
            nobody(),
            "warning: 67/udp (DHCP): dnsmasq (pid 812) has it, so proxy networks go on with port 4011 alone \
             $ systemctl disable --now dnsmasq.service \
             > or let it keep the port: `port-67 = false` in `[dhcp]` answers on 4011 alone, for `dhcp = \"proxy\"`",
        ),
        (
            port(PortUse::Dhcp, 67, dnsmasq(), Some(Ok(()))),
            ON,
            nobody(),
            "warning: 67/udp (DHCP): dnsmasq (pid 812) has it and would share it, so both may hear a broadcast \
             $ systemctl disable --now dnsmasq.service \
             > libvirt's dnsmasq hears its own bridge alone and may stay; another one is in the way",
        ),
        (
            port(PortUse::Dhcp, 67, [ours(), dnsmasq()].concat(), None),
            PROXY,
            running(),
            "warning: 67/udp (DHCP): this site's server and dnsmasq (pid 812) have it, so both may hear a broadcast \
             $ systemctl disable --now dnsmasq.service \
             > libvirt's dnsmasq hears its own bridge alone and may stay; another one is in the way \
             > or let it keep the port: `port-67 = false` in `[dhcp]` answers on 4011 alone, for `dhcp = \"proxy\"`",
        ),
        (
            port(PortUse::Dhcp, 67, vec![], Some(Err(PermissionDenied))),
            ON,
            nobody(),
            "warning: 67/udp (DHCP): free, but user 1000 may not have a port as low as that \
             > start the server as root, or with CAP_NET_BIND_SERVICE and CAP_NET_RAW, as examples/systemd does",
        ),
        (
            port(PortUse::Pxe, 4011, dnsmasq(), taken),
            PROXY,
            nobody(),
            "error: 4011/udp (PXE's boot server): dnsmasq (pid 812) has it, so firmware that asks the boot server itself gets no answer \
             $ systemctl disable --now dnsmasq.service",
        ),
        (
            port(PortUse::Tftp, 69, held(None), taken),
            ON,
            nobody(),
            "error: 69/udp (TFTP): another program has it, which only root can see, so firmware finds no loader except over HTTP \
             $ ss -lnp 'sport = :69' > that shows it to root",
        ),
        (
            port(PortUse::Tftp, 69, held(None), taken),
            ON,
            ServerProcess {
                pid: None,
                ..running()
            },
            "unknown: 69/udp (TFTP): taken, by this site's server or by another program: only root can see which",
        ),
        (
            port(
                PortUse::Tftp,
                69,
                held(Some(holder("in.tftpd", 31, None))),
                taken,
            ),
            DhcpNeeds::default(),
            nobody(),
            "warning: 69/udp (TFTP): in.tftpd (pid 31) has it, so nothing can be loaded by TFTP > end that program, process 31",
        ),
        (
            port(PortUse::Tftp, 69, vec![], Some(Ok(()))),
            ON,
            running(),
            "warning: 69/udp (TFTP): free, although this site's server runs \
             > its output says why it does not have it; a change of bootwright.toml wants a restart",
        ),
        (
            port(
                PortUse::Machines,
                8080,
                held(Some(holder("docker-proxy", 77, Some("docker.service")))),
                taken,
            ),
            ON,
            nobody(),
            "error: 8080/tcp (HTTP for machines): docker-proxy (pid 77) has it, so machines fetch nothing \
             > stop the container that publishes the port: `docker ps` lists them \
             > or set another `listen` in `[http]`; ESXi can call back on ports 80 and 443 alone",
        ),
        (
            port(PortUse::Machines, 80, vec![], Some(Err(AddrNotAvailable))),
            ON,
            nobody(),
            "error: 80/tcp (HTTP for machines): this machine has no address 192.0.2.1 \
             > correct `listen` in bootwright.toml; `[::]` listens on every address",
        ),
        (
            port(
                PortUse::Operators,
                8067,
                held(Some(holder("bootwright", 4, None))),
                taken,
            ),
            ON,
            nobody(),
            "error: 8067/tcp (HTTP for operators): bootwright (pid 4) has it, so the server does not start \
             > process 4 serves another site, or this one with another state directory: end one of the two > or set another `listen` in `[operator]`",
        ),
    ];
    for (port, need, server, expected) in cases {
        let found = written(&ports::findings(std::slice::from_ref(&port), need, &server));
        assert_eq!(found[0], expected);
    }
}

#[test]
fn the_second_port_for_machines_counts_where_the_first_cannot_be_had() {
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
        let found = ports::findings(&list, DhcpNeeds::default(), &nobody());
        let names: Vec<&str> = found
            .iter()
            .map(|one| one.text.split(' ').next().unwrap())
            .collect();
        let is_80_alone = expected == [(Protocol::Tcp, 80)];
        let all = ["80/tcp", "8080/tcp", "8067/tcp", "67/udp"];
        let wanted: Vec<&str> = all
            .into_iter()
            .filter(|name| !is_80_alone || *name != "8080/tcp")
            .collect();
        assert_eq!(names, wanted);
        assert_eq!(
            ports::openings(&list, DhcpNeeds::default(), &nobody()),
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
            ports::openings(&dhcp, need, &nobody()),
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
        &nobody(),
    );
    assert_eq!(
        written(&found)[0],
        "ok: 67/udp (DHCP): left alone, as `port-67 = false` in `[dhcp]` says"
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

fn seen(interfaces: Vec<Interface>, networks: Vec<NetworkReport>) -> NetworksReport {
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
    let behind = "what is behind it is on this host, not on your network";
    let cases: Vec<(NetworksReport, Vec<&PortOwner>, Vec<String>)> = vec![
        (
            seen(vec![lo(), eth0(true)], lab(DhcpMode::Reserve)),
            vec![],
            vec!["ok: eth0: 192.0.2.1/24, up; network lab, dhcp \"reserve\"".into()],
        ),
        (
            seen(vec![lo(), eth0(false)], lab(DhcpMode::Proxy)),
            vec![],
            vec!["error: eth0: 192.0.2.1/24, no link; network lab, dhcp \"proxy\" $ ip link set eth0 up \
                  > where that changes nothing, look at the cable and the switch's port".into()],
        ),
        (
            NetworksReport { chosen: Some(vec!["192.0.2.1".into()]), ..seen(vec![eth0(true)], lab(DhcpMode::Server)) },
            vec![],
            vec!["ok: eth0: 192.0.2.1/24, up; network lab, dhcp \"server\"".into()],
        ),
        (
            NetworksReport { chosen: Some(vec!["eth1".into(), "wlan7".into()]), ..seen(vec![lo(), eth0(true), interface("eth1", "", false)], lab(DhcpMode::Server)) },
            vec![],
            vec![
                "warning: eth0: 192.0.2.1/24, up; network lab, dhcp \"server\", but `interfaces` in `[dhcp]` leaves it out > add \"eth0\" there, or nobody is answered on it".into(),
                "ok: eth1: no IPv4 address".into(),
                "error: `wlan7` of `interfaces` in `[dhcp]` is no interface and no address of this machine > there are: eth0 and eth1".into(),
            ],
        ),
        (
            seen(
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
                format!("warning: virbr0: 192.0.2.1/24, up; a bridge of libvirt: {behind}; dnsmasq (pid 812) has port 67, as libvirt's does for such a bridge; yet network lab with dhcp \"server\" is on it > virtual machines that shall boot from here need a bridge without libvirt's DHCP: virsh net-edit NAME, without <dhcp>"),
                format!("ok: br-0123456789ab: 172.18.0.1/16, up; a bridge of Docker: {behind}"),
                "ok: br-lan: 198.51.100.1/24 and 198.51.100.2/24, up; in no network of the site".into(),
                "ok: veth12 and vnet3: cables to containers or virtual machines".into(),
            ],
        ),
        (
            seen(vec![lo()], lab(DhcpMode::Reserve)),
            vec![],
            vec![
                "error: no interface of this machine has an IPv4 address, loopback aside".into(),
                "error: network lab: dhcp \"reserve\", but no interface of this machine has an address in 192.0.2.0/24 > only machines behind a DHCP relay are answered there: correct `subnet`, or give the interface that leads there an address in it".into(),
            ],
        ),
        (
            seen(vec![eth0(true)], [lab(DhcpMode::Reserve), vec![network("far", "203.0.113.0/24", DhcpMode::Server)]].concat()),
            vec![],
            vec![
                "ok: eth0: 192.0.2.1/24, up; network lab, dhcp \"reserve\"".into(),
                "warning: network far: dhcp \"server\", but no interface of this machine has an address in 203.0.113.0/24 > only machines behind a DHCP relay are answered there: correct `subnet`, or give the interface that leads there an address in it".into(),
            ],
        ),
        (
            NetworksReport { is_enabled: false, ..seen(vec![eth0(true)], lab(DhcpMode::Server)) },
            vec![],
            vec![
                "ok: eth0: 192.0.2.1/24, up; network lab, dhcp \"server\"".into(),
                "warning: `enabled = false` in `[dhcp]`: what a network says of `dhcp` does nothing > remove it from bootwright.toml and restart the server".into(),
            ],
        ),
        (
            NetworksReport { interfaces: Err("no such thing".into()), ..seen(vec![], vec![]) },
            vec![],
            vec!["unknown: the interfaces of this machine cannot be listed: no such thing".into()],
        ),
    ];
    for (seen, dhcp, expected) in cases {
        assert_eq!(written(&networks::findings(&seen, &dhcp)), expected);
    }
    let off = written(&networks::findings(
        &seen(vec![eth0(true)], lab(DhcpMode::Off)),
        &[],
    ));
    assert_eq!(off[0], "ok: eth0: 192.0.2.1/24, up; network lab, dhcp off");
    assert!(
        off[1].starts_with("warning: no network of the site has `dhcp` on"),
        "{off:?}"
    );
}

#[test]
fn another_server_is_an_error_where_we_are_the_server() {
    let server = || DhcpProbeResult::Server(Ipv4Addr::new(192, 0, 2, 254));
    for (mode, heard, expected) in [
        (
            DhcpMode::Server,
            server(),
            "error: network lab on eth0: another DHCP server answers, 192.0.2.254, and dhcp is \"server\": nobody gets an address from here meanwhile > switch that one off, or set `dhcp = \"reserve\"` to answer declared machines beside it",
        ),
        (
            DhcpMode::Server,
            DhcpProbeResult::Nobody,
            "ok: network lab on eth0: no other DHCP server answered in 6 seconds",
        ),
        (
            DhcpMode::Reserve,
            server(),
            "ok: network lab on eth0: 192.0.2.254 gives addresses, which dhcp \"reserve\" counts on",
        ),
        (
            DhcpMode::Proxy,
            server(),
            "ok: network lab on eth0: 192.0.2.254 gives addresses, which dhcp \"proxy\" counts on",
        ),
        (
            DhcpMode::Proxy,
            DhcpProbeResult::Nobody,
            "warning: network lab on eth0: no other DHCP server answered in 6 seconds, and dhcp \"proxy\" gives no addresses: machines get none > look for that server, or set `dhcp = \"server\"` with a `range`",
        ),
        (
            DhcpMode::Reserve,
            DhcpProbeResult::Nobody,
            "warning: network lab on eth0: no other DHCP server answered in 6 seconds: dhcp \"reserve\" gives addresses to declared machines, and nobody gives any to the others > look for that server, or set `dhcp = \"server\"` with a `range`",
        ),
        (
            DhcpMode::Off,
            server(),
            "ok: network lab on eth0: 192.0.2.254 gives addresses; dhcp is off, so that server has to name the boot file",
        ),
        (
            DhcpMode::Off,
            DhcpProbeResult::Nobody,
            "warning: network lab on eth0: no other DHCP server answered in 6 seconds, and dhcp is off: a machine that boots from the network there gets no answer > set `dhcp = \"server\"` with a `range` in that network",
        ),
        (
            DhcpMode::Server,
            DhcpProbeResult::Unasked("port 68 needs root".into()),
            "unknown: network lab on eth0: other DHCP servers were not asked: port 68 needs root",
        ),
    ] {
        let asked = DhcpProbe {
            network: "lab".into(),
            mode,
            interface: "eth0".into(),
            heard,
        };
        assert_eq!(written(&other_dhcp::findings(&[asked])), [expected]);
    }
    assert_eq!(other_dhcp::findings(&[])[0].mark, FindingLevel::Unknown);
}

#[test]
fn a_loader_that_is_asked_for_and_missing_is_an_error() {
    let there = |name: &str| loaders::LoaderReport {
        at: Some(format!("/srv/loaders/{name}").into()),
        ..loaders::LoaderReport::nowhere(name)
    };
    let ask = || Some("machines of this site are told to load it".to_string());
    let list = [
        loaders::LoaderReport {
            needed_by: ask(),
            ..loaders::LoaderReport::nowhere("snponly.efi")
        },
        loaders::LoaderReport {
            needed_by: Some("node a names it".into()),
            ..loaders::LoaderReport::nowhere("own.efi")
        },
        loaders::LoaderReport::nowhere("shimx64.efi"),
        loaders::LoaderReport::nowhere("grubx64.efi"),
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
            needed_by: ask(),
            trouble: Some("Permission denied".into()),
            ..there("bootnetaa64.efi")
        },
    ];
    assert_eq!(
        written(&loaders::findings(&list)),
        [
            "error: snponly.efi: not there, and machines of this site are told to load it $ apt-get install ipxe > or name a directory that has it in `loaders` of `[paths]`",
            "error: own.efi: not there, and node a names it > name a directory that has it in `loaders` of `[paths]`",
            "ok: undionly.kpxe: /srv/loaders/undionly.kpxe, its version is not known",
            "ok: ipxe.efi: /srv/loaders/ipxe.efi, iPXE 1.21.1, package ipxe 1.21.1-2",
            "ok: grubaa64.efi: /srv/loaders/grubaa64.efi, GRUB 2.06-13, package grub",
            "error: bootnetaa64.efi: /srv/loaders/bootnetaa64.efi cannot be read: Permission denied",
            "ok: not there, and not asked for by this site: shimx64.efi (shim-signed) and grubx64.efi (grub-efi-amd64-signed)",
        ]
    );
}

#[test]
fn the_server_runs_as_somebody_who_may() {
    let status = |uid: u32, bits: &str| {
        let text = format!("Name:\tx\nUid:\t0\t{uid}\t0\t0\nCapPrm:\tffff\nCapEff:\t{bits}\n");
        ProcessRights::read(&text)
    };
    assert_eq!(ProcessRights::read("Name:\tx\n"), None);
    let who = |rights, wants_dhcp| ServerAccount {
        rights,
        user: None,
        has_qemu: true,
        wants_dhcp,
    };
    let help = "> start the server as root, or with these capabilities and `user` in `[run]`, as examples/systemd does";
    let begin = "a server that is started like this command runs";
    for (who, server, expected) in [
        (who(status(0, "000001ffffffffff"), true), nobody(), format!("ok: {begin} as root")),
        (who(status(7, "0000000000002400"), true), running(), "ok: this site's server (pid 900) runs as user 7 with CAP_NET_BIND_SERVICE and CAP_NET_RAW".into()),
        (who(status(7, "0000000000000400"), true), nobody(), format!("warning: {begin} as user 7 without CAP_NET_RAW: answers of DHCP go out by broadcast {help}")),
        (who(status(7, "0000000000000000"), true), nobody(), format!("warning: {begin} as user 7 without CAP_NET_BIND_SERVICE: ports below 1024 cannot be had {help}")),
        (who(status(7, "0000000000000000"), false), nobody(), format!("ok: {begin} as user 7 without capabilities, which only low ports and `dhcp` need")),
        (who(None, true), nobody(), "unknown: the rights of the process cannot be read from /proc".into()),
    ] {
        assert_eq!(written(&account::findings(&who, &server))[0], expected);
    }
    for (trouble, expected) in [
        (
            None,
            "ok: the server becomes boot, as `user` in `[run]` says",
        ),
        (
            Some("there is none".to_string()),
            "error: the server cannot become boot: there is none $ adduser --system --group boot > or correct `user` in `[run]`",
        ),
    ] {
        let who = ServerAccount {
            user: Some(("boot".into(), trouble)),
            ..who(None, false)
        };
        assert_eq!(written(&account::findings(&who, &nobody()))[1], expected);
    }
}

#[test]
fn the_site_and_its_server_are_told_apart() {
    let sound = || files::SiteReport {
        path: "lab".into(),
        errors: 0,
        warnings: 0,
        nodes: 2,
        health: None,
        is_rejected: false,
        unasked: None,
        silent: Vec::new(),
    };
    let reported =
        "ok: changes of its files are reported by the kernel, so an edit is live at once";
    let off = "ok: no server of this site runs now";
    let good = "ok: lab: 2 machines declared, no mistake";
    let health = |text: &str| Some(text.to_string());
    let cases = [
        (sound(), nobody(), vec![good, off, reported]),
        (
            files::SiteReport {
                errors: 2,
                warnings: 1,
                ..sound()
            },
            nobody(),
            vec![
                "error: lab: 2 machines declared, 2 errors: it does not go live $ bootwright --site lab check",
                off,
                reported,
            ],
        ),
        (
            files::SiteReport {
                nodes: 0,
                ..sound()
            },
            nobody(),
            vec![
                "warning: lab: no machine declared, no mistake: every machine that boots gets its own disk > declare one: [node.NAME] with its `mac` and `repo`",
                off,
                reported,
            ],
        ),
        (
            files::SiteReport {
                warnings: 1,
                health: health("ok"),
                ..sound()
            },
            running(),
            vec![
                "ok: lab: 2 machines declared, 1 warning $ bootwright --site lab check",
                "ok: this site's server (pid 900) runs",
                reported,
            ],
        ),
        (
            files::SiteReport {
                health: health("degraded: the disk under the journal is full"),
                ..sound()
            },
            running(),
            vec![
                good,
                "error: this site's server (pid 900) runs degraded: the disk under the journal is full",
                reported,
            ],
        ),
        (
            files::SiteReport {
                health: health("ok"),
                is_rejected: true,
                ..sound()
            },
            ServerProcess {
                pid: None,
                ..running()
            },
            vec![
                good,
                "error: this site's server runs, and keeps the last good state of the site: what is there now has errors $ bootwright --site lab check",
                reported,
            ],
        ),
        (
            files::SiteReport {
                unasked: Some("it refuses us".into()),
                ..sound()
            },
            nobody(),
            vec![
                good,
                "unknown: whether this site's server runs: it refuses us",
                reported,
            ],
        ),
        (
            sound(),
            ServerProcess {
                answers: false,
                ..running()
            },
            vec![
                good,
                "warning: this site's server (pid 900) runs, and does not answer at `listen` of `[operator]` > it was started with another bootwright.toml: restart it",
                reported,
            ],
        ),
        (
            files::SiteReport {
                silent: vec![("lab/policies.d".into(), "NFS")],
                ..sound()
            },
            nobody(),
            vec![
                good,
                off,
                "warning: lab/policies.d: on NFS, where the kernel does not report every change: it is looked at every two seconds, so an edit takes that long to be live",
            ],
        ),
    ];
    for (site, server, expected) in cases {
        assert_eq!(written(&files::of_site(&site, &server)), expected);
    }
    let silent = [
        ("lab", "NFS"),
        ("lab/policies.d", "NFS"),
        ("lab/templates", "9P"),
    ];
    let silent = silent.map(|(path, system)| (path.into(), system)).to_vec();
    let kept =
        [("lab", "NFS"), ("lab/templates", "9P")].map(|(path, system)| (path.into(), system));
    assert_eq!(files::outermost(silent), kept);
}

#[test]
fn the_state_directory_is_writable_and_has_room() {
    let state = |exists, trouble: Option<&str>, free| files::StateDirReport {
        path: Ok("/var/lib/x".into()),
        exists,
        trouble: trouble.map(String::from),
        free,
    };
    let owner = "> start the server as its owner, or set another `state` in `[paths]`: without it no installation is handed out";
    let room = "> a journal that cannot be written holds every installation: make room";
    let root = || ServerProcess {
        is_root: true,
        ..nobody()
    };
    for (state, server, expected) in [
        (
            state(true, None, Some(5 << 30)),
            nobody(),
            vec![
                "ok: /var/lib/x: can be written".to_string(),
                "ok: /var/lib/x: 5 GiB free".into(),
            ],
        ),
        (
            state(false, None, None),
            nobody(),
            vec!["ok: /var/lib/x: not there yet; the server makes it".into()],
        ),
        (
            state(true, Some("read-only"), None),
            root(),
            vec![format!(
                "error: /var/lib/x: cannot be written: read-only {owner}"
            )],
        ),
        (
            state(true, Some("denied"), None),
            nobody(),
            vec![format!(
                "warning: /var/lib/x: user 1000 cannot write it: denied {owner}"
            )],
        ),
        (
            state(true, Some("denied"), None),
            running(),
            vec!["ok: /var/lib/x: in use by this site's server".into()],
        ),
        (
            state(true, None, Some(100 << 20)),
            nobody(),
            vec![
                "ok: /var/lib/x: can be written".into(),
                format!("warning: /var/lib/x: 100 MiB free {room}"),
            ],
        ),
        (
            state(true, None, Some(0)),
            nobody(),
            vec![
                "ok: /var/lib/x: can be written".into(),
                format!("error: /var/lib/x: 0 MiB free {room}"),
            ],
        ),
    ] {
        assert_eq!(written(&files::of_state(&state, &server)), expected);
    }
    let nowhere = files::StateDirReport {
        path: Err("neither says".into()),
        ..state(false, None, None)
    };
    assert_eq!(
        written(&files::of_state(&nowhere, &nobody())),
        ["error: neither says"]
    );
}

#[test]
fn a_clock_is_plausible_kept_and_not_behind_the_journal() {
    let at = |text: &str| Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
    let noon = at("2026-11-22T12:00:00Z");
    let seen = |now, is_kept, last| clock::ClockReading { now, is_kept, last };
    let help =
        "$ timedatectl set-ntp true > or install chrony; a container has the clock of its host";
    for (seen, expected) in [
        (seen(noon, Ok(true), Ok(None)), vec!["ok: 2026-11-22T12:00:00.000Z, synchronised".to_string()]),
        (
            seen(noon, Ok(false), Ok(Some(at("2026-11-22T11:00:00Z")))),
            vec![
                format!("warning: 2026-11-22T12:00:00.000Z, not synchronised: when it jumps, the journal's times do {help}"),
                "ok: the journal's last line is of 2026-11-22T11:00:00.000Z".into(),
            ],
        ),
        (
            seen(at("1970-01-01T00:00:09Z"), Ok(false), Ok(Some(noon))),
            vec![
                format!("error: it says 1970-01-01T00:00:09.000Z, which is before this program was written: installers refuse certificates and packages by such a time {help}"),
                "warning: the journal's last line is of 2026-11-22T12:00:00.000Z, which is still to come: the clock is behind now, or was ahead then > set the clock before anything else is installed: leases go by it".into(),
            ],
        ),
        (
            seen(noon, Err("no such call".into()), Err("denied".into())),
            vec![
                "unknown: 2026-11-22T12:00:00.000Z; whether it is synchronised cannot be told: no such call".into(),
                "unknown: the journal cannot be read: denied".into(),
            ],
        ),
    ] {
        assert_eq!(written(&clock::findings(&seen)), expected);
    }
}

fn areas() -> Vec<Area> {
    vec![
        Area {
            area: "ports",
            findings: vec![
                DoctorFinding::ok("67/udp: free"),
                DoctorFinding::error("69/udp: a program\x1b[31m has it")
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
fn findings_are_shown_plain_narrow_and_as_json() {
    let mut terminal = Terminal::new(Color::Never);
    terminal.width = None;
    let plain = "ports\n  ok       67/udp: free\n  error    69/udp: a program [31m has it\n           run:  kill it\n           \
                 help: or not\n\nclock\n  unknown  no clock\n  unknown  no time\n\n1 error and 2 things that could not be looked at.\n";
    assert_eq!(show::written(&areas(), &terminal), plain);
    terminal.width = Some(30);
    let words = "one two three four five six seven";
    let area = Area {
        area: "x",
        findings: vec![DoctorFinding::ok(words).run(words)],
    };
    assert_eq!(
        show::written(&[area], &terminal),
        "x\n  ok       one two three four five\n           six seven\n           run:  one two three four five six seven\n\nNothing is in the way.\n"
    );
    let value: serde_json::Value = serde_json::from_str(&show::json(&areas())).unwrap();
    assert_eq!(
        (&value["errors"], &value["warnings"], &value["unknown"]),
        (&1.into(), &0.into(), &2.into())
    );
    let second = serde_json::json!({"area": "ports", "severity": "error", "message": "69/udp: a program\u{1b}[31m has it", "run": ["kill it"], "help": ["or not"]});
    assert_eq!(value["findings"][1], second);
    assert_eq!(count(&areas(), FindingLevel::Unknown), 2);
}
