//! What a test needs of the machine that it runs on, and what happens where that is missing.
//!
//! A test that needs a program, root or a prepared file begins with `needs!("strace")`. If a requirement is not
//! met, the test fails and names the Debian package to install. The environment variable `BOOTWRIGHT_SKIP=NAME,…`
//! skips tests: a `NAME` is a need, or a test by its whole path or the last part of it. Such a test is skipped
//! whether or not its needs are met.
//!
//! libtest has no skipped tests, so a skipped one passes there. It appends its path, a line of its own, to the file
//! that the environment variable `BOOTWRIGHT_SKIPPED` names. `tests/run` empties that file before it runs anything
//! and counts its lines at the end; the scripts in `tests/e2e` do the same (`tests/e2e/common.bash`).

use std::{
    env,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
};

use super::{installer, sources::root};

/// Ends the test here if it is to be skipped, and fails it if one of its needs is not met.
macro_rules! needs {
    ($($need:literal),+) => {
        if !$crate::support::needs::are_met($crate::support::test_name!(), &[$($need),+]) {
            return;
        }
    };
}

pub(crate) use needs;

/// Programs, with what installs each of them.
const PROGRAMS: &[(&str, &str)] = &[
    ("busybox", "busybox"),
    ("curl", "curl"),
    ("debconf-set-selections", "debconf"),
    ("dnsmasq", "dnsmasq-base"),
    ("genisoimage", "genisoimage"),
    ("git", "git"),
    ("ip", "iproute2"),
    ("mount", "mount"),
    ("netplan", "netplan.io"),
    ("nft", "nftables"),
    ("nsenter", "util-linux"),
    ("openssl", "openssl"),
    ("python3", "python3"),
    ("strace", "strace"),
    ("systemd-networkd", "systemd"),
    ("unshare", "util-linux"),
    ("xorriso", "xorriso"),
];

/// Where `tests/run tools` unpacks a distribution's kernel.
pub(crate) fn kernel_package() -> PathBuf {
    root().join("target/tests/kernel/package")
}

/// Where `tests/run tools` unpacks releases of cloud-init. Each has a directory with its version as the name.
pub(crate) fn cloud_init() -> PathBuf {
    root().join("target/tests/cloud-init")
}

/// The Python of the environment that `tests/run tools` makes.
pub(crate) fn python() -> PathBuf {
    root().join("target/tests/venv/bin/python")
}

/// NetworkManager's client, which `tests/run tools` unpacks together with its library.
pub(crate) fn nmcli() -> Option<Command> {
    network_manager("bin/nmcli")
}

/// The program of NetworkManager that reads the kernel command line in dracut's format.
pub(crate) fn initrd_generator() -> Option<Command> {
    network_manager("lib/NetworkManager/nm-initrd-generator")
}

fn network_manager(program: &str) -> Option<Command> {
    let package = root().join("target/tests/network-manager/usr");
    let libraries = fs::read_dir(package.join("lib")).ok()?;
    let libraries: Vec<PathBuf> = libraries.map(|entry| entry.unwrap().path()).collect();
    let mut command = Command::new(package.join(program));
    command.env("LD_LIBRARY_PATH", env::join_paths(libraries).unwrap());
    Some(command)
}

/// The path of a program: in `PATH`, in the Python environment of `tests/run tools`, where only root's `PATH` leads, or where
/// systemd has its services.
pub(crate) fn program(name: &str) -> Option<PathBuf> {
    let paths = env::var_os("PATH").unwrap_or_default();
    let folders = env::split_paths(&paths)
        .chain([root().join("target/tests/venv/bin")])
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin", "/lib/systemd"].map(PathBuf::from));
    folders
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

/// What to do about a need that is not met; none if it is met.
fn remedy(need: &str) -> Option<String> {
    let (is_met, remedy) = match need {
        "root" => (
            nix::unistd::geteuid().is_root(),
            "run the tests as root".to_owned(),
        ),
        "kernel" => (
            kernel_package().is_dir(),
            "run `tests/run tools`, which downloads one".to_owned(),
        ),
        "debian-installer" => (
            installer::RELEASES
                .iter()
                .all(|release| installer::root_directory(*release).is_dir()),
            "run `tests/run tools`, which downloads its components".to_owned(),
        ),
        "cloud-init" => (
            cloud_init().is_dir() && python().is_file(),
            "run `tests/run tools`, which downloads it".to_owned(),
        ),
        "nmcli" => (
            nmcli().is_some(),
            "run `tests/run tools`, which downloads it".to_owned(),
        ),
        "ksvalidator" => (
            program(need).is_some(),
            "run `tests/run tools`, which installs pykickstart from PyPI".to_owned(),
        ),
        _ => {
            let known = PROGRAMS.iter().find(|(name, _)| *name == need);
            let (_, package) = known.unwrap_or_else(|| panic!("`{need}` is not in the table"));
            (
                program(need).is_some(),
                format!("install it: sudo apt-get install {package}"),
            )
        }
    };
    (!is_met).then_some(remedy)
}

/// Tests whether the list in `BOOTWRIGHT_SKIP` has this test, or one of its needs.
fn is_skipped(skip: &str, test: &str, needs: &[&str]) -> bool {
    let last = test.rsplit("::").next().unwrap_or(test);
    skip.split(',')
        .map(str::trim)
        .any(|name| name == test || name == last || needs.contains(&name))
}

/// Tests whether a test can run; see above.
pub(crate) fn are_met(test: &str, needs: &[&str]) -> bool {
    if is_skipped(
        &env::var("BOOTWRIGHT_SKIP").unwrap_or_default(),
        test,
        needs,
    ) {
        if let Some(path) = env::var_os("BOOTWRIGHT_SKIPPED") {
            record(Path::new(&path), test);
        }
        return false;
    }
    for need in needs {
        if let Some(remedy) = remedy(need) {
            panic!("{need} is missing; {remedy}. To skip the test: BOOTWRIGHT_SKIP={need}");
        }
    }
    true
}

/// Appends a line in one write, since other tests do so at the same time.
fn record(path: &Path, test: &str) {
    let mut file = File::options()
        .append(true)
        .create(true)
        .open(path)
        .unwrap();
    file.write_all(format!("{test}\n").as_bytes()).unwrap();
}

#[test]
fn a_test_is_skipped_by_its_name_or_by_a_need() {
    let test = "traced::every_answer_is_synced";
    for (skip, is) in [
        ("", false),
        ("root", false),
        ("traced", false),
        ("strace", true),
        ("root, strace", true),
        ("every_answer_is_synced", true),
        ("x,traced::every_answer_is_synced", true),
    ] {
        assert_eq!(is_skipped(skip, test, &["strace"]), is, "{skip:?}");
    }
}

#[test]
fn a_skipped_test_is_a_line_of_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("skipped");
    record(&path, "a::b");
    record(&path, super::test_name!());
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        "a::b\nsupport::needs::a_skipped_test_is_a_line_of_the_file\n"
    );
}

#[test]
fn a_program_is_found_or_its_package_is_named() {
    assert_eq!(program("sh").map(|path| path.is_absolute()), Some(true));
    assert_eq!(program("no-such-program"), None);
    for (name, package) in PROGRAMS {
        let install = format!("install it: sudo apt-get install {package}");
        assert!([None, Some(install)].contains(&remedy(name)), "{name}");
    }
}
