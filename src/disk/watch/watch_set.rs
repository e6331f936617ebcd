//! The kernel's watches on the directories of a site.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::mpsc,
};

use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::{WakeReason, interest::EventFilter, unwatchable::unwatchable_file_system};
use crate::disk::site::SiteDirectory;

pub(super) struct WatchSet {
    root: PathBuf,
    wake: mpsc::Sender<WakeReason>,
    watcher: Option<RecommendedWatcher>,
    directories: BTreeSet<SiteDirectory>,
    /// Whether a directory could not be watched.
    refused: bool,
    /// Whether a directory is on a file system that does not report changes.
    unwatchable: bool,
}

impl WatchSet {
    pub(super) fn new(root: &Path, wake: mpsc::Sender<WakeReason>) -> Self {
        WatchSet {
            root: root.into(),
            wake,
            watcher: None,
            directories: BTreeSet::new(),
            refused: false,
            unwatchable: false,
        }
    }

    /// Whether changes may go unreported.
    pub(super) fn may_miss_changes(&self) -> bool {
        self.refused || self.unwatchable
    }

    /// Watches the site's directories and their parents. Returns whether a watch was added.
    pub(super) fn update(&mut self, directories: &[SiteDirectory]) -> bool {
        let interest = EventFilter::new(&self.root);
        let parents = interest.parents().filter_map(directory);
        let needed: BTreeSet<_> = directories.iter().cloned().chain(parents).collect();
        // A watch of a directory that was removed or replaced remains, and reports false paths.
        if self.watcher.is_none() || !self.directories.is_subset(&needed) {
            self.restart(interest);
        }
        let added: Vec<_> = needed.difference(&self.directories).cloned().collect();
        if added.is_empty() {
            return false;
        }
        for directory in &added {
            self.add(&directory.path);
        }
        self.unwatchable = any_unwatchable(&needed);
        self.directories = needed;
        true
    }

    fn restart(&mut self, interest: EventFilter) {
        let wake = self.wake.clone();
        let handler = move |event: notify::Result<notify::Event>| {
            // An error may stand for a lost event.
            if event.map_or(true, |event| interest.may_change_site(&event)) {
                // Without a receiver, the watcher is dropped next.
                drop(wake.send(WakeReason::Event));
            }
        };
        self.directories.clear();
        self.refused = false;
        self.watcher = match notify::recommended_watcher(handler) {
            Ok(watcher) => Some(watcher),
            Err(error) => {
                tracing::warn!("cannot watch the site ({error}): it is read every two seconds");
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
        // A directory that was removed meanwhile was reported by its parent's watch.
        let removed = matches!(error.kind, ErrorKind::PathNotFound);
        if !removed && !self.refused {
            let path = path.display();
            tracing::warn!("`{path}` cannot be watched ({error}): it is read every two seconds");
            self.refused = true;
        }
    }
}

fn directory(path: &Path) -> Option<SiteDirectory> {
    // A parent that cannot be read cannot be watched: the periodic read replaces the watch.
    let metadata = fs::metadata(path).ok()?;
    Some(SiteDirectory {
        path: path.into(),
        identity: (metadata.dev(), metadata.ino()),
    })
}

/// Whether one of `directories` is on a file system whose changes by other hosts our kernel does not report.
fn any_unwatchable(directories: &BTreeSet<SiteDirectory>) -> bool {
    let mut devices = BTreeSet::new();
    let mut first = directories
        .iter()
        .filter(|directory| devices.insert(directory.identity.0));
    // A directory that cannot be checked now is checked again after the next change.
    first.any(|directory| unwatchable_file_system(&directory.path).is_ok_and(|name| name.is_some()))
}
