//! `doctor` on its own network: its findings about ports in use, another DHCP server, a firewall, and a running
//! server.

use std::{
    fs,
    net::{TcpListener, UdpSocket},
    os::unix::process::CommandExt,
    path::Path,
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::support::{
    child::{KillOnDrop, in_network_namespace},
    client::until,
    namespace::{Host, ip},
    needs::needs,
    test_name,
};

/// Our address on the bridge, and that of the machine behind it.
const OWN_ADDRESS: &str = "198.51.100.1";
const OTHER_SERVER: &str = "198.51.100.2";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn each_conflict_is_named_with_what_fixes_it() {
    needs!("dnsmasq", "nft");
    in_network_namespace(test_name!(), conflicts);
}

fn conflicts() {
    let dir = tempfile::tempdir().unwrap();
    let site = Site(dir.path());
    site.write(
        "bootwright.toml",
        "[dhcp]\ninterfaces = [\"br0\", \"eth7\"]\n[run]\nuser = \"nobody-of-this-name\"\n",
    );
    site.network("server");
    ip("link add br0 type bridge");
    ip(&format!("address add {OWN_ADDRESS}/24 dev br0"));
    ip("link set br0 up");
    ip("link add docker0 type bridge");
    ip("address add 203.0.113.1/24 dev docker0");
    let host = host_on_the_bridge();
    with_problems(&site, &host);
    site.write("bootwright.toml", "");
    without_problems(&site);
    while_the_server_runs(&site);
    the_examples();
}

/// Ports that this process uses, another DHCP server, a firewall, missing loaders.
fn with_problems(site: &Site<'_>, host: &Host) {
    let _ports = [67, 69].map(|port| UdpSocket::bind(("0.0.0.0", port)).unwrap());
    let _web = TcpListener::bind(("127.0.0.1", 80)).unwrap();
    let _dhcp = serve_dhcp(host);
    firewall();
    let found = site.doctor();
    assert_eq!(found.code, 1);
    let us = std::process::id();
    let name = fs::read_to_string("/proc/self/comm").unwrap();
    let us = format!("{} (pid {us})", name.trim());
    for (area, severity, message) in [
        ("ports", "error", format!("67/udp (DHCP): in use by {us}, so networks with `reserve` or `server` get no DHCP answer")),
        ("ports", "ok", "4011/udp (PXE boot server): free".into()),
        ("ports", "error", format!("69/udp (TFTP): in use by {us}, so firmware can load the loader only over HTTP")),
        ("ports", "warning", format!("80/tcp (HTTP for machines): in use by {us}, so a server without `listen` in `[http]` uses 8080")),
        ("ports", "ok", "8080/tcp (HTTP for machines): free".into()),
        ("ports", "ok", "8067/tcp (HTTP for operators): free".into()),
        ("site", "ok", "this site's server is not running".into()),
        ("server", "error", "the server cannot switch to user nobody-of-this-name: there is no user `nobody-of-this-name` in /etc/passwd".into()),
        ("interfaces and networks", "ok", format!("br0: {OWN_ADDRESS}/24, up; network lab, dhcp \"server\"")),
        ("interfaces and networks", "ok", "docker0: 203.0.113.1/24, no link; a bridge of Docker: it connects guests on this host, not machines on your network".into()),
        ("interfaces and networks", "error", "`eth7` of `interfaces` in `[dhcp]` is not an interface or address of this machine".into()),
        ("interfaces and networks", "warning", "network far: dhcp \"reserve\", but no interface of this machine has an address in 192.0.2.0/24".into()),
        ("loaders", "ok", format!("snponly.efi: {}/loaders/snponly.efi, iPXE 9.9.9-of-the-test", site.0.display())),
        ("loaders", "error", "own.efi: missing, but network far uses it".into()),
    ] {
        found.has(area, severity, &message);
    }
    found.has("other DHCP servers", "error", &format!("network lab on br0: another DHCP server, {OTHER_SERVER}, answers although dhcp is \"server\": meanwhile this server assigns no addresses"));
    let finding = found.has("firewall", "error", "the chain inet filter input, with policy drop, blocks 4011/udp, 69/udp and 8080/tcp on br0");
    let lines = [
        "nft insert rule inet filter input iifname \"br0\" udp dport { 4011, 69 } accept",
        "nft insert rule inet filter input iifname \"br0\" tcp dport 8080 accept",
    ];
    assert_eq!(finding["run"], json!(lines));
    // The suggested commands are valid for nft, and fix the problem.
    for line in lines {
        let ran = Command::new("sh").args(["-c", line]).status().unwrap();
        assert!(ran.success(), "{line}");
    }
    let mended = site.doctor();
    mended.has(
        "firewall",
        "ok",
        "nftables allows machines to reach 67/udp, 4011/udp, 69/udp and 8080/tcp on br0",
    );
}

fn without_problems(site: &Site<'_>) {
    let flushed = Command::new("nft").args(["flush", "ruleset"]).status();
    assert!(flushed.unwrap().success());
    site.write("policies.d/far.toml", "");
    let found = site.doctor();
    assert_eq!(found.errors(), Vec::<String>::new());
    assert_eq!(found.code, 0);
    for (name, need) in [
        ("67/udp", "DHCP"),
        ("4011/udp", "PXE boot server"),
        ("69/udp", "TFTP"),
        ("80/tcp", "HTTP for machines"),
    ] {
        found.has("ports", "ok", &format!("{name} ({need}): free"));
    }
    found.has(
        "other DHCP servers",
        "ok",
        "network lab on br0: no other DHCP server answered in 6 seconds",
    );
    assert!(!site.0.join("state").exists(), "nothing is changed");
}

fn while_the_server_runs(site: &Site<'_>) {
    let server = KillOnDrop(
        Command::new(env!("CARGO_BIN_EXE_bootwright"))
            .arg("serve")
            .arg(site.0)
            .stdout(Stdio::null())
            .spawn()
            .unwrap(),
    );
    until("the server has its ports", || {
        let taken = |port| UdpSocket::bind(("0.0.0.0", port)).is_err();
        (taken(69) && taken(4011) && TcpListener::bind(("127.0.0.1", 8067)).is_err()).then_some(())
    });
    let found = site.doctor();
    assert_eq!(found.errors(), Vec::<String>::new());
    let pid = server.0.id();
    found.has(
        "site",
        "ok",
        &format!("this site's server (pid {pid}) is running"),
    );
    found.has(
        "server",
        "ok",
        &format!("this site's server (pid {pid}) runs as root"),
    );
    for name in [
        "67/udp (DHCP)",
        "4011/udp (PXE boot server)",
        "69/udp (TFTP)",
        "80/tcp (HTTP for machines)",
        "8067/tcp (HTTP for operators)",
    ] {
        found.has(
            "ports",
            "ok",
            &format!("{name}: in use by this site's server"),
        );
    }
    // Without root the ports are reported as in use, without the program.
    let found = site.doctor_of(|command| {
        command.uid(65_534).gid(65_534);
    });
    assert_eq!(found.errors(), Vec::<String>::new());
    let state = site.0.join("state");
    found.has("site", "unknown", &format!("cannot determine whether this site's server is running: the server at http://127.0.0.1:8067 needs the operator token: `{}/operator-token` cannot be read: permission denied", state.display()));
    found.has("ports", "unknown", "67/udp (DHCP): in use by this site's server or another program; run doctor as root to determine which");
    found.has(
        "other DHCP servers",
        "unknown",
        "network lab on br0: not checked for other DHCP servers: port 68 needs root",
    );
    found.has(
        "firewall",
        "unknown",
        "cannot read the nftables rules: needs root",
    );
}

/// Every shipped example is checked, and nothing is left behind.
fn the_examples() {
    let mut count = 0;
    for example in fs::read_dir(root().join("examples")).unwrap() {
        let path = example.unwrap().path();
        let ran = bootwright(&path).output().unwrap();
        let text = String::from_utf8(ran.stdout).unwrap();
        assert_eq!(
            String::from_utf8(ran.stderr).unwrap(),
            "",
            "{}",
            path.display()
        );
        for area in [
            "site",
            "server",
            "state",
            "ports",
            "interfaces and networks",
            "other DHCP servers",
            "firewall",
            "loaders",
            "clock",
        ] {
            assert!(text.contains(&format!("{area}\n  ")), "{text}");
        }
        assert!(ran.status.code().is_some_and(|code| code < 2), "{text}");
        assert!(!text.contains('\x1b'), "{text}");
        count += 1;
    }
    assert!(count > 2, "there are examples");
}

/// The site to check.
struct Site<'a>(&'a Path);

