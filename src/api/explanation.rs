//! What a machine gets at its next network boot, and why.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{InstallCounts, MachineState};
use crate::model::{PolicyName, TagName, TaskName};

/// A place is a file and a line: `policies.d/esxi.kdl:3`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Explanation {
    pub name: String,
    pub state: MachineState,
    /// The reason for the state, if it needs one.
    pub reason: Option<String>,
    /// The place of the declaration.
    pub declared: Option<String>,
    pub policy: Option<PolicyName>,
    /// The place where the declaration names the policy.
    pub bound_by: Option<String>,
    pub task: Option<TaskName>,
    pub installs: InstallCounts,
    /// What the next network boot gets.
    pub next: String,
    pub tags: BTreeSet<TagName>,
    /// Tags that cannot be decided, and why. They count as absent.
    pub tags_unknown: BTreeMap<TagName, String>,
    pub values: Vec<ValueOrigin>,
    /// The policies that do not bind the machine.
    pub policies: Vec<PolicyVerdict>,
}

/// A value in effect, and where it is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ValueOrigin {
    pub key: String,
    pub value: Value,
    /// The place; `None` for a default.
    pub from: Option<String>,
    /// What else determines the value.
    pub detail: Option<String>,
    /// The values that it overrides, the nearest first.
    pub shadows: Vec<ShadowedValue>,
}

/// A value that a more specific one overrides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ShadowedValue {
    pub value: Value,
    pub from: String,
}

/// Why a policy does not bind the machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PolicyVerdict {
    pub name: PolicyName,
    pub order: i64,
    pub why: String,
    pub from: String,
}
