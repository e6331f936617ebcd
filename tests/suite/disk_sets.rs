//! The script that chooses a disk, on disk sets with real signatures.
//!
//! udev's properties are those that `blkid` finds on the disks. The agent's unit tests read the same table.

use std::{fs, path::Path, process::Command, thread};

use crate::{
    render_disk::{Machine, SHELLS, SITE},
    support::{disk_sets, rendering::rendering},
};

/// Writes what `udevadm info` prints of a device.
fn write_properties(root: &Path, device: &disk_sets::SetDevice) {
    let probe = Command::new("blkid")
        .args(["-p", "-o", "udev"])
        .arg(root.join("dev").join(&device.name))
        .output()
        .expect("blkid is installed");
    let mut text = String::from_utf8_lossy(&probe.stdout).into_owned();
    if device.disk.is_some() {
        text.push_str(&format!("ID_PART_ENTRY_TYPE={}\n", device.kind));
    }
    fs::create_dir_all(root.join("udev")).unwrap();
    fs::write(root.join("udev").join(&device.name), text).unwrap();
}

fn write_set(root: &Path, set: &str) {
    for device in disk_sets::expand(set, &root.join("dev")) {
        write_properties(root, &device);
        let disk = device.disk.as_deref().unwrap_or(&device.name);
        let folder = root.join("sys").join(disk);
        match device.disk {
            None => {
                fs::create_dir_all(&folder).unwrap();
                fs::write(folder.join("size"), (device.bytes / 512).to_string()).unwrap();
                fs::write(folder.join("removable"), "0\n").unwrap();
            }
            Some(_) => fs::create_dir_all(folder.join(&device.name)).unwrap(),
        }
    }
}

/// The sets are checked in as many threads: most of the time passes in the shells.
const THREADS: usize = 8;

/// The path that the scripts have in place of that of a disk.
const PLACEHOLDER: &str = "/dev/selected-disk";

/// The scripts that select a disk by its path, without `wipe` and with it.
fn scripts() -> [String; 2] {
    [false, true].map(|wipe| {
        let settings = format!("disk = {{ path = \"{PLACEHOLDER}\", wipe = {wipe} }}");
        let rendering = rendering(&format!("{SITE}{settings}"), &[]);
        rendering.text("n1", "disk.sh")
    })
}

/// What the script does in each shell: the disk, or why it refuses it.
fn outcomes(machine: &mut Machine, script: &str, disk: &str) -> Vec<(String, String)> {
    let script = script.replace(PLACEHOLDER, &format!("/dev/{disk}"));
    let shells = SHELLS.into_iter();
    let outcome = |shell: &'static [&str]| {
        machine.shell = shell;
        // The busybox of Debian's installer has no `od`.
        let script = match shell[0] {
            "busybox" => script.replace("command -v od >/dev/null", "false"),
            _ => script.clone(),
        };
        machine.outcome(&script)
    };
    shells.map(outcome).collect()
}

#[test]
fn disks_are_chosen_as_the_table_has_it() {
    let scripts = &scripts();
    let sets: Vec<_> = disk_sets::table().into_iter().collect();
    thread::scope(|scope| {
        for part in sets.chunks(sets.len().div_ceil(THREADS)) {
            scope.spawn(move || {
                for (set, cases) in part {
                    check(scripts, set, cases);
                }
            });
        }
    });
}

fn check(scripts: &[String; 2], set: &str, cases: &[disk_sets::DiskCase]) {
    let mut machine = Machine::new(&[]);
    write_set(machine.path(), set);
    for disk_sets::DiskCase { disk, reasons } in cases {
        for (script, reason) in scripts.iter().zip(reasons) {
            let chosen = format!("/dev/{disk}");
            let expected = if reason.is_empty() { &chosen } else { reason };
            for (outcome, errors) in outcomes(&mut machine, script, disk) {
                assert_eq!(outcome, *expected, "{set} {disk}: {errors}");
            }
        }
    }
}

/// Debian's installer compares names in part, so that it takes `/dev/sdaa` for a part of `/dev/sda`.
#[test]
fn a_disk_is_refused_if_the_installer_confuses_its_name_with_that_of_a_member() {
    let rename = |machine: &Machine, disk: &str, to: &str| {
        for folder in ["dev", "sys", "udev"] {
            let folder = machine.path().join(folder);
            fs::rename(folder.join(disk), folder.join(to)).unwrap();
        }
    };
    let [_, script] = scripts();
    let mut machine = Machine::new(&[]);
    write_set(machine.path(), "md-raid0");
    rename(&machine, "sda", "sdaa");
    write_set(machine.path(), "plain");
    rename(&machine, "sdb", "sdab");
    let reason = "the installer would also change /dev/sdaa, which belongs to a group of disks and has a name that contains sda";
    for (outcome, errors) in outcomes(&mut machine, &script, "sda") {
        assert_eq!(outcome, reason, "{errors}");
    }
    for (outcome, errors) in outcomes(&mut machine, &script, "sdab") {
        assert_eq!(outcome, "/dev/sdab", "{errors}");
    }
}