impl Site<'_> {
    fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let paths = match name {
            "bootwright.toml" => "[paths]\nstate = \"state\"\nloaders = \"loaders\"\n",
            _ => "",
        };
        fs::write(path, format!("{text}{paths}")).unwrap();
    }

    fn network(&self, mode: &str) {
        self.write(
            "policies.d/lab.toml",
            &format!("[network.lab]\nsubnet = \"198.51.100.0/24\"\ndhcp = \"{mode}\"\nrange = \"198.51.100.100-198.51.100.150\"\n"),
        );
        self.write(
            "policies.d/far.toml",
            "[network.far]\nsubnet = \"192.0.2.0/24\"\ndhcp = \"reserve\"\nloader = \"own.efi\"\n",
        );
        fs::create_dir_all(self.0.join("loaders")).unwrap();
        for loader in ["undionly.kpxe", "snponly.efi"] {
            let bytes = b"MZ\0iPXE\0\0\x009.9.9-of-the-test\0";
            fs::write(self.0.join("loaders").join(loader), bytes).unwrap();
        }
        // The user of the last run needs access.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(self.0, open).unwrap();
    }

    fn doctor(&self) -> Found {
        self.doctor_of(|_| {})
    }

    fn doctor_of(&self, prepare: impl FnOnce(&mut Command)) -> Found {
        let mut command = bootwright(self.0);
        command.arg("--json");
        prepare(&mut command);
        let ran = command.output().unwrap();
        let complaint = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(complaint, "");
        Found {
            code: ran.status.code().unwrap(),
            value: serde_json::from_slice(&ran.stdout).unwrap(),
        }
    }
}

