//! The script that chooses a disk, run by a shell on simulated disks.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use bootwright::model::{SEAL_BYTES, SEAL_OFFSET, seal_sector, seal_text};

use crate::support::rendering::rendering;

/// A simulated disk: its name, size in sectors, whether it is removable, and the udev properties of it and its partitions.
pub(crate) struct Disk {
    name: &'static str,
    sectors: u64,
    removable: bool,
    model: &'static str,
    serial: &'static str,
    /// Partitions by name, with one property each.
    parts: &'static [(&'static str, &'static str)],
}

const SYSTEM: Disk = Disk {
    name: "sda",
    sectors: 1000,
    removable: false,
    model: "Fast 1  ",
    serial: "SER1",
    parts: &[("sda1", "ID_FS_TYPE=ext4"), ("sda2", "ID_FS_TYPE=swap")],
};
const LARGE: Disk = Disk {
    name: "sdb",
    sectors: 4000,
    removable: false,
    model: "Big 2",
    serial: "SER2",
    parts: &[],
};
const ALIKE: Disk = Disk {
    name: "sdc",
    sectors: 1000,
    removable: false,
    model: "Fast 1",
    serial: "SER3",
    parts: &[],
};
const STICK: Disk = Disk {
    name: "sdd",
    sectors: 500,
    removable: true,
    model: "Stick",
    serial: "SER4",
    parts: &[],
};
const DATASTORE: Disk = Disk {
    name: "nvme0n1",
    sectors: 9000,
    removable: false,
    model: "Nice",
    serial: "SER5",
    parts: &[
        ("nvme0n1p1", "ID_FS_TYPE=vfat"),
        (
            "nvme0n1p8",
            "ID_PART_ENTRY_TYPE=aa31e02a-400f-11db-9590-000c2911d1b8",
        ),
    ],
};
const POOL: Disk = Disk {
    name: "vda",
    sectors: 9000,
    removable: false,
    model: "",
    serial: "SER6",
    parts: &[("vda1", "ID_FS_TYPE=zfs_member")],
};
const ARRAY: Disk = Disk {
    name: "vdb",
    sectors: 9000,
    removable: false,
    model: "",
    serial: "SER7",
    parts: &[("vdb", "ID_FS_TYPE=linux_raid_member")],
};
const OTHERS: [Disk; 4] = [
    Disk {
        name: "sr0",
        sectors: 100,
        removable: true,
        model: "",
        serial: "",
        parts: &[],
    },
    Disk {
        name: "loop0",
        sectors: 100,
        removable: false,
        model: "",
        serial: "",
        parts: &[],
    },
    Disk {
        name: "dm-0",
        sectors: 100,
        removable: false,
        model: "",
        serial: "",
        parts: &[],
    },
    Disk {
        name: "sdz",
        sectors: 0,
        removable: false,
        model: "",
        serial: "",
        parts: &[],
    },
];

pub(crate) const SITE: &str = "[network.lab]\nsubnet = \"192.0.2.0/24\"\ngateway = \"192.0.2.1\"\n[repo.debian]\npath = \"debian\"\n[node.n1]\nmac = \"52:54:00:00:00:01\"\naddress = \"192.0.2.11\"\nrepo = \"debian\"\ntask = \"debian\"\n";

/// A machine with simulated disks, and what its scripts have done.
pub(crate) struct Machine {
    root: tempfile::TempDir,
    pub(crate) shell: &'static [&'static str],
}

