//! Debian's installer, as far as it asks questions: the scripts of its components run in its own root directory, with a
//! frontend that records what they ask.
//!
//! `tests/run tools` makes the root directories. Programs that change the new system, the network or the disks do
//! nothing here (`tests/fixtures/installer/stub.sh`). Each installation has its own changes to the root directory.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use super::{
    debconf::{Asked, Debconf},
    sources::root,
};

/// The releases of Debian whose installers are run.
pub(crate) const RELEASES: [u8; 2] = [12, 13];

/// What is done instead of changing the new system.
const STUB: &str = include_str!("../../fixtures/installer/stub.sh");

/// The programs that it stands in for.
const STUBBED: [&str; 12] = [
    "anna-install",
    "apt-install",
    "archdetect",
    "chroot",
    "fetch-url",
    "in-target",
    "rdate",
    "reboot",
    "sleep",
    "udpkg",
    "update-dev",
    "wget",
];

/// The components that ask questions, in the installer's order, with the script of each.
const COMPONENTS: [(&str, &str); 10] = [
    ("early_command", "preseed_command preseed/early_command"),
    (
        "localechooser",
        "/var/lib/dpkg/info/localechooser.postinst configure",
    ),
    (
        "console-setup",
        "/var/lib/dpkg/info/console-setup-udeb.postinst configure",
    ),
    (
        "choose-mirror",
        "/var/lib/dpkg/info/choose-mirror.postinst configure",
    ),
    (
        "user-setup",
        "PATH=$PATH:/usr/lib/user-setup; user-setup-ask /target",
    ),
    (
        "clock-setup",
        "/var/lib/dpkg/info/clock-setup.postinst configure",
    ),
    ("apt-setup", "apt-setup /target"),
    ("pkgsel", "/var/lib/dpkg/info/pkgsel.postinst configure"),
    ("late_command", "/usr/lib/finish-install.d/07preseed"),
    ("reboot", "/usr/lib/finish-install.d/20final-message"),
];

/// The root directory that `tests/run tools` makes.
pub(crate) fn root_directory(release: u8) -> PathBuf {
    root().join(format!("target/tests/installer/{release}"))
}

/// An installation.
pub(crate) struct Installer {
    release: u8,
    folder: tempfile::TempDir,
    pub(crate) debconf: Debconf,
}

impl Installer {
    /// The installer of a release with a preseed file, which can reach these hosts and no others.
    pub(crate) fn new(release: u8, preseed: &str, reachable: &[&str]) -> Installer {
        let folder = tempfile::tempdir().unwrap();
        for name in ["changes", "work", "root"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        let mut installer = Installer {
            release,
            folder,
            debconf: Debconf::default(),
        };
        // Some mirrors lack it for Debian 13. apt-setup uses one function of it, which has not changed.
        let library = "usr/lib/base-installer/library.sh";
        if !installer.path(library).is_file() {
            let text = fs::read_to_string(root_directory(12).join(library)).unwrap();
            installer.write(library, &text);
        }
        installer.write("reachable", &format!("{}\n", reachable.join("\n")));
        installer.write("stub/stub.sh", STUB);
        for program in STUBBED {
            symlink("stub.sh", installer.changed(&format!("stub/{program}"))).unwrap();
        }
        for folder in [
            "proc",
            "dev",
            "sbin",
            "usr/bin",
            "usr/sbin",
            "etc/apt",
            "etc/sudoers.d",
            "etc/systemd/system",
            "tmp",
            "run",
        ] {
            fs::create_dir_all(installer.changed(&format!("target/{folder}"))).unwrap();
        }
        for entry in fs::read_dir(installer.path("var/lib/dpkg/info")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|kind| kind == "templates") {
                let text = fs::read(path).unwrap();
                installer
                    .debconf
                    .load_templates(&String::from_utf8_lossy(&text));
            }
        }
        installer.debconf.preseed(preseed);
        installer
    }

    /// Where a file is: among the changes, or in the root directory that all installations share.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        let changed = self.changed(path);
        match changed.exists() {
            true => changed,
            false => root_directory(self.release).join(path),
        }
    }

    fn changed(&self, path: &str) -> PathBuf {
        self.folder.path().join("changes").join(path)
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.changed(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// What the script would have printed, and what was done instead of changing the new system.
    pub(crate) fn log(&self) -> String {
        let read = |path: &str| fs::read_to_string(self.path(path)).unwrap_or_default();
        format!("{}\n{}", read("errors"), read("stub.log"))
    }

    /// Runs a script in the installer's root directory, and returns the questions that it asks.
    pub(crate) fn ask(&mut self, script: &str) -> Vec<Asked> {
        let lower = root_directory(self.release);
        // The frontend keeps the descriptors that a script began with as 4, 5 and 6.
        let enter = "mount -t overlay none -o \"userxattr,lowerdir=$1,upperdir=changes,workdir=work\" root && cd root && \
             mount --rbind /dev dev && mount -t proc proc proc && \
             exec 4</dev/null 5>>errors 6>&5 2>&5 && exec chroot . /bin/sh -c \"$2\"";
        let mut command = Command::new("unshare");
        command
            .args(["--map-root-user", "--mount", "--net", "--pid", "--fork"])
            .args(["--kill-child", "sh", "-c", enter, "sh"])
            .arg(lower)
            .arg(script)
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", "/stub:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_HAS_FRONTEND", "1")
            .env("DEBCONF_OLD_FD_BASE", "4");
        self.debconf.run(&mut command);
        std::mem::take(&mut self.debconf.asked)
    }

    /// Runs all components that the root directory has, and returns the questions of each with its name.
    pub(crate) fn install(&mut self) -> Vec<String> {
        let (ran, asked) = self.run(|_| true);
        assert!(ran >= 7, "{ran} components ran");
        asked
    }

    /// Runs some components, and returns their number and their questions.
    pub(crate) fn run(&mut self, is_wanted: impl Fn(&str) -> bool) -> (usize, Vec<String>) {
        let mut all = Vec::new();
        let mut ran = 0;
        for (component, script) in COMPONENTS {
            if !is_wanted(component) || !self.has(script) {
                continue;
            }
            let before = self.debconf.log.len();
            let asked = self.ask(script);
            let spoke = self.debconf.log.len() > before;
            assert!(spoke, "{component} ended at once: {}", self.log());
            let asked = asked.into_iter();
            all.extend(
                asked.map(|asked| format!("{component}: {} {}", asked.priority, asked.name)),
            );
            ran += 1;
        }
        (ran, all)
    }

    /// Whether the root directory has a script: some mirrors lack some components.
    fn has(&self, script: &str) -> bool {
        let program = script.split("; ").last().unwrap_or(script);
        let program = program.split(' ').next().unwrap_or_default();
        let folders = ["", "usr/bin", "bin", "usr/lib/user-setup"];
        let mut paths = folders.iter().map(|folder| {
            self.path(
                &Path::new(folder)
                    .join(program.trim_start_matches('/'))
                    .to_string_lossy(),
            )
        });
        paths.any(|path| path.is_file())
    }
}
