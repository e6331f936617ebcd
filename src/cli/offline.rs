//! What the commands do where no server answers: the journal is read without its lock, or changed with it.

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

/// Answers a question as the server would.
pub(super) fn ask(site: &Path, question: &OperatorQuery) -> CliResult<Vec<u8>> {
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
            Err(ApiError::new(503, "no server answers"))
        }
    };
    answer.map_err(refused)
}

/// Does what a command orders, as the server would.
pub(super) fn order(site: &Path, order: OperatorCommand) -> CliResult<Vec<u8>> {
    let said = request(site, &translated(order))?;
    Ok(json!({ "said": said }).to_string().into_bytes())
}

/// Does what is asked, when no server holds the journal.
pub(super) fn request(site: &Path, request: &Request) -> CliResult<String> {
    if !is_site(site) {
        return Err(no_site(site));
    }
    match operate(site, request) {
        Ok(answer) => answer.map_err(refused),
        Err(error) if matches!(error.downcast_ref(), Some(LockError::Held(_))) => Err(Failure::unreachable(error)
            .help("that server does not answer at the address in bootwright.toml: `[operator]` `listen`")),
        Err(error) => Err(error.into()),
    }
}

/// A refusal as the command's end.
fn refused(refusal: ApiError) -> Failure {
    Failure::refused(anyhow!("{}", refusal.error)).maybe_help(refusal.help)
}

fn translated(order: OperatorCommand) -> Request {
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
