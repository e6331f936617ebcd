//! Directories that no repo may serve to machines: the files of the site, its state and its secrets.

use std::path::{Path, PathBuf};

use crate::{
    disk::site::DIRECTORIES,
    model::Repo,
    serve::site_id::{self, real_path},
    site::{Diagnostic, Site},
};

/// A directory or file that machines may not read.
pub(super) struct ProtectedPath {
    what: &'static str,
    path: PathBuf,
}

/// Returns the paths that no repo may serve. `state` is the state directory if it is not the one that the site names.
pub(super) fn protected_paths(
    root: &Path,
    site: &Site,
    state: Option<&Path>,
) -> Vec<ProtectedPath> {
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
    let witness = site_id::witness_path(root, &site.config);
    list.extend(witness.map(|path| protected("the witness", &path)));
    // Git's directory has all earlier versions of the files.
    let own = DIRECTORIES.into_iter().chain([".git"]);
    list.extend(own.map(|name| protected("the site", &root.join(name))));
    list
}

/// Returns an error if the directory of a repo contains a protected path, or is in one.
pub(super) fn overlap(
    repo: &Repo,
    directory: &Path,
    protected: &[ProtectedPath],
) -> Option<Diagnostic> {
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
