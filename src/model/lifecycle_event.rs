//! What operators' programs hear of.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BrokerName, HookName};

/// Something in a machine's life of which a program may hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LifecycleEvent {
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

impl fmt::Display for LifecycleEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            LifecycleEvent::Discovered => "discovered",
            LifecycleEvent::Bound => "bound",
            LifecycleEvent::Installing => "installing",
            LifecycleEvent::Installed => "installed",
            LifecycleEvent::Finished => "finished",
            LifecycleEvent::Failed => "failed",
            LifecycleEvent::Held => "held",
        })
    }
}

/// Whose program hears of it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipient {
    /// A hook's.
    Hook(HookName),
    /// A broker's, to which the machine is handed over.
    Broker(BrokerName),
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Recipient::Hook(name) => write!(f, "hook {name}"),
            Recipient::Broker(name) => write!(f, "broker {name}"),
        }
    }
}
