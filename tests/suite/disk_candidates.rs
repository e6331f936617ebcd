//! Which devices the script takes for disks: not those in use, not assembled ones, and a disk with several paths once.

use std::{fs, path::Path};

use crate::{
    render_disk::{Machine, SHELLS, SITE},
    support::rendering::rendering,
};

const WWID: &str = "naa.600140500000000000000000000000aa";

/// Writes files of a machine: paths with their texts.
fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("{text}\n")).unwrap();
    }
}

fn disk(root: &Path, name: &str) {
    let size = format!("sys/{name}/size");
    let removable = format!("sys/{name}/removable");
    write(root, &[(&size, "9000"), (&removable, "0")]);
}

/// What the script does in each shell, which must be the same.
fn chosen(settings: &str, build: impl Fn(&Path)) -> String {
    let rendering = rendering(&format!("{SITE}{settings}"), &[]);
    let script = rendering.text("n1", "disk.sh");
    let mut machine = Machine::new(&[]);
    build(machine.path());
    let outcomes = SHELLS.map(|shell| {
        machine.shell = shell;
        machine.outcome(&script).0
    });
    let [first, ..] = &outcomes;
    assert!(
        outcomes.iter().all(|outcome| outcome == first),
        "{outcomes:?}"
    );
    first.clone()
}

#[test]
fn a_disk_that_the_installer_uses_is_not_chosen() {
    let in_use = |device: &str| {
        format!("no disk matches: /dev/sda is in use by the installer: {device} is mounted or swap")
    };
    type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], String);
    let cases: [Case<'_>; 4] = [
        (
            "a live medium",
            &[("proc/mounts", "/dev/sda1 /run/live iso9660 ro 0 0")],
            in_use("/dev/sda1"),
        ),
        (
            "swap",
            &[(
                "proc/swaps",
                "Filename Type Size Used Priority\n/dev/sda1\tpartition 8 0 -2",
            )],
            in_use("/dev/sda1"),
        ),
        (
            "a file system on an array",
            &[
                ("proc/mounts", "/dev/md0 /mnt ext4 rw 0 0"),
                ("sys/sda/sda1/holders/md0/dev", "9:0"),
                ("sys/md0/size", "8000"),
            ],
            in_use("/dev/md0"),
        ),
        (
            "another disk",
            &[(
                "proc/mounts",
                "/dev/sdaa1 / ext4 rw 0 0\nnone /tmp tmpfs rw 0 0",
            )],
            "/dev/sda".into(),
        ),
    ];
    for (what, files, expected) in cases {
        for settings in ["", "disk = { path = \"/dev/sda\", wipe = true }"] {
            let found = chosen(settings, |root| {
                disk(root, "sda");
                write(root, &[("sys/sda/sda1/partition", "1")]);
                write(root, files);
            });
            assert_eq!(found, expected, "{what}: {settings}");
        }
    }
}

#[test]
fn devices_that_are_not_disks_are_not_chosen() {
    for name in [
        "loop0",
        "zram0",
        "nbd0",
        "md127",
        "dm-0",
        "drbd1",
        "rbd0",
        "zd0",
        "bcache0",
        "mmcblk0boot1",
        "mmcblk0rpmb",
        "pmem0",
    ] {
        assert_eq!(
            chosen("", |root| disk(root, name)),
            "no disk matches",
            "{name}"
        );
    }
    let by_path = "disk = { path = \"/dev/pmem0\" }";
    assert_eq!(chosen(by_path, |root| disk(root, "pmem0")), "/dev/pmem0");
}

#[test]
fn the_paths_of_a_disk_are_one_disk() {
    let paths = |root: &Path| {
        for name in ["sda", "sdb"] {
            disk(root, name);
            write(root, &[(&format!("sys/{name}/device/wwid"), WWID)]);
            write(
                root,
                &[(&format!("udev/{name}"), "ID_FS_TYPE=isw_raid_member")],
            );
        }
    };
    // Each path shows the same contents, which is no group of two disks.
    let contains = "the disk contains a RAID array: set `wipe = true` in `disk` to overwrite it";
    assert_eq!(chosen("", paths), contains);
    assert_eq!(chosen("disk = { wipe = true }", paths), "/dev/sda");
    // Two disks with the WWID of a defective firmware have serial numbers of their own.
    let two = |root: &Path| {
        paths(root);
        write(
            root,
            &[
                ("sys/sda/device/serial", "S1"),
                ("sys/sdb/device/serial", "S2"),
            ],
        );
    };
    let several = "several disks match: select one with `disk`";
    assert_eq!(chosen("disk = { wipe = true }", two), several);
    // The installer has assembled the paths.
    let assembled = |root: &Path| {
        paths(root);
        disk(root, "dm-0");
        write(
            root,
            &[
                (
                    "sys/dm-0/dm/uuid",
                    "mpath-3600140500000000000000000000000aa",
                ),
                ("sys/dm-0/dm/name", "mpatha"),
                ("sys/sda/holders/dm-0/dev", "254:0"),
                ("sys/sdb/holders/dm-0/dev", "254:0"),
            ],
        );
    };
    assert_eq!(chosen("", assembled), "/dev/mapper/mpatha");
}

#[test]
fn a_disk_is_selected_or_kept_by_its_wwid() {
    let disks = |root: &Path| {
        for name in ["sda", "sdb", "nvme0n1"] {
            disk(root, name);
        }
        write(
            root,
            &[
                ("sys/sda/device/wwid", WWID),
                ("sys/nvme0n1/wwid", "eui.0025385b71b00a11"),
                ("udev/sdb", "ID_WWN=0x5000c500a1b2c3d4"),
            ],
        );
    };
    for (wwid, device) in [
        (WWID, "/dev/sda"),
        ("3600140500000000000000000000000AA", "/dev/sda"),
        ("0x600140500000000000000000000000aa", "/dev/sda"),
        ("eui.0025385b71b00a11", "/dev/nvme0n1"),
        ("naa.5000c500a1b2c3d4", "/dev/sdb"),
        ("naa.5000c500a1b2c3d5", "no disk matches"),
    ] {
        assert_eq!(
            chosen(&format!("disk = {{ wwid = \"{wwid}\" }}"), disks),
            device,
            "{wwid}"
        );
    }
    let keep = format!("keep = [\"3{}\", \"eui.0025385b71b00a11\"]", &WWID[4..]);
    assert_eq!(chosen(&keep, disks), "/dev/sdb");
}
