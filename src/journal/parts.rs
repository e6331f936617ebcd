//! What events are made of.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::model::TaskName;

/// Why a machine is held. Each cause is held and released for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HoldCause {
    /// An operator said so.
    Operator,
    /// Its attempts are used up, or its disk does not boot and nothing was heard.
    Attempts,
    /// It is not clear who it is.
    Identity,
    /// Something that must hold before a disk is wiped does not.
    Expect,
    /// Somebody else has its address.
    Address,
    /// One edit made too many finished machines due at once.
    Mass,
    /// The journal lacks something that may concern it.
    Journal,
}

/// How grave a line is that a machine logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Debug,
    Info,
    Warning,
    Error,
}

/// What a network boot was answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootAnswer {
    /// The installer of this attempt.
    Installer(u32),
    /// Its own disk, with the reason.
    Disk(String),
    /// A script that asks again, with the reason.
    Wait(String),
    /// The microkernel.
    Microkernel,
    /// The script of a task that installs nothing.
    Script(TaskName),
}

/// What a DHCP message was answered with.
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
        /// Whether the address is its declaration's.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        reserved: bool,
        /// The boot file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        file: Option<String>,
    },
    /// Nothing, with the reason.
    Silence(String),
}
