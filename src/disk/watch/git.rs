//! Whether git is writing the site.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// Whether the repository that contains `root` has been locked for less than `longest`: a git process that crashed
/// leaves its lock.
pub(super) fn is_busy(root: &Path, longest: Duration) -> bool {
    let Some(git) = directory(root) else {
        return false;
    };
    let Ok(metadata) = fs::metadata(git.join("index.lock")) else {
        return false;
    };
    // A lock from the future counts as new. A lock without a time is ignored.
    let age = metadata
        .modified()
        .map(|at| SystemTime::now().duration_since(at).unwrap_or_default());
    age.is_ok_and(|age| age < longest)
}

/// The nearest `.git` above `root`: a directory, or in a work tree a file that contains its path.
fn directory(root: &Path) -> Option<PathBuf> {
    let root = fs::canonicalize(root).ok()?;
    let git = root
        .ancestors()
        .map(|dir| dir.join(".git"))
        .find(|git| git.exists())?;
    if git.is_dir() {
        return Some(git);
    }
    let text = fs::read_to_string(&git).ok()?;
    let named = text.strip_prefix("gitdir:")?.trim();
    Some(git.parent()?.join(named))
}
