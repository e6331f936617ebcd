//! The kernel's watches on a site's directories, kept in step with the directories there are.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::mpsc,
};

use nix::sys::statfs::statfs;
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::{Wake, interest::Interest};
use crate::disk::site::Directory;

/// The watches.
pub(super) struct Armed {
    root: PathBuf,
    wake: mpsc::Sender<Wake>,
    watcher: Option<RecommendedWatcher>,
    directories: BTreeSet<Directory>,
    /// Whether a directory could not be watched.
    refused: bool,
    /// Whether a directory lies on a file system that reports nothing.
    silent: bool,
}

impl Armed {
    /// Nothing is watched yet.
    pub(super) fn new(root: &Path, wake: mpsc::Sender<Wake>) -> Self {
        Armed {
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
    pub(super) fn cover(&mut self, directories: &[Directory]) -> bool {
        let interest = Interest::new(&self.root);
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

    fn restart(&mut self, interest: Interest) {
        let wake = self.wake.clone();
        let handler = move |event: notify::Result<notify::Event>| {
            // An error may have swallowed an event.
            if event.map_or(true, |event| interest.is_stirred_by(&event)) {
                // Who does not listen any more drops the watcher next.
                drop(wake.send(Wake::Event));
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

fn directory(path: &Path) -> Option<Directory> {
    // A parent that cannot be seen cannot be watched: the look that has no reason makes up for it.
    let metadata = fs::metadata(path).ok()?;
    Some(Directory {
        path: path.into(),
        identity: (metadata.dev(), metadata.ino()),
    })
}

/// Tells whether one of `directories` lies on a file system where others change files unseen by our kernel.
fn is_silent(directories: &BTreeSet<Directory>) -> bool {
    let mut devices = BTreeSet::new();
    let first = directories
        .iter()
        .filter(|directory| devices.insert(directory.identity.0));
    let mut types = first.filter_map(|directory| statfs(&directory.path).ok());
    types.any(|stat| SILENT.contains(&(stat.filesystem_type().0 as u32)))
}

/// The types of such file systems, from the kernel's `magic.h` and, where it has none, the file system itself.
const SILENT: [u32; 13] = [
    0x6969,      // NFS
    0x517b,      // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB2
    0x6573_5546, // FUSE, sshfs and virtiofs among it
    0x0102_1997, // 9P
    0x794c_7630, // overlay: changes of its lower layers
    0x786f_4256, // VirtualBox shared folders
    0x00c3_6400, // Ceph
    0x5346_414f, // AFS
    0x0bd0_0bd0, // Lustre
    0x0116_1970, // GFS2
    0x7461_636f, // OCFS2
];
