//! Tests with the disk sets of tests/fixtures/disks.

use std::{fs, io::Cursor, path::Path};

use super::*;
use crate::{
    agent::{
        hardware::{SystemRoot, disk_groups, disks},
        image::choose,
    },
    model::ImageTarget,
};

#[path = "../../../tests/suite/support/disk_sets.rs"]
mod disk_sets;

/// A machine with the disks of a set.
fn machine(set: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let write = |path: &Path, text: &str| {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    for device in disk_sets::expand(set, &root.join("dev")) {
        let disk = device.disk.as_deref().unwrap_or(&device.name);
        let disk = root.join("sys/block").join(disk);
        match device.disk {
            None => {
                write(&disk.join("size"), &(device.bytes / 512).to_string());
                write(&disk.join("removable"), "0");
            }
            Some(_) => write(&disk.join(&device.name).join("partition"), &device.kind),
        }
    }
    folder
}

#[test]
fn disks_are_written_to_as_the_table_has_it() {
    for (set, cases) in disk_sets::table() {
        let machine = machine(&set);
        let root = SystemRoot::new(machine.path());
        let disks = disks(&root);
        for disk_sets::DiskCase { disk, reasons } in cases {
            for (wipe, expected) in [false, true].into_iter().zip(reasons) {
                let target = ImageTarget {
                    path: format!("/dev/{disk}"),
                    wipe,
                    ..ImageTarget::default()
                };
                let chosen = choose(&target, &disks, |disk| disk_groups(&root, &disk.fact.path));
                let reason = chosen.map_or_else(|error| error.to_string(), |_| String::new());
                assert_eq!(reason, expected, "{set} {disk} {wipe}");
            }
        }
    }
}

proptest::proptest! {
    /// Changed bytes and lengths of real disks.
    #[test]
    fn any_contents_are_read_without_a_panic(
        set in proptest::sample::select(vec!["vg-two", "md-raid1", "md-0.90", "md-ddf"]),
        changes in proptest::collection::vec((0_usize..(1 << 20), 0_u8..=255), 0..60),
        labels in proptest::collection::vec((0_usize..2048, 0_u8..=255), 0..8),
        length in 0_usize..(20 << 20),
    ) {
        let folder = tempfile::tempdir().unwrap();
        disk_sets::expand(set, folder.path());
        let mut bytes = fs::read(folder.path().join("sdb")).unwrap();
        for (at, byte) in changes.into_iter().chain(labels) {
            bytes[at] = byte;
        }
        bytes.truncate(length);
        let mut found = DiskGroups::default();
        found.add_partition_types(&bytes[..bytes.len().min(partitions::HEAD)]);
        proptest::prop_assert!(found.add(&mut Cursor::new(bytes)).is_ok());
    }
}
