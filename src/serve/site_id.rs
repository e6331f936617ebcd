//! The state directory of a site: its path, and whether it belongs to the site.

use std::{
    io,
    path::{Component, Path, PathBuf},
};

use crate::{
    disk::{
        journal,
        state::{Environment, StateDirectory},
    },
    model::ServerConfig,
};

/// What an operator does when the state may not be that of the machines.
pub(crate) const UNKNOWN: &str = "which machines are installed is not known; run `bootwright init --state new`, `bootwright init \
                                  --state installed` or `bootwright init --state from-machines`";

/// Whether a state directory belongs to the site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StateOwner {
    /// The site has no `site-id`: it is a demonstration with its own state directory.
    Demonstration,
    /// It belongs to the site.
    Yes,
    /// It belongs to no site or to another one, for this reason. What was installed before is unknown.
    No(String),
}

/// Returns the path of a site's state directory.
pub(crate) fn state_path(root: &Path, config: &ServerConfig) -> io::Result<PathBuf> {
    let environment = Environment::current();
    match (&config.paths.state, &config.site_id) {
        (Some(state), _) => Ok(root.join(&state.value)),
        (None, Some(_)) => environment.state_of_site(root),
        (None, None) => environment.state_of_demonstration(root),
    }
}

/// Returns the path of a site's witness; none for a demonstration, and for a user without a home directory.
pub(crate) fn witness_path(root: &Path, config: &ServerConfig) -> Option<PathBuf> {
    let id = config.site_id.as_ref()?;
    match &config.paths.witness {
        Some(witness) => Some(root.join(&witness.value)),
        None => Environment::current().witness_of_site(&id.value),
    }
}

/// Returns whether a path is a directory or in it.
pub(crate) fn is_in(path: &Path, directory: &Path) -> bool {
    real_path(path).starts_with(real_path(directory))
}

/// Returns the path without `..` and symbolic links. A part that does not exist is kept as written.
pub(crate) fn real_path(path: &Path) -> PathBuf {
    let mut real = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(real.pop()),
            other => real.push(other),
        }
        real = real.canonicalize().unwrap_or(real);
    }
    real
}

/// Returns whether a state directory belongs to the site.
pub(crate) fn owner(state: &StateDirectory, config: &ServerConfig) -> io::Result<StateOwner> {
    let Some(id) = &config.site_id else {
        return Ok(StateOwner::Demonstration);
    };
    let problem = match state.site_id()? {
        Some(known) if known == id.value => {
            // The copy of the last good site is written only after the first line of the journal.
            let is_lost = state.last_good().exists() && !journal::is_begun(&state.journal())?;
            is_lost.then_some("has lost its journal")
        }
        Some(_) => Some("belongs to another site"),
        None => Some("has no site ID"),
    };
    Ok(match problem {
        None => StateOwner::Yes,
        Some(problem) => StateOwner::No(format!(
            "the state directory {} {problem}: {}",
            state.path().display(),
            UNKNOWN
        )),
    })
}
