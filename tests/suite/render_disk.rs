//! The script that chooses a disk, run by a shell on simulated disks.

use std::{fs, os::unix::fs::PermissionsExt, path::Path, process::Command};

use crate::support::rendering::rendering;

/// A simulated disk: its name, size in sectors, whether it is removable, and the udev properties of it and its partitions.
struct Disk {
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

/// Runs the script of a node with `settings`, and returns the disk that it chose or the reason that it reported.
fn chosen(settings: &str, disks: &[&Disk]) -> String {
    let site = format!(
        "[network.lab]\nsubnet = \"192.0.2.0/24\"\ngateway = \"192.0.2.1\"\n[repo.debian]\npath = \"debian\"\n[node.n1]\nmac = \"52:54:00:00:00:01\"\naddress = \"192.0.2.11\"\nrepo = \"debian\"\ntask = \"debian\"\n{settings}"
    );
    let rendering = rendering(&site, &[]);
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let script = rendering
        .text("n1", "disk.sh")
        .replace("sys=/sys/block", &format!("sys={}/sys", root.display()))
        .replace("/dev/console", &format!("{}/console", root.display()));
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
            "for last; do :; done\necho \"$last\" >> \"$ROOT/reported\"",
        ),
        ("sleep", "exit 0"),
        ("reboot", "echo reboot >> \"$ROOT/reported\""),
        ("debconf-set", "echo \"$1 $2\" >> \"$ROOT/set\""),
    ] {
        program(root, name, body);
    }
    let path = format!("{}/bin:{}", root.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .arg("-c")
        .arg(script)
        .env("PATH", path)
        .env("ROOT", root)
        .output()
        .unwrap();
    let read = |name: &str| fs::read_to_string(root.join(name)).unwrap_or_default();
    let (set, reported) = (read("set"), read("reported"));
    let output = String::from_utf8_lossy(&output.stderr).into_owned();
    match set.lines().collect::<Vec<_>>().as_slice() {
        [] => reported
            .lines()
            .next()
            .and_then(|url| url.split_once("reason="))
            .map_or(output, |(_, reason)| reason.replace("%20", " ")),
        [partman, grub] => {
            assert_eq!(reported, "", "a successful run reports nothing");
            assert_eq!(
                partman.replace("partman-auto/disk", ""),
                grub.replace("grub-installer/bootdev", "")
            );
            partman.replace("partman-auto/disk ", "")
        }
        more => panic!("{more:?}"),
    }
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

fn program(root: &Path, name: &str, body: &str) {
    fs::create_dir_all(root.join("bin")).unwrap();
    let path = root.join("bin").join(name);
    fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_selected_disk_is_the_declared_one_or_none() {
    let several = "several disks match%3A select one with %60disk%60";
    let alike = "several disks of the same size match%3A select one with %60disk%60";
    let taken = "the disk contains a VMFS%2C a ZFS pool or a RAID array%3A set %60wipe %3D true%60 in %60disk%60 to overwrite it";
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
        ("", &[&DATASTORE], taken),
        ("", &[&POOL], taken),
        ("", &[&ARRAY], taken),
        ("disk = { path = \"/dev/nvme0n1\" }", &[&DATASTORE], taken),
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
