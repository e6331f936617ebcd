//! What rendering needs from outside the site's own files, as values: secrets, password hashes, and what lies
//! in a repo.
//!
//! Nothing is read here. The shell looks up what [`needed_lookups`] names and asks again until nothing is wanted.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    model::{PasswordHash, RepoName, SecretText, TaskName, Vars},
    site::Site,
};

use super::{boot::boot_cfg, library::Library};

/// Everything from outside the site's own files.
#[derive(Debug, Clone, Default)]
pub struct ExternalInputs {
    /// What `secret("name")` finds, by name.
    pub secrets: BTreeMap<String, SecretText>,
    /// The hash of each password file, by its path as the site writes it.
    pub passwords: BTreeMap<String, PasswordHash>,
    /// What is known of each repo.
    pub repos: BTreeMap<RepoName, RepoContents>,
}

/// What is known of a repo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RepoContents {
    /// Machines fetch from there directly; what lies there is not known.
    Url(String),
    /// A directory, or an image read in place.
    Tree {
        /// What was looked up: the path that was asked for, in lower case, and what lies there.
        files: BTreeMap<String, Option<TreeFile>>,
    },
    /// It cannot be read, and why.
    Missing(String),
}

/// One file of a repo.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TreeFile {
    /// Its path in the spelling of the tree, without a leading `/`.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its text, when that was wanted.
    pub text: Option<Arc<str>>,
}

/// A file of a repo that somebody has to look up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RepoLookup {
    /// The repo.
    pub repo: RepoName,
    /// The path in lower case, without a leading `/`.
    pub path: String,
    /// Whether its text is wanted, not only its being there.
    pub text: bool,
}

/// Lists what has to be looked up in repos before their tasks can be rendered. Call it again with what was
/// found, until it returns nothing: a boot.cfg names further files.
pub fn needed_lookups(
    site: &Site,
    library: &Library,
    external: &ExternalInputs,
) -> Vec<RepoLookup> {
    let everywhere = named_tasks(site);
    let mut wanted = BTreeSet::new();
    for (name, repo) in &site.repos {
        let known = match external.repos.get(name) {
            Some(RepoContents::Url(_) | RepoContents::Missing(_)) => continue,
            None if repo.body.url.is_some() => continue,
            Some(RepoContents::Tree { files }) => Some(files),
            None => None,
        };
        let own = repo.body.task.as_ref().map(|at| &at.value);
        let tasks: BTreeSet<&TaskName> =
            own.into_iter().chain(everywhere.iter().copied()).collect();
        for (path, text) in tasks
            .into_iter()
            .flat_map(|task| paths(library, task, &repo.body.vars, known))
        {
            let seen = known.and_then(|files| files.get(&path));
            let enough = match seen {
                Some(Some(file)) => !text || file.text.is_some(),
                Some(None) => true,
                None => false,
            };
            if !enough {
                wanted.insert(RepoLookup {
                    repo: name.clone(),
                    path,
                    text,
                });
            }
        }
    }
    // Where one task wants a file's text and another only the file, the text does for both.
    let texts: BTreeSet<_> = wanted
        .iter()
        .filter(|want| want.text)
        .map(|want| (want.repo.clone(), want.path.clone()))
        .collect();
    wanted
        .into_iter()
        .filter(|want| want.text || !texts.contains(&(want.repo.clone(), want.path.clone())))
        .collect()
}

/// Every task that a setting names, wherever it stands: any of them may meet any repo.
fn named_tasks(site: &Site) -> BTreeSet<&TaskName> {
    site.layers()
        .filter_map(|settings| settings.task.as_deref().map(|at| &at.value))
        .collect()
}

type Known = BTreeMap<String, Option<TreeFile>>;

/// The files of a repo that one task asks for, and whether their text is wanted.
fn paths(
    library: &Library,
    task: &TaskName,
    vars: &Vars,
    known: Option<&Known>,
) -> Vec<(String, bool)> {
    let Some(task) = library.task(task) else {
        return Vec::new();
    };
    let rewrites = task.spec.has_boot_cfg();
    let mut list = Vec::new();
    for (key, path) in task.spec.layout_paths(vars) {
        let text = rewrites && key == boot_cfg::LAYOUT_KEY;
        if text {
            let found = known.and_then(|files| files.get(&path)?.as_ref()?.text.clone());
            let named = found.map_or_else(Vec::new, |text| boot_cfg::named_files(&text));
            list.extend(named.into_iter().map(|path| (path, false)));
        }
        list.push((path, text));
    }
    list
}
