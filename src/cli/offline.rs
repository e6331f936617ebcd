//! The commands without a running server: the journal is read without its lock, or changed with it.

use std::path::Path;

use anyhow::anyhow;
use serde_json::{Value, json};

use super::{
    client::{is_site, no_site},
    failure::{CliResult, Failure},
};
use crate::{
    control::Operation,
    disk::journal::LockError,
    net::http::{ApiError, OperatorCommand, OperatorQuery},
    serve::offline::{Offline, Request, operate},
};

/// Answers a read request as the server would.
pub(super) fn query(site: &Path, question: &OperatorQuery) -> CliResult<Vec<u8>> {
    if !is_site(site) {
        return Err(no_site(site));
    }
    let mut offline = Offline::read(site)?;
    let bytes = |value: Value| value.to_string().into_bytes();
    let answer = match question {
        OperatorQuery::Nodes => Ok(bytes(offline.nodes())),
        OperatorQuery::Node(name) => offline.node(name).map(bytes),
        OperatorQuery::Facts(name) => offline.facts(name).map(bytes),
        OperatorQuery::Explain(name) => offline.explain(name).map(bytes),
        OperatorQuery::Log { node, .. } => offline.log(node).map(|lines| lines.to_vec()),
        OperatorQuery::Inventory | OperatorQuery::Status => {
            Err(ApiError::new(503, "server not running"))
        }
    };
    answer.map_err(refusal_failure)
}

/// Executes a state-changing command as the server would.
pub(super) fn change(site: &Path, order: OperatorCommand) -> CliResult<Vec<u8>> {
    let message = request(site, &offline_request(order))?;
    Ok(json!({ "said": message }).to_string().into_bytes())
}

/// Changes the journal; an error if a server holds its lock.
pub(super) fn request(site: &Path, request: &Request) -> CliResult<String> {
    if !is_site(site) {
        return Err(no_site(site));
    }
    match operate(site, request) {
        Ok(answer) => answer.map_err(refusal_failure),
        Err(error) if matches!(error.downcast_ref(), Some(LockError::Held(_))) => Err(Failure::unreachable(error)
            .help("that server does not answer at `[operator]` `listen` of bootwright.toml; if that setting was changed, restart the server")),
        Err(error) => Err(error.into()),
    }
}

fn refusal_failure(error: ApiError) -> Failure {
    Failure::refused(anyhow!("{}", error.error)).maybe_help(error.help)
}

fn offline_request(order: OperatorCommand) -> Request {
    match order {
        OperatorCommand::Reinstall(node) => Request::Machine(node, Operation::Reinstall),
        OperatorCommand::Hold { node, reason } => {
            let reason = reason.unwrap_or_else(|| "no reason given".into());
            Request::Machine(node, Operation::Hold { reason })
        }
        OperatorCommand::Release(node) => Request::Machine(node, Operation::Release),
        OperatorCommand::Mark { node, .. } => Request::Machine(node, Operation::Mark),
        OperatorCommand::Forget { node, wipe_allowed } => {
            Request::Machine(node, Operation::Forget { wipe_allowed })
        }
        OperatorCommand::PowerOff(node) => Request::Machine(node, Operation::PowerOff),
        OperatorCommand::ReleaseAll => Request::ReleaseAll,
        OperatorCommand::Pause => Request::Pause,
        OperatorCommand::Resume => Request::Resume,
    }
}
