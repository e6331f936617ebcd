//! ESXi's documents, checked against its rules, with their scripts run by a shell.

use std::{fs, process::Command, time::Instant};

use bootwright::{model::SecretText, render::check::check_ks};

use crate::support::{
    needs::needs,
    rendering::{Rendering, SITE, rendering},
};

/// The kickstart of every ESXi machine of the site, and whether the machine has Secure Boot.
fn documents(rendering: &Rendering) -> Vec<(String, bool, String)> {
    let nodes = rendering.site.nodes.iter();
    nodes
        .filter(|(name, _)| name.as_str().starts_with("esx-"))
        .map(|(name, node)| {
            let secure = node.settings.secure_boot.as_deref();
            let text = rendering.text(name.as_str(), "ks.cfg");
            (name.to_string(), secure.is_some_and(|at| at.value), text)
        })
        .collect()
}

#[test]
fn every_document_satisfies_the_thirty_rules() {
    let rendering = rendering(SITE, &[]);
    let documents = documents(&rendering);
    assert!(documents.len() >= 9, "{} documents", documents.len());
    for (name, secure, text) in documents {
        assert_eq!(check_ks(&text, secure), Vec::new(), "{name}: {text}");
        assert_eq!(text.contains("%firstboot"), !secure, "{name}");
    }
}

#[test]
fn a_licence_comes_from_a_variable_or_from_a_secret() {
    let key = "A1B2C-D3E4F-00000-H7I8J-K9L0M";
    for vars in [
        format!("vars = {{ license = \"{key}\" }}"),
        "vars = { license-secret = \"esxi-8\" }".into(),
    ] {
        let toml = SITE.replace("[node.esx-static]", &format!("[node.esx-static]\n{vars}"));
        let mut rendering = rendering(&toml, &[]);
        let secret = SecretText::new(format!("{key}\n"));
        rendering.external.secrets.insert("esxi-8".into(), secret);
        let text = rendering.text("esx-static", "ks.cfg");
        assert!(
            text.contains(&format!("\nserialnum --esx={key}\n")),
            "{vars}: {text}"
        );
    }
}

#[test]
fn a_secret_that_is_no_licence_key_is_not_printed() {
    let toml = SITE.replace(
        "[node.esx-static]",
        "[node.esx-static]\nvars = { license-secret = \"esxi-8\" }",
    );
    let mut rendering = rendering(&toml, &[]);
    rendering
        .external
        .secrets
        .insert("esxi-8".into(), SecretText::new("hunter2"));
    let found = rendering.shown(&rendering.inspect("esx-static").1);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("not an ESXi licence key"), "{found:?}");
    assert!(!found[0].contains("hunter2"), "{found:?}");
}

/// Runs a section with busybox, with functions in place of ESXi's programs.
fn run(section: &str, programs: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new("busybox")
        .args(["sh", "-c", &format!("{programs}\n{section}")])
        .env("ROOT", folder.path())
        .output()
        .unwrap();
    let log = fs::read_to_string(folder.path().join("log")).unwrap_or_default();
    (output.status.code(), log)
}

fn section<'a>(document: &'a str, name: &str) -> &'a str {
    let start = document.find(&format!("\n{name} ")).unwrap();
    let body = document[start + 1..].split_once('\n').unwrap().1;
    body.split("\n%").next().unwrap()
}

/// ESXi 5.0's wget hangs if a response has no body, and a network may drop packets.
#[test]
fn an_unreachable_server_does_not_delay_an_installation() {
    needs!("busybox");
    let rendering = rendering(SITE, &[]);
    let document = rendering.text("esx-static", "ks.cfg");
    for (wget, tries) in [
        ("wget() { echo ask >> \"$ROOT/log\"; exec sleep 600; }", 6),
        ("wget() { echo ask >> \"$ROOT/log\"; return 1; }", 6),
        ("wget() { echo ask >> \"$ROOT/log\"; }", 1),
    ] {
        let programs = format!("sleep() {{ command sleep 0.02; }}\n{wget}");
        let start = Instant::now();
        let (code, log) = run(section(&document, "%pre"), &programs);
        assert_eq!(code, Some(0), "{wget}");
        assert_eq!(log.lines().count(), tries, "{wget}");
        assert!(
            start.elapsed().as_secs() < 60,
            "{wget}: {:?}",
            start.elapsed()
        );
    }
}

/// The commands that a release does not have, so that the script must use others.
const VERSIONS: [(&str, &str); 3] = [
    (
        "5.0",
        "case \"$*\" in 'system ntp'* | 'network ip route'*) return 1 ;; esac",
    ),
    ("6.7", "case \"$*\" in 'system ntp'*) return 1 ;; esac"),
    ("8.0", ""),
];

#[test]
fn the_first_boot_script_works_on_every_version() {
    needs!("busybox");
    let toml = SITE.replace(
        "[node.esx-storage]",
        "[node.esx-storage]\nntp = [\"192.0.2.2\", \"ntp.example.com\"]\nsearch = \"lab.example\"",
    );
    let rendering = rendering(&toml, &[]);
    let document = rendering.text("esx-storage", "ks.cfg");
    let script = section(&document, "%firstboot");
    let mut seen = Vec::new();
    for (version, refuses) in VERSIONS {
        let programs = format!(
            r#"
esxcli() {{
  {refuses}
  case "$*" in 'network nic list')
    printf 'Name    PCI Device    Driver  Link  Speed  Duplex  MAC Address         MTU  Description\n'
    printf 'vmnic0  0000:001:00.0  e1000e  Up  1000  Full  00:50:56:00:00:09  1500  Intel\n'
    printf 'vmnic4  0000:001:00.1  e1000e  Up  1000  Full  00:50:56:00:01:09  1500  Intel\n'
    printf 'vmnic7  0000:001:00.2  e1000e  Up  1000  Full  00:50:56:00:02:09  1500  Intel\n'
    return ;;
  esac
  echo "esxcli $*" >> "$ROOT/log"
}}
esxcfg_route() {{ echo "esxcfg-route $*" >> "$ROOT/log"; }}
vim_cmd() {{ :; }}
chkconfig() {{ echo "chkconfig $*" >> "$ROOT/log"; }}
ntpd() {{ echo "ntpd $*" >> "$ROOT/log"; }}
backup() {{ :; }}
wget() {{ for last; do :; done; echo "${{last##*/}}" >> "$ROOT/log"; }}
sleep() {{ command sleep 0.02; }}
"#
        );
        // Not every shell allows functions whose names have a hyphen or a slash. File names are replaced, to spare those of this host.
        let script = script
            .replace("vim-cmd", "vim_cmd")
            .replace("esxcfg-route", "esxcfg_route")
            .replace("/sbin/auto-backup.sh", "backup")
            .replace("/sbin/chkconfig", "chkconfig")
            .replace("/etc/init.d/ntpd", "ntpd")
            .replace("/etc/", "\"$ROOT\"/");
        let script = format!(
            "{script}\nfor file in ntp.conf ssh/keys-root/authorized_keys; do\n  [ ! -e \"$ROOT/$file\" ] || sed \"s|^|$file: |\" \"$ROOT/$file\" >> \"$ROOT/log\"\ndone"
        );
        let (code, log) = run(&script, &programs);
        assert_eq!(code, Some(0), "{version}: {log}");
        seen.push(format!("==> {version} <==\n{log}"));
    }
    insta::with_settings!({ omit_expression => true }, {
        insta::assert_snapshot!("first_boot", seen.join("\n"));
    });
}
