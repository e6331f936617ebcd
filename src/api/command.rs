//! What operators change.
//!
//! The serde name of a command is the last segment of its path, and its fields are its body.

use serde::{Deserialize, Serialize};

use crate::model::Mac;

/// A command of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Node {
        /// As given: the node's name or a MAC.
        node: String,
        command: NodeCommand,
    },
    Site(SiteCommand),
}

/// A command for one machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "kebab-case",
    rename_all_fields = "kebab-case",
    deny_unknown_fields
)]
pub enum NodeCommand {
    /// Installs the machine once more.
    Reinstall {},
    /// Withholds the installer until the machine is released.
    Hold {
        /// The operator's text.
        reason: Option<String>,
    },
    /// Clears all holds and the count of failed attempts.
    Release {},
    /// Records a state that the server did not observe.
    Mark { state: MarkedState },
    /// Deletes the machine's history.
    Forget {
        /// Whether to delete it although the machine could then be installed again.
        #[serde(default)]
        wipe_allowed: bool,
    },
    /// Powers off a machine that runs the microkernel.
    PowerOff {},
    /// Confirms requests from the server's own host for these MACs: a program simulates the machine.
    Simulate { macs: Vec<Mac> },
}

/// A command for the whole site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum SiteCommand {
    /// Stops serving installers.
    Pause {},
    /// Serves installers again.
    Resume {},
    /// Releases every machine that is held because an edit affected many.
    ReleaseAll {},
}

/// A state that an operator can record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkedState {
    Installed,
}

/// The response to a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandReply {
    /// What the command did.
    #[serde(rename = "said")]
    pub message: String,
}

impl Command {
    /// A command for the machine with this name or MAC.
    pub fn node(node: impl Into<String>, command: NodeCommand) -> Command {
        Command::Node {
            node: node.into(),
            command,
        }
    }
}
