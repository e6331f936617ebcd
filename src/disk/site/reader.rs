//! Reads a site repeatedly. A file that has not changed is read once.

use std::{
    collections::BTreeMap,
    fs::{File, Metadata, OpenOptions},
    io::{self, Read},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::{model::ByteSize, site::SiteFiles};

use super::{
    CONFIG, MAX_ALL, MAX_CONFIG, MAX_FILE, MAX_OTHER, is_other, reason,
    walk::{SiteDirectory, SiteFile, SiteWalk, walk},
};

/// Reads a site and caches its files, so that the next read is fast.
#[derive(Debug)]
pub struct SiteReader {
    root: PathBuf,
    cached: BTreeMap<Arc<str>, CachedFile>,
    directories: Vec<SiteDirectory>,
}

/// A file as of its last read.
#[derive(Debug)]
struct CachedFile {
    stamp: FileStamp,
    /// Whether every later change changes the stamp.
    is_sure: bool,
    content: Arc<[u8]>,
}

/// Distinguishes two states of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
    identity: (u64, u64),
}

impl SiteReader {
    pub fn new(root: &Path) -> Self {
        SiteReader {
            root: root.into(),
            cached: BTreeMap::new(),
            directories: Vec::new(),
        }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reads the current files of the site. The content of a file that has not changed is the same [`Arc`] as in
    /// the last read. An error means that the directory itself cannot be read; the cache is then kept.
    pub fn read(&mut self) -> io::Result<SiteFiles> {
        let SiteWalk {
            directories,
            files: found,
            unreachable,
            ..
        } = walk(&self.root)?;
        let mut files = SiteFiles::default();
        for (name, why) in unreachable {
            files.unreadable.insert(name.into(), why);
        }
        let mut before = std::mem::take(&mut self.cached);
        let mut sum = 0;
        for found in found {
            let cached = before.remove_entry(found.name.as_str());
            self.add_file(&mut files, &mut sum, found, cached);
        }
        self.directories = directories;
        Ok(files)
    }

    /// The directories of the last read, starting with the site's own.
    pub(in crate::disk) fn directories(&self) -> &[SiteDirectory] {
        &self.directories
    }

    fn add_file(
        &mut self,
        files: &mut SiteFiles,
        sum: &mut u64,
        found: SiteFile,
        cached: Option<(Arc<str>, CachedFile)>,
    ) {
        let (name, cached) = match cached {
            Some((name, cached)) => (name, Some(cached)),
            None => (found.name.as_str().into(), None),
        };
        let size = found.metadata.len();
        if size > MAX_OTHER && is_other(&name) {
            return;
        }
        let max = match &*name == CONFIG {
            true => MAX_CONFIG,
            false => MAX_FILE,
        };
        if let Some(why) = too_large(size, max, *sum) {
            files.unreadable.insert(name, why);
            return;
        }
        match content(&found, cached, max) {
            Ok(Some(cached)) => {
                *sum += cached.stamp.size;
                files.content.insert(name.clone(), cached.content.clone());
                self.cached.insert(name, cached);
            }
            // The file was removed, or is a special file now.
            Ok(None) => {}
            Err(why) => {
                files.unreadable.insert(name, why);
            }
        }
    }
}

fn too_large(size: u64, max: u64, sum: u64) -> Option<String> {
    if size > max {
        let (size, max) = (ByteSize(size), ByteSize(max).written());
        return Some(format!("it is too large: {size}, and it may have {max}"));
    }
    let max = ByteSize(MAX_ALL).written();
    (sum + size > MAX_ALL).then(|| format!("the files of a site may have {max} together"))
}

fn content(
    found: &SiteFile,
    cached: Option<CachedFile>,
    max: u64,
) -> Result<Option<CachedFile>, String> {
    let stamp = FileStamp::new(&found.metadata);
    if let Some(cached) = &cached
        && cached.is_sure
        && cached.stamp == stamp
    {
        return Ok(Some(CachedFile {
            content: cached.content.clone(),
            ..*cached
        }));
    }
    let read = match read_settled(&found.path) {
        Ok(Some(read)) => read,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(reason(&error)),
    };
    let (stamp, bytes) = read;
    if let Some(why) = too_large(bytes.len() as u64, max, 0) {
        return Err(why);
    }
    let content = match cached {
        Some(cached) if *cached.content == *bytes => cached.content,
        _ => bytes.into(),
    };
    Ok(Some(CachedFile {
        stamp,
        is_sure: stamp.is_old(SystemTime::now()),
        content,
    }))
}

/// Reads a file, and reads it again if it is written meanwhile. Returns none if it is a special file.
fn read_settled(path: &Path) -> io::Result<Option<(FileStamp, Vec<u8>)>> {
    const TRIES: u32 = 4;
    let mut tries = 1;
    loop {
        let mut options = OpenOptions::new();
        // If a FIFO has replaced the file, opening it must not block until there is a writer.
        let file = options
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Ok(None);
        }
        let before = FileStamp::new(&metadata);
        let bytes = read_some(&file, before.size)?;
        let after = FileStamp::new(&file.metadata()?);
        let settled = before == after && bytes.len() as u64 == after.size.min(MAX_FILE + 1);
        // A process that continues to write causes another read later.
        if settled || tries == TRIES {
            return Ok(Some((after, bytes)));
        }
        tries += 1;
    }
}

fn read_some(file: &File, size: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(size.min(MAX_FILE) as usize);
    file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl FileStamp {
    fn new(metadata: &Metadata) -> Self {
        FileStamp {
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            size: metadata.len(),
            identity: (metadata.dev(), metadata.ino()),
        }
    }

    /// Whether every later change gets another modification time. The clock of a file system may tick only once a
    /// second: a file that was changed just now may change again within the same tick.
    fn is_old(&self, now: SystemTime) -> bool {
        let seconds = u64::try_from(self.changed.0).unwrap_or(0);
        let tick = UNIX_EPOCH + Duration::from_secs(seconds.saturating_add(2));
        tick <= now
    }
}
