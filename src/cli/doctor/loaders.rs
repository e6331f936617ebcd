//! Findings about the loaders: which are installed, in which version, and which are needed but missing.

use std::path::PathBuf;

use super::finding::{DoctorFinding, list};
use crate::{boot::Loader, disk::dpkg::Package};

/// A loader and its file.
#[derive(Debug, Clone)]
pub(super) struct LoaderReport {
    /// The name under which it is served.
    pub(super) name: String,
    /// Debian's package of it; `None` for a loader that only the site names.
    pub(super) package: Option<&'static str>,
    /// Why this site needs it; `None` if it does not.
    pub(super) needed_by: Option<String>,
    /// Its path; `None` if it is missing.
    pub(super) at: Option<PathBuf>,
    /// The package that installed the file.
    pub(super) from: Option<Package>,
    /// The version in the file.
    pub(super) version: Option<String>,
    /// Why the file cannot be read.
    pub(super) error: Option<String>,
}

impl LoaderReport {
    pub(super) fn missing(name: &str) -> LoaderReport {
        LoaderReport {
            name: name.into(),
            package: Loader::named(name).map(|loader| loader.package),
            needed_by: None,
            at: None,
            from: None,
            version: None,
            error: None,
        }
    }
}

pub(super) fn findings(loaders: &[LoaderReport]) -> Vec<DoctorFinding> {
    let mut findings: Vec<DoctorFinding> = loaders.iter().filter_map(one).collect();
    let spare: Vec<String> = loaders
        .iter()
        .filter(|one| one.at.is_none() && one.needed_by.is_none())
        .map(|one| format!("{} ({})", one.name, one.package.unwrap_or("the site's own")))
        .collect();
    if !spare.is_empty() {
        let spare = list(&spare);
        findings.push(DoctorFinding::ok(format!(
            "not installed and not needed by this site: {spare}"
        )));
    }
    findings
}

fn one(loaders: &LoaderReport) -> Option<DoctorFinding> {
    let name = &loaders.name;
    let Some(path) = &loaders.at else {
        let reason = loaders.needed_by.as_ref()?;
        let finding = DoctorFinding::error(format!("{name}: missing, but {reason}"));
        return Some(match loaders.package {
            Some(package) => finding
                .run(format!("apt-get install {package}"))
                .help("or set `loaders` in `[paths]` to a directory that contains it"),
            None => finding.help("set `loaders` in `[paths]` to a directory that contains it"),
        });
    };
    let path = path.display();
    if let Some(error) = &loaders.error {
        let text = format!("{name}: cannot read {path}: {error}");
        return Some(match loaders.needed_by {
            Some(_) => DoctorFinding::error(text),
            None => DoctorFinding::warning(text),
        });
    }
    let own = loaders.version.clone();
    // If the package has the same version as the program, the version is shown once.
    let of_package = loaders.from.as_ref().map(|Package { name, version }| {
        match own.as_ref().is_some_and(|own| own.ends_with(version)) {
            true => format!("package {name}"),
            false => format!("package {name} {version}"),
        }
    });
    let versions: Vec<String> = own.into_iter().chain(of_package).collect();
    let versions = match versions.is_empty() {
        true => "unknown version".into(),
        false => versions.join(", "),
    };
    Some(DoctorFinding::ok(format!("{name}: {path}, {versions}")))
}
