//! `reinstall`, `hold`, `release`, `mark`, `forget`, `power-off`, `pause`, `resume`: the commands that change state.

use std::path::Path;

use serde::Deserialize;

use super::{
    arguments::{ChangeCommand, MarkState},
    client::ApiClient,
    failure::CliResult,
    offline,
    terminal::{Terminal, plain},
};
use crate::net::http::OperatorCommand;

#[derive(Deserialize)]
struct OperationAnswer {
    #[serde(rename = "said")]
    message: String,
}

pub(super) fn run(site: &Path, change: ChangeCommand, terminal: &Terminal) -> CliResult {
    let command = api_command(change);
    let answer = match ApiClient::find(site)? {
        Some((client, _)) => client.send(&command)?,
        None => {
            let answer = offline::change(site, command)?;
            terminal.note("server not running; the change was written to the journal and takes effect when the server starts");
            answer
        }
    };
    let message = match serde_json::from_slice::<OperationAnswer>(&answer) {
        Ok(answer) => plain(&answer.message),
        // A newer server may use another format.
        Err(_) => plain(String::from_utf8_lossy(&answer).trim_end()),
    };
    Ok(terminal.show(&(message + "\n"))?)
}

fn api_command(change: ChangeCommand) -> OperatorCommand {
    match change {
        ChangeCommand::Reinstall { node } => OperatorCommand::Reinstall(node),
        ChangeCommand::Hold { node, reason } => OperatorCommand::Hold { node, reason },
        ChangeCommand::Release {
            node: Some(node), ..
        } => OperatorCommand::Release(node),
        ChangeCommand::Release { node: None, .. } => OperatorCommand::ReleaseAll,
        ChangeCommand::Mark {
            node,
            state: MarkState::Installed,
        } => OperatorCommand::Mark {
            node,
            state: "installed".into(),
        },
        ChangeCommand::Forget { node, wipe_allowed } => {
            OperatorCommand::Forget { node, wipe_allowed }
        }
        ChangeCommand::PowerOff { node } => OperatorCommand::PowerOff(node),
        ChangeCommand::Pause => OperatorCommand::Pause,
        ChangeCommand::Resume => OperatorCommand::Resume,
    }
}
