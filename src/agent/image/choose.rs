//! The disk that an image goes to, as `disk` and `keep` say, and what keeps a disk from being overwritten.
//!
//! The same rules as in `templates/common/disk.sh.j2`, which shells run; a machine that is in doubt writes nothing.

use std::cmp::Reverse;

use crate::{
    agent::hardware::DetectedDisk,
    model::{DiskPick, ImageTarget},
};

/// Why no disk is chosen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(in crate::agent) enum DiskChoiceError {
    #[error("no disk fits")]
    None,
    #[error("several disks fit: say which one in `disk`")]
    Several,
    #[error("several disks of the same size fit: say which one in `disk`")]
    SameSize,
    #[error(
        "the disk holds a VMFS, a ZFS pool or an array: `wipe = true` in `disk` allows to overwrite it"
    )]
    HoldsOthers,
    #[error("what is on the disk cannot be read: `wipe = true` in `disk` allows to overwrite it")]
    Unreadable,
    #[error("`keep` names `{0}`, and this agent does not know which disk that is")]
    UnknownKeep(String),
}

/// Chooses the disk. `has_others` looks whether a partition of it is of a type that others need.
pub(in crate::agent) fn choose<'a>(
    choice: &ImageTarget,
    disks: &'a [DetectedDisk],
    has_others: impl Fn(&DetectedDisk) -> bool,
) -> Result<&'a DetectedDisk, DiskChoiceError> {
    // A name of udev's that is none of those known here may mean any disk.
    let is_unknown = |kept: &&String| {
        kept.starts_with("/dev/disk/") && !disks.iter().any(|disk| is_called(disk, kept))
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
        guard(chosen, has_others)?;
    }
    Ok(chosen)
}

fn size(disk: &DetectedDisk) -> u64 {
    disk.fact.size_bytes.unwrap_or(0)
}

fn fits(choice: &ImageTarget, disk: &DetectedDisk) -> bool {
    let fact = &disk.fact;
    let is_asked = |asked: &str, has: bool| asked.is_empty() || has;
    let is_kept = |kept: &String| is_called(disk, kept) || fact.serial.as_ref() == Some(kept);
    let is_named = !choice.path.is_empty() || !choice.serial.is_empty();
    !choice.keep.iter().any(is_kept)
        && is_asked(&choice.path, is_called(disk, &choice.path))
        && is_asked(
            &choice.serial,
            fact.serial.as_deref() == Some(choice.serial.as_str()),
        )
        && is_asked(
            &choice.model,
            fact.model.as_deref() == Some(choice.model.as_str()),
        )
        // A card or a stick is only taken by whoever names it.
        && (is_named || !disk.is_removable)
        && size(disk) >= choice.min_bytes.max(1)
}

/// Whether a path is this disk's: the device itself, or one of the links that udev would make to it.
fn is_called(disk: &DetectedDisk, path: &str) -> bool {
    let link = path.strip_prefix("/dev/disk/by-id/");
    path == disk.fact.path || link.is_some_and(|link| disk.links.iter().any(|known| known == link))
}

/// What a disk or a part of it holds that others may need.
const OTHERS: [&str; 3] = ["vmfs", "zfs", "md"];

fn guard(
    disk: &DetectedDisk,
    has_others: impl Fn(&DetectedDisk) -> bool,
) -> Result<(), DiskChoiceError> {
    let contents = disk.fact.contents.as_deref().unwrap_or("unreadable");
    let mut words = contents.split([':', ',']).map(str::trim);
    if words.clone().any(|word| OTHERS.contains(&word)) || has_others(disk) {
        return Err(DiskChoiceError::HoldsOthers);
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
    fn the_disk_is_the_one_that_is_asked_for_or_none() {
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
                "a stick alone",
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
    fn what_others_need_is_kept_unless_wipe_is_set() {
        let parts = disk("sdp", 10, "gpt: unknown");
        let has_others = |disk: &DetectedDisk| disk.fact.path == "/dev/sdp";
        let cases = [
            (disk("sda", 10, "zfs"), DiskChoiceError::HoldsOthers),
            (
                disk("sda", 10, "gpt: vfat, vmfs"),
                DiskChoiceError::HoldsOthers,
            ),
            (disk("sda", 10, "dos: md, md"), DiskChoiceError::HoldsOthers),
            (parts, DiskChoiceError::HoldsOthers),
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
            let found = choose(&ImageTarget::default(), &disks, has_others);
            assert_eq!(found, Err(expected), "{disks:?}");
            let wipe = ImageTarget {
                wipe: true,
                ..ImageTarget::default()
            };
            assert!(choose(&wipe, &disks, has_others).is_ok(), "{disks:?}");
        }
    }
}
