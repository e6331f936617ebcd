//! Which state of the site something was decided by.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize};

/// The first 64 bits of a digest of every file of the site, in hexadecimal. Equal files, equal revision.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Revision(Arc<str>);

impl Revision {
    /// Takes the hexadecimal digits of a digest.
    pub fn new(digits: impl Into<Arc<str>>) -> Self {
        Revision(digits.into())
    }

    /// All digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Revision {
    /// The first seven digits, as people write revisions.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.0.get(..7).unwrap_or(&self.0))
    }
}
