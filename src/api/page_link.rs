//! A link to the page for web browsers.

use serde::{Deserialize, Serialize};

/// A link that begins a session when it is opened.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageLink {
    /// The path at the operators' listener. It is a secret until it is opened.
    pub path: String,
    /// How long the link can be opened, in seconds.
    pub seconds: u64,
}

impl PageLink {
    /// Every such path starts with it.
    pub const PREFIX: &str = "/open/";
}

impl std::fmt::Debug for PageLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PageLink(…)")
    }
}
