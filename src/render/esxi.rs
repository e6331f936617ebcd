//! The `install` line and the licence key of ESXi's kickstart.
//!
//! The `install` line names a disk or leaves the choice to `--firstdisk`. It supports neither sizes nor serial numbers, and
//! cannot exclude a disk. For those settings a `%pre` script (`disk.sh.j2`) chooses the disk and writes the `install` line to
//! a file, which the document includes. The installer runs every `%pre` before it includes anything.

use minijinja::{Value, context};

use crate::{
    model::{DiskSelector, Settings, Spanned, normal_wwid},
    site::{Diagnostic, Resolved},
};

use super::{esxi_options::EsxiOptions, external::ExternalInputs, quote, vars};

/// The file to which `%pre` writes the `install` line.
const INCLUDED: &str = "/tmp/bootwright-disk.ks";

/// Returns the `install` line, or the `%include` line in its place.
///
/// Without `--overwritevmfs` the installer fails if the disk has a VMFS, and nothing is overwritten.
pub(super) fn install(settings: &Settings, options: &EsxiOptions) -> Result<String, Diagnostic> {
    let empty = DiskSelector::default();
    let disk = settings.disk.as_deref().map_or(&empty, |at| &at.value);
    if is_chosen(settings) {
        return match &disk.first {
            None => Ok(format!("%include {INCLUDED}")),
            Some(first) => Err(Diagnostic::error(
                "`disk.first` leaves the choice to ESXi, which does not support `keep`",
                first.span,
            )
            .help("choose the disk by `serial`, `model`, `min-size`, `smallest` or `largest` of `disk`")),
        };
    }
    let target = match (&disk.path, &disk.first) {
        (Some(path), _) => format!("--disk={}", quoted(path)?),
        (None, Some(first)) => {
            if let Some(comma) = first.value.iter().find(|one| one.value.contains(',')) {
                return Err(Diagnostic::error(
                    format!("`{comma}`: a comma separates the disks of this list"),
                    comma.span,
                ));
            }
            let list: Vec<String> = first.value.iter().map(quoted).collect::<Result<_, _>>()?;
            format!("--firstdisk={}", list.join(","))
        }
        (None, None) => "--firstdisk".into(),
    };
    Ok(format!(
        "install {target}{}{}",
        overwrite(disk),
        options.install
    ))
}

fn quoted(at: &Spanned<String>) -> Result<String, Diagnostic> {
    quote::kickstart(&at.value)
        .map_err(|why| Diagnostic::error(format!("this disk cannot be named: {why}"), at.span))
}

fn overwrite(disk: &DiskSelector) -> &'static str {
    if disk.wipe { " --overwritevmfs" } else { "" }
}

/// Whether the installer chooses the disk itself.
pub(super) fn leaves_choice(settings: &Settings) -> bool {
    let path = settings
        .disk
        .as_deref()
        .and_then(|at| at.value.path.as_ref());
    !is_chosen(settings) && path.is_none()
}

/// Whether `%pre` chooses the disk. It also finds out whether a disk that is to be overwritten belongs to a vSAN, which
/// requires another option.
fn is_chosen(settings: &Settings) -> bool {
    let by_property = settings.disk.as_deref().is_some_and(|at| {
        let disk = &at.value;
        let named = disk.serial.is_some() || disk.wwid.is_some() || disk.model.is_some();
        let overwritten = disk.wipe && disk.path.is_some();
        named || overwritten || disk.min_size.is_some() || disk.smallest || disk.largest
    });
    let has_kept_disks = settings
        .keep
        .as_deref()
        .is_some_and(|list| !list.value.is_empty());
    by_property || has_kept_disks
}

/// Returns the values for `disk.sh.j2` besides `disk`; none when the `install` line is enough.
pub(super) fn choice(settings: &Settings, options: &EsxiOptions) -> Option<Value> {
    let empty = DiskSelector::default();
    let disk = settings.disk.as_deref().map_or(&empty, |at| &at.value);
    let keep: Vec<Value> = settings
        .keep
        .iter()
        .flat_map(|list| list.values())
        .map(|kept| names(kept))
        .collect();
    let text = |at: &Option<Spanned<String>>| names(at.as_ref().map_or("", |at| at.value.as_str()));
    is_chosen(settings).then(|| {
        context! {
            file => INCLUDED,
            serial => text(&disk.serial),
            model => text(&disk.model),
            keep => keep,
            // ESXi reports sizes in whole MiB, rounded down.
            min_mib => disk.min_size.as_ref().map_or(0, |at| at.value.0 >> 20),
            overwrite => format!("{}{}", overwrite(disk), options.install),
            overwrites_vsan => options.overwrites_vsan,
        }
    })
}

