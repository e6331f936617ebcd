//! The state of one machine. It is the fold of the machine's events, which [`super::apply`] computes.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Serialize};

use super::{Attempt, AttemptId, HoldCause, MachineId};
use crate::model::{
    EffectiveNode, Facts, Identity, Mac, Node, NodeName, PolicyName, SmallSet, Timestamp,
};

/// What determines what a machine gets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Binding {
    /// The policy; none if the node's own declaration binds it.
    pub policy: Option<PolicyName>,
    /// An address from the network's pool.
    pub address: Option<IpAddr>,
}

/// The state of one machine.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Machine {
    pub id: MachineId,
    /// What identifies it: the MACs of the NIC that it boots from and of permanent NICs that no other machine has reported, the
    /// identities of its board, and what its declarations have.
    pub identity: Identity,
    /// The MAC of the NIC that it booted from first. An undeclared machine has its name.
    #[serde(default)]
    pub boot_mac: Option<Mac>,
    /// The MACs that it listed in its latest confirmed report.
    #[serde(default)]
    pub nics: SmallSet<Mac>,
    pub facts: Facts,
    /// The latest declaration of the machine. A policy for undeclared machines never binds a machine that had a declaration.
    pub node: Option<NodeName>,
    /// The earlier identities, if a declaration took over the history only by its name. None once an attempt is
    /// opened, or an operator requests or records an installation.
    #[serde(default)]
    pub took_over: Option<Box<Identity>>,
    pub binding: Option<Binding>,
    /// The value of `installs` that its completed installations have reached.
    pub done: u32,
    /// Whether it was ever installed, by this server or according to an operator.
    pub installed: bool,
    /// Whether an operator recorded its latest installation.
    pub marked: bool,
    /// The time of the seal from which an installation before the beginning of the journal is known.
    #[serde(default)]
    pub restored: Option<Timestamp>,
    /// Whether an operator has released it as new while machines without a recorded attempt are held.
    #[serde(default)]
    pub is_new: bool,
    /// The times of the seals of its failed attempts, until one succeeds.
    #[serde(default)]
    pub tried: Vec<Timestamp>,
    /// Whether an operator has requested another installation.
    pub reinstall: bool,
    /// When an operator requested it.
    #[serde(default)]
    pub requested: Option<Timestamp>,
    /// The attempts whose callbacks are accepted, oldest first.
    pub attempts: Vec<Attempt>,
    /// The number of all attempts, including earlier ones.
    pub opened: u32,
    /// The number of attempts that have failed since the last success, release or request.
    pub failures: u32,
    /// The causes for which it is held, each with its displayed reason.
    pub holds: BTreeMap<HoldCause, String>,
    /// The latest activity of the machine in two or three words, such as `installer served`.
    #[serde(rename = "said")]
    pub last_activity: String,
    /// The time of its first event.
    pub first: Timestamp,
    /// The time of its latest activity.
    pub last: Timestamp,
    /// The time at which its displayed state last changed.
    pub since: Timestamp,
}

/// Returns a node's `installs`. An undeclared machine is installed once.
pub fn installs_of(node: Option<&Node>) -> u32 {
    EffectiveNode::of(node.into_iter().map(|node| &node.body)).installs
}

impl Machine {
    /// Returns a machine without events.
    pub fn new(id: MachineId, at: Timestamp) -> Self {
        Machine {
            id,
            identity: Identity::default(),
            boot_mac: None,
            nics: SmallSet::default(),
            facts: Facts::default(),
            node: None,
            took_over: None,
            binding: None,
            done: 0,
            installed: false,
            marked: false,
            restored: None,
            is_new: false,
            tried: Vec::new(),
            reinstall: false,
            requested: None,
            attempts: Vec::new(),
            opened: 0,
            failures: 0,
            holds: BTreeMap::new(),
            last_activity: String::new(),
            first: at,
            last: at,
            since: at,
        }
    }

    /// Returns the MAC of the NIC that it boots from, as far as that is known.
    pub fn boot_mac(&self) -> Option<Mac> {
        self.boot_mac.or_else(|| self.identity.mac.first().copied())
    }

    /// Returns every MAC of its NICs, as far as that is confirmed. Facts are not: in mode `log` any host may report them.
    pub fn all_macs(&self) -> SmallSet<Mac> {
        self.nics
            .iter()
            .chain(&self.identity.mac)
            .copied()
            .collect()
    }

    /// Returns whether anything ever determined what it gets, or was installed on it.
    pub fn was_bound(&self) -> bool {
        self.binding.is_some() || self.opened > 0 || self.installed
    }

    /// Returns whether nothing shows that it is new, or what was installed on it.
    pub fn is_unrecorded(&self) -> bool {
        self.opened == 0 && !self.installed && !self.reinstall && !self.is_new
    }

    pub fn newest(&self) -> Option<&Attempt> {
        self.attempts.last()
    }

    pub fn is_due(&self, node: Option<&Node>) -> bool {
        self.reinstall || installs_of(node) > self.done
    }

    /// Returns the open attempt. Only the newest attempt can be open.
    pub fn open(&self) -> Option<&Attempt> {
        self.newest().filter(|attempt| attempt.open)
    }

    /// Returns the attempt that determines the machine's state: the open one, or else the newest one that installed the
    /// machine, or else the newest one.
    pub fn current(&self) -> Option<&Attempt> {
        let installed = |attempt: &&Attempt| attempt.is_installed();
        self.open()
            .or_else(|| self.attempts.iter().rev().find(installed))
            .or_else(|| self.newest())
    }

    /// Returns an attempt, if its callbacks are accepted.
    pub fn attempt(&self, id: AttemptId) -> Option<&Attempt> {
        self.attempts.iter().find(|attempt| attempt.id == id)
    }
}
