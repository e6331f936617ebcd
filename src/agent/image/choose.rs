//! Chooses the disk for an image by the keys `disk` and `keep`, and protects disks from being overwritten.
//!
//! The rules are those of the shell script `templates/common/disk.sh.j2`. If the choice is ambiguous, nothing is written.

use std::cmp::Reverse;

use crate::{
    agent::{disk_groups::DiskGroups, hardware::DetectedDisk},
    model::{DiskPick, ImageTarget, normal_wwid},
};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::agent) enum DiskChoiceError {
    #[error("no disk matches")]
    None,
    #[error("no disk matches: {disk} is in use by the installer: {device} is mounted or swap")]
    InUse { disk: String, device: String },
    #[error("several disks match: select one with `disk`")]
    Several,
    #[error("several disks of the same size match: select one with `disk`")]
    SameSize,
    #[error("the disk belongs to {group}, together with {other}")]
    Shared { group: String, other: String },
    #[error("the disk contains {0}: set `wipe = true` in `disk` to overwrite it")]
    Protected(String),
    #[error("the contents of the disk cannot be read: set `wipe = true` in `disk` to overwrite it")]
    Unreadable,
    #[error("`keep` has `{0}`, which this agent cannot match to a disk")]
    UnknownKeep(String),
}

/// Chooses the disk. `groups` reads what a disk belongs to together with others.
pub(in crate::agent) fn choose<'a>(
    choice: &ImageTarget,
    disks: &'a [DetectedDisk],
    groups: impl Fn(&DetectedDisk) -> DiskGroups,
) -> Result<&'a DetectedDisk, DiskChoiceError> {
    // An unknown udev name may be that of any disk.
    let is_unknown = |kept: &&String| {
        kept.starts_with("/dev/disk/") && !disks.iter().any(|disk| has_path(disk, kept))
    };
    if let Some(kept) = choice.keep.iter().find(is_unknown) {
        return Err(DiskChoiceError::UnknownKeep(kept.clone()));
    }
    let mut fitting: Vec<&DetectedDisk> = Vec::new();
    for disk in disks {
        // Of the paths of one disk the first counts.
        let is_known = fitting.iter().any(|first| is_same_disk(first, disk));
        if fits(choice, disk) && disk.used.is_none() && !is_known {
            fitting.push(disk);
        }
    }
    match choice.pick {
        DiskPick::Only => {}
        DiskPick::Smallest => fitting.sort_by_key(|disk| size(disk)),
        DiskPick::Largest => fitting.sort_by_key(|disk| Reverse(size(disk))),
    }
    let chosen = match fitting[..] {
        [] => return Err(nothing_matches(choice, disks)),
        [_, _, ..] if choice.pick == DiskPick::Only => return Err(DiskChoiceError::Several),
        [first, second, ..] if size(first) == size(second) => {
            return Err(DiskChoiceError::SameSize);
        }
        [first, ..] => first,
    };
    let own = groups(chosen);
    let others = disks
        .iter()
        .filter(|disk| disk.fact.path != chosen.fact.path && !is_same_disk(disk, chosen));
    guard_others(&own, others, &groups)?;
    if !choice.wipe {
        guard(chosen, &own)?;
    }
    Ok(chosen)
}

/// Whether these are paths of one disk. Some disks have a WWID that is not unique, so the serial numbers and sizes count too.
fn is_same_disk(one: &DetectedDisk, other: &DetectedDisk) -> bool {
    let identity = |disk: &DetectedDisk| (disk.wwid.clone(), disk.fact.serial.clone(), size(disk));
    one.wwid.is_some() && identity(one) == identity(other)
}

fn nothing_matches(choice: &ImageTarget, disks: &[DetectedDisk]) -> DiskChoiceError {
    let mut fitting = disks.iter().filter(|disk| fits(choice, disk));
    let used = fitting.find_map(|disk| disk.used.clone().map(|device| (disk, device)));
    used.map_or(DiskChoiceError::None, |(disk, device)| {
        DiskChoiceError::InUse {
            disk: disk.fact.path.clone(),
            device,
        }
    })
}

/// Refuses a disk that belongs to a group with another one, whatever the settings are: a change would reach the other disk.
fn guard_others<'a>(
    own: &DiskGroups,
    mut others: impl Iterator<Item = &'a DetectedDisk>,
    groups: impl Fn(&DetectedDisk) -> DiskGroups,
) -> Result<(), DiskChoiceError> {
    let shared = others.find_map(|other| {
        let group = own.shared_with(&groups(other))?.to_owned();
        let other = other.fact.path.clone();
        Some(DiskChoiceError::Shared { group, other })
    });
    shared.map_or(Ok(()), Err)
}

fn size(disk: &DetectedDisk) -> u64 {
    disk.fact.size_bytes.unwrap_or(0)
}

fn fits(choice: &ImageTarget, disk: &DetectedDisk) -> bool {
    let fact = &disk.fact;
    let matches = |wanted: &str, has: bool| wanted.is_empty() || has;
    let has_wwid = |wwid: &str| disk.wwid.as_deref() == Some(normal_wwid(wwid).as_str());
    let is_kept = |kept: &String| {
        has_path(disk, kept) || fact.serial.as_ref() == Some(kept) || has_wwid(kept)
    };
    let mut names = [&choice.path, &choice.serial, &choice.wwid].into_iter();
    let is_named = names.any(|name| !name.is_empty());
    !choice.keep.iter().any(is_kept)
        && matches(&choice.path, has_path(disk, &choice.path))
        && matches(
            &choice.serial,
            fact.serial.as_deref() == Some(choice.serial.as_str()),
        )
        && matches(&choice.wwid, has_wwid(&choice.wwid))
        && matches(
            &choice.model,
            fact.model.as_deref() == Some(choice.model.as_str()),
        )
        && (is_named || !disk.must_be_named)
        && size(disk) >= choice.min_bytes.max(1)
}

/// Whether this is the path of the disk's device, or of a link that udev would create.
fn has_path(disk: &DetectedDisk, path: &str) -> bool {
    let link = path.strip_prefix("/dev/disk/by-id/");
    path == disk.fact.path || link.is_some_and(|link| disk.links.iter().any(|known| known == link))
}

/// Contents that protect a disk, of which the signature is known without more details.
const PROTECTED_CONTENTS: [(&str, &str); 3] = [
    ("vmfs", "a VMFS"),
    ("zfs", "a ZFS pool"),
    ("md", "a RAID array"),
];

fn guard(disk: &DetectedDisk, groups: &DiskGroups) -> Result<(), DiskChoiceError> {
    let contents = disk.fact.contents.as_deref().unwrap_or("unreadable");
    let words: Vec<&str> = contents.split([':', ',']).map(str::trim).collect();
    let mut signatures = PROTECTED_CONTENTS.iter();
    let signature = signatures.find(|(word, _)| words.contains(word));
    match groups.protected().or(signature.map(|(_, name)| *name)) {
        Some(protected) => Err(DiskChoiceError::Protected(protected.into())),
        None if groups.is_unreadable || words.contains(&"unreadable") => {
            Err(DiskChoiceError::Unreadable)
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
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
            let found = choose(&choice, &disks, |_| DiskGroups::default())
                .map(|disk| disk.fact.path.as_str());
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
        let chosen = |target: &ImageTarget| {
            choose(target, &disks, groups).map(|disk| disk.fact.path.clone())
        };
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
}
