//! The version of the site on which a decision was based.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// The first 64 bits of a digest of all files of the site, in hexadecimal. Equal files have equal revisions.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Revision(Arc<str>);

impl Revision {
    /// Creates a revision from the hexadecimal digits of a digest.
    pub fn new(digits: impl Into<Arc<str>>) -> Self {
        Revision(digits.into())
    }

    /// All 16 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Revision {
    /// Formats the first seven digits, the usual form of a revision.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.get(..7).unwrap_or(&self.0))
    }
}