impl Machine {
    pub(crate) fn new(disks: &[&Disk]) -> Machine {
        let machine = Machine {
            root: tempfile::tempdir().unwrap(),
            shell: &["sh"],
        };
        let root = machine.root.path();
        for disk in disks.iter().copied().chain(&OTHERS) {
            write_disk(root, disk);
        }
        for (name, body) in [
            (
                "udevadm",
                "case \"$*\" in settle*) exit 0;; esac\ncat \"$ROOT/udev/${3#--name=/dev/}\" 2>/dev/null",
            ),
            (
                "wget",
                "for last; do :; done\necho \"$last\" >> \"$ROOT/reported\"\ncase \"$last\" in */seal/*) cat \"$ROOT/verdict\" ;; esac",
            ),
            // A disk that is found late appears while the script waits.
            (
                "sleep",
                "[ ! -d \"$ROOT/late\" ] || { cp -r \"$ROOT/late/.\" \"$ROOT\"; rm -r \"$ROOT/late\"; }",
            ),
            ("reboot", "echo reboot >> \"$ROOT/reported\""),
            ("debconf-set", "echo \"$1 $2\" >> \"$ROOT/set\""),
            // The disks of this machine are files.
            (
                "dd",
                "for word; do shift; case \"$word\" in ?f=/dev/zero) ;; ?f=/dev/*) word=\"${word%%/*}$ROOT$(echo \"${word#*=}\")\" ;; esac; set -- \"$@\" \"$word\"; done\nPATH=/usr/bin:/bin exec dd \"$@\"",
            ),
        ] {
            program(root, name, body);
        }
        machine
    }

    /// Runs a script of the node, with the paths of this machine. Returns its error output.
    fn run(&self, script: &str) -> String {
        let root = self.root.path();
        let at = root.display();
        let script = script
            .replace("sys=/sys/block", &format!("sys={at}/sys"))
            .replace("/sys/block/", &format!("{at}/sys/"))
            .replace("proc=/proc", &format!("proc={at}/proc"))
            .replace("/tmp/bootwright-groups", &format!("{at}/groups"))
            .replace("/tmp/bootwright-table", &format!("{at}/table"))
            .replace("/lib/partman", &format!("{at}/partman"))
            .replace("/dev/console", &format!("{at}/console"))
            .replace("/tmp/bootwright-disk", &format!("{at}/chosen"))
            .replace("[ -b \"$disk\" ]", &format!("[ -e \"{at}$disk\" ]"));
        let path = format!("{at}/bin:{}", std::env::var("PATH").unwrap());
        let output = Command::new(self.shell[0])
            .args(&self.shell[1..])
            .arg("-c")
            .arg(script)
            .env("PATH", path)
            .env("ROOT", root)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    pub(crate) fn path(&self) -> &Path {
        self.root.path()
    }

    /// Runs the script that chooses a disk. Returns the disk or the reason that the script reported, and the error output.
    pub(crate) fn outcome(&self, script: &str) -> (String, String) {
        for name in ["set", "reported"] {
            fs::write(self.root.path().join(name), "").unwrap();
        }
        let output = self.run(script);
        let (set, reported) = (self.read("set"), self.read("reported"));
        let outcome = match set.lines().collect::<Vec<_>>().as_slice() {
            [] => reported
                .lines()
                .next()
                .and_then(|url| url.split_once("reason="))
                .map_or(output.clone(), |(_, reason)| decoded(reason)),
            [partman, grub] => {
                assert_eq!(reported, "", "a successful run reports nothing");
                assert_eq!(
                    partman.replace("partman-auto/disk", ""),
                    grub.replace("grub-installer/bootdev", "")
                );
                assert_eq!(
                    self.read("chosen").trim(),
                    grub.replace("grub-installer/bootdev ", "")
                );
                partman.replace("partman-auto/disk ", "")
            }
            more => panic!("{more:?}"),
        };
        (outcome, output)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.root.path().join(name)).unwrap_or_default()
    }
}

/// Runs the script of a node with `settings`, and returns the disk that it chose or the reason that it reported.
fn chosen(settings: &str, disks: &[&Disk]) -> String {
    let rendering = rendering(&format!("{SITE}{settings}"), &[]);
    let machine = Machine::new(disks);
    machine.outcome(&rendering.text("n1", "disk.sh")).0
}

