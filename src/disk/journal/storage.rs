//! The storage interface of the journal, and its implementation on a directory.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::Mutex,
};

use super::lock;
use crate::disk::atomic;

/// A directory of append-only files. Tests use a fake that records syncs and can be full or crash at any byte.
pub trait Storage: Send + Sync + 'static {
    /// Lists the files.
    fn names(&self) -> io::Result<Vec<String>>;
    /// The length of a file in bytes; none when it is missing.
    fn length(&self, name: &str) -> io::Result<Option<u64>>;
    /// Opens a file for reading from an offset on. The reader keeps the file as it is, even if another one replaces it.
    fn reader(&self, name: &str, at: u64) -> io::Result<Box<dyn Read + Send>>;
    /// Appends to a file, which is created if it is missing. On an error a part of `bytes` may be written.
    fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    fn truncate(&self, name: &str, length: u64) -> io::Result<()>;
    /// Syncs a file, so that its content survives a crash.
    fn sync(&self, name: &str) -> io::Result<()>;
    /// Syncs the directory, so that the files' names survive a crash.
    fn sync_names(&self) -> io::Result<()>;
    /// Replaces a file atomically; the new one survives a crash.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()>;
    /// Renames a file, which atomically replaces the one that has the name; the new name survives a crash.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file. A missing one is not an error.
    fn remove(&self, name: &str) -> io::Result<()>;
}

/// A directory on the disk.
#[derive(Debug)]
pub struct JournalDirectory {
    path: PathBuf,
    /// The file that was written last, which is usually the next one too.
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
        // The journal's names are UTF-8.
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

    fn reader(&self, name: &str, at: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut file = File::open(self.path.join(name))?;
        file.seek(SeekFrom::Start(at))?;
        Ok(Box::new(file))
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
        // The open file may be the replaced one.
        *lock(&self.open) = None;
        atomic::replace(&self.path.join(name), &[bytes])
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        *lock(&self.open) = None;
        fs::rename(self.path.join(from), self.path.join(to))?;
        atomic::sync_dir(&self.path)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        *lock(&self.open) = None;
        atomic::remove(&self.path.join(name))
    }
}
