//! Which version of an image was read.

use std::{
    fs::Metadata,
    os::unix::fs::MetadataExt,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};

use crate::iso::Extents;

/// Identifies a version of an image: another file, or a changed one, has another stamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageStamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl ImageStamp {
    pub(super) fn of(metadata: &Metadata) -> ImageStamp {
        ImageStamp {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }

    /// Returns the size of the image in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    pub(super) fn modified(&self) -> SystemTime {
        // HTTP dates begin in 1970.
        let seconds = u64::try_from(self.modified.0).unwrap_or(0);
        SystemTime::UNIX_EPOCH + Duration::new(seconds, self.modified.1 as u32)
    }

    /// Returns the entity tag (RFC 9110 §8.8.3) of a file in the image that consists of `extents`.
    pub(super) fn etag(&self, extents: &Extents) -> String {
        let begin = extents.iter().next().map_or(0, |run| run.start);
        format!(
            "\"{:x}-{:x}-{:x}.{:x}-{begin:x}-{:x}\"",
            self.inode,
            self.size,
            self.modified.0,
            self.modified.1,
            extents.size()
        )
    }
}
