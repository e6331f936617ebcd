//! Atomic file writes: after a crash a file has the old or the new content, never a part.
//!
//! Everything is private to its owner: files have mode 0600, directories 0700.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

/// Replaces the file at `path` with `parts`, concatenated. Once it returns, the new content survives a crash; until then,
/// the old content does.
pub fn replace(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let new = write_beside(path, parts)?;
    finish(fs::rename(&new, path), &new, path)
}

/// Creates the file at `path` with `content`, unless it exists. Returns whether it was created. Of two processes that try
/// at the same time, one creates it, and neither reads a part of it.
pub fn create(path: &Path, content: &[u8]) -> io::Result<bool> {
    let new = write_beside(path, &[content])?;
    let linked = fs::hard_link(&new, path);
    fs::remove_file(&new)?;
    match linked {
        Ok(()) => sync_dir(parent(path)).map(|()| true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

/// Removes the file at `path`; the removal survives a crash. A missing file is not an error.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Ok(()) => sync_dir(parent(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Creates a directory and its parents, private to their owner. Existing ones are not changed.
pub fn create_dir(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    create_dir(parent(path))?;
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_dir(parent(path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Syncs a directory, so that the names in it survive a crash.
pub fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Whether a file of this name is left over from an interrupted write.
pub fn is_leftover(name: &str) -> bool {
    name.starts_with(".new-")
}

/// Sets the mode 0600 for a new file.
pub fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options.mode(0o600)
}

fn write_beside(path: &Path, parts: &[&[u8]]) -> io::Result<PathBuf> {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let new = parent(path).join(format!(".new-{}-{count}", std::process::id()));
    let written = write_synced(&new, parts);
    if written.is_err() {
        discard(&new);
    }
    written.map(|()| new)
}

fn write_synced(path: &Path, parts: &[&[u8]]) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    let mut file = BufWriter::new(private(&mut options).open(path)?);
    for part in parts {
        file.write_all(part)?;
    }
    file.into_inner()?.sync_all()
}

fn finish(moved: io::Result<()>, new: &Path, path: &Path) -> io::Result<()> {
    if let Err(error) = moved {
        discard(new);
        return Err(error);
    }
    sync_dir(parent(path))
}

/// Removes the temporary file of a failed write. The caller reports the error of the write; a file that cannot be removed
/// is swept at the next start.
fn discard(new: &Path) {
    drop(fs::remove_file(new));
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_replaced_file_is_private_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        replace(&path, &[b"old"]).unwrap();
        replace(&path, &[b"ne", b"w"]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_file_is_created_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        assert!(create(&path, b"first").unwrap());
        assert!(!create(&path, b"second").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_directory_is_private_to_its_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        create_dir(&path).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o700
        );
    }
}
