//! Which events of the kernel may mean a change of the site.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use notify::{Event, EventKind};

use crate::disk::site::{CONFIG, DIRECTORIES, is_ignored};

/// Selects the events of a site.
#[derive(Debug)]
pub(super) struct EventFilter {
    root: PathBuf,
    /// All paths of the site's directory: as it was given, and with links resolved.
    names: Vec<PathBuf>,
}

impl EventFilter {
    pub(super) fn new(root: &Path) -> Self {
        let mut names = vec![root.to_path_buf()];
        // A site that does not exist has no other path.
        names.extend(std::fs::canonicalize(root).ok().filter(|real| real != root));
        EventFilter {
            root: root.into(),
            names,
        }
    }

    /// The parent directories of the site's directory.
    pub(super) fn parents(&self) -> impl Iterator<Item = &Path> {
        self.names.iter().filter_map(|name| name.parent())
    }

    /// Whether an event may have changed the site. A read has not; our own reads would cause the next one.
    pub(super) fn may_change_site(&self, event: &Event) -> bool {
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

/// Whether a name may be part of the site. Hidden names are ignored, except those with two dots: a container's
/// volume replaces `..data`, through which all of its links lead.
fn may_count(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name.starts_with("..") || !is_ignored(&name)
}
