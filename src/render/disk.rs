//! The disk that is installed to, in each installer's own words.

use minijinja::Value;

use crate::{
    model::{Disk, Settings},
    site::Diagnostic,
};

use super::quote;

/// ESXi's `install` line.
///
/// Without `--overwritevmfs` an image that finds a VMFS on the disk gives up, and nothing is wiped.
pub(super) fn esxi_line(settings: &Settings) -> Result<String, Diagnostic> {
    let empty = Disk::default();
    let disk = settings.disk.as_deref().map_or(&empty, |at| &at.value);
    let quoted = |at: &crate::model::At<String>| {
        quote::kickstart(&at.value)
            .map_err(|why| Diagnostic::error(format!("this disk cannot be named: {why}"), at.place))
    };
    let target = match (&disk.path, &disk.first) {
        (Some(path), Some(_)) => {
            return Err(Diagnostic::error(
                "`disk.path` and `disk.first` are two ways to say one thing",
                path.place,
            ));
        }
        (Some(path), None) => format!("--disk={}", quoted(path)?),
        (None, Some(first)) => {
            if let Some(comma) = first.value.iter().find(|one| one.value.contains(',')) {
                return Err(Diagnostic::error(
                    format!("`{comma}`: a comma parts the disks of this list"),
                    comma.place,
                ));
            }
            let list: Vec<String> = first.value.iter().map(quoted).collect::<Result<_, _>>()?;
            format!("--firstdisk={}", list.join(","))
        }
        (None, None) => "--firstdisk".into(),
    };
    let wipe = if disk.wipe { " --overwritevmfs" } else { "" };
    Ok(format!("install {target}{wipe}"))
}

/// `disk` in templates.
pub(super) fn seen(settings: &Settings) -> Value {
    let empty = Disk::default();
    let disk = settings.disk.as_deref().map_or(&empty, |at| &at.value);
    let text = |at: &Option<crate::model::At<String>>| {
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
        model => text(&disk.model),
        min_bytes => disk.min_size.as_ref().map_or(0, |at| at.value.0),
        // The kernel counts in units of 512 bytes, whatever the disk does.
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
