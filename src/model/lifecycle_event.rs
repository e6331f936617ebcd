//! The lifecycle events that operators' programs receive.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{BrokerName, HookName};

/// An event in the life of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LifecycleEvent {
    /// An undeclared machine has contacted the server.
    Discovered,
    /// A policy, or its own declaration, determines what it gets.
    Bound,
    /// Its installation has begun.
    Installing,
    /// Its disk is written.
    Installed,
    /// Its first boot has run.
    Finished,
    /// It reported an error, a stage is overdue, or its disk does not boot.
    Failed,
    /// It needs an operator.
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

/// The program that receives an event.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipient {
    Hook(HookName),
    /// A broker that takes over the machine.
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
