//! All machines as an Ansible inventory, in the format of `ansible-inventory --list`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::NodeStatus;
use crate::model::{Facts, TagName};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Inventory {
    pub all: GroupList,
    #[serde(rename = "_meta")]
    pub meta: InventoryMeta,
    #[serde(flatten)]
    pub groups: BTreeMap<String, HostGroup>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct GroupList {
    /// The names of all groups.
    pub children: BTreeSet<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HostGroup {
    pub hosts: BTreeSet<String>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct InventoryMeta {
    pub hostvars: BTreeMap<String, HostVars>,
}

/// The variables of a host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostVars {
    /// Its address, without the length of the prefix.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ansible_host: Option<String>,
    pub bootwright: HostDetails,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HostDetails {
    #[serde(flatten)]
    pub status: NodeStatus,
    pub tags: BTreeSet<TagName>,
    /// `None` if the machine has never booted.
    pub facts: Option<Facts>,
}
