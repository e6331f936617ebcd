//! `reinstall`, `hold`, `release`, `mark`, `forget`, `power-off`, `pause`, `resume`: what changes something.

use std::path::Path;

use serde::Deserialize;

use super::{
    arguments::{self, MarkState},
    client::ApiClient,
    failure::CliResult,
    offline,
    terminal::{Terminal, plain},
};
use crate::net::http::OperatorCommand;

/// What was done, as the server says it.
#[derive(Deserialize)]
struct OperationAnswer {
    said: String,
}

pub(super) fn run(site: &Path, order: arguments::ChangeCommand, terminal: &Terminal) -> CliResult {
    let order = translated(order);
    let answer = match ApiClient::find(site)? {
        Some((client, _)) => client.order(&order)?,
        None => {
            let answer = offline::order(site, order)?;
            terminal.note("no server answers for this site; the journal was changed instead, and the next server goes on from there");
            answer
        }
    };
    let said = match serde_json::from_slice::<OperationAnswer>(&answer) {
        Ok(done) => plain(&done.said),
        // A later server may say it in another shape.
        Err(_) => plain(String::from_utf8_lossy(&answer).trim_end()),
    };
    Ok(terminal.show(&(said + "\n"))?)
}

fn translated(order: arguments::ChangeCommand) -> OperatorCommand {
    match order {
        arguments::ChangeCommand::Reinstall { node } => OperatorCommand::Reinstall(node),
        arguments::ChangeCommand::Hold { node, reason } => OperatorCommand::Hold { node, reason },
        arguments::ChangeCommand::Release {
            node: Some(node), ..
        } => OperatorCommand::Release(node),
        arguments::ChangeCommand::Release { node: None, .. } => OperatorCommand::ReleaseAll,
        arguments::ChangeCommand::Mark {
            node,
            state: MarkState::Installed,
        } => OperatorCommand::Mark {
            node,
            state: "installed".into(),
        },
        arguments::ChangeCommand::Forget { node, wipe_allowed } => {
            OperatorCommand::Forget { node, wipe_allowed }
        }
        arguments::ChangeCommand::PowerOff { node } => OperatorCommand::PowerOff(node),
        arguments::ChangeCommand::Pause => OperatorCommand::Pause,
        arguments::ChangeCommand::Resume => OperatorCommand::Resume,
    }
}
