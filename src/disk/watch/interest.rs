//! Which of the kernel's events are a reason to look at the site.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use notify::{Event, EventKind};

use crate::disk::site::{CONFIG, DIRECTORIES, is_ignored};

/// What an event must be about.
#[derive(Debug)]
pub(super) struct EventFilter {
    root: PathBuf,
    /// The site's directory by all of its names: as it was asked for, and where links lead.
    names: Vec<PathBuf>,
}

impl EventFilter {
    /// An interest in the site at `root`.
    pub(super) fn new(root: &Path) -> Self {
        let mut names = vec![root.to_path_buf()];
        // A site that is not there has no other name.
        names.extend(std::fs::canonicalize(root).ok().filter(|real| real != root));
        EventFilter {
            root: root.into(),
            names,
        }
    }

    /// The directories that hold the site's directory.
    pub(super) fn parents(&self) -> impl Iterator<Item = &Path> {
        self.names.iter().filter_map(|name| name.parent())
    }

    /// Tells whether an event may have changed the site. Reading is none: our own would rouse us.
    pub(super) fn is_stirred_by(&self, event: &Event) -> bool {
        if event.need_rescan() {
            return true;
        }
        match event.kind {
            EventKind::Create(_) | EventKind::Modify(_) | EventKind::Remove(_) => {
                event.paths.iter().any(|path| self.holds(path))
            }
            EventKind::Access(_) | EventKind::Any | EventKind::Other => false,
        }
    }

    fn holds(&self, path: &Path) -> bool {
        if self.names.iter().any(|name| name == path) {
            return true;
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return false;
        };
        if parent == self.root {
            return name == CONFIG || DIRECTORIES.into_iter().any(|directory| name == directory);
        }
        path.starts_with(&self.root) && may_count(name)
    }
}

/// Hidden names are ignored but for those with two dots: volumes of containers swap `..data`, through which
/// every link of theirs leads.
fn may_count(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("..") || !is_ignored(&name)
}
