//! Tests of the choice, with disks as data.

use super::*;
use crate::model::DiskFact;

fn disk(name: &str, gib: u64, contents: &str) -> DetectedDisk {
    DetectedDisk {
        fact: DiskFact {
            seal: None,
            path: format!("/dev/{name}"),
            model: Some("Example SSD".into()),
            serial: Some(format!("S-{name}")),
            size_bytes: Some(gib << 30),
            rotational: Some(false),
            transport: Some("sata".into()),
            contents: Some(contents.into()),
        },
        is_removable: false,
        must_be_named: false,
        used: None,
        wwid: None,
        links: vec![format!("ata-Example_SSD_S-{name}")],
    }
}

fn stick() -> DetectedDisk {
    DetectedDisk {
        is_removable: true,
        must_be_named: true,
        ..disk("sdz", 8, "empty")
    }
}

#[test]
fn the_disk_must_match_and_be_unambiguous() {
    let choice = || ImageTarget::default();
    let two = || vec![disk("sda", 10, "gpt: ext"), disk("sdb", 20, "empty")];
    type Case<'a> = (
        &'a str,
        ImageTarget,
        Vec<DetectedDisk>,
        Result<&'a str, DiskChoiceError>,
    );
    let cases: Vec<Case<'_>> = vec![
        (
            "nothing there",
            choice(),
            vec![],
            Err(DiskChoiceError::None),
        ),
        (
            "the only one",
            choice(),
            vec![disk("sda", 10, "gpt: ext")],
            Ok("/dev/sda"),
        ),
        (
            "a stick is no disk",
            choice(),
            vec![stick(), disk("sda", 10, "empty")],
            Ok("/dev/sda"),
        ),
        (
            "a single stick",
            choice(),
            vec![stick()],
            Err(DiskChoiceError::None),
        ),
        (
            "a stick by name",
            ImageTarget {
                path: "/dev/sdz".into(),
                ..choice()
            },
            vec![stick()],
            Ok("/dev/sdz"),
        ),
        ("several", choice(), two(), Err(DiskChoiceError::Several)),
        (
            "smallest",
            ImageTarget {
                pick: DiskPick::Smallest,
                ..choice()
            },
            two(),
            Ok("/dev/sda"),
        ),
        (
            "largest",
            ImageTarget {
                pick: DiskPick::Largest,
                ..choice()
            },
            two(),
            Ok("/dev/sdb"),
        ),
        (
            "two of one size",
            ImageTarget {
                pick: DiskPick::Largest,
                ..choice()
            },
            vec![disk("sda", 10, "empty"), disk("sdb", 10, "empty")],
            Err(DiskChoiceError::SameSize),
        ),
        (
            "by size",
            ImageTarget {
                min_bytes: 15 << 30,
                ..choice()
            },
            two(),
            Ok("/dev/sdb"),
        ),
        (
            "by serial",
            ImageTarget {
                serial: "S-sdb".into(),
                ..choice()
            },
            two(),
            Ok("/dev/sdb"),
        ),
        (
            "by another's serial",
            ImageTarget {
                serial: "S-sd".into(),
                ..choice()
            },
            two(),
            Err(DiskChoiceError::None),
        ),
        (
            "by model",
            ImageTarget {
                model: "Example".into(),
                ..choice()
            },
            two(),
            Err(DiskChoiceError::None),
        ),
        (
            "by path",
            ImageTarget {
                path: "/dev/sdb".into(),
                ..choice()
            },
            two(),
            Ok("/dev/sdb"),
        ),
        (
            "by udev's name",
            ImageTarget {
                path: "/dev/disk/by-id/ata-Example_SSD_S-sda".into(),
                ..choice()
            },
            two(),
            Ok("/dev/sda"),
        ),
        (
            "kept by path",
            ImageTarget {
                keep: vec!["/dev/sda".into()],
                ..choice()
            },
            two(),
            Ok("/dev/sdb"),
        ),
        (
            "kept by serial",
            ImageTarget {
                keep: vec!["S-sdb".into()],
                ..choice()
            },
            two(),
            Ok("/dev/sda"),
        ),
        (
            "kept by udev's name",
            ImageTarget {
                keep: vec!["/dev/disk/by-id/ata-Example_SSD_S-sda".into()],
                ..choice()
            },
            two(),
            Ok("/dev/sdb"),
        ),
        (
            "kept by a name that is not known here",
            ImageTarget {
                keep: vec!["/dev/disk/by-path/pci-1".into()],
                ..choice()
            },
            two(),
            Err(DiskChoiceError::UnknownKeep(
                "/dev/disk/by-path/pci-1".into(),
            )),
        ),
        (
            "kept although it is named",
            ImageTarget {
                path: "/dev/sda".into(),
                keep: vec!["S-sda".into()],
                ..choice()
            },
            two(),
            Err(DiskChoiceError::None),
        ),
    ];
    for (what, choice, disks, expected) in cases {
        let found =
            choose(&choice, &disks, |_| DiskGroups::default()).map(|disk| disk.fact.path.as_str());
        assert_eq!(found, expected, "{what}");
    }
}

