//! ESXi's words for the disk that is installed to, and for its licence.
//!
//! The `install` line names a disk or leaves the choice to `--firstdisk`; it knows neither sizes nor serial numbers,
//! and spares no disk. What it cannot say, `%pre` decides (`disk.sh.j2`) and writes as an `install` line of its own,
//! which the document includes: every `%pre` runs before anything is included.

use minijinja::{Value, context};

use crate::{
    model::{DiskSelector, Settings, Spanned},
    site::{Diagnostic, Resolved},
};

use super::{external::ExternalInputs, quote};

/// Where `%pre` leaves the `install` line for the disk that it chose.
const INCLUDED: &str = "/tmp/bootwright-disk.ks";

/// The line that says where to: `install`, or what takes its place.
///
/// Without `--overwritevmfs` an image that finds a VMFS on the disk gives up, and nothing is wiped.
pub(super) fn install(settings: &Settings) -> Result<String, Diagnostic> {
    let empty = DiskSelector::default();
    let disk = settings.disk.as_deref().map_or(&empty, |at| &at.value);
    if is_chosen(settings) {
        return match &disk.first {
            None => Ok(format!("%include {INCLUDED}")),
            Some(first) => Err(Diagnostic::error(
                "`disk.first` leaves the choice to ESXi, which knows nothing of `keep`",
                first.span,
            )
            .help("say in `disk` which disk it is: `serial`, `model`, `min-size`, `smallest` or `largest`")),
        };
    }
    let target = match (&disk.path, &disk.first) {
        (Some(path), _) => format!("--disk={}", quoted(path)?),
        (None, Some(first)) => {
            if let Some(comma) = first.value.iter().find(|one| one.value.contains(',')) {
                return Err(Diagnostic::error(
                    format!("`{comma}`: a comma parts the disks of this list"),
                    comma.span,
                ));
            }
            let list: Vec<String> = first.value.iter().map(quoted).collect::<Result<_, _>>()?;
            format!("--firstdisk={}", list.join(","))
        }
        (None, None) => "--firstdisk".into(),
    };
    Ok(format!("install {target}{}", overwrite(disk)))
}

fn quoted(at: &Spanned<String>) -> Result<String, Diagnostic> {
    quote::kickstart(&at.value)
        .map_err(|why| Diagnostic::error(format!("this disk cannot be named: {why}"), at.span))
}

fn overwrite(disk: &DiskSelector) -> &'static str {
    if disk.wipe { " --overwritevmfs" } else { "" }
}

/// Whether `%pre` has to choose the disk.
fn is_chosen(settings: &Settings) -> bool {
    let by_what_it_is = settings.disk.as_deref().is_some_and(|at| {
        let disk = &at.value;
        let named = disk.serial.is_some() || disk.model.is_some();
        named || disk.min_size.is_some() || disk.smallest || disk.largest
    });
    let spares = settings
        .keep
        .as_deref()
        .is_some_and(|list| !list.value.is_empty());
    by_what_it_is || spares
}

/// What `disk.sh.j2` needs beside `disk`; none when ESXi's own line says it all.
pub(super) fn choice(settings: &Settings) -> Option<Value> {
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
            // ESXi tells sizes in whole MiB, rounded down.
            min_mib => disk.min_size.as_ref().map_or(0, |at| at.value.0 >> 20),
            overwrite => overwrite(disk),
        }
    })
}

/// The spellings in which ESXi may show a serial number or a model.
///
/// In the name of a `t10.` disk a blank is `_` and any other sign but a full stop two hexadecimal digits
/// (`ST1000DM003-1SB102` is `ST1000DM0032D1SB102`); in that of an `naa.` or `eui.` disk it is a number in small
/// letters. As `esxcli storage core device list` of 5.0 to 8.0 prints them.
fn names(text: &str) -> Value {
    let t10: String = text
        .chars()
        .map(|c| match c {
            ' ' => "_".into(),
            c if c.is_ascii_alphanumeric() || ".".contains(c) || !c.is_ascii() => c.to_string(),
            c => format!("{:02X}", u32::from(c)),
        })
        .collect();
    let number = text.trim_start_matches("0x").to_ascii_lowercase();
    context! { text => text, t10 => t10, number => number }
}

/// The licence key that `vars.license` holds, or the secret that `vars.license-secret` names.
pub(super) fn license(
    resolved: &Resolved,
    external: &ExternalInputs,
) -> Result<Option<String>, Diagnostic> {
    let repo = resolved.repo.as_ref().map(|repo| &repo.body.vars);
    let var = |name: &str| {
        let own = resolved.settings.vars.get(name);
        own.or_else(|| repo.and_then(|vars| vars.get(name)))
            .filter(|at| !at.value.is_null())
    };
    let (key, span) = match (var("license"), var("license-secret")) {
        (None, None) => return Ok(None),
        (Some(_), Some(named)) => {
            return Err(Diagnostic::error(
                "`vars.license` and `vars.license-secret` are two ways to say one thing",
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
    // The key itself is never repeated.
    key.map(str::trim)
        .filter(|key| is_license(key))
        .map(|key| Some(key.to_string()))
        .ok_or_else(|| {
            Diagnostic::error(
                "this is not a licence key of ESXi: expected five groups of five letters or digits, with hyphens between them",
                span,
            )
        })
}

/// Whether a text has the form that the installer takes: `\w{5}` five times.
pub(super) fn is_license(text: &str) -> bool {
    let groups: Vec<&str> = text.split('-').collect();
    let sound = |group: &&str| {
        group.len() == 5
            && group
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    groups.len() == 5 && groups.iter().all(sound)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_licence_key_has_five_groups_of_five() {
        for (text, sound) in [
            ("A1B2C-D3E4F-00000-H7I8J-K9L0M", true),
            ("a1b2c-d3e4f-00000-h7i8j-k9l0m", true),
            ("A1B2C-D3E4F-00000-H7I8J", false),
            ("A1B2C-D3E4F-00000-H7I8J-K9L0", false),
            ("A1B2C-D3E4F-00000-H7I8J-K9L0M-N1O2P", false),
            ("A1B2C D3E4F 00000 H7I8J K9L0M", false),
            ("", false),
        ] {
            assert_eq!(is_license(text), sound, "{text}");
        }
    }

    #[test]
    fn a_serial_number_is_spelt_as_esxi_does() {
        let shown = |text: &str, key: &str| names(text).get_attr(key).unwrap().to_string();
        assert_eq!(shown("WD-WCASY4897543", "t10"), "WD2DWCASY4897543");
        assert_eq!(shown("APPLE SSD SM256E", "t10"), "APPLE_SSD_SM256E");
        assert_eq!(shown("0x5000C500444F097E", "number"), "5000c500444f097e");
    }
}
