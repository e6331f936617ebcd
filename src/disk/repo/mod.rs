//! Files of a repo: a directory, or an ISO image read in place.
//!
//! A path is taken as it is written if there is such a file; otherwise each of its parts is looked for without regard to
//! case, because trees that come from an ISO image may be in capitals where installers ask in small letters. Nothing outside
//! of the repo is ever opened.

mod beneath;
mod blob;
mod cache;
mod digest;
mod image;
mod images;
mod listing;
mod tree;

use std::{io, sync::Arc, time::SystemTime};

pub use blob::Blob;
pub use cache::ImageCache;
pub use image::{ImageFile, ImageStamp, ImageVerification};
pub use images::ImageRegistry;
pub use tree::RepoDirectory;

/// Where files come from.
#[derive(Debug)]
pub enum RepoSource {
    /// A directory.
    Directory(RepoDirectory),
    /// An image.
    Image(Arc<ImageFile>),
}

/// A file that is open.
#[derive(Debug)]
pub struct OpenedRepoFile {
    /// Its bytes.
    pub blob: Blob,
    /// Its path as it is on the disk, or in the image.
    pub path: String,
    /// When it was last changed; of an image, when the image was.
    pub modified: SystemTime,
    /// A strong entity tag, with its quotes: another content has another one.
    pub etag: String,
}

/// What is known of a file without serving it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoFileDetails {
    /// Its path as it is on the disk, or in the image.
    pub path: String,
    /// Its length.
    pub size: u64,
    /// Its text, when it was asked for.
    pub text: Option<Arc<str>>,
}

/// One thing in a directory of a repo.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RepoEntry {
    /// Its name.
    pub name: String,
    /// Its length; none of what is no file.
    pub size: Option<u64>,
    /// Where it leads, when it is a link.
    pub link: Option<String>,
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
    /// The image cannot be served.
    #[error("`{path}`: {reason}")]
    Image {
        /// The image.
        path: String,
        /// What is wrong.
        reason: String,
    },
    /// It cannot be read.
    #[error("`{path}` cannot be read: {error}")]
    Io {
        /// The file.
        path: String,
        /// What is wrong.
        error: io::Error,
    },
}

/// So many bytes are read as text at most.
const MOST_TEXT: u64 = 1 << 20;

impl RepoSource {
    /// Tells why nothing can be served from it; none when it can.
    pub fn trouble(&self) -> Option<String> {
        match self {
            RepoSource::Directory(tree) => tree.trouble(),
            RepoSource::Image(image) => image.trouble(),
        }
    }

    /// Opens a file.
    pub fn open(&self, path: &str) -> Result<OpenedRepoFile, RepoError> {
        match self {
            RepoSource::Directory(tree) => tree.open(path),
            RepoSource::Image(image) => image.open(path),
        }
    }

    /// How many files there are, and how many bytes they have in all.
    pub fn totals(&self) -> Result<(u64, u64), RepoError> {
        match self {
            RepoSource::Directory(tree) => tree.totals(),
            RepoSource::Image(image) => image.see(crate::iso::IsoIndex::totals),
        }
    }

    /// Tells whether a file is there and has a text in it; an empty text is in every file.
    pub fn says(&self, path: &str, text: &str) -> bool {
        if text.is_empty() {
            return self.open(path).is_ok();
        }
        let read = self.read(path).ok().and_then(|looked| looked.text);
        read.is_some_and(|content| content.contains(text))
    }

    /// Lists a directory; the uppermost is the empty path.
    pub fn list(&self, path: &str) -> Result<Vec<RepoEntry>, RepoError> {
        match self {
            RepoSource::Directory(tree) => tree.list(path),
            RepoSource::Image(image) => image.list(path),
        }
    }

    /// Tells what is known of a file.
    pub fn look(&self, path: &str) -> Result<RepoFileDetails, RepoError> {
        let opened = self.open(path)?;
        Ok(RepoFileDetails {
            size: opened.blob.size(),
            path: opened.path,
            text: None,
        })
    }

    /// Reads a small file as text; what is not UTF-8 in it is replaced.
    pub fn read(&self, path: &str) -> Result<RepoFileDetails, RepoError> {
        let opened = self.open(path)?;
        let size = opened.blob.size();
        if size > MOST_TEXT {
            return Err(RepoError::TooLarge(path.into()));
        }
        let mut bytes = vec![0; size as usize];
        let read = opened.blob.read_exact_at(&mut bytes, 0);
        read.map_err(|error| RepoError::Io {
            path: path.into(),
            error,
        })?;
        Ok(RepoFileDetails {
            path: opened.path,
            size,
            text: Some(String::from_utf8_lossy(&bytes).into()),
        })
    }
}

/// Takes a path apart. Doubled slashes and `.` mean nothing.
fn parts(path: &str) -> Result<Vec<&str>, RepoError> {
    let parts = folder_parts(path)?;
    if parts.is_empty() {
        return Err(bad(path));
    }
    Ok(parts)
}

/// The same of a directory, which may be the uppermost.
fn folder_parts(path: &str) -> Result<Vec<&str>, RepoError> {
    let parts: Vec<_> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    let is_bad = path.starts_with('/') || path.chars().any(char::is_control) || path.len() > 4096;
    if is_bad || parts.contains(&"..") {
        return Err(bad(path));
    }
    Ok(parts)
}

fn bad(path: &str) -> RepoError {
    RepoError::BadPath(path.escape_debug().to_string())
}

#[cfg(test)]
mod tests;