#[test]
fn protected_contents_are_kept_unless_wipe_is_set() {
    let protected = |words: &str| DiskChoiceError::Protected(words.into());
    let cases = [
        (disk("sda", 10, "zfs"), protected("a ZFS pool")),
        (disk("sda", 10, "gpt: vfat, vmfs"), protected("a VMFS")),
        (disk("sda", 10, "dos: md, md"), protected("a RAID array")),
        (
            disk("sda", 10, "unreadable: timed out"),
            DiskChoiceError::Unreadable,
        ),
        (
            disk("sda", 10, "gpt: ext, unreadable"),
            DiskChoiceError::Unreadable,
        ),
    ];
    for (disk, expected) in cases {
        let disks = [disk];
        let groups = |_: &DetectedDisk| DiskGroups::default();
        let found = choose(&ImageTarget::default(), &disks, groups);
        assert_eq!(found, Err(expected), "{disks:?}");
        let wipe = ImageTarget {
            wipe: true,
            ..ImageTarget::default()
        };
        assert!(choose(&wipe, &disks, groups).is_ok(), "{disks:?}");
    }
}

#[test]
fn a_disk_is_selected_by_its_wwid_and_its_paths_are_one_disk() {
    let path = |name: &str| {
        let mut path = DetectedDisk {
            wwid: Some("600140500000000000000000000000aa".into()),
            ..disk(name, 10, "empty")
        };
        path.fact.serial = Some("LUN".into());
        path
    };
    let disks = [path("sda"), disk("sdb", 10, "empty"), path("sdc")];
    let groups = |_: &DetectedDisk| DiskGroups::default();
    let chosen =
        |target: &ImageTarget| choose(target, &disks, groups).map(|disk| disk.fact.path.clone());
    for wwid in [
        "naa.600140500000000000000000000000AA",
        "3600140500000000000000000000000aa",
    ] {
        let selected = ImageTarget {
            wwid: wwid.into(),
            ..ImageTarget::default()
        };
        assert_eq!(chosen(&selected), Ok("/dev/sda".into()));
        let kept = ImageTarget {
            keep: vec![wwid.into()],
            ..ImageTarget::default()
        };
        assert_eq!(chosen(&kept), Ok("/dev/sdb".into()));
    }
    let none = ImageTarget {
        wwid: "5000c500a1b2c3d4".into(),
        ..ImageTarget::default()
    };
    assert_eq!(chosen(&none), Err(DiskChoiceError::None));
}

#[test]
fn a_disk_that_is_in_use_is_never_chosen() {
    let live = DetectedDisk {
        used: Some("/dev/sda1".into()),
        ..disk("sda", 10, "gpt: iso9660")
    };
    let groups = |_: &DetectedDisk| DiskGroups::default();
    let by_path = ImageTarget {
        path: "/dev/sda".into(),
        wipe: true,
        ..ImageTarget::default()
    };
    let disks = [live, disk("sdb", 10, "empty")];
    let expected = DiskChoiceError::InUse {
        disk: "/dev/sda".into(),
        device: "/dev/sda1".into(),
    };
    assert_eq!(choose(&by_path, &disks, groups), Err(expected));
    let found = choose(&ImageTarget::default(), &disks, groups);
    assert_eq!(found.map(|disk| disk.fact.path.as_str()), Ok("/dev/sdb"));
}
