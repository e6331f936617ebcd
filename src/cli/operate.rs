//! `reinstall`, `hold`, `release`, `mark`, `forget`, `power-off`, `pause`, `resume`: the commands that change state.

use std::path::Path;

use clap::{Subcommand, ValueEnum};

use super::{
    client::ApiClient,
    failure::{CliResult, EXIT_CODES},
    offline,
    terminal::{Terminal, plain},
};
use crate::api::{Command, MarkedState, NodeCommand, SiteCommand};

/// The commands that change state.
#[derive(Debug, Subcommand)]
pub(super) enum ChangeCommand {
    /// Install a node once more, at its next network boot.
    #[command(after_help = EXIT_CODES)]
    Reinstall {
        /// The node.
        node: String,
    },
    /// Withhold the installer from a machine until it is released.
    #[command(after_help = EXIT_CODES)]
    Hold {
        /// The machine, by name or MAC.
        node: String,
        /// The reason, shown in `nodes`.
        #[arg(long)]
        reason: Option<String>,
    },
    /// Clear a machine's holds and its count of failed attempts.
    #[command(after_help = EXIT_CODES)]
    Release {
        /// The machine, by name or MAC.
        #[arg(required_unless_present = "all")]
        node: Option<String>,
        /// Every machine.
        #[arg(long, conflicts_with = "node")]
        all: bool,
    },
    /// Record that a machine is installed, although it did not report so.
    #[command(after_help = EXIT_CODES)]
    Mark {
        /// The machine, by name or MAC.
        node: String,
        /// The state to record.
        #[arg(value_enum)]
        state: MarkArg,
    },
    /// Delete a machine's history, as if it had never booted.
    #[command(after_help = EXIT_CODES)]
    Forget {
        /// The machine, by name or MAC.
        node: String,
        /// Proceed even if its next network boot could then install it again.
        #[arg(long)]
        wipe_allowed: bool,
    },
    /// Power off a machine that is waiting in the microkernel.
    #[command(after_help = EXIT_CODES)]
    PowerOff {
        /// The machine, by name or MAC.
        node: String,
    },
    /// Withhold installers from all machines until `resume`.
    #[command(after_help = EXIT_CODES)]
    Pause,
    /// Allow installations again.
    #[command(after_help = EXIT_CODES)]
    Resume,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum MarkArg {
    /// The right system is on its disk.
    Installed,
}

impl ChangeCommand {
    /// The command of the operator API.
    pub(super) fn command(self) -> Command {
        let (node, command) = match self {
            ChangeCommand::Reinstall { node } => (node, NodeCommand::Reinstall {}),
            ChangeCommand::Hold { node, reason } => (node, NodeCommand::Hold { reason }),
            ChangeCommand::Release {
                node: Some(node), ..
            } => (node, NodeCommand::Release {}),
            ChangeCommand::Release { node: None, .. } => {
                return Command::Site(SiteCommand::ReleaseAll {});
            }
            ChangeCommand::Mark {
                node,
                state: MarkArg::Installed,
            } => {
                let state = MarkedState::Installed;
                (node, NodeCommand::Mark { state })
            }
            ChangeCommand::Forget { node, wipe_allowed } => {
                (node, NodeCommand::Forget { wipe_allowed })
            }
            ChangeCommand::PowerOff { node } => (node, NodeCommand::PowerOff {}),
            ChangeCommand::Pause => return Command::Site(SiteCommand::Pause {}),
            ChangeCommand::Resume => return Command::Site(SiteCommand::Resume {}),
        };
        Command::Node { node, command }
    }
}

pub(super) fn run(site: &Path, change: ChangeCommand, terminal: &Terminal) -> CliResult {
    let command = change.command();
    let reply = match ApiClient::find(site)? {
        Some((client, _)) => client.send(command)?,
        None => {
            let reply = offline::carry_out(site, &command)?;
            terminal.note("server not running; the change was written to the journal and takes effect when the server starts");
            reply
        }
    };
    Ok(terminal.show(&(plain(&reply.message) + "\n"))?)
}
