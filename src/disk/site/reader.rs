//! Reading a site again and again: what has not changed is not read twice.

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
    MAX_ALL, MAX_FILE, MAX_OTHER, is_other, reason,
    walk::{SiteDirectory, SiteFile, SiteWalk, walk},
};

/// Reads a site, and remembers its files so that the next reading costs little.
#[derive(Debug)]
pub struct SiteReader {
    root: PathBuf,
    known: BTreeMap<Arc<str>, CachedFile>,
    directories: Vec<SiteDirectory>,
}

/// A file as it was when it was read.
#[derive(Debug)]
struct CachedFile {
    stamp: FileStamp,
    /// Whether a change since then is sure to show in the stamp.
    sure: bool,
    content: Arc<[u8]>,
}

/// What tells one state of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct FileStamp {
    modified: (i64, i64),
    changed: (i64, i64),
    size: u64,
    identity: (u64, u64),
}

impl SiteReader {
    /// Prepares to read the site at `root`.
    pub fn new(root: &Path) -> Self {
        SiteReader {
            root: root.into(),
            known: BTreeMap::new(),
            directories: Vec::new(),
        }
    }

    /// The site's directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reads the site as it is now. The content of a file that has not changed is the same [`Arc`] as the
    /// last time. An error means that the directory itself cannot be read; what is known then stays.
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
        let mut before = std::mem::take(&mut self.known);
        let mut sum = 0;
        for found in found {
            let known = before.remove_entry(found.name.as_str());
            self.take_in(&mut files, &mut sum, found, known);
        }
        self.directories = directories;
        Ok(files)
    }

    /// The directories that the last reading went through, the site's own first.
    pub(in crate::disk) fn directories(&self) -> &[SiteDirectory] {
        &self.directories
    }

    fn take_in(
        &mut self,
        files: &mut SiteFiles,
        sum: &mut u64,
        found: SiteFile,
        known: Option<(Arc<str>, CachedFile)>,
    ) {
        let (name, known) = match known {
            Some((name, known)) => (name, Some(known)),
            None => (found.name.as_str().into(), None),
        };
        let size = found.metadata.len();
        if size > MAX_OTHER && is_other(&name) {
            return;
        }
        if let Some(why) = too_large(size, *sum) {
            files.unreadable.insert(name, why);
            return;
        }
        match content(&found, known) {
            Ok(Some(known)) => {
                *sum += known.stamp.size;
                files.content.insert(name.clone(), known.content.clone());
                self.known.insert(name, known);
            }
            // It is gone, or it is no regular file any more.
            Ok(None) => {}
            Err(why) => {
                files.unreadable.insert(name, why);
            }
        }
    }
}

fn too_large(size: u64, sum: u64) -> Option<String> {
    if size > MAX_FILE {
        let (size, max) = (ByteSize(size), ByteSize(MAX_FILE).written());
        return Some(format!(
            "it is too large: {size}, and a file may have {max}"
        ));
    }
    let max = ByteSize(MAX_ALL).written();
    (sum + size > MAX_ALL).then(|| format!("the files of a site may have {max} together"))
}

fn content(found: &SiteFile, known: Option<CachedFile>) -> Result<Option<CachedFile>, String> {
    let stamp = FileStamp::new(&found.metadata);
    if let Some(known) = &known
        && known.sure
        && known.stamp == stamp
    {
        return Ok(Some(CachedFile {
            content: known.content.clone(),
            ..*known
        }));
    }
    let read = match read_settled(&found.path) {
        Ok(Some(read)) => read,
        Ok(None) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(reason(&error)),
    };
    let (stamp, bytes) = read;
    if let Some(why) = too_large(bytes.len() as u64, 0) {
        return Err(why);
    }
    let content = match known {
        Some(known) if *known.content == *bytes => known.content,
        _ => bytes.into(),
    };
    Ok(Some(CachedFile {
        stamp,
        sure: stamp.is_old(SystemTime::now()),
        content,
    }))
}

/// Reads a file; one that is written meanwhile is read again. None when it is no regular file.
fn read_settled(path: &Path) -> io::Result<Option<(FileStamp, Vec<u8>)>> {
    const TRIES: u32 = 4;
    let mut tries = 1;
    loop {
        let mut options = OpenOptions::new();
        // A FIFO that took the file's place must not make us wait for its writer.
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
        // Who keeps writing causes another reading later.
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

    /// Tells whether a later change gets another time. Clocks of file systems tick coarsely, up to a second:
    /// what was changed just now may change again within the same tick.
    fn is_old(&self, now: SystemTime) -> bool {
        let seconds = u64::try_from(self.changed.0).unwrap_or(0);
        let tick = UNIX_EPOCH + Duration::from_secs(seconds.saturating_add(2));
        tick <= now
    }
}
