//! Images that could not be read.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::model::RepoName;

/// Why each image could not be read completely at the last attempt.
#[derive(Debug, Default)]
pub(crate) struct FailedImages(Mutex<BTreeMap<RepoName, String>>);

impl FailedImages {
    pub(crate) fn all(&self) -> MutexGuard<'_, BTreeMap<RepoName, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