/// The forms in which ESXi may print a serial number or a model.
///
/// In the name of a `t10.` disk a blank is `_`, and any other character that is neither a letter, a digit nor a full stop is
/// two hexadecimal digits (`ST1000DM003-1SB102` is `ST1000DM0032D1SB102`). In the name of an `naa.` or `eui.` disk it is a
/// number in lower case. As `esxcli storage core device list` of 5.0 to 8.0 prints them.
fn names(text: &str) -> Value {
    let t10: String = text
        .chars()
        .map(|c| match c {
            ' ' => "_".into(),
            c if c.is_ascii_alphanumeric() || ".".contains(c) || !c.is_ascii() => c.to_string(),
            c => format!("{:02X}", u32::from(c)),
        })
        .collect();
    let number = normal_wwid(text);
    context! { text => text, t10 => t10, number => number }
}

/// Whether a secret holds the licence key.
pub(super) fn has_secret_license(resolved: &Resolved) -> bool {
    let repo = resolved.repo.as_ref().map(|repo| &repo.body.vars);
    let vars = [Some(&resolved.settings.vars), repo];
    let mut named = vars
        .into_iter()
        .flatten()
        .filter_map(|vars| vars.get("license-secret"));
    named.any(|at| !at.value.is_null())
}

/// Returns the licence key: the value of `vars.license`, or the secret that `vars.license-secret` names.
pub(super) fn license(
    resolved: &Resolved,
    external: &ExternalInputs,
) -> Result<Option<String>, Diagnostic> {
    let (key, span) = match (
        vars::find(resolved, "license"),
        vars::find(resolved, "license-secret"),
    ) {
        (None, None) => return Ok(None),
        (Some(_), Some(named)) => {
            return Err(Diagnostic::error(
                "`vars.license` and `vars.license-secret` are mutually exclusive",
                named.span,
            ));
        }
        (Some(own), None) => (own.value.as_str(), own.span),
        (None, Some(named)) => {
            let name = named.value.as_str().unwrap_or_default();
            let Some(secret) = external.secrets.get(name) else {
                return Err(Diagnostic::error(
                    format!("`vars.license-secret`: there is no secret `{name}`"),
                    named.span,
                )
                .help("put the licence key into a file of that name in the secrets directory"));
            };
            (Some(secret.expose()), named.span)
        }
    };
    // The message never contains the key.
    key.map(str::trim)
        .filter(|key| is_license(key))
        .map(|key| Some(key.to_string()))
        .ok_or_else(|| {
            Diagnostic::error(
                "this is not an ESXi licence key: expected five groups of five letters or digits, separated by hyphens",
                span,
            )
        })
}

/// Whether a text has the form that the installer accepts: `\w{5}` five times.
pub(super) fn is_license(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let is_group = |group: &&str| {
        group.len() == 5
            && group
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    groups.len() == 5 && groups.iter().all(is_group)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_key_has_five_groups_of_five() {
        for (text, is_valid) in [
            ("A1B2C-D3E4F-00000-H7I8J-K9L0M", true),
            ("a1b2c-d3e4f-00000-h7i8j-k9l0m", true),
            ("A1B2C-D3E4F-00000-H7I8J", false),
            ("A1B2C-D3E4F-00000-H7I8J-K9L0", false),
            ("A1B2C-D3E4F-00000-H7I8J-K9L0M-N1O2P", false),
            ("A1B2C D3E4F 00000 H7I8J K9L0M", false),
            ("", false),
        ] {
            assert_eq!(is_license(text), is_valid, "{text}");
        }
    }

    #[test]
    fn a_serial_number_has_the_forms_that_esxi_prints() {
        let shown = |text: &str, key: &str| names(text).get_attr(key).unwrap().to_string();
        assert_eq!(shown("WD-WCASY4897543", "t10"), "WD2DWCASY4897543");
        assert_eq!(shown("APPLE SSD SM256E", "t10"), "APPLE_SSD_SM256E");
        assert_eq!(shown("0x5000C500444F097E", "number"), "5000c500444f097e");
    }
}
