//! Options of ESXi's installer that are set in `vars`: words of the `install` line, `clearpart`, and kernel options.

use serde_json::Value;

use crate::{
    model::Spanned,
    site::{Diagnostic, Resolved},
};

use super::{quote, vars};

/// The values of `system-media-size` (VMware, "Boot option to configure the size of ESXi system partitions").
const MEDIA_SIZES: [&str; 4] = ["min", "small", "default", "max"];

/// The options of one machine.
#[derive(Debug, Default, PartialEq)]
pub(super) struct EsxiOptions {
    /// Words of the `install` line, each with a blank before it.
    pub(super) install: String,
    /// The `clearpart` line.
    pub(super) clearpart: Option<String>,
    /// Words of the kernel's command line.
    pub(super) kernel: Vec<String>,
    /// Whether a disk may be taken from a vSAN disk group that other disks belong to.
    pub(super) overwrites_vsan: bool,
}

/// A value that is `true`.
fn flag<'a>(resolved: &'a Resolved, name: &str) -> Option<&'a Spanned<Value>> {
    vars::find(resolved, name).filter(|at| at.value == Value::Bool(true))
}

/// Returns the options that `vars` set. `leaves_choice` tells whether the installer chooses the disk itself.
pub(super) fn options(resolved: &Resolved, leaves_choice: bool) -> Result<EsxiOptions, Diagnostic> {
    let settings = &resolved.settings;
    let disk = settings.disk.as_deref();
    let wipes = disk.is_some_and(|at| at.value.wipe);
    let mut options = EsxiOptions::default();
    if let Some(at) = flag(resolved, "preserve-vmfs") {
        if wipes {
            let message = "`vars.preserve-vmfs` and `wipe = true` of `disk` contradict each other";
            return Err(Diagnostic::error(message, at.span));
        }
        options.install += " --preservevmfs";
    }
    if let Some(at) = flag(resolved, "ignore-ssd") {
        if !leaves_choice {
            let message =
                "`vars.ignore-ssd` needs a disk that ESXi chooses: `disk.first`, or no `disk`";
            return Err(Diagnostic::error(message, at.span));
        }
        options.install += " --ignoressd";
    }
    for (name, word) in [
        ("ignore-prereq-warnings", " --ignoreprereqwarnings"),
        ("ignore-prereq-errors", " --ignoreprereqerrors"),
    ] {
        if flag(resolved, name).is_some() {
            options.install += word;
        }
    }
    if let Some(at) = vars::find(resolved, "dpu-pci-slots") {
        let slots = at.value.as_str().unwrap_or_default();
        let is_slot = |byte: u8| byte.is_ascii_alphanumeric() || b":.,-".contains(&byte);
        if slots.is_empty() || !slots.bytes().all(is_slot) {
            let message = "`vars.dpu-pci-slots` is no list of PCI slots: expected such as `1,2`";
            return Err(Diagnostic::error(message, at.span));
        }
        options.install += &format!(" --dpuPciSlots={slots}");
    }
    options.overwrites_vsan = flag(resolved, "overwrite-vsan").is_some();
    // The installer refuses this option for a disk without vSAN. If ESXi chooses the disk, only the operator can decide it.
    if options.overwrites_vsan && leaves_choice {
        options.install += " --overwritevsan";
    }
    options.clearpart = clearpart(resolved, wipes)?;
    if flag(resolved, "allow-legacy-cpu").is_some() {
        options.kernel.push("allowLegacyCPU=true".into());
    }
    if let Some(at) = vars::find(resolved, "system-media-size") {
        let size = at.value.as_str().unwrap_or_default();
        if !MEDIA_SIZES.contains(&size) {
            let message = format!(
                "`vars.system-media-size` is {}: expected one of {}",
                at.value,
                MEDIA_SIZES.join(", ")
            );
            return Err(Diagnostic::error(message, at.span));
        }
        options.kernel.push(format!("systemMediaSize={size}"));
    }
    Ok(options)
}

/// The line that clears further disks, besides the one that is installed to.
fn clearpart(resolved: &Resolved, wipes: bool) -> Result<Option<String>, Diagnostic> {
    let Some(at) = vars::find(resolved, "clear-partitions") else {
        return Ok(None);
    };
    let disks = at.value.as_array().into_iter().flatten();
    let disks: Vec<&str> = disks.filter_map(Value::as_str).collect();
    if disks.is_empty() {
        return Ok(None);
    }
    let mut kept = resolved.settings.keep.iter().flat_map(|list| list.values());
    if let Some(kept) = kept.find(|kept| disks.contains(&kept.as_str())) {
        let message = format!("`vars.clear-partitions` has the disk `{kept}`, which is in `keep`");
        return Err(Diagnostic::error(message, at.span));
    }
    let names: Result<Vec<String>, String> = disks
        .iter()
        .map(|disk| match disk.contains(',') {
            true => Err("a comma separates the disks of this list".into()),
            false => quote::kickstart(disk),
        })
        .collect();
    let names = names
        .map_err(|why| Diagnostic::error(format!("`vars.clear-partitions`: {why}"), at.span))?;
    let overwrite = if wipes { " --overwritevmfs" } else { "" };
    Ok(Some(format!(
        "clearpart --drives={}{overwrite}",
        names.join(",")
    )))
}
