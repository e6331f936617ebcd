//! What rendering needs from outside the site's files: secrets, password hashes, and the contents of repos.
//!
//! Nothing is read here. The shell looks up what [`needed_lookups`] returns, and repeats that until it returns nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{
    model::{NetworkName, PasswordHash, RepoName, SecretText, TaskName, Vars},
    site::Site,
};

use super::{boot::boot_cfg, library::Library};

/// Data from outside the site's files.
#[derive(Debug, Clone, Default)]
pub struct ExternalInputs {
    /// The values for `secret("name")`, by name.
    pub secrets: BTreeMap<String, SecretText>,
    /// The hash in each password file, by its path as the site spells it.
    pub passwords: BTreeMap<String, PasswordHash>,
    pub repos: BTreeMap<RepoName, RepoContents>,
    /// This server's URL with an IPv6 address, by the network of the machines that can contact it there.
    pub v6_urls: BTreeMap<NetworkName, String>,
}

/// The known contents of a repo.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum RepoContents {
    /// Machines fetch from this URL directly. Its contents are not known.
    Url(String),
    /// A directory, or an image read in place.
    Tree {
        /// The results of all lookups, by path in lower case. None: there is no such file.
        files: TreeFiles,
    },
    /// It cannot be read, for this reason.
    Missing(String),
}

/// One file of a repo.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TreeFile {
    /// As the tree spells it, without a leading `/`.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Its text, if the lookup requested it.
    pub text: Option<Arc<str>>,
}

/// A file of a repo that the shell has to look up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RepoLookup {
    pub repo: RepoName,
    /// In lower case, without a leading `/`.
    pub path: String,
    /// Whether its text is needed, not only its existence.
    pub text: bool,
}

/// Lists what has to be looked up in repos before their tasks can be rendered. Call it again with the results until it
/// returns nothing: a boot.cfg names further files.
pub fn needed_lookups(
    site: &Site,
    library: &Library,
    external: &ExternalInputs,
) -> Vec<RepoLookup> {
    let everywhere = named_tasks(site);
    let mut lookups = BTreeSet::new();
    for (name, repo) in &site.repos {
        let known = match external.repos.get(name) {
            Some(RepoContents::Url(_) | RepoContents::Missing(_)) => continue,
            None if repo.body.url.is_some() => continue,
            Some(RepoContents::Tree { files }) => Some(files),
            None => None,
        };
        let users = site
            .repos
            .values()
            .filter(|other| other.has_installer(name));
        let own = users
            .chain([repo])
            .filter_map(|repo| repo.body.task.as_ref());
        let own = own.map(|at| &at.value);
        let tasks: BTreeSet<&TaskName> = own.chain(everywhere.iter().copied()).collect();
        for (path, text) in tasks
            .into_iter()
            .flat_map(|task| paths(library, task, &repo.body.vars, known))
        {
            let result = known.and_then(|files| files.get(&path));
            let enough = match result {
                Some(Some(file)) => !text || file.text.is_some(),
                Some(None) => true,
                None => false,
            };
            if !enough {
                lookups.insert(RepoLookup {
                    repo: name.clone(),
                    path,
                    text,
                });
            }
        }
    }
    // If one task needs a file's text and another only the file, the lookup of the text is enough for both.
    let texts: BTreeSet<_> = lookups
        .iter()
        .filter(|lookup| lookup.text)
        .map(|lookup| (lookup.repo.clone(), lookup.path.clone()))
        .collect();
    lookups
        .into_iter()
        .filter(|lookup| {
            lookup.text || !texts.contains(&(lookup.repo.clone(), lookup.path.clone()))
        })
        .collect()
}

/// Every task that a setting names, in any layer: each of them may be combined with any repo.
fn named_tasks(site: &Site) -> BTreeSet<&TaskName> {
    site.layers()
        .filter_map(|settings| settings.task.as_deref().map(|at| &at.value))
        .collect()
}

/// The results of lookups in a tree, by path in lower case. None: there is no such file.
pub type TreeFiles = BTreeMap<String, Option<TreeFile>>;

/// The files of a repo that one task needs, and whether it needs their text.
fn paths(
    library: &Library,
    task: &TaskName,
    vars: &Vars,
    known: Option<&TreeFiles>,
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
    let rules = task.spec.packages.iter();
    list.extend(
        rules
            .flat_map(|rule| rule.paths())
            .map(|(path, text)| (path.to_lowercase(), text)),
    );
    list
}
