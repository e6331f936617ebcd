//! A site's files as they lie in its directory.
//!
//! What counts: `bootwright.toml`, and everything under `policies.d/` and `templates/`, at any depth. Left
//! out are hidden files and directories (`.git` among them), what editors leave behind (`*~`, `.#*`,
//! `*.swp`, `4913`), what is no regular file, and under `policies.d/` files above 1 MiB that are neither TOML
//! nor KDL. Symbolic links are followed.
//!
//! A file that counts and cannot be read, or is too large, is reported with the reason and never dropped in
//! silence: without it, its machine might fit a wider policy. What the files mean is not known here.

mod walk;
mod reader;

use std::{io, path::Path};

use crate::site::SiteFiles;

pub use reader::SiteReader;
pub(super) use walk::SiteDirectory;

/// Reads the site at `root`. An error means that the directory itself cannot be read.
pub fn read(root: &Path) -> io::Result<SiteFiles> {
    SiteReader::new(root).read()
}

/// The directories of a site whose files count.
pub(super) const DIRECTORIES: [&str; 2] = ["policies.d", "templates"];

/// The server's own file.
pub(super) const CONFIG: &str = "bootwright.toml";

/// The largest file that is read.
const MAX_FILE: u64 = 8 << 20;
/// The largest file that is read where its name does not say that it matters.
const MAX_OTHER: u64 = 1 << 20;
/// The most that all files together may hold.
const MAX_ALL: u64 = 256 << 20;
/// The most files, so that a link to `/` ends somewhere.
const MAX_FILES: usize = 200_000;
/// The deepest directory.
const MAX_DEPTH: usize = 32;

/// Tells whether a file or directory of this name never counts: hidden, or left behind by an editor.
pub(super) fn is_ignored(name: &str) -> bool {
    name.starts_with('.') || name.ends_with('~') || name.ends_with(".swp") || name == "4913"
}

/// Tells whether a file is left out, rather than reported, when it is large.
fn is_other(path: &str) -> bool {
    path.starts_with("policies.d/") && !path.ends_with(".toml") && !path.ends_with(".kdl")
}

/// What went wrong, as people read it.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rsplit_once(" (os error ") {
        Some((text, _)) => text.to_lowercase(),
        None => text,
    }
}

#[cfg(test)]
mod tests;
