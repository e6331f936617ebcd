//! The names in a repo's directories without regard to case, remembered until a directory changes.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io,
    os::{fd::AsRawFd, unix::fs::MetadataExt},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::beneath;

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct ListingCache {
    directories: BTreeMap<String, DirectoryListing>,
    /// How many names there are in all.
    names: usize,
}

#[derive(Debug)]
struct DirectoryListing {
    stamp: DirectoryStamp,
    /// Whether a change since then is sure to show in the stamp.
    is_sure: bool,
    /// From the name in small letters to its spellings, in order.
    names: BTreeMap<String, Vec<String>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DirectoryStamp {
    identity: (u64, u64),
    modified: (i64, i64),
}

impl ListingCache {
    /// How many names are remembered at most.
    const MAX: usize = 500_000;

    /// Finds how `name` is spelled in a directory: as it is written if it is there, else in other letters.
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
            self.remember(directory, DirectoryListing::read(&opened, stamp)?);
        }
        let spellings = self.directories[directory].names.get(&name.to_lowercase());
        let spellings = spellings.map(Vec::as_slice).unwrap_or_default();
        let exact = spellings.iter().find(|spelling| *spelling == name);
        Ok(exact.or(spellings.first()).cloned())
    }

    fn remember(&mut self, directory: &str, listing: DirectoryListing) {
        if self.names + listing.names.len() > ListingCache::MAX {
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
        // Whoever asks after the clock has ticked twice sees every later change in the directory's time.
        let seconds = u64::try_from(stamp.modified.0).unwrap_or(0);
        let tick = UNIX_EPOCH + Duration::from_secs(seconds.saturating_add(2));
        let is_sure = tick <= SystemTime::now();
        let mut all = Vec::new();
        for entry in fs::read_dir(format!("/proc/self/fd/{}", directory.as_raw_fd()))? {
            // A name that is not UTF-8 cannot be asked for.
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
