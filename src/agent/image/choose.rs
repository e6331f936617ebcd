//! Chooses the disk for an image by the keys `disk` and `keep`, and protects disks from being overwritten.
//!
//! The rules are those of the shell script `templates/common/disk.sh.j2`. If the choice is ambiguous, nothing is written.

use std::cmp::Reverse;

use crate::{
    agent::hardware::DetectedDisk,
    model::{DiskPick, ImageTarget},
};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::agent) enum DiskChoiceError {
    #[error("no disk matches")]
    None,
    #[error("several disks match: select one with `disk`")]
    Several,
    #[error("several disks of the same size match: select one with `disk`")]
    SameSize,
    #[error(
        "the disk contains a VMFS, a ZFS pool or a RAID array: set `wipe = true` in `disk` to overwrite it"
    )]
    Protected,
    #[error("the contents of the disk cannot be read: set `wipe = true` in `disk` to overwrite it")]
    Unreadable,
    #[error("`keep` has `{0}`, which this agent cannot match to a disk")]
    UnknownKeep(String),
}

/// Chooses the disk. `has_protected_partitions` checks the types of its partitions.
pub(in crate::agent) fn choose<'a>(
    choice: &ImageTarget,
    disks: &'a [DetectedDisk],
    has_protected_partitions: impl Fn(&DetectedDisk) -> bool,
) -> Result<&'a DetectedDisk, DiskChoiceError> {
    // An unknown udev name may be that of any disk.
    let is_unknown = |kept: &&String| {
        kept.starts_with("/dev/disk/") && !disks.iter().any(|disk| has_path(disk, kept))
    };
    if let Some(kept) = choice.keep.iter().find(is_unknown) {
        return Err(DiskChoiceError::UnknownKeep(kept.clone()));
    }
    let mut fitting: Vec<&DetectedDisk> = disks.iter().filter(|disk| fits(choice, disk)).collect();
    match choice.pick {
        DiskPick::Only => {}
        DiskPick::Smallest => fitting.sort_by_key(|disk| size(disk)),
        DiskPick::Largest => fitting.sort_by_key(|disk| Reverse(size(disk))),
    }
    let chosen = match fitting[..] {
        [] => return Err(DiskChoiceError::None),
        [_, _, ..] if choice.pick == DiskPick::Only => return Err(DiskChoiceError::Several),
        [first, second, ..] if size(first) == size(second) => {
            return Err(DiskChoiceError::SameSize);
        }
        [first, ..] => first,
    };
    if !choice.wipe {
        guard(chosen, has_protected_partitions)?;
    }
    Ok(chosen)
}

fn size(disk: &DetectedDisk) -> u64 {
    disk.fact.size_bytes.unwrap_or(0)
}

fn fits(choice: &ImageTarget, disk: &DetectedDisk) -> bool {
    let fact = &disk.fact;
    let matches = |wanted: &str, has: bool| wanted.is_empty() || has;
    let is_kept = |kept: &String| has_path(disk, kept) || fact.serial.as_ref() == Some(kept);
    let is_named = !choice.path.is_empty() || !choice.serial.is_empty();
    !choice.keep.iter().any(is_kept)
        && matches(&choice.path, has_path(disk, &choice.path))
        && matches(
            &choice.serial,
            fact.serial.as_deref() == Some(choice.serial.as_str()),
        )
        && matches(
            &choice.model,
            fact.model.as_deref() == Some(choice.model.as_str()),
        )
        // A removable disk must be named.
        && (is_named || !disk.is_removable)
        && size(disk) >= choice.min_bytes.max(1)
}

/// Whether this is the path of the disk's device, or of a link that udev would create.
fn has_path(disk: &DetectedDisk, path: &str) -> bool {
    let link = path.strip_prefix("/dev/disk/by-id/");
    path == disk.fact.path || link.is_some_and(|link| disk.links.iter().any(|known| known == link))
}

/// Contents that protect a disk.
const PROTECTED_CONTENTS: [&str; 3] = ["vmfs", "zfs", "md"];

fn guard(
    disk: &DetectedDisk,
    has_protected_partitions: impl Fn(&DetectedDisk) -> bool,
) -> Result<(), DiskChoiceError> {
    let contents = disk.fact.contents.as_deref().unwrap_or("unreadable");
    let mut words = contents.split([':', ',']).map(str::trim);
    if words.clone().any(|word| PROTECTED_CONTENTS.contains(&word))
        || has_protected_partitions(disk)
    {
        return Err(DiskChoiceError::Protected);
    }
    match words.any(|word| word == "unreadable") {
        true => Err(DiskChoiceError::Unreadable),
        false => Ok(()),
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
            links: vec![format!("ata-Example_SSD_S-{name}")],
        }
    }

    fn stick() -> DetectedDisk {
        DetectedDisk {
            is_removable: true,
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
            let found = choose(&choice, &disks, |_| false).map(|disk| disk.fact.path.as_str());
            assert_eq!(found, expected, "{what}");
        }
    }

    #[test]
    fn protected_contents_are_kept_unless_wipe_is_set() {
        let parts = disk("sdp", 10, "gpt: unknown");
        let has_protected_partitions = |disk: &DetectedDisk| disk.fact.path == "/dev/sdp";
        let cases = [
            (disk("sda", 10, "zfs"), DiskChoiceError::Protected),
            (
                disk("sda", 10, "gpt: vfat, vmfs"),
                DiskChoiceError::Protected,
            ),
            (disk("sda", 10, "dos: md, md"), DiskChoiceError::Protected),
            (parts, DiskChoiceError::Protected),
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
            let found = choose(&ImageTarget::default(), &disks, has_protected_partitions);
            assert_eq!(found, Err(expected), "{disks:?}");
            let wipe = ImageTarget {
                wipe: true,
                ..ImageTarget::default()
            };
            assert!(
                choose(&wipe, &disks, has_protected_partitions).is_ok(),
                "{disks:?}"
            );
        }
    }
}
