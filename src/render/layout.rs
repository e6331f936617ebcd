//! Where a vendor has its files in a repo.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::model::Vars;

/// One way in which a vendor lays out its files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RepoLayout {
    /// Its name; `layout` in a repo's `vars` chooses it where nothing can be looked up.
    pub name: String,
    /// Files that must be there, by the name that templates use.
    pub files: BTreeMap<String, String>,
    /// Files that are used when they are there, and that an image without is likely not whole.
    pub expected: BTreeMap<String, String>,
    /// Files that are used when they are there.
    pub optional: BTreeMap<String, String>,
}

impl RepoLayout {
    /// The files that need not be there.
    pub(super) fn extra(&self) -> impl Iterator<Item = (&String, &String)> {
        self.expected.iter().chain(&self.optional)
    }
}

/// What stands in a layout's paths for `{arch}` and for `{vars.…}`.
#[derive(Debug, Clone, Copy)]
pub(super) struct LayoutVariables<'a> {
    /// The word for the architecture; none: the task knows no architectures.
    pub(super) arch: Option<&'a str>,
    /// The repo's `vars`.
    pub(super) vars: &'a Vars,
}

impl<'a> LayoutVariables<'a> {
    /// Fills the words in; one that is not known stays as it is.
    pub(super) fn filled(&self, path: &str) -> String {
        let mut filled = match self.arch {
            Some(word) => path.replace("{arch}", word),
            None => path.to_string(),
        };
        for name in vars_of(path) {
            if let Some(word) = self.text(name) {
                filled = filled.replace(&format!("{{vars.{name}}}"), word.trim_start_matches('/'));
            }
        }
        filled
    }

    /// The `vars` that a layout's paths want and the repo does not have.
    pub(super) fn lacking<'b>(&self, layouts: &'b [RepoLayout]) -> Option<&'b str> {
        let paths = layouts.iter().flat_map(|layout| layout.files.values());
        let mut names = paths.flat_map(|path| vars_of(path));
        names.find(|name| self.text(name).is_none())
    }

    fn text(&self, name: &str) -> Option<&'a str> {
        self.vars.get(name)?.value.as_str()
    }
}

/// The `vars` that a path names.
fn vars_of(path: &str) -> impl Iterator<Item = &str> {
    let parts = path.split("{vars.").skip(1);
    parts.filter_map(|part| Some(part.split_once('}')?.0))
}
