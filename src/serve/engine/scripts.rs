//! Recently requested scripts of attempts, kept in memory.

use std::collections::BTreeMap;

use crate::journal::AttemptId;

/// Recently requested scripts, as they are stored.
#[derive(Default)]
pub(super) struct Scripts(BTreeMap<AttemptId, Vec<u8>>);

impl Scripts {
    /// More than the attempts that open at once. A script has a few KiB.
    const MAX: usize = 256;

    pub(super) fn get(&self, attempt: AttemptId) -> Option<&Vec<u8>> {
        self.0.get(&attempt)
    }

    pub(super) fn put(&mut self, attempt: AttemptId, script: Vec<u8>) {
        if self.0.len() >= Scripts::MAX {
            // Any script may be dropped: it is read from the disk when it is requested again.
            self.0.pop_first();
        }
        self.0.insert(attempt, script);
    }

    pub(super) fn remove(&mut self, attempt: AttemptId) {
        self.0.remove(&attempt);
    }
}
