//! Where a vendor stores the files of an installer in a repo.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::Vars;

/// One layout that a vendor uses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepoLayout {
    /// `layout` in a repo's `vars` selects it by this name when the repo's files cannot be looked up.
    pub name: String,
    /// Required files, by the name that templates use.
    pub files: BTreeMap<String, String>,
    /// Optional files that a complete image has. A missing one is a warning.
    pub expected: BTreeMap<String, String>,
    /// Optional files.
    pub optional: BTreeMap<String, String>,
    /// Why an installer with these files cannot be started over the network.
    pub unusable: Option<String>,
}

/// How a repo with the packages of an installation is recognized. The first rule that applies to the repo decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PackageRule {
    /// The rule applies to repos that have this file; none: to all.
    pub image: Option<String>,
    /// The repo has one of these files if it has packages.
    pub any: Vec<String>,
    /// Texts, by file, which say that some packages are missing.
    pub incomplete: BTreeMap<String, String>,
    /// An INI file whose keys `repository` name further sources of packages, relative to the repo.
    pub variants: Option<String>,
}

impl PackageRule {
    /// The files that are looked up, and whether their text is needed.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&str, bool)> {
        let plain = self
            .image
            .iter()
            .chain(&self.any)
            .map(|path| (path.as_str(), false));
        let read = self.incomplete.keys().chain(&self.variants);
        plain.chain(read.map(|path| (path.as_str(), true)))
    }
}

impl RepoLayout {
    /// All files that are not required.
    pub(super) fn extra(&self) -> impl Iterator<Item = (&String, &String)> {
        self.expected.iter().chain(&self.optional)
    }
}

/// The values for `{arch}` and `{vars.…}` in a layout's paths.
#[derive(Debug, Clone, Copy)]
pub(super) struct LayoutVariables<'a> {
    /// The task's name for the architecture; none if the task does not distinguish architectures.
    pub(super) arch: Option<&'a str>,
    /// The repo's `vars`.
    pub(super) vars: &'a Vars,
}

impl<'a> LayoutVariables<'a> {
    /// Replaces the variables in a path. An unknown one is left as it is.
    pub(super) fn expand(&self, path: &str) -> String {
        let mut expanded = match self.arch {
            Some(word) => path.replace("{arch}", word),
            None => path.to_string(),
        };
        for name in vars_of(path) {
            if let Some(word) = self.text(name) {
                expanded =
                    expanded.replace(&format!("{{vars.{name}}}"), word.trim_start_matches('/'));
            }
        }
        expanded
    }

    /// Returns the first of the `vars` in the layouts' paths that the repo does not have.
    pub(super) fn missing<'b>(&self, layouts: &'b [RepoLayout]) -> Option<&'b str> {
        let paths = layouts.iter().flat_map(|layout| layout.files.values());
        let mut names = paths.flat_map(|path| vars_of(path));
        names.find(|name| self.text(name).is_none())
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.vars.get(name)?.value.as_str()
    }
}

/// The names of the `vars` in a path.
fn vars_of(path: &str) -> impl Iterator<Item = &str> {
    let parts = path.split("{vars.").skip(1);
    parts.filter_map(|part| Some(part.split_once('}')?.0))
}
