//! A repo that is a directory. The kernel resolves each path beneath it and refuses `..` and links that lead out.

use std::{
    fs::File,
    io,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use super::{
    Blob, OpenedRepoFile, RepoEntry, RepoError, beneath, folder_parts, listing::ListingCache, parts,
};

/// A directory that machines install from.
#[derive(Debug)]
pub struct RepoDirectory {
    root: PathBuf,
    listings: Mutex<ListingCache>,
}

impl RepoDirectory {
    /// The directory at `root`. It need not exist yet and may be replaced.
    pub fn new(root: &Path) -> RepoDirectory {
        RepoDirectory {
            root: root.into(),
            listings: Mutex::default(),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Why the directory cannot be used; none when it can.
    pub fn trouble(&self) -> Option<String> {
        let shown = self.root.display();
        match std::fs::metadata(&self.root) {
            Ok(metadata) if metadata.is_dir() => None,
            Ok(_) => Some(format!("`{shown}` is not a directory")),
            Err(error) => Some(format!("`{shown}`: {}", crate::disk::site::reason(&error))),
        }
    }

    pub fn open(&self, path: &str) -> Result<OpenedRepoFile, RepoError> {
        let parts = parts(path)?;
        let root = beneath::directory(&self.root).map_err(|error| failed(path, error))?;
        let exact = parts.join("/");
        match beneath::open(&root, &exact) {
            Ok(file) => return opened(file, exact),
            Err(error) if is_missing(&error) => {}
            Err(error) => return Err(failed(path, error)),
        }
        let found = self
            .respell(&root, &parts)
            .map_err(|error| failed(path, error))?;
        let found = found.ok_or_else(|| RepoError::Missing(path.into()))?;
        let file = beneath::open(&root, &found).map_err(|error| failed(path, error))?;
        opened(file, found)
    }

    pub(super) fn list(&self, path: &str) -> Result<Vec<RepoEntry>, RepoError> {
        let parts = folder_parts(path)?;
        let root = beneath::directory(&self.root).map_err(|error| failed(path, error))?;
        let found = match parts.as_slice() {
            [] => Some(".".to_owned()),
            parts => self
                .respell(&root, parts)
                .map_err(|error| failed(path, error))?,
        };
        let found = found.ok_or_else(|| RepoError::Missing(path.into()))?;
        let folder = beneath::open(&root, &found).map_err(|error| failed(path, error))?;
        listed(&folder).map_err(|error| failed(path, error))
    }

    /// The number of files and their total size in bytes. Links are not followed.
    pub(super) fn totals(&self) -> Result<(u64, u64), RepoError> {
        let mut totals = (0, 0);
        let mut folders = vec![self.root.clone()];
        while let Some(folder) = folders.pop() {
            let shown = folder.display().to_string();
            let entries = std::fs::read_dir(&folder).map_err(|error| failed(&shown, error))?;
            for entry in entries {
                let counted = entry.and_then(|entry| {
                    let kind = entry.file_type()?;
                    if kind.is_dir() {
                        folders.push(entry.path());
                    } else if kind.is_file() {
                        totals = (totals.0 + 1, totals.1 + entry.metadata()?.len());
                    }
                    Ok(())
                });
                counted.map_err(|error| failed(&shown, error))?;
            }
        }
        Ok(totals)
    }

    /// Finds the spelling of each part of a path on the disk.
    fn respell(&self, root: &File, parts: &[&str]) -> io::Result<Option<String>> {
        let mut listings = self.listings.lock().unwrap_or_else(PoisonError::into_inner);
        let mut path = String::new();
        for part in parts {
            let directory = if path.is_empty() { "." } else { &path };
            let Some(name) = listings.find(root, directory, part)? else {
                return Ok(None);
            };
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(&name);
        }
        Ok(Some(path))
    }
}

fn listed(folder: &File) -> io::Result<Vec<RepoEntry>> {
    let mut list = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/self/fd/{}", folder.as_raw_fd()))? {
        let entry = entry?;
        let kind = entry.file_type()?;
        // A name that is not UTF-8 cannot be requested.
        let Ok(name) = entry.file_name().into_string() else {
            continue;
        };
        let size = if kind.is_file() {
            Some(entry.metadata()?.len())
        } else {
            None
        };
        let link = if kind.is_symlink() {
            Some(std::fs::read_link(entry.path())?.display().to_string())
        } else {
            None
        };
        list.push(RepoEntry { name, size, link });
    }
    list.sort();
    Ok(list)
}

fn opened(file: File, path: String) -> Result<OpenedRepoFile, RepoError> {
    let metadata = match file.metadata() {
        Ok(metadata) => metadata,
        Err(error) => return Err(failed(&path, error)),
    };
    if !metadata.is_file() {
        return Err(RepoError::NotAFile(path));
    }
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    // A replaced file that keeps its modification time has another inode or change time (ctime).
    let changed = metadata.ctime_nsec() ^ (metadata.ctime() << 30);
    let blob = Blob::of(file).map_err(|error| failed(&path, error))?;
    let etag = format!(
        "\"{:x}-{:x}-{seconds:x}.{nanoseconds:x}-{changed:x}\"",
        metadata.ino(),
        metadata.len()
    );
    // HTTP dates begin in 1970.
    let since = Duration::new(u64::try_from(seconds).unwrap_or(0), nanoseconds as u32);
    Ok(OpenedRepoFile {
        blob,
        modified: SystemTime::UNIX_EPOCH + since,
        etag,
        path,
    })
}

fn is_missing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn failed(path: &str, error: io::Error) -> RepoError {
    let path = path.to_string();
    match error.raw_os_error() {
        // The kernel's error for a path that leaves the directory.
        Some(libc::EXDEV) => RepoError::Outside(path),
        Some(libc::ENXIO) => RepoError::NotAFile(path),
        Some(libc::ENAMETOOLONG) => RepoError::Missing(path),
        _ if is_missing(&error) => RepoError::Missing(path),
        _ => RepoError::Io { path, error },
    }
}
