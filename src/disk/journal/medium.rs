//! What the journal needs of a disk.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Mutex,
};

use super::lock;
use crate::disk::atomic;

/// A directory of files that grow. In tests it is a fake that remembers what was synced when, and that can
/// be full or crash at any byte.
pub trait Storage: Send + Sync + 'static {
    /// Lists the files.
    fn names(&self) -> io::Result<Vec<String>>;
    /// The length of a file; none when there is no such file.
    fn length(&self, name: &str) -> io::Result<Option<u64>>;
    /// Reads from a position on; 0 at the end.
    fn read(&self, name: &str, at: u64, buffer: &mut [u8]) -> io::Result<usize>;
    /// Appends to a file, which is created when there is none. It may fail with a part of `bytes` written.
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Cuts a file off.
    fn truncate(&self, name: &str, length: u64) -> io::Result<()>;
    /// Makes a file's content survive a crash.
    fn sync(&self, name: &str) -> io::Result<()>;
    /// Makes the files' names survive a crash.
    fn sync_names(&self) -> io::Result<()>;
    /// Replaces a file, whole or not at all; the new one survives a crash.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
}

/// A directory on the disk.
#[derive(Debug)]
pub struct JournalDirectory {
    path: PathBuf,
    /// The file that was written last: nearly always the one that is written next.
    open: Mutex<Option<(String, File)>>,
}

impl JournalDirectory {
    /// The directory at `path`, which must exist.
    pub fn new(path: &Path) -> Self {
        JournalDirectory {
            path: path.into(),
            open: Mutex::new(None),
        }
    }

    fn with<T>(&self, name: &str, work: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
        let mut open = lock(&self.open);
        if let Some((opened, file)) = &mut *open
            && opened == name
        {
            return work(file);
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        let file = atomic::private(&mut options).open(self.path.join(name))?;
        let (_, file) = open.insert((name.into(), file));
        work(file)
    }
}

impl Storage for JournalDirectory {
    fn names(&self) -> io::Result<Vec<String>> {
        let entries = fs::read_dir(&self.path)?;
        // A name that is not UTF-8 is none of ours.
        let name = |entry: io::Result<fs::DirEntry>| {
            entry.map(|entry| entry.file_name().into_string().ok())
        };
        entries.map(name).filter_map(Result::transpose).collect()
    }

    fn length(&self, name: &str) -> io::Result<Option<u64>> {
        match fs::metadata(self.path.join(name)) {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn read(&self, name: &str, at: u64, buffer: &mut [u8]) -> io::Result<usize> {
        File::open(self.path.join(name))?.read_at(buffer, at)
    }

    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.with(name, |file| file.write_all(bytes))
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        self.with(name, |file| file.set_len(length))
    }

    fn sync(&self, name: &str) -> io::Result<()> {
        self.with(name, |file| file.sync_data())
    }

    fn sync_names(&self) -> io::Result<()> {
        atomic::sync_dir(&self.path)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        // The file that is open may be the one that is replaced.
        *lock(&self.open) = None;
        atomic::replace(&self.path.join(name), &[bytes])
    }
}