fn write_disk(root: &Path, disk: &Disk) {
    let folder = root.join("sys").join(disk.name);
    fs::create_dir_all(folder.join("device")).unwrap();
    fs::create_dir_all(root.join("udev")).unwrap();
    fs::write(folder.join("size"), format!("{}\n", disk.sectors)).unwrap();
    fs::write(
        folder.join("removable"),
        format!("{}\n", u8::from(disk.removable)),
    )
    .unwrap();
    fs::write(folder.join("device/model"), format!("{}\n", disk.model)).unwrap();
    fs::write(
        root.join("udev").join(disk.name),
        format!("ID_SERIAL_SHORT={}\n", disk.serial),
    )
    .unwrap();
    for (part, property) in disk.parts {
        if part != &disk.name {
            fs::create_dir_all(folder.join(part)).unwrap();
        }
        fs::write(root.join("udev").join(part), format!("{property}\n")).unwrap();
    }
}

/// A text without percent-encoding.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let byte = u8::from_str_radix(&part[..2], 16).unwrap();
        plain.push(char::from(byte));
        plain.push_str(&part[2..]);
    }
    plain
}

fn program(root: &Path, name: &str, body: &str) {
    fs::create_dir_all(root.join("bin")).unwrap();
    let path = root.join("bin").join(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_selected_disk_is_the_declared_one_or_none() {
    let several = "several disks match: select one with `disk`";
    let alike = "several disks of the same size match: select one with `disk`";
    let taken = |contents: &str| {
        format!("the disk contains {contents}: set `wipe = true` in `disk` to overwrite it")
    };
    let (vmfs, zfs, array) = (
        &*taken("a VMFS"),
        &*taken("a ZFS pool"),
        &*taken("a RAID array"),
    );
    let none = "no disk matches";
    for (settings, disks, expected) in [
        ("", &[&SYSTEM][..], "/dev/sda"),
        ("", &[&SYSTEM, &STICK], "/dev/sda"),
        ("", &[], none),
        ("", &[&STICK], none),
        ("", &[&SYSTEM, &LARGE], several),
        ("keep = \"/dev/sdb\"", &[&SYSTEM, &LARGE], "/dev/sda"),
        ("keep = \"SER1\"", &[&SYSTEM, &LARGE], "/dev/sdb"),
        ("keep = [\"SER1\", \"/dev/sdb\"]", &[&SYSTEM, &LARGE], none),
        ("disk = { wipe = true }", &[&SYSTEM, &LARGE], several),
        ("disk = { smallest = true }", &[&SYSTEM, &LARGE], "/dev/sda"),
        ("disk = { largest = true }", &[&SYSTEM, &LARGE], "/dev/sdb"),
        (
            "disk = { smallest = true }",
            &[&SYSTEM, &LARGE, &ALIKE],
            alike,
        ),
        (
            "disk = { min-size = \"600KiB\" }",
            &[&SYSTEM, &LARGE],
            "/dev/sdb",
        ),
        (
            "disk = { min-size = \"500KiB\", smallest = true }",
            &[&SYSTEM, &LARGE],
            "/dev/sda",
        ),
        ("disk = { min-size = \"3MiB\" }", &[&SYSTEM, &LARGE], none),
        (
            "disk = { path = \"/dev/sdb\" }",
            &[&SYSTEM, &LARGE],
            "/dev/sdb",
        ),
        (
            "disk = { path = \"/dev/sdd\" }",
            &[&SYSTEM, &STICK],
            "/dev/sdd",
        ),
        ("disk = { path = \"/dev/sdq\" }", &[&SYSTEM], none),
        (
            "disk = { serial = \"SER2\" }",
            &[&SYSTEM, &LARGE],
            "/dev/sdb",
        ),
        ("disk = { serial = \"SER\" }", &[&SYSTEM, &LARGE], none),
        (
            "disk = { model = \"Fast 1\" }",
            &[&SYSTEM, &LARGE],
            "/dev/sda",
        ),
        ("disk = { model = \"it's; `$(reboot)`\" }", &[&SYSTEM], none),
        (
            "disk = { path = \"/dev/sda\" }\nkeep = \"SER1\"",
            &[&SYSTEM],
            none,
        ),
        ("", &[&DATASTORE], vmfs),
        ("", &[&POOL], zfs),
        ("", &[&ARRAY], array),
        ("disk = { path = \"/dev/nvme0n1\" }", &[&DATASTORE], vmfs),
        ("disk = { wipe = true }", &[&DATASTORE], "/dev/nvme0n1"),
        ("disk = { wipe = true }", &[&POOL], "/dev/vda"),
        ("disk = { wipe = true }", &[&ARRAY], "/dev/vdb"),
        (
            "disk = { smallest = true }",
            &[&SYSTEM, &DATASTORE],
            "/dev/sda",
        ),
    ] {
        let names: Vec<&str> = disks.iter().map(|disk| disk.name).collect();
        assert_eq!(chosen(settings, disks), expected, "{settings} of {names:?}");
    }
}

/// The shells of installers: that of Anaconda, a small POSIX shell, and that of Debian's installer.
pub(crate) const SHELLS: [&[&str]; 3] = [&["bash", "--posix"], &["sh"], &["busybox", "sh"]];

const SEAL: &str = "bootwright-seal/1/5f0c/00000000000000ab/db1/1/2026-11-22T12:00:00.000Z/000102030405060708090a0b0c0d0e0f";

/// A disk of 2 MiB with these bytes in the place of its seal.
fn disk_with(machine: &Machine, seal: &[u8]) -> PathBuf {
    let path = machine.root.path().join("dev/sda");
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut bytes = vec![0xdd; 2 << 20];
    let at = SEAL_OFFSET as usize;
    bytes[at..at + seal.len()].copy_from_slice(seal);
    fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_disk_with_a_seal_is_overwritten_only_if_the_server_permits_it() {
    let ordinary = rendering(SITE, &[]).text("n1", "disk.sh");
    let wiping = rendering(&format!("{SITE}disk = {{ wipe = true }}"), &[]).text("n1", "disk.sh");
    let strange = b"bootwright-seal/2/$(touch /tmp/x)\"'`\xff\n";
    let sealed = seal_sector(SEAL);
    for shell in SHELLS {
        for (script, seal, verdict, asked, chooses) in [
            (
                &ordinary,
                &sealed[..],
                "overwrite",
                format!("seal/keep/{SEAL}"),
                true,
            ),
            (
                &wiping,
                &sealed[..],
                "overwrite",
                format!("seal/wipe/{SEAL}"),
                true,
            ),
            (
                &ordinary,
                &sealed[..],
                "keep: its disk has an installation",
                format!("seal/keep/{SEAL}"),
                false,
            ),
            (
                &ordinary,
                &sealed[..],
                "",
                format!("seal/keep/{SEAL}"),
                false,
            ),
            (
                &ordinary,
                &strange[..],
                "keep: its seal is damaged",
                "seal/keep/bootwright-seal/2/".into(),
                false,
            ),
            (&ordinary, &b"another text"[..], "", String::new(), true),
        ] {
            let machine = Machine {
                shell,
                ..Machine::new(&[&SYSTEM])
            };
            let disk = disk_with(&machine, seal);
            fs::write(machine.root.path().join("verdict"), format!("{verdict}\n")).unwrap();
            let before = fs::read(&disk).unwrap();
            let output = machine.run(script);
            let reported = machine.read("reported");
            let first = reported.lines().next().unwrap_or_default();
            assert!(first.ends_with(&asked), "{shell:?}: {first}");
            let is_chosen = machine.read("set").contains("partman-auto/disk /dev/sda");
            assert_eq!(is_chosen, chooses, "{shell:?} {verdict}: {output}");
            let after = fs::read(&disk).unwrap();
            if chooses && !asked.is_empty() {
                assert_eq!(seal_text(&after[SEAL_OFFSET as usize..]), None);
                assert_eq!(after.len(), before.len());
            } else {
                assert!(after == before, "{shell:?}: the disk is as before");
            }
            assert_eq!(reported.contains("reboot"), !chooses);
            if let Some(reason) = verdict.strip_prefix("keep: ") {
                assert!(
                    machine.read("console").contains(reason),
                    "{}",
                    machine.read("console")
                );
            }
        }
    }
}

#[test]
fn an_installation_leaves_a_seal_in_front_of_the_first_partition() {
    let late = rendering(SITE, &[]).text("n1", "late.sh");
    // Only the end of the script concerns the seal.
    let script = &late[late.find("# A seal is not part").unwrap()..];
    let tell = "tell() { wget \"$1\"; }\n";
    for shell in SHELLS {
        for (starts, expected) in [
            (&["2048", "1050624"][..], None),
            (&["63"], Some("a%20partition%20begins%20before%201%20MiB")),
            (
                &["4096", "2047"],
                Some("a%20partition%20begins%20before%201%20MiB"),
            ),
            (&[], Some("it%20has%20no%20partitions")),
        ] {
            let machine = Machine {
                shell,
                ..Machine::new(&[&SYSTEM])
            };
            let disk = disk_with(&machine, b"");
            let root = machine.root.path();
            for (at, start) in starts.iter().enumerate() {
                let part = root.join(format!("sys/sda/sda{}", at + 1));
                fs::create_dir_all(&part).unwrap();
                fs::write(part.join("start"), format!("{start}\n")).unwrap();
            }
            fs::write(root.join("chosen"), "/dev/sda\n").unwrap();
            let before = fs::read(&disk).unwrap();
            let output = machine.run(&format!("set -e\n{tell}{script}"));
            let after = fs::read(&disk).unwrap();
            let reported = machine.read("reported");
            assert!(
                reported.ends_with("stage/installed\n"),
                "{shell:?}: {output}"
            );
            match expected {
                None => {
                    let (at, end) = (SEAL_OFFSET as usize, SEAL_OFFSET as usize + SEAL_BYTES);
                    assert_eq!(after[at..end], seal_sector(SEAL), "{shell:?}: {output}");
                    assert!(after[..at] == before[..at] && after[end..] == before[end..]);
                }
                Some(reason) => {
                    assert!(after == before);
                    assert!(
                        reported.contains(&format!(
                            "log/warning/the%20disk%20has%20no%20seal%3A%20{reason}"
                        )),
                        "{reported}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_member_of_an_array_that_is_found_late_protects_the_other_one() {
    let rendering = rendering(&format!("{SITE}disk = {{ smallest = true }}\n"), &[]);
    let script = rendering.text("n1", "disk.sh");
    let machine = Machine::new(&[&LARGE]);
    assert_eq!(machine.outcome(&script).0, "/dev/sdb");
    // The smaller disk appears within the first second.
    let machine = Machine::new(&[&LARGE]);
    write_disk(&machine.path().join("late"), &SYSTEM);
    assert_eq!(machine.outcome(&script).0, "/dev/sda");
}

#[test]
fn debians_installer_stops_if_the_disks_have_changed_since_the_choice() {
    let rendering = rendering(&format!("{SITE}disk = {{ path = \"/dev/sda\" }}\n"), &[]);
    let script = rendering.text("n1", "disk.sh");
    type Change = fn(&Path);
    let changes: [(&str, Change, bool); 6] = [
        ("nothing", |_| (), false),
        (
            "a medium in a card reader",
            |root| write_disk(root, &STICK),
            false,
        ),
        ("another disk", |root| write_disk(root, &LARGE), true),
        (
            "another disk with the name",
            |root| fs::write(root.join("sys/sda/size"), "4000\n").unwrap(),
            true,
        ),
        (
            "another serial number",
            |root| fs::write(root.join("sys/sda/device/serial"), "OTHER\n").unwrap(),
            true,
        ),
        (
            "the disk is gone",
            |root| fs::remove_dir_all(root.join("sys/sda")).unwrap(),
            true,
        ),
    ];
    for (what, change, stops) in changes {
        let machine = Machine::new(&[&SYSTEM]);
        assert_eq!(machine.outcome(&script).0, "/dev/sda");
        change(machine.path());
        let hook = machine.path().join("partman/init.d/99bootwright");
        let mode = fs::metadata(&hook).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o755);
        let output = machine.run(&fs::read_to_string(&hook).unwrap());
        let reported = machine.read("reported");
        assert_eq!(
            reported.contains("the%20disks%20have%20changed"),
            stops,
            "{what}: {output}{reported}"
        );
        assert_eq!(
            reported.contains("reboot"),
            stops,
            "{what}: {output}{reported}"
        );
    }
}
