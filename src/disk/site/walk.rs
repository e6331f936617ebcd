//! Finds the files and directories of a site, without reading the files.

use std::{
    fs::{self, DirEntry, Metadata},
    io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use super::{CONFIG, DIRECTORIES, MAX_DEPTH, MAX_FILES, is_ignored, reason};

/// A directory of the site. Another directory of the same name has another identity.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::disk) struct SiteDirectory {
    pub(in crate::disk) path: PathBuf,
    /// Its device and inode.
    pub(in crate::disk) identity: (u64, u64),
}

/// A file of the site.
pub(super) struct SiteFile {
    /// Its path relative to the site.
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// The metadata of the target, if it is a symbolic link.
    pub(super) metadata: Metadata,
}

/// All files and directories of a site.
#[derive(Default)]
pub(super) struct SiteWalk {
    /// The path of the site without symbolic links.
    real_root: PathBuf,
    /// Starts with the site's own directory.
    pub(super) directories: Vec<SiteDirectory>,
    pub(super) files: Vec<SiteFile>,
    /// Files and directories that cannot be reached, with the reason.
    pub(super) unreachable: Vec<(String, String)>,
    /// The directories above the current one, to detect a link to one of them.
    above: Vec<(u64, u64)>,
}

pub(super) fn walk(root: &Path) -> io::Result<SiteWalk> {
    let metadata = fs::metadata(root)?;
    if !metadata.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let mut walk = SiteWalk {
        real_root: fs::canonicalize(root)?,
        ..SiteWalk::default()
    };
    walk.directories.push(SiteDirectory {
        path: root.into(),
        identity: identity(&metadata),
    });
    walk.above.push(identity(&metadata));
    for name in DIRECTORIES.into_iter().chain([CONFIG]) {
        let path = root.join(name);
        let metadata = fs::symlink_metadata(&path);
        walk.one(name.into(), path, metadata);
    }
    Ok(walk)
}

impl SiteWalk {
    /// Adds a file or directory, or the target of a symbolic link.
    fn one(&mut self, name: String, path: PathBuf, metadata: io::Result<Metadata>) {
        let target = match metadata {
            Ok(metadata) if metadata.is_symlink() => self.target(&path),
            other => other.map(Some),
        };
        let metadata = match target {
            Ok(Some(metadata)) => metadata,
            Ok(None) => {
                let why = "it is a symbolic link that leaves the site".into();
                return self.unreachable.push((name, why));
            }
            Err(error) => return self.report(&path, name, &error),
        };
        if metadata.is_dir() && name != CONFIG {
            self.directory(name, path, &metadata);
        } else if metadata.is_file() && !DIRECTORIES.contains(&name.as_str()) {
            self.file(name, path, metadata);
        }
    }

    /// Returns the metadata of a link's target. Returns `None` if it is outside the site: whoever may change the site's files
    /// could otherwise read any file of this host.
    fn target(&self, link: &Path) -> io::Result<Option<Metadata>> {
        let target = fs::canonicalize(link)?;
        let is_inside = target.starts_with(&self.real_root);
        is_inside.then(|| fs::symlink_metadata(&target)).transpose()
    }

    fn file(&mut self, name: String, path: PathBuf, metadata: Metadata) {
        if self.files.len() < MAX_FILES {
            self.files.push(SiteFile {
                name,
                path,
                metadata,
            });
        } else {
            let why = format!("a site may have {MAX_FILES} files, and there are more before it");
            self.unreachable.push((name, why));
        }
    }

    fn directory(&mut self, name: String, path: PathBuf, metadata: &Metadata) {
        let identity = identity(metadata);
        let why = if self.above.contains(&identity) {
            "it leads back to a directory above it"
        } else if self.above.len() > MAX_DEPTH {
            "there are too many directories above it"
        } else if self.files.len() >= MAX_FILES {
            "there are too many files before it"
        } else {
            self.above.push(identity);
            self.entries(&name, &path);
            self.above.pop();
            self.directories.push(SiteDirectory { path, identity });
            return;
        };
        self.unreachable.push((name, why.into()));
    }

    fn entries(&mut self, name: &str, path: &Path) {
        let entries =
            fs::read_dir(path).and_then(|entries| entries.collect::<io::Result<Vec<_>>>());
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.report(path, name.into(), &error),
        };
        entries.sort_by_cached_key(DirEntry::file_name);
        for entry in entries {
            self.entry(name, &entry);
        }
    }

    fn entry(&mut self, parent: &str, entry: &DirEntry) {
        let name = entry.file_name();
        let shown = name.to_string_lossy();
        if is_ignored(&shown) {
            return;
        }
        let shown = format!("{parent}/{shown}");
        if name.to_str().is_none() {
            let why = "its name is not UTF-8".into();
            return self.unreachable.push((shown, why));
        }
        self.one(shown, entry.path(), entry.metadata());
    }

    /// Reports a file or directory that cannot be read. A missing one is not reported: it was removed during the
    /// walk.
    fn report(&mut self, path: &Path, name: String, error: &io::Error) {
        if error.kind() != io::ErrorKind::NotFound {
            self.unreachable.push((name, reason(error)));
        } else if path.is_symlink() {
            let why = "it is a symbolic link that leads nowhere".into();
            self.unreachable.push((name, why));
        }
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}
