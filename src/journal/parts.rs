//! Values inside events.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::model::TaskName;

/// Why a machine is held. Each cause is released separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldCause {
    /// An operator's command.
    Operator,
    /// Its attempts are used up, or its disk does not boot and no callback was received.
    Attempts,
    /// Its identity is ambiguous.
    Identity,
    /// Its `expect` is not true.
    Expect,
    /// Another host uses its address.
    Address,
    /// One edit made too many finished machines due at once.
    Mass,
    /// The journal lacks lines that may concern it.
    Journal,
    /// Its disk has a seal that the attempt must not overwrite.
    Sealed,
    /// What was installed on it before is not known.
    Unrecorded,
}

/// The level of a line that a machine logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Debug,
    Info,
    Warning,
    Error,
}

/// The answer to a network boot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootAnswer {
    /// The installer of this attempt.
    Installer(u32),
    /// The local disk, with the reason.
    Disk(String),
    /// A script that requests again later, with the reason.
    Wait(String),
    Microkernel,
    /// The script of a task that installs nothing.
    Script(TaskName),
}

/// The answer to a DHCP message.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum DhcpOutcome {
    /// An offer or an acknowledgement.
    Answer {
        /// `offer` or `ack`.
        kind: String,
        /// The address; none from a proxy.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<Ipv4Addr>,
        /// Whether the machine's declaration assigns the address.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reserved: bool,
        /// The boot file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
    },
    /// No answer, with the reason.
    Silence(String),
}
