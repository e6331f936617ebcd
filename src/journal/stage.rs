//! The stages of an installation, which the machine itself reports.
//!
//! How a stage changes the state of its machine is in [`super::apply`].

use serde::{Deserialize, Serialize};

use crate::model::StageName;

/// A stage that every task has, or one that a task defines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "StageName", from = "StageName")]
pub enum Stage {
    /// The installer runs.
    Installing,
    /// The disk is written.
    Installed,
    /// The first boot of the installed system has run.
    Finished,
    /// The machine reports an error.
    Failed,
    /// The boot script reports that the disk did not boot.
    NoDisk,
    /// A stage that the task defines.
    Own(StageName),
}

impl Stage {
    /// Returns the name, as it is in the URL of a callback.
    pub fn as_str(&self) -> &str {
        match self {
            Stage::Installing => "installing",
            Stage::Installed => "installed",
            Stage::Finished => "finished",
            Stage::Failed => "failed",
            Stage::NoDisk => "no-disk",
            Stage::Own(name) => name.as_str(),
        }
    }
}

impl From<StageName> for Stage {
    fn from(name: StageName) -> Self {
        match name.as_str() {
            "installing" => Stage::Installing,
            "installed" => Stage::Installed,
            "finished" => Stage::Finished,
            "failed" => Stage::Failed,
            "no-disk" => Stage::NoDisk,
            _ => Stage::Own(name),
        }
    }
}

impl From<Stage> for StageName {
    fn from(stage: Stage) -> Self {
        stage
            .as_str()
            .parse()
            .expect("every stage has a valid name")
    }
}
