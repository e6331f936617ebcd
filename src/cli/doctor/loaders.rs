//! The loaders: which are there, in which version, and which ones machines will miss.

use std::path::PathBuf;

use super::finding::{DoctorFinding, list};
use crate::{boot::Loader, disk::dpkg::Package};

/// A loader as it was found.
#[derive(Debug, Clone)]
pub(super) struct LoaderReport {
    /// The name that it is served under.
    pub(super) name: String,
    /// Debian's package that has it; none of one that only the site names.
    pub(super) package: Option<&'static str>,
    /// Who asks for it: none when nobody of this site does.
    pub(super) needed_by: Option<String>,
    /// Where it is; none when it is not there.
    pub(super) at: Option<PathBuf>,
    /// The package that put it there.
    pub(super) from: Option<Package>,
    /// The version that it says itself.
    pub(super) version: Option<String>,
    /// Why it cannot be read.
    pub(super) trouble: Option<String>,
}

impl LoaderReport {
    /// One that is not there.
    pub(super) fn nowhere(name: &str) -> LoaderReport {
        LoaderReport {
            name: name.into(),
            package: Loader::named(name).map(|loader| loader.package),
            needed_by: None,
            at: None,
            from: None,
            version: None,
            trouble: None,
        }
    }
}

/// Says how the loaders are.
pub(super) fn findings(seen: &[LoaderReport]) -> Vec<DoctorFinding> {
    let mut findings: Vec<DoctorFinding> = seen.iter().filter_map(one).collect();
    let spare: Vec<String> = seen
        .iter()
        .filter(|one| one.at.is_none() && one.needed_by.is_none())
        .map(|one| {
            format!(
                "{} ({})",
                one.name,
                one.package.unwrap_or("of the site's own")
            )
        })
        .collect();
    if !spare.is_empty() {
        let spare = list(&spare);
        findings.push(DoctorFinding::ok(format!(
            "not there, and not asked for by this site: {spare}"
        )));
    }
    findings
}

fn one(seen: &LoaderReport) -> Option<DoctorFinding> {
    let name = &seen.name;
    let Some(path) = &seen.at else {
        let who = seen.needed_by.as_ref()?;
        let finding = DoctorFinding::error(format!("{name}: not there, and {who}"));
        return Some(match seen.package {
            Some(package) => finding
                .run(format!("apt-get install {package}"))
                .help("or name a directory that has it in `loaders` of `[paths]`"),
            None => finding.help("name a directory that has it in `loaders` of `[paths]`"),
        });
    };
    let path = path.display();
    if let Some(trouble) = &seen.trouble {
        let text = format!("{name}: {path} cannot be read: {trouble}");
        return Some(match seen.needed_by {
            Some(_) => DoctorFinding::error(text),
            None => DoctorFinding::warning(text),
        });
    }
    let own = seen.version.clone();
    // A package often has the version of the program in it, which is said once.
    let of_package = seen.from.as_ref().map(|Package { name, version }| {
        match own.as_ref().is_some_and(|own| own.ends_with(version)) {
            true => format!("package {name}"),
            false => format!("package {name} {version}"),
        }
    });
    let versions: Vec<String> = own.into_iter().chain(of_package).collect();
    let versions = match versions.is_empty() {
        true => "its version is not known".into(),
        false => versions.join(", "),
    };
    Some(DoctorFinding::ok(format!("{name}: {path}, {versions}")))
}
