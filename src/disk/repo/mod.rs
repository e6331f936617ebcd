//! Files of a repo that is a directory.
//!
//! A path is taken as it is written if there is such a file; otherwise each of its parts is looked for
//! without regard to case, because trees that were copied from an ISO image may be in capitals where
//! installers ask in small letters. Nothing outside the directory is ever opened: the kernel resolves the
//! path beneath it and refuses `..` and links that lead out (`beneath`).

mod beneath;
mod listing;

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use listing::Listings;

/// A directory that machines install from.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    listings: Mutex<Listings>,
}

/// A file that is open.
#[derive(Debug)]
pub struct Opened {
    /// The file, at its beginning.
    pub file: File,
    /// Its path as it is on the disk.
    pub path: String,
    /// Its length.
    pub size: u64,
    /// When it was last changed.
    pub modified: SystemTime,
    /// A strong entity tag, with its quotes: another content has another one.
    pub etag: String,
}

/// What is known of a file without serving it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// Its path as it is on the disk.
    pub path: String,
    /// Its length.
    pub size: u64,
    /// Its text, when it was asked for.
    pub text: Option<Arc<str>>,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// The path could lead out of the repo, or holds what no file name should.
    #[error("`{0}` is not a path within a repo")]
    BadPath(String),
    /// There is no such file.
    #[error("the repo has no file `{0}`")]
    Missing(String),
    /// There is something else of that name.
    #[error("`{0}` is not a file")]
    NotAFile(String),
    /// It is, or lies behind, a link that leads out of the repo.
    #[error("`{0}` is a link that leads out of the repo")]
    Outside(String),
    /// It is too large to be read as text.
    #[error("`{0}` is too large to be read as text")]
    TooLarge(String),
    /// It cannot be read.
    #[error("`{path}` cannot be read: {error}")]
    Io {
        /// The file.
        path: String,
        /// What is wrong.
        error: io::Error,
    },
}

impl Tree {
    /// Uses the directory at `root`. It need not exist yet, and may be swapped.
    pub fn new(root: &Path) -> Tree {
        Tree {
            root: root.into(),
            listings: Mutex::default(),
        }
    }

    /// Its directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Tells why the directory cannot be used; none when it can.
    pub fn trouble(&self) -> Option<String> {
        let shown = self.root.display();
        match std::fs::metadata(&self.root) {
            Ok(metadata) if metadata.is_dir() => None,
            Ok(_) => Some(format!("`{shown}` is not a directory")),
            Err(error) => Some(format!("`{shown}`: {}", super::site::reason(&error))),
        }
    }

    /// Opens a file.
    pub fn open(&self, path: &str) -> Result<Opened, RepoError> {
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

    /// Tells what is known of a file.
    pub fn look(&self, path: &str) -> Result<Looked, RepoError> {
        let opened = self.open(path)?;
        Ok(Looked {
            path: opened.path,
            size: opened.size,
            text: None,
        })
    }

    /// Reads a small file as text; what is not UTF-8 in it is replaced.
    pub fn read(&self, path: &str) -> Result<Looked, RepoError> {
        const MAX: u64 = 1 << 20;
        let opened = self.open(path)?;
        if opened.size > MAX {
            return Err(RepoError::TooLarge(path.into()));
        }
        let mut bytes = Vec::new();
        let read = opened.file.take(MAX).read_to_end(&mut bytes);
        read.map_err(|error| failed(path, error))?;
        Ok(Looked {
            path: opened.path,
            size: opened.size,
            text: Some(String::from_utf8_lossy(&bytes).into()),
        })
    }

    /// Finds how each part of a path is spelled on the disk.
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

/// Takes a path apart. Doubled slashes and `.` mean nothing.
fn parts(path: &str) -> Result<Vec<&str>, RepoError> {
    let bad = path.starts_with('/') || path.chars().any(char::is_control) || path.len() > 4096;
    let parts: Vec<_> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    if bad || parts.is_empty() || parts.contains(&"..") {
        return Err(RepoError::BadPath(path.escape_debug().to_string()));
    }
    Ok(parts)
}

fn opened(file: File, path: String) -> Result<Opened, RepoError> {
    let metadata = match file.metadata() {
        Ok(metadata) => metadata,
        Err(error) => return Err(failed(&path, error)),
    };
    if !metadata.is_file() {
        return Err(RepoError::NotAFile(path));
    }
    let (seconds, nanoseconds) = (metadata.mtime(), metadata.mtime_nsec());
    // A file that was put in place with an old time has another inode, or was changed at another time.
    let changed = metadata.ctime_nsec() ^ (metadata.ctime() << 30);
    let etag = format!(
        "\"{:x}-{:x}-{seconds:x}.{nanoseconds:x}-{changed:x}\"",
        metadata.ino(),
        metadata.len()
    );
    // HTTP counts from 1970 on.
    let since = Duration::new(u64::try_from(seconds).unwrap_or(0), nanoseconds as u32);
    Ok(Opened {
        size: metadata.len(),
        modified: SystemTime::UNIX_EPOCH + since,
        etag,
        file,
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
        // The kernel's word for a path that would leave the directory.
        Some(libc::EXDEV) => RepoError::Outside(path),
        Some(libc::ENXIO) => RepoError::NotAFile(path),
        Some(libc::ENAMETOOLONG) => RepoError::Missing(path),
        _ if is_missing(&error) => RepoError::Missing(path),
        _ => RepoError::Io { path, error },
    }
}

#[cfg(test)]
mod tests;
