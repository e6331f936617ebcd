//! Checks rendered documents with other programs: ksvalidator, debconf-set-selections, netplan and the shell.

use std::{
    fs,
    io::Write,
    process::{Command, Stdio},
};

use bootwright::render::RenderedAttempt;

use crate::support::{
    needs::{needs, program},
    rendering::{Rendering, SITE, rendering, text},
};

/// The newest Fedora that pykickstart 3.78 supports, and the RHEL releases that we support.
const RELEASES: [&str; 4] = ["RHEL8", "RHEL9", "RHEL10", "F46"];

/// Every file with this name, with its node.
fn every(rendering: &Rendering, name: &str) -> Vec<(String, String)> {
    let nodes = rendering.site.nodes.keys();
    let files: Vec<(String, String)> = nodes
        .flat_map(|node| {
            let rendered = rendering
                .inspect(node.as_str())
                .0
                .unwrap_or_else(|| panic!("{node} renders"));
            let found = rendered.files.into_iter().filter(|file| file.name == name);
            found
                .map(|file| (node.to_string(), text(&file.body)))
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(files.len() > 2, "{} files are called {name}", files.len());
    files
}

#[test]
fn ksvalidator_accepts_every_kickstart() {
    needs!("ksvalidator");
    let ksvalidator = program("ksvalidator").unwrap();
    let rendering = rendering(SITE, &[]);
    let folder = tempfile::tempdir().unwrap();
    for (node, text) in every(&rendering, "ks.cfg")
        .into_iter()
        .filter(|(node, _)| node.starts_with("rocky"))
    {
        let path = folder.path().join(format!("{node}.cfg"));
        fs::write(&path, text).unwrap();
        for release in RELEASES {
            let output = Command::new(&ksvalidator)
                .args(["-e", "-v", release])
                .arg(&path)
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{node}, {release}: {text}");
        }
    }
}

#[test]
fn debconf_accepts_every_preseed() {
    needs!("debconf-set-selections");
    let rendering = rendering(SITE, &[]);
    for (node, text) in every(&rendering, "preseed.cfg") {
        let mut child = Command::new("debconf-set-selections")
            .arg("-c")
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child
            .stdin
            .take()
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        let output = child.wait_with_output().unwrap();
        // An unknown type is only reported here.
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{node}");
        assert!(output.status.success(), "{node}");
    }
}

#[test]
fn the_shell_parses_every_script() {
    let rendering = rendering(SITE, &[]);
    let mut seen = 0;
    for node in rendering.site.nodes.keys() {
        let rendered = rendering.inspect(node.as_str()).0.unwrap();
        for (name, script) in scripts(&rendered) {
            let mut child = Command::new("sh")
                .arg("-n")
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            child
                .stdin
                .take()
                .unwrap()
                .write_all(script.as_bytes())
                .unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(
                output.status.success(),
                "{node}, {name}: {}\n{script}",
                String::from_utf8_lossy(&output.stderr)
            );
            seen += 1;
        }
    }
    assert!(seen > 30, "{seen} scripts");
}

/// The scripts of an attempt: whole files, sections of kickstart files, and commands of preseed files.
fn scripts(rendered: &RenderedAttempt) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for file in &rendered.files {
        let text = text(&file.body);
        if file.name.ends_with(".sh") {
            found.push((file.name.clone(), text));
        } else if file.name == "ks.cfg" {
            let sections = text
                .split("\n%")
                .skip(1)
                .filter(|section| !section.starts_with("end") && !section.starts_with("packages"));
            found.extend(sections.map(|section| {
                let (header, body) = section.split_once('\n').unwrap();
                (header.to_string(), body.to_string())
            }));
        } else if file.name == "preseed.cfg" {
            let commands = text
                .lines()
                .filter_map(|line| line.split_once("_command string "));
            found.extend(commands.map(|(key, command)| (key.to_string(), command.to_string())));
        }
    }
    found
}

/// The configuration that netplan generates for systemd-networkd from every `network-config`: the declared
/// addresses and routes.
#[test]
fn netplan_accepts_every_network_config() {
    needs!("netplan");
    let rendering = rendering(SITE, &[]);
    for (node, text) in every(&rendering, "network-config") {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("etc/netplan");
        fs::create_dir_all(&dir).unwrap();
        // cloud-init passes what is under `network` to netplan.
        let indented: String = text.lines().map(|line| format!("  {line}\n")).collect();
        fs::write(
            dir.join("50-cloud-init.yaml"),
            format!("network:\n{indented}"),
        )
        .unwrap();
        let output = Command::new("netplan")
            .args(["generate", "--root-dir"])
            .arg(root.path())
            .output()
            .unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{node}: {errors}");
        let made = fs::read_dir(root.path().join("run/systemd/network")).unwrap();
        let mut all: Vec<String> = made
            .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
            .collect();
        all.sort();
        let all = all.concat();
        let expected: &[&str] = match node.as_str() {
            "image-static" => &[
                "Address=192.0.2.51/24",
                "Address=2001:db8::51/64",
                "Gateway=192.0.2.1",
                "Gateway=2001:db8::1",
                "DNS=192.0.2.2",
                "MACAddress=52:54:00:00:00:51",
            ],
            "image-commands" => &["Address=192.0.2.63/24"],
            "image-dhcp" => &["DHCP=ipv4", "MACAddress=52:54:00:00:00:52"],
            "image-bond" => &[
                "Mode=802.3ad",
                "LACPTransmitRate=fast",
                "MIIMonitorSec=100ms",
                "Id=20",
                "Address=198.51.100.54/24",
                "Address=10.1.0.54/24",
                "Destination=10.9.0.0/16",
                "Metric=50",
                "Kind=bridge",
                "Address=192.0.2.54/24",
                "Domains=rack1.example example.com",
            ],
            other => panic!("{other} has a network-config, and nothing is expected of it"),
        };
        for line in expected {
            assert!(all.contains(line), "{node}: no {line} in\n{all}");
        }
    }
}
