//! The files of a site's directory.
//!
//! A site consists of `bootwright.toml` and of everything under `policies.d/` and `templates/`, at any depth.
//! Ignored are hidden files and directories (including `.git`), leftovers of editors (`*~`, `.#*`, `*.swp`,
//! `4913`), special files, and under `policies.d/` files above 1 MiB that are neither TOML nor KDL. Symbolic links
//! are followed unless they leave the site. The site's directory itself may be a link.
//!
//! A file of the site that cannot be read, or is too large, is reported with the reason and never ignored: without
//! it, its machine might match a wider policy. This module does not interpret the files.

mod walk;
mod reader;

use std::{io, path::Path};

pub(super) use crate::site::CONFIG;
use crate::{disk::regular, site::SiteFiles};

pub use reader::SiteReader;
pub(super) use walk::SiteDirectory;

/// Reads the site at `root`. An error means that the directory itself cannot be read.
pub fn read(root: &Path) -> io::Result<SiteFiles> {
    SiteReader::new(root).read()
}

/// Reads only the server's configuration file; none if there is none.
pub(crate) fn read_config(root: &Path) -> io::Result<Option<Vec<u8>>> {
    match regular::read(&root.join(CONFIG), MAX_CONFIG) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The directories of a site whose files count.
pub(crate) const DIRECTORIES: [&str; 2] = ["policies.d", "templates"];

/// The maximum size of [`CONFIG`], in bytes. It is parsed before limits can be set, so it is small.
const MAX_CONFIG: u64 = 64 << 10;
/// The maximum size of every other file, in bytes.
const MAX_FILE: u64 = 8 << 20;
/// The maximum size of a file under `policies.d/` that is neither TOML nor KDL, in bytes.
const MAX_OTHER: u64 = 1 << 20;
/// The maximum size of all files together, in bytes.
const MAX_ALL: u64 = 256 << 20;
/// The maximum number of files. It bounds the walk through a link to `/`.
const MAX_FILES: usize = 200_000;
/// The maximum depth of directories.
const MAX_DEPTH: usize = 32;

/// Whether a file or directory of this name is ignored: hidden, or a leftover of an editor.
pub(super) fn is_ignored(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~') || name.ends_with(".swp") || name == "4913"
}

/// Whether a file is ignored, instead of reported, if it is too large.
fn is_other(path: &str) -> bool {
    path.starts_with("policies.d/") && !path.ends_with(".toml") && !path.ends_with(".kdl")
}

/// The reason of an error, without the operating system's number.
pub(crate) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((text, _)) => text.to_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests;