fn bootwright(site: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bootwright"));
    command.arg("--site").arg(site).arg("doctor");
    command
}

/// The findings of a run.
struct Found {
    code: i32,
    value: Value,
}

impl Found {
    #[track_caller]
    fn has(&self, area: &str, severity: &str, message: &str) -> &Value {
        let findings = self.value["findings"].as_array().unwrap();
        let found = findings.iter().find(|one| {
            one["area"] == area && one["severity"] == severity && one["message"] == message
        });
        found.unwrap_or_else(|| panic!("no {severity} in {area}: {message}\nin {:#}", self.value))
    }

    fn errors(&self) -> Vec<String> {
        let findings = self.value["findings"].as_array().unwrap();
        let errors = findings.iter().filter(|one| one["severity"] == "error");
        errors.map(|one| one["message"].to_string()).collect()
    }
}

/// A host on the bridge.
fn host_on_the_bridge() -> Host {
    let host = Host::new();
    host.connect("near");
    ip("link set near master br0");
    host.ip("link set lo up");
    host.ip(&format!("address add {OTHER_SERVER}/24 dev far"));
    // A bridge takes a moment to forward.
    until("the link", || {
        let shown = Command::new("ip")
            .args(["-br", "link", "show", "br0"])
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
        shown.contains(" UP ").then_some(())
    });
    host
}

/// Starts another DHCP server on a host.
fn serve_dhcp(host: &Host) -> KillOnDrop {
    let started = host
        .program("dnsmasq")
        .args([
            "--keep-in-foreground",
            "--port=0",
            "--leasefile-ro",
            "--conf-file=/dev/null",
            "--pid-file=",
        ])
        .arg("--dhcp-range=198.51.100.50,198.51.100.60")
        .stderr(Stdio::null())
        .spawn();
    until("dnsmasq has its port", || {
        host.sockets("udp").contains(":0043 ").then_some(())
    });
    KillOnDrop(started.unwrap())
}

/// Drops all packets except those for DHCP.
fn firewall() {
    let rules = "table inet filter { chain input { type filter hook input priority 0; policy drop; iif lo accept; \
                 udp dport { 67, 68 } accept; }; }";
    let loaded = Command::new("nft").arg(rules).status();
    assert!(loaded.unwrap().success());
}
