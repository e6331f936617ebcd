//! The status of the server.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Missing fields get defaults: a command finds the site's server by this response, whatever the server's version is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerStatus {
    pub version: String,
    /// The path of the site.
    pub site: String,
    /// The revision that is served, shortened.
    pub revision: Option<String>,
    pub nodes: usize,
    pub policies: usize,
    pub repos: usize,
    pub networks: usize,
    /// Whether the site is a demonstration: it has no `site-id`.
    pub demonstration: bool,
    /// Whether `pause` stops all installations.
    pub paused: bool,
    /// Why every machine is held, if so.
    pub held: Option<String>,
    /// `ok`, or `degraded: <reason>`.
    pub health: String,
    pub rejected: Option<RejectedRevision>,
}

/// A revision that is not served because it has errors.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RejectedRevision {
    pub revision: String,
    pub errors: usize,
    pub warnings: usize,
    /// In the format of `check --json`.
    pub diagnostics: Value,
}
