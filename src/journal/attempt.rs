//! One attempt to install a machine.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{MachineId, Stage};
use crate::model::{RepoName, TaskName, Timestamp};

/// Names an attempt for ever: its token and its kept documents go by this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The machine it was opened for, which may have been merged into another since.
    pub machine: MachineId,
    /// Its number there.
    pub number: u32,
}

/// One attempt to install a machine, as far as its events tell.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// Its number at the machine that has it now.
    pub number: u32,
    /// Under which name it was opened.
    pub id: AttemptId,
    /// When it was opened.
    pub opened: Timestamp,
    /// The node's `installs` when it was opened.
    pub installs: u32,
    /// What installs.
    pub task: TaskName,
    /// From where.
    pub repo: Option<RepoName>,
    /// Whether it still is what the machine is doing. A closed attempt's documents are gone; its callbacks
    /// are heard until the next attempt's first document.
    pub open: bool,
    /// Documents whose bytes left while their end is not known.
    pub serving: BTreeSet<String>,
    /// When the first document was read to its end.
    pub read: Option<Timestamp>,
    /// The stages that were reported, each with its first moment.
    pub stages: BTreeMap<Stage, Timestamp>,
    /// Whether the installer itself ever reported anything.
    pub heard: bool,
    /// Why it failed.
    pub failed: Option<String>,
    /// The stage that is overdue.
    pub overdue: Option<String>,
}

impl Attempt {
    /// Tells whether the machine may have begun to install: a document was read to its end (or may have
    /// been, when the server ended meanwhile), or the machine said so.
    pub fn is_begun(&self) -> bool {
        self.read.is_some() || !self.serving.is_empty() || self.heard
    }

    /// Tells whether the disk is known to be written. A later stage implies it.
    pub fn is_installed(&self) -> bool {
        self.stages.contains_key(&Stage::Installed) || self.stages.contains_key(&Stage::Finished)
    }

    /// Tells whether the first boot is known to have run.
    pub fn is_finished(&self) -> bool {
        self.stages.contains_key(&Stage::Finished)
    }
}
