//! The network settings of each node, read by the programs that apply them: nmcli, systemd-networkd and netplan.
//!
//! Each test also has a document with mistakes, to prove that the program would report them.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{
    child::KillOnDrop,
    needs::{needs, nmcli, program},
    rendering::{Rendering, SITE, installed_files, networks, rendering, text},
};

/// The files that each node's installer writes, by node.
fn files_of(rendering: &Rendering, script: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    let nodes = rendering.site.nodes.keys();
    nodes
        .filter_map(|node| {
            let (rendered, found) = rendering.inspect(node.as_str());
            let rendered = rendered.unwrap_or_else(|| panic!("{node}: {found:?}"));
            let file = rendered.files.iter().find(|file| file.name == script)?;
            let text = text(&file.body);
            Some((node.to_string(), installed_files(&text)))
        })
        .collect()
}

/// The lines of a keyfile as `section.key=value`, sorted.
fn settings(keyfile: &str) -> Vec<String> {
    let mut section = "";
    let mut settings = Vec::new();
    for line in keyfile.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix('[') {
            Some(name) => section = name.trim_end_matches(']'),
            None => {
                let setting = format!("{section}.{line}").to_lowercase();
                // nmcli writes the gateway behind the first address.
                if let Some((address, gateway)) = setting.split_once(',')
                    && setting.contains(".address1=")
                {
                    settings.push(address.to_string());
                    settings.push(format!("{section}.gateway={gateway}"));
                } else {
                    settings.push(setting);
                }
            }
        }
    }
    settings.sort();
    settings
}

