//! `disk` in templates: which disk to install to. `guard`: which disks are protected, as patterns of a shell.

use minijinja::Value;

use crate::model::{
    DiskSelector, NOT_DISKS, ONLY_NAMED, STORAGE_SYSTEMS, Settings, StorageSystem, normal_wwid,
};

pub(super) fn value(settings: &Settings) -> Value {
    let empty = DiskSelector::default();
    let disk = settings.disk.as_deref().map_or(&empty, |at| &at.value);
    let text = |at: &Option<crate::model::Spanned<String>>| {
        at.as_ref().map_or_else(String::new, |at| at.value.clone())
    };
    let keep: Vec<String> = settings
        .keep
        .iter()
        .flat_map(|list| list.values().cloned())
        .collect();
    minijinja::context! {
        path => text(&disk.path),
        serial => text(&disk.serial),
        wwid => disk.wwid.as_ref().map_or_else(String::new, |at| normal_wwid(&at.value)),
        model => text(&disk.model),
        min_bytes => disk.min_size.as_ref().map_or(0, |at| at.value.0),
        // The kernel counts sectors of 512 bytes, whatever the disk's own sector size.
        min_sectors => disk.min_size.as_ref().map_or(0, |at| at.value.0.div_ceil(512)),
        pick => match (disk.smallest, disk.largest) {
            (true, _) => "smallest",
            (_, true) => "largest",
            _ => "only",
        },
        wipe => disk.wipe,
        keep => keep,
    }
}

pub(super) fn guard() -> Value {
    let systems = STORAGE_SYSTEMS.iter().map(|system| {
        minijinja::context! {
            words => system.words,
            // A word without blanks identifies the group.
            key => system.words.replace(' ', "-"),
            spans => system.spans,
            types => udev_types(system).join(" | "),
        }
    });
    minijinja::context! {
        not_disks => NOT_DISKS.join(" | "),
        only_named => ONLY_NAMED.join(" | "),
        systems => systems.collect::<Vec<Value>>(),
    }
}

/// The types of partitions as udev writes them.
fn udev_types(system: &StorageSystem) -> Vec<String> {
    let gpt = system.gpt.iter().map(|guid| (*guid).to_owned());
    gpt.chain(system.mbr.map(|kind| format!("{kind:#x}")))
        .collect()
}
