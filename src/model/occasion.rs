//! What operators' programs hear of.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BrokerName, HookName};

/// Something in a machine's life of which a program may hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Occasion {
    /// A machine was seen that no file mentions.
    Discovered,
    /// A policy, or the node itself, says what it gets.
    Bound,
    /// Its installation has begun.
    Installing,
    /// Its disk is written.
    Installed,
    /// Its first boot has run.
    Finished,
    /// It reported an error, or a stage is overdue, or its disk does not boot.
    Failed,
    /// An operator has to look.
    Held,
}

impl fmt::Display for Occasion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Occasion::Discovered => "discovered",
            Occasion::Bound => "bound",
            Occasion::Installing => "installing",
            Occasion::Installed => "installed",
            Occasion::Finished => "finished",
            Occasion::Failed => "failed",
            Occasion::Held => "held",
        })
    }
}

/// Whose program hears of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Receiver {
    /// A hook's.
    Hook(HookName),
    /// A broker's, to which the machine is handed over.
    Broker(BrokerName),
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Receiver::Hook(name) => write!(f, "hook {name}"),
            Receiver::Broker(name) => write!(f, "broker {name}"),
        }
    }
}
