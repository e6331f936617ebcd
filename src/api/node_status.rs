//! The status of a machine.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Mac, Platform, PolicyName, TaskName, Timestamp};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MachineState {
    /// The machine has booted, and neither a policy nor a declaration binds it.
    Discovered,
    /// A policy or its declaration determines what it gets.
    Bound,
    /// It has read a document of its attempt, or has reported a stage.
    Installing,
    /// It has reported that its disk is written.
    Installed,
    /// It has reported its first boot.
    Finished,
    /// It has reported an error, a stage is overdue, or its disk does not boot.
    Failed,
    /// It is not installed until it is released.
    Held,
    /// It is never installed: `installs = 0`, or its declaration is gone.
    Protected,
    /// A state that only a newer server has.
    #[serde(other)]
    Unknown,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeStatus {
    /// The node's name; for an undeclared machine its first MAC with hyphens.
    pub name: String,
    pub declared: bool,
    pub state: MachineState,
    /// The reason for the state, if it needs one.
    pub reason: Option<String>,
    pub since: Option<Timestamp>,
    /// The policy that binds the machine, or would bind it.
    pub policy: Option<PolicyName>,
    pub task: Option<TaskName>,
    /// Its static address.
    pub address: Option<String>,
    pub hostname: Option<String>,
    pub mac: Vec<Mac>,
    pub uuid: Option<String>,
    pub serial: Option<String>,
    pub firmware: Option<Platform>,
    /// The number of the newest attempt.
    pub attempt: Option<u32>,
    pub installs: InstallCounts,
    /// The latest event, and what is expected next.
    pub last: String,
}

/// The number of installations that the declaration requests, and of those that were completed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstallCounts {
    pub wanted: u32,
    pub done: u32,
}

impl NodeStatus {
    /// The reason of a state that needs the operator's attention, else the last event.
    pub fn summary(&self) -> &str {
        let needs_attention = matches!(
            self.state,
            MachineState::Failed
                | MachineState::Held
                | MachineState::Protected
                | MachineState::Bound
                | MachineState::Discovered
        );
        let reason = self.reason.as_ref().filter(|_| needs_attention);
        reason.unwrap_or(&self.last)
    }
}

impl MachineState {
    /// Returns whether a system is installed on the machine's disk.
    pub fn is_installed(self) -> bool {
        matches!(self, MachineState::Installed | MachineState::Finished)
    }
}

impl fmt::Display for MachineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            MachineState::Discovered => "discovered",
            MachineState::Bound => "bound",
            MachineState::Installing => "installing",
            MachineState::Installed => "installed",
            MachineState::Finished => "finished",
            MachineState::Failed => "failed",
            MachineState::Held => "held",
            MachineState::Protected => "protected",
            MachineState::Unknown => "unknown",
        })
    }
}

#[cfg(test)]
impl NodeStatus {
    /// A status without the values that may be unknown.
    pub(crate) fn bare(name: &str, state: MachineState, last: &str) -> NodeStatus {
        NodeStatus {
            name: name.into(),
            declared: true,
            state,
            reason: None,
            since: None,
            policy: None,
            task: None,
            address: None,
            hostname: None,
            mac: Vec::new(),
            uuid: None,
            serial: None,
            firmware: None,
            attempt: None,
            installs: InstallCounts { wanted: 1, done: 0 },
            last: last.into(),
        }
    }
}
