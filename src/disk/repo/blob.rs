//! A file's bytes: all of a file on the disk, or runs of bytes in an image.

use std::{
    fs::File,
    io::{self, IoSliceMut},
    os::unix::fs::FileExt,
    sync::Arc,
};

use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::image::Stamp;
use crate::iso::{Extent, Extents};

/// Bytes that can be read at any place, by several at once.
#[derive(Debug, Clone)]
pub struct Blob {
    file: Arc<File>,
    lie: Lie,
}

#[derive(Debug, Clone)]
enum Lie {
    /// They are the file.
    Whole { size: u64 },
    /// They are runs of an image, as long as that is what it was.
    Runs { extents: Extents, stamp: Stamp },
}

impl Blob {
    /// All of a file, as long as it is now.
    pub fn of(file: File) -> io::Result<Blob> {
        let size = file.metadata()?.len();
        let lie = Lie::Whole { size };
        let file = Arc::new(file);
        Ok(Blob { file, lie })
    }

    pub(super) fn runs(image: Arc<File>, extents: Extents, stamp: Stamp) -> Blob {
        Blob {
            file: image,
            lie: Lie::Runs { extents, stamp },
        }
    }

    /// How many bytes there are.
    pub fn size(&self) -> u64 {
        match &self.lie {
            Lie::Whole { size } => *size,
            Lie::Runs { extents, .. } => extents.size(),
        }
    }

    /// Fills `buffer` with the bytes from `offset` on. A file that has become shorter, and an image that was changed, are
    /// errors: whoever has a part of it must not take the rest of another one.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_by(buffer, offset, |part, start| {
            self.file.read_exact_at(part, start).map(|()| true)
        })
        .map(|_| ())
    }

    /// The same with what the kernel has in memory, without waiting for a disk; false, with anything in `buffer`, where that
    /// is not all of it, or cannot be told.
    pub fn read_at_hand(&self, buffer: &mut [u8], offset: u64) -> io::Result<bool> {
        self.read_by(buffer, offset, |part, start| {
            let wanted = part.len();
            let mut parts = [IoSliceMut::new(part)];
            match preadv2(&self.file, &mut parts, start, ReadWriteFlags::NOWAIT) {
                Ok(read) => Ok(read == wanted),
                // Not there, interrupted, or a file system that always waits.
                Err(Errno::AGAIN | Errno::INTR | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
                Err(error) => Err(error.into()),
            }
        })
    }

    /// Reads by `read`, which tells whether it could fill what it was given.
    fn read_by(
        &self,
        buffer: &mut [u8],
        offset: u64,
        read: impl Fn(&mut [u8], u64) -> io::Result<bool>,
    ) -> io::Result<bool> {
        let (extents, stamp) = match &self.lie {
            Lie::Whole { .. } => return read(buffer, offset),
            Lie::Runs { extents, stamp } => (extents, stamp),
        };
        let mut done = 0;
        while done < buffer.len() {
            let left = (buffer.len() - done) as u64;
            let Extent { start, length } = extents
                .locate(offset + done as u64, left)
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            let end = done + length as usize;
            if !read(&mut buffer[done..end], start)? {
                return Ok(false);
            }
            done = end;
        }
        // Afterwards, so that what was written meanwhile shows.
        if Stamp::of(&self.file.metadata()?) != *stamp {
            return Err(io::Error::other("the image was changed while it was read"));
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::fs::MetadataExt};

    use super::*;

    fn blob(content: &[u8]) -> Blob {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        Blob::of(file).unwrap()
    }

    #[test]
    fn what_is_at_hand_is_what_is_there() {
        let content: Vec<u8> = (0..100_000u32).map(|at| (at % 251) as u8).collect();
        let blob = blob(&content);
        for (offset, length) in [(0, 100_000), (0, 0), (99_999, 1), (4_095, 4_098)] {
            let mut buffer = vec![0; length];
            // A file system that always waits says no, which is no mistake.
            if blob.read_at_hand(&mut buffer, offset).unwrap() {
                assert_eq!(buffer, content[offset as usize..][..length]);
            }
            blob.read_exact_at(&mut buffer, offset).unwrap();
            assert_eq!(buffer, content[offset as usize..][..length]);
        }
        // What is not there is not at hand either, and whoever waits for it is told.
        for (offset, length) in [(99_999, 2), (100_000, 1), (200_000, 1)] {
            let mut buffer = vec![0; length];
            assert!(!blob.read_at_hand(&mut buffer, offset).unwrap());
            let read = blob.read_exact_at(&mut buffer, offset);
            assert_eq!(read.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        }
    }

    #[test]
    fn what_is_at_hand_of_an_image_that_was_changed_is_an_error_too() {
        let blob = blob(&[7; 10_000]);
        let metadata = blob.file.metadata().unwrap();
        assert_eq!(metadata.size(), 10_000);
        let stamp = Stamp::of(&metadata);
        let extents = Extents::new([Extent {
            start: 2_048,
            length: 5_000,
        }]);
        let runs = Blob::runs(blob.file.clone(), extents, stamp);
        let mut buffer = vec![0; 5_000];
        runs.read_exact_at(&mut buffer, 0).unwrap();
        blob.file.set_len(9_000).unwrap();
        let read = runs.read_at_hand(&mut buffer, 0);
        assert!(!matches!(read, Ok(true)), "{read:?}");
        assert!(runs.read_exact_at(&mut buffer, 0).is_err());
    }
}
