//! Files of a repo: a directory, or an ISO image read in place.
//!
//! A path is looked up exactly first, then each of its parts ignoring case: trees copied from an ISO image may be uppercase
//! where installers request lowercase names. Nothing outside the repo is opened.

mod beneath;
mod blob;
mod cache;
mod digest;
mod image;
mod image_stamp;
mod images;
mod listing;
mod directory;

use std::{io, sync::Arc, time::SystemTime};

pub use blob::Blob;
pub use cache::ImageCache;
pub use directory::RepoDirectory;
pub use image::{ImageFile, ImageVerification};
pub use image_stamp::ImageStamp;
pub use images::ImageRegistry;

#[derive(Debug)]
pub enum RepoSource {
    Directory(RepoDirectory),
    Image(Arc<ImageFile>),
}

#[derive(Debug)]
pub struct OpenedRepoFile {
    pub blob: Blob,
    /// Its path on the disk or in the image.
    pub path: String,
    /// Of a file in an image, when the image was changed.
    pub modified: SystemTime,
    /// A strong entity tag, with its quotes.
    pub etag: String,
}

/// A file's properties.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoFileDetails {
    /// Its path on the disk or in the image.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// Its text, if it was read.
    pub text: Option<Arc<str>>,
}

/// An entry of a directory of a repo.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RepoEntry {
    pub name: String,
    /// In bytes; none unless it is a file.
    pub size: Option<u64>,
    /// The target, if it is a link.
    pub link: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum RepoError {
    /// The path contains `..` or control characters, or is absolute or too long.
    #[error("`{0}` is not a path within a repo")]
    BadPath(String),
    #[error("the repo has no file `{0}`")]
    Missing(String),
    #[error("`{0}` is not a file")]
    NotAFile(String),
    /// It is, or is reached through, a link that leads out of the repo.
    #[error("`{0}` is a link that leads out of the repo")]
    Outside(String),
    #[error("`{0}` is too large to be read as text")]
    TooLarge(String),
    #[error("`{path}`: {reason}")]
    Image { path: String, reason: String },
    #[error("`{path}` cannot be read: {error}")]
    Io { path: String, error: io::Error },
}

/// The largest file that is read as text, in bytes.
const MAX_TEXT: u64 = 1 << 20;

impl RepoSource {
    /// Why nothing can be served from it; none when it can.
    pub fn trouble(&self) -> Option<String> {
        match self {
            RepoSource::Directory(tree) => tree.trouble(),
            RepoSource::Image(image) => image.trouble(),
        }
    }

    pub fn open(&self, path: &str) -> Result<OpenedRepoFile, RepoError> {
        match self {
            RepoSource::Directory(tree) => tree.open(path),
            RepoSource::Image(image) => image.open(path),
        }
    }

    /// The number of files and their total size in bytes.
    pub fn totals(&self) -> Result<(u64, u64), RepoError> {
        match self {
            RepoSource::Directory(tree) => tree.totals(),
            RepoSource::Image(image) => image.with_index(crate::iso::IsoIndex::totals),
        }
    }

    /// Whether a file exists and contains a text; an empty text is in every file.
    pub fn contains_text(&self, path: &str, text: &str) -> bool {
        if text.is_empty() {
            return self.open(path).is_ok();
        }
        let read = self.read(path).ok().and_then(|details| details.text);
        read.is_some_and(|content| content.contains(text))
    }

    /// Lists a directory; the root is the empty path.
    pub fn list(&self, path: &str) -> Result<Vec<RepoEntry>, RepoError> {
        match self {
            RepoSource::Directory(tree) => tree.list(path),
            RepoSource::Image(image) => image.list(path),
        }
    }

    pub fn details(&self, path: &str) -> Result<RepoFileDetails, RepoError> {
        let opened = self.open(path)?;
        Ok(RepoFileDetails {
            size: opened.blob.size(),
            path: opened.path,
            text: None,
        })
    }

    /// Reads a small file as text; invalid UTF-8 is replaced.
    pub fn read(&self, path: &str) -> Result<RepoFileDetails, RepoError> {
        let opened = self.open(path)?;
        let size = opened.blob.size();
        if size > MAX_TEXT {
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

/// Splits a path. Repeated slashes and `.` are ignored.
fn parts(path: &str) -> Result<Vec<&str>, RepoError> {
    let parts = folder_parts(path)?;
    if parts.is_empty() {
        return Err(bad_path(path));
    }
    Ok(parts)
}

/// The same for a directory, which may be the root.
fn folder_parts(path: &str) -> Result<Vec<&str>, RepoError> {
    let parts: Vec<_> = path
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    let is_bad = path.starts_with('/') || path.chars().any(char::is_control) || path.len() > 4096;
    if is_bad || parts.contains(&"..") {
        return Err(bad_path(path));
    }
    Ok(parts)
}

fn bad_path(path: &str) -> RepoError {
    RepoError::BadPath(path.escape_debug().to_string())
}

#[cfg(test)]
mod tests;