/// What NetworkManager reads from a keyfile, as a keyfile.
fn normalized(keyfile: &str) -> Result<String, String> {
    let mut child = nmcli()
        .unwrap()
        .args([
            "--offline",
            "connection",
            "modify",
            "connection.autoconnect-retries",
            "1",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A keyfile in its directory needs no UUID.
    let text = keyfile.replacen(
        "[connection]\n",
        "[connection]\nuuid=00000000-0000-4000-8000-000000000001\n",
        1,
    );
    child
        .stdin
        .take()
        .unwrap()
        .write_all(text.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The settings of a keyfile that NetworkManager does not read.
fn ignored(keyfile: &str) -> Vec<String> {
    let read = normalized(keyfile).unwrap_or_else(|error| panic!("{error}{keyfile}"));
    let read = settings(&read);
    settings(keyfile)
        .into_iter()
        .filter(|setting| !read.contains(setting))
        .collect()
}

#[test]
fn network_manager_reads_every_setting_of_every_keyfile() {
    needs!("nmcli");
    let mut seen = 0;
    for rendering in [rendering(SITE, &[]), networks("rocky")] {
        for (node, files) in files_of(&rendering, "ks.cfg") {
            for (name, text) in files
                .iter()
                .filter(|(name, _)| name.ends_with(".nmconnection"))
            {
                assert_eq!(
                    ignored(text),
                    Vec::<String>::new(),
                    "{node}, {name}:\n{text}"
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 20, "{seen} keyfiles");
    // An unknown option is ignored, and so is a MAC as `primary`. Options that exclude each other are an error.
    let bond = |options: &str| {
        format!(
            "[connection]\nid=bond0\ntype=bond\ninterface-name=bond0\n\n[bond]\n{options}\n\n[ipv4]\nmethod=disabled\n\n[ipv6]\nmethod=disabled\n"
        )
    };
    for (options, expected) in [
        ("mode=active-backup\nprimary=lan1", &[][..]),
        (
            "mode=active-backup\nprimary=52:54:00:00:00:01",
            &["bond.primary=52:54:00:00:00:01"],
        ),
        ("mode=802.3ad\nlacp_active=off", &["bond.lacp_active=off"]),
    ] {
        assert_eq!(ignored(&bond(options)), expected, "{options}");
    }
    assert!(normalized(&bond("mode=active-backup\nlacp_rate=fast")).is_err());
}

/// Starts systemd-networkd with these files in a namespace of its own, and returns what it reports about them.
fn networkd_reports(files: &BTreeMap<String, String>) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let script = "mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /etc/systemd && mkdir /etc/systemd/network && cp \"$0\"/* /etc/systemd/network && exec \"$1\"";
    let child = Command::new("unshare")
        .args([
            "--net",
            "--mount",
            "--propagation",
            "private",
            "sh",
            "-c",
            script,
        ])
        .arg(folder.path())
        .arg(program("systemd-networkd").unwrap())
        .envs([
            ("SYSTEMD_LOG_LEVEL", "debug"),
            ("SYSTEMD_LOG_TARGET", "console"),
        ])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut child = KillOnDrop(child);
    let lines = BufReader::new(child.0.stderr.take().unwrap()).lines();
    let mut reports = Vec::new();
    for line in lines.map(Result::unwrap) {
        if line.contains("Enumeration completed") {
            return reports;
        }
        // Mistakes begin with the path of the file.
        if let Some(report) = line.strip_prefix("/etc/systemd/network/") {
            reports.push(report.to_string());
        }
    }
    panic!("systemd-networkd ended: {reports:?}");
}

#[test]
fn systemd_networkd_reads_every_line_of_every_file() {
    needs!("root", "unshare", "systemd-networkd");
    let mut seen = 0;
    for rendering in [rendering(SITE, &[]), networks("debian")] {
        for (node, mut files) in files_of(&rendering, "late.sh") {
            files.retain(|name, _| {
                Path::new(name)
                    .extension()
                    .is_some_and(|kind| kind == "network" || kind == "netdev")
            });
            if files.is_empty() {
                continue;
            }
            assert_eq!(
                networkd_reports(&files),
                Vec::<String>::new(),
                "{node}: {files:#?}"
            );
            seen += 1;
        }
    }
    assert!(seen > 6, "{seen} nodes");
    let broken = BTreeMap::from([
        (
            "10-bond0.netdev".to_string(),
            "[NetDev]\nName=bond0\nKind=bond\n\n[Bond]\nARPValidate=filter\nLacpActive=no\n"
                .to_string(),
        ),
        (
            "20-bond0.network".to_string(),
            "[Match]\nName=bond0\n\n[Route]\nPrimarySlave=yes\n".to_string(),
        ),
    ]);
    let reports = networkd_reports(&broken);
    for expected in [
        "10-bond0.netdev:6: ",
        "10-bond0.netdev:7: Unknown key 'LacpActive'",
        "20-bond0.network:5: Unknown key 'PrimarySlave'",
    ] {
        assert!(
            reports.iter().any(|report| report.starts_with(expected)),
            "{reports:?}"
        );
    }
}

/// The files that netplan makes for systemd-networkd of a `network-config`, or its errors.
fn generated(network_config: &str) -> Result<String, String> {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("etc/netplan");
    fs::create_dir_all(&dir).unwrap();
    let indented: String = network_config
        .lines()
        .map(|line| format!("  {line}\n"))
        .collect();
    fs::write(
        dir.join("50-cloud-init.yaml"),
        format!("network:\n{indented}"),
    )
    .unwrap();
    let output = Command::new(program("netplan").unwrap())
        .args(["generate", "--root-dir"])
        .arg(root.path())
        .output()
        .unwrap();
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    let made = fs::read_dir(root.path().join("run/systemd/network")).unwrap();
    let mut all: Vec<String> = made
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    all.sort();
    Ok(all.concat())
}

#[test]
fn netplan_makes_what_each_network_config_sets() {
    needs!("netplan");
    let rendering = networks("image");
    for (node, expected) in [
        (
            "one",
            &[
                "Address=192.0.2.11/24",
                "Gateway=192.0.2.1",
                "DNS=192.0.2.2",
            ][..],
        ),
        (
            "two",
            &[
                "Address=192.0.2.12/24",
                "Address=10.1.0.12/24",
                "MTUBytes=9000",
            ],
        ),
        (
            "v6",
            &[
                "Address=2001:db8::13/64",
                "Gateway=2001:db8::1",
                "DNS=2001:db8::2",
            ],
        ),
        (
            "dual",
            &[
                "Gateway=192.0.2.1\nGateway=2001:db8::1",
                "Domains=lab.example example.com",
            ],
        ),
        ("dhcp", &["DHCP=ipv4"]),
        ("isolated", &["Address=10.2.0.16/24"]),
        (
            "routes",
            &[
                "Destination=10.9.0.0/16\nGateway=192.0.2.9\nMetric=50",
                "Destination=2001:db8:9::/48\nGateway=2001:db8::9",
            ],
        ),
        ("jumbo", &["MTUBytes=9000"]),
        ("vlan", &["Id=20", "Address=192.0.2.19/24", "VLAN=lan0.20"]),
        (
            "bond",
            &[
                "Mode=802.3ad\nLACPTransmitRate=fast\nMIIMonitorSec=100ms\nMinLinks=1\nTransmitHashPolicy=layer3+4\nAdSelect=bandwidth\nUpDelaySec=200ms",
            ],
        ),
        (
            "failover",
            &[
                "Mode=active-backup\nMIIMonitorSec=100ms\nFailOverMACPolicy=active\nGratuitousARP=3\nPrimaryReselectPolicy=failure",
                "Bond=bond0\nPrimarySlave=true",
            ],
        ),
        (
            "arp",
            &["ARPIntervalSec=250ms\nARPIPTargets=192.0.2.1 192.0.2.2\nARPValidate=all"],
        ),
        ("stack", &["Kind=bridge", "Id=20", "Address=192.0.2.23/24"]),
        (
            "everything",
            &[
                "Kind=bridge",
                "Id=30",
                "Address=192.0.2.24/24",
                "Address=2001:db8::24/64",
                "Address=10.1.0.24/24",
            ],
        ),
        (
            "host",
            &[
                "Address=203.0.113.25/32",
                "Destination=0.0.0.0/0\nGateway=172.31.1.1\nGatewayOnLink=true",
                "Destination=::/0\nGateway=2001:db8:ffff::1\nGatewayOnLink=true",
            ],
        ),
        (
            "hosted",
            &[
                "Destination=0.0.0.0/0\nGateway=198.51.100.126\nGatewayOnLink=true",
                "Destination=10.9.0.0/16\nGateway=198.51.100.125\nGatewayOnLink=true",
            ],
        ),
    ] {
        let text = rendering.text(node, "network-config");
        let made = generated(&text).unwrap_or_else(|error| panic!("{node}: {error}"));
        for part in expected {
            assert!(made.contains(part), "{node}: no {part} in\n{made}");
        }
    }
    assert_eq!(rendering.site.nodes.len(), 16);
    let broken = "version: 2\nbonds: {bond0: {parameters: {mimon: 1}}}";
    let error = generated(broken).unwrap_err();
    assert!(error.contains("mimon"), "{error}");
}
