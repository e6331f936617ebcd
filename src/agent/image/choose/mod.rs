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
mod tests;
