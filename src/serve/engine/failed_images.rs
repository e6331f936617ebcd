//! Images that could not be read.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::model::RepoName;

/// Why an image could not be read to its end at the last try.
#[derive(Debug, Default)]
pub(crate) struct FailedImages(Mutex<BTreeMap<RepoName, String>>);

impl FailedImages {
    pub(crate) fn all(&self) -> MutexGuard<'_, BTreeMap<RepoName, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
