//! The kernel's watches on a site's directories, kept in step with the directories there are.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::mpsc,
};

use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::{WakeReason, interest::EventFilter, silent::unwatchable_file_system};
use crate::disk::site::SiteDirectory;

/// The watches.
pub(super) struct WatchSet {
    root: PathBuf,
    wake: mpsc::Sender<WakeReason>,
    watcher: Option<RecommendedWatcher>,
    directories: BTreeSet<SiteDirectory>,
    /// Whether a directory could not be watched.
    refused: bool,
    /// Whether a directory lies on a file system that reports nothing.
    silent: bool,
}

impl WatchSet {
    /// Nothing is watched yet.
    pub(super) fn new(root: &Path, wake: mpsc::Sender<WakeReason>) -> Self {
        WatchSet {
            root: root.into(),
            wake,
            watcher: None,
            directories: BTreeSet::new(),
            refused: false,
            silent: false,
        }
    }

    /// Tells whether changes may go unreported.
    pub(super) fn is_blind(&self) -> bool {
        self.refused || self.silent
    }

    /// Watches the site's directories, and those that hold the site. Tells whether one was added.
    pub(super) fn cover(&mut self, directories: &[SiteDirectory]) -> bool {
        let interest = EventFilter::new(&self.root);
        let parents = interest.parents().filter_map(directory);
        let wanted: BTreeSet<_> = directories.iter().cloned().chain(parents).collect();
        // One that is gone, or another one of its name, leaves a watch behind that reports false paths.
        if self.watcher.is_none() || !self.directories.is_subset(&wanted) {
            self.restart(interest);
        }
        let added: Vec<_> = wanted.difference(&self.directories).cloned().collect();
        if added.is_empty() {
            return false;
        }
        for directory in &added {
            self.add(&directory.path);
        }
        self.silent = is_silent(&wanted);
        self.directories = wanted;
        true
    }

    fn restart(&mut self, interest: EventFilter) {
        let wake = self.wake.clone();
        let handler = move |event: notify::Result<notify::Event>| {
            // An error may have swallowed an event.
            if event.map_or(true, |event| interest.is_stirred_by(&event)) {
                // Who does not listen any more drops the watcher next.
                drop(wake.send(WakeReason::Event));
            }
        };
        self.directories.clear();
        self.refused = false;
        self.watcher = match notify::recommended_watcher(handler) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!("the kernel gives no watch ({error}): looking every two seconds");
                None
            }
        };
    }

    fn add(&mut self, path: &Path) {
        let Some(watcher) = &mut self.watcher else {
            self.refused = true;
            return;
        };
        let Err(error) = watcher.watch(path, RecursiveMode::NonRecursive) else {
            return;
        };
        // What is gone again was reported by the directory above it.
        let gone = matches!(error.kind, ErrorKind::PathNotFound);
        if !gone && !self.refused {
            let path = path.display();
            tracing::warn!("`{path}` cannot be watched ({error}): looking every two seconds");
            self.refused = true;
        }
    }
}

fn directory(path: &Path) -> Option<SiteDirectory> {
    // A parent that cannot be seen cannot be watched: the look that has no reason makes up for it.
    let metadata = fs::metadata(path).ok()?;
    Some(SiteDirectory {
        path: path.into(),
        identity: (metadata.dev(), metadata.ino()),
    })
}

/// Tells whether one of `directories` lies on a file system where others change files unseen by our kernel.
fn is_silent(directories: &BTreeSet<SiteDirectory>) -> bool {
    let mut devices = BTreeSet::new();
    let mut first = directories
        .iter()
        .filter(|directory| devices.insert(directory.identity.0));
    // One that cannot be looked at now is looked at again with the next change.
    first.any(|directory| unwatchable_file_system(&directory.path).is_ok_and(|name| name.is_some()))
}
