//! The operator API without a running server: the journal is read without its lock, or changed with it.

use std::path::Path;

use anyhow::anyhow;

use super::{
    client::{is_site, no_site},
    failure::{CliResult, Failure},
};
use crate::{
    api::{ApiError, Command, CommandReply, Query},
    control::DeclaredState,
    disk::journal::LockError,
    serve::{
        CheckProgram,
        offline::{self, Offline},
    },
};

/// Answers a query as the server would.
pub(super) fn query(site: &Path, query: &Query) -> CliResult<Vec<u8>> {
    require_site(site)?;
    let answer = Offline::read(site, &CheckProgram::default())?.query(query);
    Ok(answer.map_err(refused)?.to_vec())
}

/// Carries out a command as the server would. It fails if a server holds the journal's lock.
pub(super) fn carry_out(site: &Path, command: &Command) -> CliResult<CommandReply> {
    require_site(site)?;
    let carried_out =
        offline::carry_out(site, command, &CheckProgram::default()).map_err(locked)?;
    carried_out.map_err(refused)
}

/// Declares what is installed on machines without a record. It fails if a server holds the journal's lock.
pub(super) fn declare_state(site: &Path, declared: DeclaredState) -> CliResult<String> {
    require_site(site)?;
    offline::declare_state(site, declared, &CheckProgram::default()).map_err(locked)
}

fn require_site(site: &Path) -> CliResult {
    match is_site(site) {
        true => Ok(()),
        false => Err(no_site(site)),
    }
}

pub(super) fn refused(error: ApiError) -> Failure {
    Failure::refused(anyhow!("{}", error.error)).maybe_help(error.help)
}

fn locked(error: anyhow::Error) -> Failure {
    if !matches!(error.downcast_ref(), Some(LockError::Held(_))) {
        return error.into();
    }
    Failure::unreachable(error).help(
        "that server does not answer at `[operator]` `listen` of bootwright.toml; if that setting was changed, restart \
         the server",
    )
}
