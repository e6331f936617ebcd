//! Whole installations over HTTP, in the order of a real machine: script, loader, boot.cfg, kernel, document, every
//! callback in the rendered text, and the boots after them. The server's record is compared line by line.

use std::path::Path;

use assert_cmd::Command;

/// Plays a node of the quickstart against its own server, and returns the output.
fn play(arguments: &[&str]) -> String {
    let arguments: Vec<&str> = ["play"].iter().chain(arguments).copied().collect();
    run("quickstart", &arguments)
}

/// Runs a command on an example.
fn run(example: &str, arguments: &[&str]) -> String {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let state = tempfile::tempdir().unwrap();
    let mut command = Command::cargo_bin("bootwright").unwrap();
    let output = command
        .env("XDG_STATE_HOME", state.path())
        .arg("--site")
        .arg(examples.join(example))
        .args(arguments)
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// The lines of the server's record, without times, sizes and revisions.
fn recorded(printed: &str) -> Vec<String> {
    let (_, log) = printed.split_once("what the server recorded").unwrap();
    let lines = log.lines().skip(1).filter(|line| !line.trim().is_empty());
    lines
        .map(|line| masked(line.get(25..).unwrap_or(line)))
        .collect()
}

fn masked(line: &str) -> String {
    let cut = [", revision ", " ("].iter().filter_map(|mark| {
        let at = line.find(mark)?;
        (*mark != " (" || line.ends_with("B)")).then_some(at)
    });
    line[..cut.min().unwrap_or(line.len())]
        .trim_end()
        .to_string()
}

#[test]
fn an_installation_of_esxi_is_recorded_line_by_line() {
    let expected = [
        "seen        mac 00:50:56:00:00:01",
        "node        declared as esx01",
        "facts       manufacturer Bootwright, product Virtual machine, firmware efi",
        "bound       by policy esxi",
        "attempt     1 opened: task esxi from repo esxi",
        "boot        ipxe efi: installer (attempt 1)",
        "file        mboot.efi",
        "file        01-00-50-56-00-00-01/boot.cfg",
        "file        crypto64.efi",
        "document    ks.cfg",
        "installing  reported by the machine",
        "installed   reported by the machine",
        "boot        ipxe efi: its own disk: nothing is due",
        "finished    reported by the machine",
        "boot        ipxe efi: its own disk: nothing is due",
    ];
    assert_eq!(recorded(&play(&["esx01"])), expected);
}

#[test]
fn the_rack_example_installs_as_its_readme_describes() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/esxi-rack/README.md");
    let page = std::fs::read_to_string(page).unwrap();
    let blocks: Vec<Vec<&str>> = page
        .split("```\n")
        .skip(1)
        .step_by(2)
        .map(|block| block.lines().collect())
        .collect();
    let [kickstart, boot_cfg, story] = &blocks[..] else {
        panic!("the page has {} blocks", blocks.len());
    };
    for (document, quoted) in [("ks.cfg", kickstart), ("boot.cfg", boot_cfg)] {
        let rendered = run("esxi-rack", &["render", "gpu02", document]);
        let lines: Vec<&str> = rendered.lines().collect();
        assert!(
            lines.windows(quoted.len()).any(|lines| lines == quoted),
            "{document}: {rendered}"
        );
    }
    let explained = run("esxi-rack", &["explain", "gpu02"]);
    assert!(
        explained.starts_with("gpu02 is bound to policy esxi-gpu"),
        "{explained}"
    );
    assert_eq!(&recorded(&run("esxi-rack", &["play", "gpu02"])), story);
}

#[test]
fn an_installation_of_debian_is_recorded_line_by_line() {
    let expected = [
        "seen        mac 52:54:00:00:00:02",
        "node        declared as web01",
        "facts       manufacturer Bootwright, product Virtual machine, firmware efi",
        "bound       by its own declaration",
        "attempt     1 opened: task debian from repo debian",
        "boot        ipxe efi: installer (attempt 1)",
        "document    preseed.cfg",
        "file        early.sh",
        "installing  reported by the machine",
        "file        disk.sh",
        "file        late.sh",
        "file        first-boot.sh",
        "installed   reported by the machine",
        "boot        ipxe efi: its own disk: nothing is due",
        "finished    reported by the machine",
        "boot        ipxe efi: its own disk: nothing is due",
    ];
    assert_eq!(recorded(&play(&["web01"])), expected);
}

#[test]
fn an_installation_of_rocky_is_recorded_line_by_line() {
    let expected = [
        "seen        mac 52:54:00:00:00:03",
        "node        declared as db01",
        "facts       manufacturer Bootwright, product Virtual machine, firmware efi",
        "bound       by policy rocky",
        "attempt     1 opened: task redhat from repo rocky",
        "boot        ipxe efi: installer (attempt 1)",
        "document    ks.cfg",
        "installing  reported by the machine",
        "file        first-boot.sh",
        "installed   reported by the machine",
        "boot        ipxe efi: its own disk: nothing is due",
        "finished    reported by the machine",
        "boot        ipxe efi: its own disk: nothing is due",
    ];
    assert_eq!(recorded(&play(&["db01"])), expected);
}

#[test]
fn a_machine_whose_callbacks_are_all_lost_is_installed_once() {
    let log = recorded(&play(&["esx01", "--lose-callbacks", "--boots", "4"]));
    let attempts = log
        .iter()
        .filter(|line| line.starts_with("attempt"))
        .count();
    assert_eq!(attempts, 1, "{log:#?}");
    let disk =
        "boot        ipxe efi: its own disk: its installation may be done; its disk is tried first";
    assert_eq!(
        log.iter().filter(|line| *line == disk).count(),
        1,
        "{log:#?}"
    );
    assert!(
        log.contains(&"held        its disk does not boot, and no callback was received".into()),
        "{log:#?}"
    );
}

#[test]
fn a_machine_is_held_after_its_last_retry() {
    let printed = play(&["esx01", "--fail", "--boots", "9"]);
    let log = recorded(&printed);
    let attempts: Vec<_> = log
        .iter()
        .filter(|line| line.starts_with("attempt"))
        .collect();
    assert_eq!(attempts.len(), 3, "one attempt and two retries: {log:#?}");
    assert!(
        log.iter()
            .any(|line| line.starts_with("held        3 attempts failed: ")),
        "{log:#?}"
    );
}
