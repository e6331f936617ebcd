//! The state directory of a site: its path, and whether it belongs to the site.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    disk::{
        journal,
        state::{Environment, StateDirectory},
    },
    model::ServerConfig,
};

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
            "the state directory {} {problem}: which machines are installed is not known; run `bootwright init --state new` \
             or `bootwright init --state installed`",
            state.path().display()
        )),
    })
}
