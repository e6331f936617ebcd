//! This test program, started again: as a peer in a process of its own, or to run one test in namespaces of its
//! own.
//!
//! A peer is a named function in [`ROLES`]. It starts in the test of this module: without a role in its
//! environment, that test starts one and compares its output.

use std::{
    ffi::OsStr,
    process::{Child, Command, Stdio},
};

use super::needs;

/// What a process does in place of running tests, with its arguments.
type Role = fn(&[String]);

/// The functions that can run as a process of their own; each gets its arguments.
const ROLES: &[(&str, Role)] = &[
    ("append", crate::journal::append),
    ("arp-observer", super::arp::observe),
    ("dhcp-client", super::dhcp::run_client),
    ("dhcp-storm", super::dhcp::storm),
    ("http-client", super::client::fetch),
    ("print", print),
    ("serve", super::server::serve),
    ("udp", super::udp::exchange),
];

/// Names the role, in the environment of the process that plays it.
const ROLE: &str = "BOOTWRIGHT_TEST_ROLE";

/// The role's arguments as a JSON array.
const ARGUMENTS: &str = "BOOTWRIGHT_TEST_ARGUMENTS";

/// Names the test that runs in namespaces of its own, in the environment of the process that runs it.
const ISOLATED: &str = "BOOTWRIGHT_TEST_ISOLATED";

/// Everything that a role prints comes after this line.
const BEGIN: &str = "--- role ---\n";

/// A process that is killed when this is dropped.
pub(crate) struct KillOnDrop(pub(crate) Child);

impl Drop for KillOnDrop {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A command that runs a role, as the last argument of `wrap`.
pub(crate) fn command<W: AsRef<OsStr>>(wrap: &[W], role: &str, arguments: &[&str]) -> Command {
    let mut command = this_program(wrap, "support::child::a_role_runs_in_a_process_of_its_own");
    command
        .env(ROLE, role)
        .env(ARGUMENTS, serde_json::to_string(arguments).unwrap())
        .env_remove(ISOLATED)
        .stdout(Stdio::piped());
    command
}

fn this_program<W: AsRef<OsStr>>(wrap: &[W], test: &str) -> Command {
    let itself = std::env::current_exe().unwrap();
    let mut words = wrap.iter().map(AsRef::as_ref).chain([itself.as_os_str()]);
    let mut command = Command::new(words.next().unwrap());
    command
        .args(words)
        .args([test, "--exact", "--nocapture", "--quiet"]);
    command
}

/// Runs a command of [`command`] to its end, and returns what its role printed.
#[track_caller]
pub(crate) fn output(mut command: Command) -> String {
    let ended = command.stderr(Stdio::piped()).output().unwrap();
    let printed = String::from_utf8(ended.stdout).unwrap();
    let complaint = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{printed}{complaint}");
    let (_, printed) = printed.split_once(BEGIN).expect("the role was started");
    printed.to_owned()
}

/// Runs a test's body in a network namespace that only has a loopback interface, as root.
pub(crate) fn in_network_namespace(test: &str, body: impl FnOnce()) {
    if !needs::are_met(test, &["root", "unshare", "nsenter", "ip"]) {
        return;
    }
    isolated(test, &["unshare", "--net"], || {
        super::namespace::ip("link set lo up");
        body();
    });
}

/// Runs a test's body in a mount namespace, as root: what it mounts is visible to it only.
pub(crate) fn in_mount_namespace(test: &str, body: impl FnOnce()) {
    if !needs::are_met(test, &["root", "unshare", "mount"]) {
        return;
    }
    isolated(
        test,
        &["unshare", "--mount", "--propagation", "private"],
        body,
    );
}

fn isolated(test: &str, wrap: &[&str], body: impl FnOnce()) {
    let ended = format!("{test}: ran to its end");
    if std::env::var(ISOLATED).is_ok_and(|named| named == test) {
        body();
        println!("{ended}");
        return;
    }
    // A hang ends: each of these tests takes some seconds on a quiet machine.
    let limit = ["timeout", "600"];
    let output = this_program(&[&limit, wrap].concat(), test)
        .env(ISOLATED, test)
        .output()
        .unwrap();
    let printed = [output.stdout, output.stderr].concat();
    let printed = String::from_utf8_lossy(&printed);
    assert!(
        output.status.success() && printed.contains(&ended),
        "{printed}"
    );
}

/// Sends a signal to a process.
pub(crate) fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    let sent = Command::new("kill").args([name, &id]).status().unwrap();
    assert!(sent.success(), "kill {name} {id}");
}

/// One of the sizes in a process's status, in KiB: `VmRSS` is its resident memory, `VmHWM` the maximum of it so far.
pub(crate) fn memory_kib(child: &Child, key: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let size = status.lines().find_map(|line| {
        let size = line.strip_prefix(key)?.strip_prefix(':')?;
        size.split_whitespace().next()
    });
    size.unwrap().parse().unwrap()
}

fn print(words: &[String]) {
    println!("{}", words.join(" "));
}

#[test]
fn a_role_runs_in_a_process_of_its_own() {
    if let Ok(role) = std::env::var(ROLE) {
        let arguments: Vec<String> =
            serde_json::from_str(&std::env::var(ARGUMENTS).unwrap()).unwrap();
        let (_, play) = ROLES
            .iter()
            .find(|(name, _)| *name == role)
            .unwrap_or_else(|| panic!("there is no role `{role}`"));
        print!("\n{BEGIN}");
        play(&arguments);
        // Further output of libtest is not part of the role's output.
        std::process::exit(0);
    }
    let text = "two words, \"quotes\"\nand a line";
    assert_eq!(
        output(command::<&str>(&[], "print", &[text, "more"])),
        format!("{text} more\n")
    );
    let unknown = command::<&str>(&[], "no-such-role", &[])
        .stderr(Stdio::null())
        .status();
    assert!(!unknown.unwrap().success());
}
