//! The state directory of a site: which it is, and whether it knows the site.

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

/// What a state directory knows of a site.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StateOwner {
    /// The site has no id: a demonstration, whose state is its own.
    Demonstration,
    /// It is this site's.
    Yes,
    /// It knows no site, or another one: what was installed before is not known.
    No(String),
}

/// Returns where the state of a site is kept.
pub(crate) fn state_path(root: &Path, config: &ServerConfig) -> io::Result<PathBuf> {
    let environment = Environment::current();
    match (&config.paths.state, &config.site_id) {
        (Some(state), _) => Ok(root.join(&state.value)),
        (None, Some(_)) => environment.state_of_site(root),
        (None, None) => environment.state_of_demonstration(root),
    }
}

/// Tells whether a state directory knows the site.
pub(crate) fn known(state: &StateDirectory, config: &ServerConfig) -> io::Result<StateOwner> {
    let Some(id) = &config.site_id else {
        return Ok(StateOwner::Demonstration);
    };
    let trouble = match state.site_id()? {
        Some(known) if known == id.value => {
            // The copy is kept only after the journal's first line is.
            let is_lost = state.last_good().exists() && !journal::is_begun(&state.journal())?;
            is_lost.then_some("has lost its journal")
        }
        Some(_) => Some("belongs to another site"),
        None => Some("has no site ID"),
    };
    Ok(match trouble {
        None => StateOwner::Yes,
        Some(trouble) => StateOwner::No(format!(
            "the state directory {} {trouble}: what is installed is not known; say `bootwright init --state new` \
             or `bootwright init --state installed`",
            state.path().display()
        )),
    })
}
