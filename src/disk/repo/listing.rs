//! Case-insensitive lookup of names in a repo's directories, cached until a directory changes.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::beneath;

#[derive(Debug, Default)]
pub(super) struct ListingCache {
    directories: BTreeMap<String, DirectoryListing>,
    /// The total number of names.
    names: usize,
}

#[derive(Debug)]
struct DirectoryListing {
    stamp: DirectoryStamp,
    /// Whether every later change changes the stamp.
    is_sure: bool,
    /// From the lowercase name to its spellings, in order.
    names: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DirectoryStamp {
    identity: (u64, u64),
    modified: (i64, i64),
}

impl ListingCache {
    /// The most cached names.
    const MAX_NAMES: usize = 500_000;

    /// Finds the spelling of `name` in a directory: exactly, otherwise ignoring case.
    pub(super) fn find(
        &mut self,
        root: &File,
        directory: &str,
        name: &str,
    ) -> io::Result<Option<String>> {
        let opened = beneath::open(root, directory)?;
        let metadata = opened.metadata()?;
        if !metadata.is_dir() {
            return Ok(None);
        }
        let stamp = DirectoryStamp {
            identity: (metadata.dev(), metadata.ino()),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        };
        let known = self.directories.get(directory);
        if known.is_none_or(|listing| !listing.is_sure || listing.stamp != stamp) {
            self.insert(directory, DirectoryListing::read(&opened, stamp)?);
        }
        let spellings = self.directories[directory].names.get(&name.to_lowercase());
        let spellings = spellings.map(Vec::as_slice).unwrap_or_default();
        let exact = spellings.iter().find(|spelling| *spelling == name);
        Ok(exact.or(spellings.first()).cloned())
    }

    fn insert(&mut self, directory: &str, listing: DirectoryListing) {
        if self.names + listing.names.len() > ListingCache::MAX_NAMES {
            self.directories.clear();
            self.names = 0;
        }
        self.names += listing.names.len();
        if let Some(before) = self.directories.insert(directory.into(), listing) {
            self.names -= before.names.len();
        }
    }
}

impl DirectoryListing {
    fn read(directory: &File, stamp: DirectoryStamp) -> io::Result<DirectoryListing> {
        // Two clock ticks after the last change, every later change gets another time.
        let seconds = u64::try_from(stamp.modified.0).unwrap_or(0);
        let tick = UNIX_EPOCH + Duration::from_secs(seconds.saturating_add(2));
        let is_sure = tick <= SystemTime::now();
        let mut all = Vec::new();
        for entry in fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))? {
            // A name that is not UTF-8 cannot be requested.
            all.extend(entry?.file_name().into_string().ok());
        }
        all.sort_unstable();
        let mut names = BTreeMap::<_, Vec<_>>::new();
        for name in all {
            names.entry(name.to_lowercase()).or_default().push(name);
        }
        Ok(DirectoryListing {
            stamp,
            is_sure,
            names,
        })
    }
}
