//! One attempt to install a machine.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{MachineId, Stage};
use crate::model::{RepoName, TaskName, Timestamp};

/// Identifies an attempt permanently. Its token and its stored documents refer to this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AttemptId {
    /// The machine for which it was opened. That machine may have been merged into another one since.
    pub machine: MachineId,
    /// The number of the attempt at that machine.
    pub number: u32,
}

/// One attempt to install a machine: the fold of its events.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// The number of the attempt at the machine to which it belongs now.
    pub number: u32,
    pub id: AttemptId,
    /// The time at which it was opened.
    pub opened: Timestamp,
    /// The node's `installs` when it was opened.
    pub installs: u32,
    /// The time of the seal that it leaves on the disk.
    #[serde(default)]
    pub sealed: Timestamp,
    pub task: TaskName,
    pub repo: Option<RepoName>,
    /// Whether it is the machine's current installation. The documents of a closed attempt are deleted. Its callbacks are
    /// accepted until the machine reads the first document of the next attempt.
    pub open: bool,
    /// The documents whose transfer has begun and not ended.
    pub serving: BTreeSet<String>,
    /// The time at which the first document was read completely.
    pub read: Option<Timestamp>,
    /// The reported stages, each with the time of its first report.
    pub stages: BTreeMap<Stage, Timestamp>,
    /// Whether a callback of this attempt was received. The boot script's report of `no-disk` does not count.
    #[serde(rename = "heard")]
    pub has_reported: bool,
    /// The reason of its failure.
    pub failed: Option<String>,
    /// The stage that is overdue.
    pub overdue: Option<String>,
}

impl Attempt {
    /// Returns whether the machine may have begun to install: it has sent a callback, a document was read completely, or a
    /// transfer has begun and its end is not known.
    pub fn is_begun(&self) -> bool {
        self.read.is_some() || !self.serving.is_empty() || self.has_reported
    }

    /// Returns whether the disk is written, according to the reported stages. A later stage implies it.
    pub fn is_installed(&self) -> bool {
        self.stages.contains_key(&Stage::Installed) || self.stages.contains_key(&Stage::Finished)
    }

    /// Returns whether the first boot of the installed system has run.
    pub fn is_finished(&self) -> bool {
        self.stages.contains_key(&Stage::Finished)
    }
}
