//! Directories that no repo may serve to machines: the files of the site, its state and its secrets.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use crate::{
    disk::{
        repo::{ImageRegistry, RepoSource},
        site::DIRECTORIES,
    },
    model::Repo,
    serve::{reload::external, site_id},
    site::{Diagnostic, Site},
};

/// A directory or file that machines may not read.
struct ProtectedPath {
    what: &'static str,
    path: PathBuf,
}

/// Returns an error for each repo whose directory contains a protected path, or is in one. `state` is the state directory if it
/// is not the one that the site names.
pub(super) fn overlaps(
    root: &Path,
    site: &Site,
    state: Option<&Path>,
    images: &ImageRegistry,
) -> Vec<Diagnostic> {
    let protected = protected_paths(root, site, state);
    let repos = site.repos.values();
    repos
        .filter_map(|repo| match external::source(root, site, repo, images)? {
            RepoSource::Directory(directory) => overlap(repo, directory.root(), &protected),
            RepoSource::Image(_) => None,
        })
        .collect()
}

fn protected_paths(root: &Path, site: &Site, state: Option<&Path>) -> Vec<ProtectedPath> {
    let protected = |what, path: &Path| ProtectedPath {
        what,
        path: real_path(path),
    };
    let paths = &site.config.paths;
    let mut list = vec![protected(
        "the secrets directory",
        &root.join(paths.effective().secrets),
    )];
    // Without `HOME`, a site that names no state directory cannot be served at all.
    let named = site_id::state_path(root, &site.config).ok();
    let states = state.into_iter().chain(named.as_deref());
    list.extend(states.map(|path| protected("the state directory", path)));
    // Git's directory has all earlier versions of the files.
    let own = DIRECTORIES.into_iter().chain([".git"]);
    list.extend(own.map(|name| protected("the site", &root.join(name))));
    list
}

fn overlap(repo: &Repo, directory: &Path, protected: &[ProtectedPath]) -> Option<Diagnostic> {
    let directory = real_path(directory);
    let found = protected.iter().find(|protected| {
        protected.path.starts_with(&directory) || directory.starts_with(&protected.path)
    })?;
    let relation = match directory.starts_with(&found.path) {
        true => "is in",
        false => "contains",
    };
    let message = format!(
        "the directory of repo `{}` {relation} {}, `{}`, which machines may not read",
        repo.name.value,
        found.what,
        found.path.display()
    );
    let span = repo.body.path.as_ref().map(|path| path.span);
    Some(
        Diagnostic::error(message, span)
            .help("choose a directory with only what machines install from"),
    )
}

/// The path without symbolic links. A part that does not exist is kept as written.
fn real_path(path: &Path) -> PathBuf {
    let mut existing = path;
    let mut rest: Vec<OsString> = Vec::new();
    loop {
        match existing.canonicalize() {
            Ok(real) => {
                return real
                    .iter()
                    .chain(rest.iter().rev().map(OsString::as_os_str))
                    .collect();
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return path.into(),
        }
        let (Some(parent), Some(name)) = (existing.parent(), existing.file_name()) else {
            return path.into();
        };
        rest.push(name.into());
        existing = parent;
    }
}
